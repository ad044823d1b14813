"""Stages of runs as they lie in the folders of runs: `<stage>.json` is what makes a stage finished.

`begin_run` and `keep_outcome` are the two moments of a stage: nothing of a run is written before the one or after the
other, and whoever calls them holds the lock of the run, or that of the stack that it belongs to.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vision_studies.errors import BusyError, DataError
from vision_studies.files import atomic_file, hash_json, json_text, remove_leftovers, write_json
from vision_studies.outcomes import FAILED, PRUNED, Outcome
from vision_studies.storage.kept_data import kept_with
from vision_studies.stored_tables import write_table
from vision_studies.studies.provenance import git_commit, library_versions
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import holder_of, this_process, try_to_hold

Work = Callable[[Run, Path], Outcome]
"""What does a stage: `work(run, folder)`; `folder` is the run's own and survives an interruption."""

RESERVE_BYTES = 32_000_000
"""Room that the disk must have before a stage begins; each checkpoint asks for its own besides."""


def run_folder(folder: Path, run: Run) -> Path:
    """Folder of a run's checkpoints, stage results and history."""
    return folder / run.fingerprint


def run_lock(folder: Path, run: Run) -> Path:
    """Lock that is held while a run is worked on."""
    return run_folder(folder, run) / ".lock"


def is_finished(folder: Path, run: Run, stage: str) -> bool:
    """Whether `stage` of `run` has ended in any way but failure."""
    result = read_stage(folder, run, stage)
    return result is not None and result["status"] != FAILED


def read_stage(folder: Path, run: Run, stage: str) -> dict[str, Any] | None:
    """Metrics, status, reason and provenance of a stage that has ended; None where it has not.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return read_stage_file(run_folder(folder, run) / f"{stage}.json")
    except FileNotFoundError:
        return None


def read_stage_file(path: Path) -> dict[str, Any]:
    """Metrics, status, reason and provenance of a stage.

    Raises:
        DataError: the file is damaged, be it by a single digit.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        found = [result[name] for name in _CHECKED]
        if "checksum" in result and result["checksum"] != _checksum(*found):
            raise ValueError("its numbers are not those that were written")
        return result
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is damaged; delete its folder and run the study again.") from error


def failure_mark(folder: Path, run: Run, stage: str) -> int | None:
    """What tells one failure of a stage from a later one; None where it has not failed."""
    result = read_stage(folder, run, stage)
    if result is None or result["status"] != FAILED:
        return None
    return (run_folder(folder, run) / f"{stage}.json").stat().st_mtime_ns


def ended_since(folder: Path, run: Run, stage: str, failed_before: int | None) -> Outcome | None:
    """What a stage has found that need not be done again; None where it has to be done.

    A failure is tried once more by every command. Where processes share the work, one of them is enough: a failure that
    came after the command began counts.

    Args:
        folder: holds one folder a run.
        run: the run.
        stage: name of the stage.
        failed_before: the `failure_mark` of the time when the command began.
    """
    result = read_stage(folder, run, stage)
    if result is None or (result["status"] == FAILED and failure_mark(folder, run, stage) == failed_before):
        return None
    return Outcome(result["metrics"], result["status"], result["reason"])


def pruned(outcome: Outcome, pruner: str) -> Outcome:
    """The outcome of a run that a search has ended, with what ended it."""
    others = {**outcome.metrics.get("other_metrics", {}), "pruner": pruner}
    return replace(outcome, metrics={**outcome.metrics, "other_metrics": others})


def was_pruned_otherwise(folder: Path, run: Run, stage: str, pruner: str | None) -> bool:
    """Whether a search with another pruner than `pruner` (None: without any) has ended a run: this one may let it live."""
    result = read_stage(folder, run, stage)
    if result is None or result["status"] != PRUNED:
        return False
    by = result["metrics"].get("other_metrics", {}).get("pruner")
    return pruner is None or (by is not None and by != pruner)


def begin_run(folder: Path, run: Run) -> Path:
    """Make a run's folder ready to be worked in; what a process has left there that was killed while it wrote goes.

    Returns:
        The folder.
    """
    own_folder = run_folder(folder, run)
    own_folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(own_folder)
    file, described = own_folder / "run.json", _describe(run)
    if not file.exists() or file.read_text(encoding="utf-8") != json_text(described):
        write_json(file, described)
    return own_folder


def keep_outcome(folder: Path, run: Run, stage: str, outcome: Outcome) -> None:
    """Write what a stage of a run has found; the stage's own file comes last and makes it finished."""
    own_folder = run_folder(folder, run)
    if outcome.history is not None:
        with atomic_file(own_folder / "history.parquet") as temporary:
            write_table(outcome.history, temporary)
    write_json(
        own_folder / f"{stage}.json",
        {
            "metrics": outcome.metrics,
            "status": outcome.status,
            "reason": outcome.reason,
            "checksum": _checksum(outcome.metrics, outcome.status, outcome.reason),
            "provenance": {
                "git_commit": git_commit(),
                "versions": library_versions(),
                "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        },
    )


def keep_failure(folder: Path, run: Run, stage: str, error: Exception, told: str) -> Outcome:
    """Write why a stage of a run has failed, with its traceback.

    Args:
        folder: holds one folder a run.
        run: the run.
        stage: name of the stage.
        error: what went wrong.
        told: its traceback.
    """
    with atomic_file(run_folder(folder, run) / f"{stage}_failure.txt") as temporary:
        temporary.write_text(told, encoding="utf-8")
    outcome = Outcome({}, FAILED, f"{stage}: {type(error).__name__}: {error}")
    keep_outcome(folder, run, stage, outcome)
    return outcome


def forget_run(folder: Path, run: Run) -> None:
    """Delete all that is known of a run but its lock.

    Raises:
        BusyError: another process works on it.
        StorageError: a store keeps it, and cannot be reached.
    """
    own_folder = run_folder(folder, run)
    kept = kept_with(own_folder)
    if kept is not None:
        kept.forget(own_folder)
    if not own_folder.exists():
        return
    lock = run_lock(folder, run)
    with try_to_hold(lock, this_process()) as held:
        if not held:
            raise BusyError(
                f"The run {run.fingerprint} is being worked on by {holder_of(lock)}; stop it, or leave out fresh=true to "
                "share its work."
            )
        # What makes a stage finished goes first: a kill in between must not leave a result without its weights.
        for entry in sorted(own_folder.iterdir(), key=lambda entry: entry.suffix != ".json"):
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry != lock:
                entry.unlink()


_CHECKED = ("metrics", "status", "reason")


def _checksum(metrics: dict[str, Any], status: str, reason: str | None) -> str:
    """Hash of what a stage has found, as JSON gives it back: a changed digit is valid JSON, too."""
    return hash_json(json.loads(json.dumps([metrics, status, reason])))[:16]


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
