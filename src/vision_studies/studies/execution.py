"""Doing the work of a study's runs: each once, on one core or a cluster, with nothing lost when it is stopped.

A run has *stages* (training, evaluation). A stage that ends writes `<stage>.json` into the run's folder; that file is
what makes it finished. Joblib does the scheduling: one after the other, in processes, or on a Dask cluster.
"""

import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from filelock import FileLock

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.merge import flatten
from vision_studies.errors import DataError, MissingDependencyError, VisionStudiesError
from vision_studies.files import atomic_file, write_json
from vision_studies.studies.provenance import git_commit, library_versions
from vision_studies.studies.results import COMPLETE, FAILED, SCHEMA, validate_results
from vision_studies.studies.runs import Run

logger = logging.getLogger(__name__)

_LINE_AFTER = 5.0  # seconds from line to line: hundreds of small runs would fill the screen


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


def execute(
    runs: Sequence[Run], stage: str, work: Work, folder: Path, settings: ExecutionSettings, *, fresh: bool = False
) -> None:
    """Do `stage` for every run that has not finished it; runs of equal fingerprint are done once.

    An error in one run is recorded as a failure, with its traceback in the run's folder, and the study goes on; it is
    tried again by the next call. An error that is the user's to mend stops the study.

    Args:
        runs: the study's runs.
        stage: name of the stage; a file name.
        work: what to do.
        folder: holds one folder a run.
        settings: where to work.
        fresh: forget finished work of these runs first, every stage of it.
    """
    unique = list({run.fingerprint: run for run in runs}.values())
    if fresh:
        for run in unique:
            shutil.rmtree(run_folder(folder, run), ignore_errors=True)
    waiting = [run for run in unique if not is_finished(folder, run, stage)]
    log_reused(stage, len(unique) - len(waiting), len(unique))
    log = RunLog(stage, len(waiting))
    with parallel_runs(settings) as parallel:
        for ended in parallel(joblib.delayed(execute_one)(run, stage, work, folder) for run in waiting):
            log.ended([ended])


def is_finished(folder: Path, run: Run, stage: str) -> bool:
    """Whether `stage` of `run` has ended in any way but failure."""
    result = read_stage(folder, run, stage)
    return result is not None and result["status"] != FAILED


def require_networks(folder: Path, runs: Sequence[Run], stage: str, *, name: str, learning_rate: str) -> None:
    """Refuse to go on without the network of a run that others build on.

    Args:
        folder: holds one folder a run.
        runs: each of which must have ended `stage` completely.
        stage: name of the stage.
        name: what such a run is called.
        learning_rate: the parameter to lower where training diverged.

    Raises:
        DataError: one of them has not given a network.
    """
    for run in runs:
        result = read_stage(folder, run, stage)
        if result is None or result["status"] != COMPLETE:
            why = "" if result is None else f" ({result['reason']})"
            raise DataError(
                f"The {name} with seed {run.seed} has not given a network{why}; lower {learning_rate} or mend what it says."
            )


def results_table(runs: Sequence[Run], folder: Path, stages: Sequence[str]) -> pd.DataFrame:
    """Rows of the results table for all `runs` that have a first stage; later stages add their columns."""
    rows = [row for run in runs if (row := _row(run, folder, stages)) is not None]
    return validate_results(pd.DataFrame(rows, columns=list(SCHEMA.names)))


def history_table(runs: Sequence[Run], folder: Path) -> pd.DataFrame:
    """Histories of all runs, one below the other, with the columns study, variant, trial, seed and run (a name)."""
    histories = []
    for run in runs:
        path = run_folder(folder, run) / "history.parquet"
        if path.exists():
            names = {"study": run.study, "variant": run.variant, "trial": run.trial, "seed": run.seed, "run": run.name}
            histories.append(pd.read_parquet(path).assign(**names))
    if not histories:
        raise DataError(f"None of the {len(runs)} runs in {folder} has a history; train them first.")
    return pd.concat(histories, ignore_index=True)


def _row(run: Run, folder: Path, stages: Sequence[str]) -> dict[str, Any] | None:
    first = read_stage(folder, run, stages[0])
    if first is None:
        return None
    row: dict[str, Any] = {
        "pipeline": run.pipeline,
        "study": run.study,
        "variant": run.variant,
        "trial": run.trial,
        "seed": run.seed,
        "configuration": json.dumps(flatten(run.configuration), sort_keys=True),
        "run_fingerprint": run.fingerprint,
        "configuration_hash": run.configuration_hash,
        "data_fingerprint": run.data_fingerprint,
    }
    for stage in stages:
        result = read_stage(folder, run, stage)
        if result is None:
            break
        metrics = dict(result["metrics"])
        if "other_metrics" in metrics:
            metrics["other_metrics"] = json.dumps(metrics["other_metrics"], sort_keys=True)
        provenance = result["provenance"]
        row |= {**metrics, "status": result["status"], "reason": result["reason"]}
        row |= {"git_commit": provenance["git_commit"], "finished_at": provenance["finished_at"]}
        row |= {"versions": json.dumps(provenance["versions"], sort_keys=True)}
        if result["status"] != COMPLETE:
            break
    return row


