"""Stages of runs as they lie in the folders of runs: `<stage>.json` is what makes a stage finished."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.files import atomic_file, write_json
from vision_studies.studies.provenance import git_commit, library_versions
from vision_studies.studies.results import COMPLETE, FAILED
from vision_studies.studies.runs import Run


@dataclass(frozen=True)
class Outcome:
    """What one stage of a run found.

    Attributes:
        metrics: columns of the results table.
        status: one of `results.STATUSES`.
        reason: why the status is not `complete`.
        history: per-epoch metrics, where the stage has epochs.
    """

    metrics: dict[str, Any]
    status: str = COMPLETE
    reason: str | None = None
    history: pd.DataFrame | None = None


Work = Callable[[Run, Path], Outcome]
"""What does a stage: `work(run, folder)`; `folder` is the run's own and survives an interruption."""


def run_folder(folder: Path, run: Run) -> Path:
    """Folder of a run's checkpoints, stage results and history."""
    return folder / run.fingerprint


def is_finished(folder: Path, run: Run, stage: str) -> bool:
    """Whether `stage` of `run` has ended in any way but failure."""
    result = read_stage(folder, run, stage)
    return result is not None and result["status"] != FAILED


def read_stage(folder: Path, run: Run, stage: str) -> dict[str, Any] | None:
    """Metrics, status, reason and provenance of a stage that has ended; None where it has not.

    Raises:
        DataError: the file is damaged.
    """
    path = run_folder(folder, run) / f"{stage}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} is damaged; delete its folder and run the study again.") from error


def keep_outcome(folder: Path, run: Run, stage: str, outcome: Outcome) -> None:
    """Write what a stage of a run has found; the stage's own file comes last and makes it finished."""
    own_folder = run_folder(folder, run)
    own_folder.mkdir(parents=True, exist_ok=True)
    write_json(own_folder / "run.json", _describe(run))
    if outcome.history is not None:
        with atomic_file(own_folder / "history.parquet") as temporary:
            outcome.history.to_parquet(temporary, index=False)
    write_json(
        own_folder / f"{stage}.json",
        {
            "metrics": outcome.metrics,
            "status": outcome.status,
            "reason": outcome.reason,
            "provenance": {
                "git_commit": git_commit(),
                "versions": library_versions(),
                "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        },
    )


def _describe(run: Run) -> dict[str, Any]:
    return {
        "pipeline": run.pipeline,
        "study": run.study,
        "variant": run.variant,
        "trial": run.trial,
        "seed": run.seed,
        "configuration": run.configuration,
        "data_fingerprint": run.data_fingerprint,
        "method_version": run.method_version,
    }
