"""Logs are written as a study writes them, and read back by TensorBoard's own reader."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tests.pipelines.alphanet.test_alphanet_training import SETTINGS, SPLITS, place, train  # noqa: F401 - a fixture

from vision_studies.errors import MissingDependencyError
from vision_studies.pipelines.alphanet.work import event_logs
from vision_studies.pipelines.alphanet.work.event_logs import write_event_logs

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        "train_loss": [1.5, 1.0],
        "learning_rate": [0.1, 0.1],
        "coefficient_1_mean": [0.2, 0.3],
        "validation_few": [np.nan, 0.5],
    }
)
SCORED = {"test_accuracy": 0.75, "seconds": 3.0, "other_metrics": {"test_few": 0.5, "test_f1": 0.25}}


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0}).Reload()


def scalars(log):
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in log.Tags()["scalars"]}


def test_steps_epochs_and_scores_are_written_once(tmp_path):
    state = {"batch_losses": torch.tensor([2.0, 1.0, 0.5])}  # of a run that was trained before coefficients were kept
    for name in ("earlier name", "cRT, rho 0.5, repeat 0"):  # the second takes the place of the first
        write_event_logs(tmp_path / "logs", name, state, HISTORY, SCORED)
    assert [folder.name for folder in (tmp_path / "logs").iterdir()] == ["cRT, rho 0.5, repeat 0"]
    log = read(tmp_path / "logs/cRT, rho 0.5, repeat 0")
    assert scalars(log) == {
        "batch_loss": [(0, 2.0), (1, 1.0), (2, 0.5)],
        "train_loss": [(1, 1.5), (2, 1.0)],
        "learning_rate": [(1, pytest.approx(0.1)), (2, pytest.approx(0.1))],
        "coefficient/1_mean": [(1, pytest.approx(0.2)), (2, pytest.approx(0.3))],
        "validation/few": [(2, 0.5)],
        "test/accuracy": [(0, 0.75)],
        "test/few": [(0, 0.5)],
        "test/f1": [(0, 0.25)],
    }
    assert log.Tags()["histograms"] == []


def test_what_a_training_has_learnt_is_read_back_as_it_is(place, tmp_path):  # noqa: F811
    [network] = train(place, [3])
    write_event_logs(tmp_path, "run", network.state(), network.history, SCORED)
    log = read(tmp_path / "run")
    found = scalars(log)
    assert [value for _, value in found["batch_loss"]] == pytest.approx(network.batch_losses.tolist())
    for column, tag in (("learning_rate", "learning_rate"), ("validation_accuracy", "validation/accuracy")):
        assert [step for step, _ in found[tag]] == network.history["epoch"].tolist()
        assert [value for _, value in found[tag]] == pytest.approx(network.history[column].tolist())
    assert sorted(log.Tags()["histograms"]) == [f"coefficient/{position}" for position in (1, 2, 3)]
    for position in (1, 2, 3):
        histograms = log.Histograms(f"coefficient/{position}")
        assert [event.step for event in histograms] == network.history["epoch"].tolist()
        for event, values in zip(histograms, network.epoch_coefficients[:, :, position - 1], strict=True):
            assert event.histogram_value.num == len(SPLITS.few)
            assert event.histogram_value.min == pytest.approx(float(values.min()))
            assert event.histogram_value.max == pytest.approx(float(values.max()))
            assert event.histogram_value.sum == pytest.approx(float(values.sum()), abs=1e-6)
        described = network.history[f"coefficient_{position}_mean"]
        assert described.tolist() == pytest.approx(
            [float(v.mean()) for v in network.epoch_coefficients[..., position - 1]]
        )
    assert torch.equal(network.epoch_coefficients[network.best_epoch - 1], network.coefficients)
    assert len(network.epoch_coefficients) == SETTINGS.training.epochs


def test_tensorboard_calls_a_run_by_its_name_and_starts(tmp_path):
    write_event_logs(tmp_path / "1f2e/tensorboard", "run 0", {"batch_losses": torch.tensor([2.0])}, HISTORY, SCORED)
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload().Runs()
    assert list(runs) == ["1f2e/tensorboard/run 0"]
    started = subprocess.run(
        [sys.executable, "-m", "tensorboard.main", "--inspect", f"--logdir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    assert "batch_loss" in started.stdout


def test_without_tensorboard_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(event_logs, "not_installed", lambda libraries: f"{libraries[0]}, which is not installed")
    with pytest.raises(MissingDependencyError, match=r"alphanet.tensorboard=true needs tensorboard, .*: `pip install"):
        write_event_logs(tmp_path / "logs", "run", {}, HISTORY, SCORED)
    assert not (tmp_path / "logs").exists()