def execute_one(run: Run, stage: str, work: Work, folder: Path) -> tuple[Run, Outcome]:
    """Do `stage` for one run, or take what an earlier call found; see `execute`."""
    own_folder = run_folder(folder, run)
    own_folder.mkdir(parents=True, exist_ok=True)
    # Two processes may work on one study: whoever comes second waits here and finds the work done.
    with FileLock(own_folder / ".lock"):
        if is_finished(folder, run, stage):
            finished = read_stage(folder, run, stage)
            assert finished is not None  # noqa: S101 - is_finished has just read it
            return run, Outcome(finished["metrics"], finished["status"], finished["reason"])
        write_json(own_folder / "run.json", _describe(run))
        try:
            outcome = work(run, own_folder)
        except VisionStudiesError:
            raise
        except Exception as error:
            (own_folder / f"{stage}_failure.txt").write_text(traceback.format_exc(), encoding="utf-8")
            outcome = Outcome({}, FAILED, f"{stage}: {type(error).__name__}: {error}")
        keep_outcome(folder, run, stage, outcome)
    return run, outcome


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


def log_reused(stage: str, finished: int, total: int) -> None:
    """Say how many runs need not be done again, if any."""
    if finished:
        logger.info("%s: %d of %d runs are finished and reused", stage, finished, total)


class RunLog:
    """Says how far the runs of a stage have come: a line every few seconds at most, and each run that did not end well.

    Args:
        stage: name of the stage.
        total: runs that wait for it.
    """

    def __init__(self, stage: str, total: int) -> None:
        self._stage, self._total = stage, total
        self._started = self._said = time.monotonic()
        self._ended: list[tuple[Run, Outcome]] = []
        self._told = 0

    def ended(self, outcomes: Sequence[tuple[Run, Outcome]]) -> None:
        """Take in runs that have ended together, be it one."""
        for run, outcome in outcomes:
            if outcome.status != COMPLETE:
                logger.warning("%s of %s: %s (%s)", self._stage, run.name, outcome.status, outcome.reason)
        self._ended += outcomes
        now, done = time.monotonic(), len(self._ended)
        if done == self._told or (done < self._total and now - self._said < _LINE_AFTER):
            return
        found = _found(self._ended[-1:] if done == self._told + 1 else self._ended)
        remaining = (now - self._started) / done * (self._total - done)
        left = f"about {_duration(remaining)} left" if done < self._total else ""
        told = ", ".join(filter(None, (found, left)))
        logger.info("%s %d of %d%s", self._stage, done, self._total, f": {told}" if told else "")
        self._said, self._told = now, done


def _found(outcomes: Sequence[tuple[Run, Outcome]]) -> str:
    """Accuracies of complete runs; one alone is named."""
    complete = [(run, outcome.metrics) for run, outcome in outcomes if outcome.status == COMPLETE]
    split = "test" if any("test_accuracy" in metrics for _, metrics in complete) else "validation"
    accuracies = [value for _, metrics in complete if (value := metrics.get(f"{split}_accuracy")) is not None]
    if len(complete) == 1:
        return complete[0][0].name + (f": {split} accuracy {accuracies[0]:.4f}" if accuracies else "")
    return f"{split} accuracy {min(accuracies):.4f} to {max(accuracies):.4f}" if accuracies else ""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def parallel_runs(settings: ExecutionSettings) -> Iterator[joblib.Parallel]:
    """Where runs are done: here, in processes, or on a cluster; results come in the order in which they end."""
    if settings.backend != "dask":
        yield joblib.Parallel(
            n_jobs=settings.workers, backend=settings.backend, return_as="generator_unordered", batch_size=1
        )
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError(
            "execution.backend is 'dask' but dask.distributed is not installed; run `pip install dask[distributed]`."
        ) from error
    with Client(settings.scheduler_address) as client:
        backend = {"backend": "dask", "client": client, "resources": dict(settings.resources)}
        with joblib.parallel_config(**backend):
            yield joblib.Parallel(n_jobs=-1, return_as="generator_unordered", batch_size=1)
