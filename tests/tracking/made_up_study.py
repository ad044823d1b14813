"""A study as its pipelines leave it, made up: two stacks with histories, one average without, and what reports show."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.studies.results import validate_results, write_results
from vision_studies.versions import Versions

JOINT = {
    "method": "joint",
    "base_learners": [
        {"model": {"name": "resnet9"}, "frozen_blocks": 0},
        {"model": {"name": "vit"}, "frozen_blocks": 2},
    ],
    "training.epochs": 3,
    "note": "x" * 7000,
}
FIRST_SECOND = 1_790_000_000


def row(seed: int, **changes: Any) -> dict[str, Any]:
    finished = pd.Timestamp(FIRST_SECOND + 100 * seed, unit="s", tz="UTC").isoformat()
    return {
        "pipeline": "stacking",
        "study": "small",
        "variant": "2x & more",
        "trial": 0,
        "seed": seed,
        "configuration": json.dumps(JOINT),
        "validation_accuracy": 0.5 + seed / 10,
        "validation_loss": 1.25,
        "test_accuracy": 0.625,
        "other_metrics": json.dumps({"test_accuracy_base_1": 0.25, "ended": "stopped"}),
        "best_epoch": 2,
        "seconds": 40.0,
        "status": "complete",
        "run_fingerprint": f"fingerprint{seed}",
        "configuration_hash": "c" * 64,
        "data_fingerprint": "d" * 16,
        "git_commit": "abc123",
        "finished_at": finished,
    } | changes


AVERAGE = {"variant": "average", "configuration": json.dumps({"method": "combination"}), "run_fingerprint": "average0"}


def history(seed: int) -> pd.DataFrame:
    epochs = [1, 2, 3]
    return pd.DataFrame(
        {
            "epoch": epochs,
            "train_loss": [3.0, 2.0, 1.0],
            "train_loss_meta": [1.5, 1.0, 0.5],
            "train_loss_base_1": [0.75, 0.5, 0.25],
            "validation_loss": [2.0, None, 1.25],
            "validation_accuracy": [0.25, None, 0.5 + seed / 10],
            "validation_loss_base_2": [4.0, None, 3.0],
            "learning_rate": [0.1, 0.2, 0.0],
            "seconds": [10.0, 20.0, 40.0],
            "variant": "2x & more",
            "trial": 0,
            "seed": seed,
        }
    )


class MadeUpStudy:
    """The study `small` in a project's folder."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.outputs = project / "data/07_model_output/small/stacking"
        self.reports = project / "data/08_reporting/small"
        self.write([row(0), row(1), row(0, **AVERAGE)], [history(0), history(1)])
        for version, content in (("2026-01-01", b"old"), ("2026-02-02", b"new")):
            with Versions.of_file(self.reports / "stacking/curves.png").save(version) as folder:
                (folder / "curves.png").write_bytes(content)
        (self.reports / "run_records").mkdir()
        (self.reports / "run_records/1.json").write_text("{}", encoding="utf-8")
        (self.reports / "report.html").write_text("<p>report", encoding="utf-8")
        (self.reports / "summary.txt").write_text("the first is best", encoding="utf-8")

    def write_verdict(self, tags: dict[str, str]) -> None:
        """The verdict, as the report would leave it."""
        (self.reports / "verdict.json").write_text(json.dumps({"tags": tags}), encoding="utf-8")

    def write(self, rows: list[dict[str, Any]], histories: list[pd.DataFrame]) -> None:
        """The tables, as the catalog would leave them."""
        self.outputs.mkdir(parents=True, exist_ok=True)
        table = validate_results(pd.DataFrame(rows))
        write_results(table, self.outputs / "results.parquet")
        write_results(table, self.outputs / "training.parquet")
        pd.concat(histories).to_parquet(self.outputs / "histories.parquet", index=False)
