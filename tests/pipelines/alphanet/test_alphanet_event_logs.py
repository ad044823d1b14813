import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vision_studies.errors import MissingDependencyError
from vision_studies.pipelines.alphanet.work.event_logs import require_tensorboard, write_event_logs

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        "train_loss": [1.5, 1.0],
        "learning_rate": [0.1, 0.1],
        "coefficient_1_mean": [0.2, 0.3],
        "validation_few": [np.nan, 0.5],
    }
)


class Writer:
    """Writes what it is told as lines of text, in place of TensorBoard's writer."""

    def __init__(self, folder):
        self.file = Path(folder) / "events"
        self.lines = []

    def add_scalar(self, tag, value, step):
        self.lines.append(f"{tag} {step} {value:g}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.write_text("\n".join(self.lines), encoding="utf-8")


@pytest.fixture
def tensorboard(monkeypatch):
    stand_in = types.ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    monkeypatch.setattr(torch.utils, "tensorboard", stand_in, raising=False)


@pytest.mark.usefixtures("tensorboard")
def test_steps_and_epochs_are_written_once(tmp_path):
    for _ in range(2):  # the second time takes the place of the first
        write_event_logs(torch.tensor([2.0, 1.0, 0.5]), HISTORY, tmp_path / "logs")
    assert [file.name for file in (tmp_path / "logs").iterdir()] == ["events"]
    assert (tmp_path / "logs/events").read_text(encoding="utf-8").splitlines() == [
        *("batch_loss 0 2", "batch_loss 1 1", "batch_loss 2 0.5"),
        *("train_loss 1 1.5", "learning_rate 1 0.1", "coefficient/1_mean 1 0.2"),
        *("train_loss 2 1", "learning_rate 2 0.1", "coefficient/1_mean 2 0.3", "validation/few 2 0.5"),
    ]
    require_tensorboard()


def test_without_tensorboard_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match="alphanet.tensorboard is true but TensorBoard is not installed"):
        write_event_logs(torch.tensor([2.0]), HISTORY, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
