"""Doing a stage of many runs together: runs that are trained as one share a stack, and each is kept when *it* ends."""

import json
import logging
import shutil
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import joblib
from filelock import FileLock

from vision_studies.config.execution import ExecutionSettings
from vision_studies.errors import DataError, VisionStudiesError
from vision_studies.files import hash_json, write_json
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.results import FAILED
from vision_studies.studies.run_log import RunLog, log_reused
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Outcome, is_finished, keep_outcome, run_folder

logger = logging.getLogger(__name__)

_MEMBERS = "stack.json"

Record = Callable[[Run, Outcome], None]
StackWork = Callable[[Sequence[Run], Path, Record], None]
"""What does a stage: `work(runs, folder, record)`; `folder` survives an interruption, `record` is called once a run."""

Grouping = Callable[[Sequence[Run]], Sequence[Sequence[Run]]]
"""Which runs share a stack."""


def execute_stacks(
    runs: Sequence[Run],
    stage: str,
    work: StackWork,
    group: Grouping,
    folder: Path,
    settings: ExecutionSettings,
    *,
    fresh: bool = False,
) -> None:
    """Do `stage` for every run that has not finished it, stack by stack.

    Which runs share a stack is written down when the stack begins, and holds until the last of them has ended: the last
    digits of a run's numbers depend on its company. Errors are treated as `execute` treats them.

    Args:
        runs: the study's runs; those of equal fingerprint are done once.
        stage: name of the stage; a file name.
        work: what to do.
        group: divides runs that have not begun into stacks.
        folder: holds one folder a run, and those of unfinished stacks.
        settings: where to work.
        fresh: forget finished work of these runs first, every stage of it, and their stacks.
    """
    unique = {run.fingerprint: run for run in runs}
    stacks_folder = folder / "stacks" / stage
    begun = _begun(stacks_folder)
    if fresh:
        for fingerprint, run in unique.items():
            shutil.rmtree(run_folder(folder, run), ignore_errors=True)
            for stack, members in begun.items():
                if fingerprint in members:
                    shutil.rmtree(stack, ignore_errors=True)
        begun = _begun(stacks_folder)
    finished = {fingerprint for fingerprint, run in unique.items() if is_finished(folder, run, stage)}
    log_reused(stage, len(finished), len(unique))
    resumed = [(stack, members) for stack, members in begun.items() if set(members) <= set(unique)]
    stacks = [[unique[name] for name in members] for _, members in resumed if not set(members) <= finished]
    taken = {run.fingerprint for stack in stacks for run in stack}
    waiting = [run for name, run in unique.items() if name not in finished | taken]
    stacks += [list(stack) for stack in group(waiting)] if waiting else []
    log = RunLog(stage, sum(len(stack) for stack in stacks))
    with parallel_runs(settings) as parallel:
        for outcomes in parallel(joblib.delayed(_execute_stack)(stack, stage, work, folder) for stack in stacks):
            log.ended(outcomes)


def _execute_stack(stack: Sequence[Run], stage: str, work: StackWork, folder: Path) -> list[tuple[Run, Outcome]]:
    members = [run.fingerprint for run in stack]
    own_folder = folder / "stacks" / stage / hash_json(members)[:16]
    own_folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, tuple[Run, Outcome]] = {}

    def record(run: Run, outcome: Outcome) -> None:
        # A stack that is continued from its checkpoint reports runs again that had ended after it: the first time counts.
        if not is_finished(folder, run, stage):
            keep_outcome(folder, run, stage, outcome)
            kept[run.fingerprint] = (run, outcome)

    with FileLock(own_folder.with_suffix(".lock")):
        write_json(own_folder / _MEMBERS, members)
        try:
            work(stack, own_folder, record)
            lost = [run for run in stack if not is_finished(folder, run, stage)]
            if lost:
                raise RuntimeError(f"the stack has ended without a result of {len(lost)} runs")
        except VisionStudiesError:
            raise
        except Exception as error:
            for run in stack:
                if not is_finished(folder, run, stage):
                    record(run, Outcome({}, FAILED, f"{stage}: {type(error).__name__}: {error}"))
                    text = traceback.format_exc()
                    (run_folder(folder, run) / f"{stage}_failure.txt").write_text(text, encoding="utf-8")
        shutil.rmtree(own_folder)
    return list(kept.values())


def _begun(folder: Path) -> dict[Path, list[str]]:
    """Folders of stacks that have begun and not ended, with the fingerprints of their runs."""
    found = {}
    for file in sorted(folder.glob(f"*/{_MEMBERS}")):
        try:
            found[file.parent] = list(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise DataError(f"{file} is damaged; delete its folder and run the study again.") from error
    return found
