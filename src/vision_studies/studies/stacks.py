"""Doing a stage of many runs together: runs that are trained as one share a stack, and each is kept when *it* ends."""

import json
import logging
import shutil
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import joblib
from filelock import FileLock

from vision_studies.config.execution import ExecutionSettings
from vision_studies.errors import BusyError, ClusterError, DataError, VisionStudiesError
from vision_studies.files import full_disk_told, hash_json, require_free_space, write_json
from vision_studies.storage.kept_data import KeptData, kept_with
from vision_studies.studies.kept_runs import bring_here, kept_runs
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.run_log import RunLog, log_reused
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import Elsewhere, holder_of, is_held, this_process, try_to_hold
from vision_studies.studies.stages import (
    RESERVE_BYTES,
    Outcome,
    begin_run,
    ended_since,
    failure_mark,
    forget_run,
    is_finished,
    keep_failure,
    keep_outcome,
)

logger = logging.getLogger(__name__)

_MEMBERS = "stack.json"

Record = Callable[[Run, Outcome], None]
StackWork = Callable[[Sequence[Run], Path, Record], None]
"""What does a stage: `work(runs, folder, record)`; `folder` survives an interruption, `record` is called once a run."""

Grouping = Callable[[Sequence[Run]], Sequence[Sequence[Run]]]
"""Which runs share a stack."""

