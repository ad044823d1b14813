"""Doing the work of a study's runs: each once, on one core or a cluster, with nothing lost when it is stopped.

A run has *stages* (training, evaluation). A stage that ends writes `<stage>.json` into the run's folder; that file is
what makes it finished. Joblib does the scheduling: one after the other, in processes, or on a Dask cluster.
"""

import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path

import joblib
from filelock import FileLock

from vision_studies.config.execution import ExecutionSettings
from vision_studies.errors import DataError, VisionStudiesError
from vision_studies.files import write_json
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.results import COMPLETE, FAILED
from vision_studies.studies.run_log import RunLog, log_reused
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Outcome, Work, _describe, is_finished, keep_outcome, read_stage, run_folder


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
