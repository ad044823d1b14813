"""Doing the work of a study's runs: each once, on one core or a cluster, with nothing lost when it is stopped.

A run has *stages* (training, evaluation). A stage that ends writes `<stage>.json` into the run's folder; that file is
what makes it finished. Joblib does the scheduling: one after the other, in processes, or on a Dask cluster. Any number of
commands may do the runs of one study: each takes a run that nobody works on, and all wait for the last one.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path

import joblib
from filelock import FileLock

from vision_studies.config.execution import ExecutionSettings
from vision_studies.errors import ClusterError, DataError, VisionStudiesError
from vision_studies.files import full_disk_told, require_free_space
from vision_studies.storage.kept_data import KeptData, kept_with
from vision_studies.studies.kept_runs import bring_here, kept_runs
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.results import COMPLETE
from vision_studies.studies.run_log import RunLog, log_reused
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import Elsewhere, this_process, try_to_hold
from vision_studies.studies.stages import (
    RESERVE_BYTES,
    Outcome,
    Work,
    begin_run,
    ended_since,
    failure_mark,
    forget_run,
    is_finished,
    keep_failure,
    keep_outcome,
    read_stage,
    run_folder,
    run_lock,
)


def execute(
    runs: Sequence[Run], stage: str, work: Work, folder: Path, settings: ExecutionSettings, *, fresh: bool = False
) -> None:
    """Do `stage` for every run that has not finished it; runs of equal fingerprint are done once.

    Runs that another process works on are left to it, and waited for at the end; what its death has left is taken over. An
    error in one run is recorded as a failure, with its traceback in the run's folder, and the study goes on; it is tried
    again by the next call. An error that is the user's to mend stops the study.

    Args:
        runs: the study's runs.
        stage: name of the stage; a file name.
        work: what to do.
        folder: holds one folder a run.
        settings: where to work.
        fresh: forget finished work of these runs first, every stage of it.

    Raises:
        BusyError: `fresh`, and another process works on one of them.
        StorageError: the disk is full, or nearly so.
    """
    unique = list({run.fingerprint: run for run in runs}.values())
    if fresh:
        for run in unique:
            forget_run(folder, run)
    waiting = [run for run in unique if not is_finished(folder, run, stage)]
    log_reused(stage, len(unique) - len(waiting), len(unique))
    if not waiting:
        return
    require_free_space(folder, RESERVE_BYTES)
    failed = {run.fingerprint: failure_mark(folder, run, stage) for run in waiting}
    log, elsewhere, holder = RunLog(stage, len(waiting)), Elsewhere(stage), this_process()
    kept = kept_with(folder)
    with parallel_runs(settings) as parallel:
        while True:
            held = []
            tasks = [(run, stage, work, folder, failed[run.fingerprint], holder, kept) for run in waiting]
            for run, outcome in parallel((joblib.delayed(_try_run)(*task) for task in tasks), when_lost=_lost):
                if outcome is None:
                    held.append(run)
                else:
                    bring_here(kept, folder, run, stage, outcome)
                    log.ended([(run, outcome)])
            if not held:
                return
            elsewhere.wait([(run_lock(folder, run), 1) for run in held])
            waiting = held


def execute_one(run: Run, stage: str, work: Work, folder: Path) -> tuple[Run, Outcome]:
    """Do `stage` for one run, or take what an earlier call found; see `execute`. Waits for a process that works on it."""
    failed = failure_mark(folder, run, stage)
    run_folder(folder, run).mkdir(parents=True, exist_ok=True)
    with FileLock(run_lock(folder, run)), kept_runs(kept_with(folder), folder, [run]):
        return run, _do(run, stage, work, folder, failed)


def _try_run(
    run: Run, stage: str, work: Work, folder: Path, failed_before: int | None, holder: str, kept: KeptData | None
) -> tuple[Run, Outcome | None]:
    """Do `stage` for a run, or take what was found meanwhile; None where another process is at it."""
    with full_disk_told(folder):
        run_folder(folder, run).mkdir(parents=True, exist_ok=True)
    with try_to_hold(run_lock(folder, run), holder) as held:
        if not held:
            return run, None
        if kept is not None and not kept.is_here():  # the command knows only of failures in its own folder
            failed_before = failure_mark(folder, run, stage)
        with kept_runs(kept, folder, [run]):
            return run, _do(run, stage, work, folder, failed_before)


def _lost(run: Run, stage: str, _work: Work, folder: Path, *_: object, reason: str) -> tuple[Run, Outcome | None]:
    """Record that workers of a cluster have died of a run; None where another process works on it by now."""
    run_folder(folder, run).mkdir(parents=True, exist_ok=True)
    with try_to_hold(run_lock(folder, run), this_process()) as held:
        return run, keep_failure(folder, run, stage, ClusterError(reason), reason) if held else None


def _do(run: Run, stage: str, work: Work, folder: Path, failed_before: int | None) -> Outcome:
    known = ended_since(folder, run, stage, failed_before)
    if known is not None:
        return known
    own_folder = begin_run(folder, run)
    try:
        with full_disk_told(own_folder):
            outcome = work(run, own_folder)
    except VisionStudiesError:
        raise
    except Exception as error:
        return keep_failure(folder, run, stage, error, traceback.format_exc())
    keep_outcome(folder, run, stage, outcome)
    return outcome


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