_Outcomes = list[tuple[Run, Outcome]]


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

    Which runs share a stack is written down for all of them before the first begins, and holds until the last of a stack
    has ended: the last digits of a run's numbers depend on its company. Processes that share the work, and those that come
    after a kill, go on with the stacks that they find. Errors and stacks that another process works on are treated as
    `execute` treats them.

    Args:
        runs: the study's runs; those of equal fingerprint are done once.
        stage: name of the stage; a file name.
        work: what to do.
        group: divides runs that have not begun into stacks.
        folder: holds one folder a run, and those of unfinished stacks.
        settings: where to work.
        fresh: forget finished work of these runs first, every stage of it, and their stacks.

    Raises:
        BusyError: `fresh`, and another process works on one of them.
        StorageError: the disk is full, or nearly so.
    """
    unique = {run.fingerprint: run for run in runs}
    site = _Site(folder, stage, {})
    if fresh:
        _forget(site, unique)
    waiting = {name: run for name, run in unique.items() if not is_finished(folder, run, stage)}
    log_reused(stage, len(unique) - len(waiting), len(unique))
    if not waiting:
        return
    require_free_space(folder, RESERVE_BYTES)
    site = _Site(folder, stage, {name: failure_mark(folder, run, stage) for name, run in waiting.items()})
    log, elsewhere, holder = RunLog(stage, len(waiting)), Elsewhere(stage), this_process()
    kept = kept_with(folder)
    with parallel_runs(settings) as parallel:
        while waiting:
            stacks, held = _claim(site, unique, waiting, group)
            tasks = [
                joblib.delayed(_try_stack)(place, stack, work, site.of(stack), holder, kept)
                for place, stack in enumerate(stacks)
            ]
            for place, outcomes in parallel(tasks, when_lost=_lost):
                if outcomes is None:
                    held.append((site.lock(_names(stacks[place])), len(stacks[place])))
                for run, outcome in outcomes or ():
                    bring_here(kept, folder, run, stage, outcome)
                    waiting.pop(run.fingerprint, None)
                log.ended(outcomes or [])
                if kept is not None and outcomes is not None:  # another machine has tidied up in its own folder only
                    shutil.rmtree(site.stack(_names(stacks[place])), ignore_errors=True)
            if held:
                elsewhere.wait(held)
            ended = [(run, known) for run in waiting.values() if (known := site.ended(run)) is not None]
            for run, _ in ended:
                del waiting[run.fingerprint]
            log.ended(ended)


@dataclass(frozen=True)
class _Site:
    """Where the stacks of a stage lie, and what had failed when the command began."""

    folder: Path
    stage: str
    failed: Mapping[str, int | None]

    @property
    def stacks(self) -> Path:
        return self.folder / "stacks" / self.stage

    @property
    def claim(self) -> FileLock:
        """Held while stacks are looked for and written down."""
        self.stacks.mkdir(parents=True, exist_ok=True)
        return FileLock(self.stacks / "claim.lock")

    def stack(self, members: Sequence[str]) -> Path:
        return self.stacks / hash_json(list(members))[:16]

    def lock(self, members: Sequence[str]) -> Path:
        return self.stack(members).with_suffix(".lock")

    def of(self, stack: Sequence[Run]) -> "_Site":
        """The site for a process that does one stack: no more is sent to it than it needs."""
        known = {name: self.failed[name] for name in _names(stack) if name in self.failed}
        return _Site(self.folder, self.stage, known)

    def ended(self, run: Run) -> Outcome | None:
        return ended_since(self.folder, run, self.stage, self.failed.get(run.fingerprint))


def _claim(
    site: _Site, unique: Mapping[str, Run], waiting: Mapping[str, Run], group: Grouping
) -> tuple[list[list[Run]], list[tuple[Path, int]]]:
    """Stacks that hold all runs that are still to be done; those that nobody has written down yet are written down.

    Returns:
        The stacks, and locks of others, with runs that this command does not have, with the number of runs that have to be
        waited for.
    """
    with full_disk_told(site.stacks), site.claim:
        to_do = {name: run for name, run in waiting.items() if site.ended(run) is None}
        stacks: list[list[Run]] = []
        foreign: list[tuple[Path, int]] = []
        taken: set[str] = set()
        begun = {folder: (members, is_held(site.lock(members))) for folder, members in _begun(site.stacks).items()}
        for own_folder, (members, held) in sorted(begun.items(), key=lambda entry: not entry[1][1]):
            wanted = to_do.keys() & set(members)
            is_ours = set(members) <= unique.keys()
            if wanted and is_ours and not wanted & taken:
                stacks.append([unique[name] for name in members])
                taken |= wanted
            elif wanted and held:
                foreign.append((site.lock(members), len(wanted)))
                taken |= wanted
            elif is_ours if not wanted else not _has_begun(own_folder):  # all of it has ended, or nobody will begin it
                with try_to_hold(site.lock(members), this_process()) as free:
                    if free:
                        shutil.rmtree(own_folder, ignore_errors=True)
        rest = [run for name, run in to_do.items() if name not in taken]
        for planned in group(rest) if rest else ():
            write_json(site.stack(_names(planned)) / _MEMBERS, _names(planned))
            stacks.append(list(planned))
    return stacks, foreign


def _try_stack(
    place: int, stack: Sequence[Run], work: StackWork, site: _Site, holder: str, kept: KeptData | None
) -> tuple[int, _Outcomes | None]:
    """Do a stack; None where another process is at it, nothing where another one has done it meanwhile."""
    members = _names(stack)
    own_folder = site.stack(members)
    is_elsewhere = kept is not None and not kept.is_here()
    if is_elsewhere:  # stacks are written down, and failures known, in the folder of the command alone
        site = _Site(
            site.folder, site.stage, {run.fingerprint: failure_mark(site.folder, run, site.stage) for run in stack}
        )
        write_json(own_folder / _MEMBERS, members)
    with try_to_hold(site.lock(members), holder) as held:
        if not held:
            return place, None
        with kept_runs(kept, site.folder, stack):
            ended = [(run, known) for run in stack if (known := site.ended(run)) is not None]
            if not (own_folder / _MEMBERS).exists() or len(ended) == len(stack):
                shutil.rmtree(own_folder, ignore_errors=True)
                return place, ended if is_elsewhere else []
            return place, [*(ended if is_elsewhere else ()), *_do_stack(stack, own_folder, work, site)]


def _lost(
    place: int, stack: Sequence[Run], _work: StackWork, site: _Site, *_: object, reason: str
) -> tuple[int, _Outcomes | None]:
    """Record that workers of a cluster have died of a stack; None where another process works on it by now."""
    members = _names(stack)
    with try_to_hold(site.lock(members), this_process()) as held:
        if not held:
            return place, None
        outcomes = _fail(stack, site, ClusterError(reason), reason)
        shutil.rmtree(site.stack(members), ignore_errors=True)
    return place, outcomes


def _fail(stack: Sequence[Run], site: _Site, error: Exception, told: str) -> _Outcomes:
    """Record an error for all runs of a stack that have not ended."""
    return [
        (run, keep_failure(site.folder, run, site.stage, error, told))
        for run in stack
        if not is_finished(site.folder, run, site.stage)
    ]


def _do_stack(stack: Sequence[Run], own_folder: Path, work: StackWork, site: _Site) -> _Outcomes:
    kept: _Outcomes = []
    folder, stage = site.folder, site.stage

    def record(run: Run, outcome: Outcome) -> None:
        # A stack that is continued from its checkpoint reports runs again that had ended after it: the first time counts.
        if not is_finished(folder, run, stage):
            keep_outcome(folder, run, stage, outcome)
            kept.append((run, outcome))

    for run in stack:
        if not is_finished(folder, run, stage):
            begin_run(folder, run)
    try:
        with full_disk_told(own_folder):
            work(stack, own_folder, record)
        lost = [run for run in stack if not is_finished(folder, run, stage)]
        if lost:
            raise RuntimeError(f"the stack has ended without a result of {len(lost)} runs")
    except VisionStudiesError:
        raise
    except Exception as error:
        kept += _fail(stack, site, error, traceback.format_exc())
    shutil.rmtree(own_folder)
    return kept


def _forget(site: _Site, unique: Mapping[str, Run]) -> None:
    with site.claim, ExitStack() as locks:
        begun = [(folder, own) for folder, own in _begun(site.stacks).items() if unique.keys() & set(own)]
        for _, members in begun:
            lock = site.lock(members)
            if not locks.enter_context(try_to_hold(lock, this_process())):
                raise BusyError(
                    f"{len(members)} runs are being worked on by {holder_of(lock)}; stop it, or leave out fresh=true to share "
                    "its work."
                )
        for run in unique.values():
            forget_run(site.folder, run)
        for own_folder, _ in begun:
            shutil.rmtree(own_folder)


def _names(stack: Iterable[Run]) -> list[str]:
    return [run.fingerprint for run in stack]


def _has_begun(own_folder: Path) -> bool:
    """Whether a stack has left more than the list of its runs."""
    return any(entry.name != _MEMBERS for entry in own_folder.iterdir())


def _begun(folder: Path) -> dict[Path, list[str]]:
    """Folders of stacks that were written down and have not ended, with the fingerprints of their runs."""
    found = {}
    for file in sorted(folder.glob(f"*/{_MEMBERS}")):
        try:
            found[file.parent] = list(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:  # another process has ended it just now
            continue
        except ValueError as error:
            raise DataError(f"{file} is damaged; delete its folder and run the study again.") from error
    return found
