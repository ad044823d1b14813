"""`kedro runs graphs`: which runs are drawn, where to, and how large."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from vision_studies.cli import cli

GRAPHS = {"loss_plot.png", "validation_plot.png", "learning_rate_plot.png", "combined_plot.png"}
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train_loss": [2.0, 1.5, 1.2],
        "validation_loss": [1.9, 1.4, 1.3],
        "validation_accuracy": [0.3, 0.5, 0.6],
        "learning_rate": [0.1, 0.05, 0.0],
    }
)


@pytest.fixture
def graphs(tmp_path, monkeypatch):
    """Runs `kedro runs graphs` where two studies have a run each that has ended, and others that cannot be drawn."""
    monkeypatch.chdir(tmp_path)
    histories = {"1111": HISTORY, "2222": HISTORY, "3333": None, "4444": HISTORY[["epoch"]]}
    for number, (fingerprint, history) in enumerate(histories.items()):
        study = "second" if fingerprint == "2222" else "first"
        folder = tmp_path / f"data/06_models/{study}/cifar_resnet/runs/{fingerprint}"
        folder.mkdir(parents=True)
        identity = {"study": study, "pipeline": "cifar_resnet", "variant": f"v{number}", "seed": 0, "trial": 0}
        (folder / "run.json").write_text(json.dumps(identity))
        if history is not None:
            history.to_parquet(folder / "history.parquet")

    def run(*arguments, fails=False):
        done = CliRunner().invoke(cli, ["runs", "graphs", "--dpi=20", *arguments])
        assert (done.exit_code != 0) == fails, done.output
        return done.output

    return run


def drawn(folder):
    return {str(path.parent.relative_to(folder)) for path in folder.rglob("*.png")}


@pytest.mark.slow
def test_all_runs_are_drawn_each_in_a_folder_of_its_own(graphs, tmp_path):
    graphs("--all", "-o", "figures")
    assert drawn(tmp_path / "figures") == {"first/1111", "second/2222"}
    assert {path.name for path in (tmp_path / "figures/first/1111").iterdir()} == GRAPHS
    graphs("--all", "--env=second", "-o", "one")
    assert drawn(tmp_path / "one") == {"second/2222"}


@pytest.mark.slow
def test_figures_are_as_large_as_asked_for_and_the_combined_one_half_as_high_again(graphs, tmp_path):
    graphs("1111", "--figsize=10,6", "--theme=dark", "--context=talk")
    for name in GRAPHS:
        with Image.open(tmp_path / "figures" / name) as picture:
            assert picture.size == ((200, 180) if name == "combined_plot.png" else (200, 120))
            assert np.asarray(picture.convert("L"))[0, 0] < 40


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name one RUN or several, or --all"),
        (["1111", "--all"], "Name one RUN or several, or --all"),
        (["1111", "--figsize=10"], "write them as 10,6"),
        (["1111", "--figsize=10,0"], "write them as 10,6"),
        (["1111", "--figsize=nan,6"], "write them as 10,6"),
        (["--all", "--env=none"], "No run lies in"),
    ],
)
def test_what_cannot_be_drawn_is_told(graphs, arguments, told):
    assert told in " ".join(graphs(*arguments, fails=True).split())
