"""Doing the stages of a study's runs: each once, on one core or a cluster, with nothing lost when it is stopped.

A stage that ends writes `<stage>.json` into the run's folder; that file is what makes it finished. Joblib does the scheduling:
one after the other, in processes, or on a Dask cluster. Any number of commands may do the runs of one study: each takes runs
that nobody works on, and all wait for the last one. Runs are done in groups; a run that is done alone is a group of one.
"""

import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
from filelock import FileLock

from vision_studies.config.execution import ExecutionSettings
from vision_studies.errors import ClusterError, DataError, VisionStudiesError
from vision_studies.files import full_disk_told, require_free_space
from vision_studies.outcomes import COMPLETE, Outcome
from vision_studies.storage.kept_data import KeptData, kept_with
from vision_studies.studies.kept_runs import bring_here, kept_runs
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.run_log import RunLog, log_reused
from vision_studies.studies.run_store import RESERVE_BYTES, RunStore, fingerprints, has_begun
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import Elsewhere, is_held, this_process, try_to_hold
from vision_studies.studies.stages import Grouping, GroupWork, Stage, Work

_Outcomes = list[tuple[Run, Outcome]]


def execute(stage: Stage, store: RunStore, settings: ExecutionSettings, *, fresh: bool = False) -> None:
    """Do a stage for every run that has not finished it; runs of equal fingerprint are done once.

    Runs that another process works on are left to it, and waited for at the end; what its death has left is taken over. An
    error is recorded as a failure of the runs that it has stopped, with its traceback in their folders, and the study goes on;
    they are tried again by the next call. An error that is the user's to mend stops the study.

    Which runs are done together is written down for all of them before the first begins, and holds until the last of a group
    has ended. Processes that share the work, and those that come after a kill, go on with the groups that they find.

    Args:
        stage: what to do; of `stage.after`, only runs that it has completed are left.
        store: where the runs lie.
        settings: where to work.
        fresh: forget finished work of these runs first, every stage of it, unless the stage comes after another.

    Raises:
        BusyError: `fresh`, and another process works on one of them.
        StorageError: the disk is full, or nearly so.
        DataError: `stage.required`, and one of the runs has not become complete.
    """
    runs = [run for run in stage.runs if stage.after is None or store.is_complete(run, stage.after)]
    unique = {run.fingerprint: run for run in runs}
    if fresh and stage.after is None:
        store.forget_all(unique, stage.name)
    if stage.again is not None:
        for run in unique.values():
            result = store.result(run, stage.name)
            if result is not None and stage.again(result) is not None:
                store.forget(run)
    waiting = {name: run for name, run in unique.items() if not store.is_finished(run, stage.name)}
    log_reused(stage.name, len(unique) - len(waiting), len(unique))
    if waiting:
        require_free_space(store.folder, RESERVE_BYTES)
        _execute(stage, store, settings, unique, waiting)
    if stage.required is not None:
        _require(runs, stage, store)


def execute_one(run: Run, stage: str, work: Work, store: RunStore) -> Outcome:
    """Do a stage for one run, or take what an earlier call found; see `execute`. Waits for a process that works on it."""
    site = _Site(store, stage, {run.fingerprint: store.failure_mark(run, stage)})
    store.path(run).mkdir(parents=True, exist_ok=True)
    with FileLock(store.lock(run)), kept_runs(kept_with(store.folder), store, [run]):
        known = site.ended(run)
        if known is not None:
            return known
        store.begin(run)
        with _failures_recorded([run], site, []) as outcomes, full_disk_told(store.folder):
            outcome = work(run, store.path(run))
            store.record(run, stage, outcome)
            outcomes.append((run, outcome))
        return outcomes[0][1]


@dataclass(frozen=True)
class _Site:
    """Where a stage is done, and what had failed when the command began."""

    store: RunStore
    stage: str
    failed: Mapping[str, int | None]

    @property
    def folder(self) -> Path:
        """Where a cluster's workers have to see the study."""
        return self.store.folder

    def of(self, runs: Sequence[Run]) -> "_Site":
        """The site for a process that does one group: no more is sent to it than it needs."""
        known = {name: self.failed[name] for name in fingerprints(runs) if name in self.failed}
        return _Site(self.store, self.stage, known)

    def as_seen_here(self, runs: Sequence[Run]) -> "_Site":
        """The site on a machine with another folder: the command knows only of failures in its own."""
        return _Site(
            self.store, self.stage, {run.fingerprint: self.store.failure_mark(run, self.stage) for run in runs}
        )

    def ended(self, run: Run) -> Outcome | None:
        return self.store.ended_since(run, self.stage, self.failed.get(run.fingerprint))

    def unfinished(self, runs: Sequence[Run]) -> list[Run]:
        return [run for run in runs if not self.store.is_finished(run, self.stage)]


@dataclass(frozen=True)
class _Group:
    """Runs that are done together, or one alone, which needs no folder but its own.

    Attributes:
        runs: a list, by which a cluster names what has killed its workers.
        alone: whether nothing is written down of it.
    """

    runs: list[Run]
    alone: bool

    def folder(self, site: _Site) -> Path:
        return (
            site.store.path(self.runs[0])
            if self.alone
            else site.store.group_folder(site.stage, fingerprints(self.runs))
        )

    def lock(self, site: _Site) -> Path:
        return (
            site.store.lock(self.runs[0]) if self.alone else site.store.group_lock(site.stage, fingerprints(self.runs))
        )

    def tidy(self, site: _Site) -> None:
        """Remove what only the work needed."""
        if not self.alone:
            shutil.rmtree(self.folder(site), ignore_errors=True)


def _execute(
    stage: Stage, store: RunStore, settings: ExecutionSettings, unique: Mapping[str, Run], waiting: dict[str, Run]
) -> None:
    site = _Site(store, stage.name, {name: store.failure_mark(run, stage.name) for name, run in waiting.items()})
    log, elsewhere, holder = RunLog(stage.name, len(waiting)), Elsewhere(stage.name), this_process()
    kept = kept_with(store.folder)
    with parallel_runs(settings) as parallel:
        while waiting:
            groups, held = _divide(site, unique, waiting, stage.group)
            tasks = [
                joblib.delayed(_try_group)(
                    position, group.runs, group.alone, stage.work, site.of(group.runs), holder, kept
                )
                for position, group in enumerate(groups)
            ]
            for position, outcomes in parallel(tasks, when_lost=_lost):
                group = groups[position]
                if outcomes is None:
                    held.append((group.lock(site), len(group.runs)))
                    continue
                for run, outcome in outcomes:
                    bring_here(kept, store, run, stage.name, outcome)
                    waiting.pop(run.fingerprint, None)
                log.ended(outcomes)
                if kept is not None:  # another machine has tidied up in its own folder only
                    group.tidy(site)
            if held:
                elsewhere.wait(held)
            ended = [(run, known) for run in waiting.values() if (known := site.ended(run)) is not None]
            for run, _ in ended:
                del waiting[run.fingerprint]
            log.ended(ended)


def _divide(
    site: _Site, unique: Mapping[str, Run], waiting: Mapping[str, Run], group: Grouping | None
) -> tuple[list[_Group], list[tuple[Path, int]]]:
    """Groups that hold all runs that are still to be done; those that nobody has written down yet are written down.

    Returns:
        The groups, and locks of others, with runs that this command does not have, with the number of runs that have to be
        waited for.
    """
    if group is None:
        return [_Group([run], alone=True) for run in waiting.values()], []
    store, stage = site.store, site.stage
    with full_disk_told(store.folder), store.claim(stage):
        to_do = {name: run for name, run in waiting.items() if site.ended(run) is None}
        groups: list[_Group] = []
        foreign: list[tuple[Path, int]] = []
        taken: set[str] = set()
        begun = {
            folder: (members, is_held(store.group_lock(stage, members)))
            for folder, members in store.groups(stage).items()
        }
        for folder, (members, held) in sorted(begun.items(), key=lambda entry: not entry[1][1]):
            wanted = to_do.keys() & set(members)
            is_ours = set(members) <= unique.keys()
            if wanted and is_ours and not wanted & taken:
                groups.append(_Group([unique[name] for name in members], alone=False))
                taken |= wanted
            elif wanted and held:
                foreign.append((store.group_lock(stage, members), len(wanted)))
                taken |= wanted
            elif is_ours if not wanted else not has_begun(folder):  # all of it has ended, or nobody will begin it
                with try_to_hold(store.group_lock(stage, members), this_process()) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)
        rest = [run for name, run in to_do.items() if name not in taken]
        for planned in group(rest) if rest else ():
            store.write_group(stage, fingerprints(planned))
            groups.append(_Group(list(planned), alone=False))
    return groups, foreign


def _try_group(
    position: int, runs: list[Run], alone: bool, work: GroupWork, site: _Site, holder: str, kept: KeptData | None
) -> tuple[int, _Outcomes | None]:
    """Do a group; None where another process is at it, nothing where another one has done it meanwhile."""
    group = _Group(runs, alone)
    is_elsewhere = kept is not None and not kept.is_here()
    if is_elsewhere:  # groups are written down, and failures known, in the folder of the command alone
        site = site.as_seen_here(runs)
        if not alone:
            site.store.write_group(site.stage, fingerprints(runs))
    with full_disk_told(site.store.folder):
        group.lock(site).parent.mkdir(parents=True, exist_ok=True)
    with try_to_hold(group.lock(site), holder) as held:
        if not held:
            return position, None
        with kept_runs(kept, site.store, runs):
            ended = [(run, known) for run in runs if (known := site.ended(run)) is not None]
            if len(ended) == len(runs) or not (alone or site.store.is_group(site.stage, fingerprints(runs))):
                group.tidy(site)
                return position, ended if is_elsewhere else []
            return position, [*(ended if is_elsewhere else ()), *_do(group, work, site)]


def _do(group: _Group, work: GroupWork, site: _Site) -> _Outcomes:
    def record(run: Run, outcome: Outcome) -> None:
        # A group that is continued from its checkpoint reports runs again that had ended after it: the first time counts.
        if not site.store.is_finished(run, site.stage):
            site.store.record(run, site.stage, outcome)
            outcomes.append((run, outcome))

    for run in site.unfinished(group.runs):
        site.store.begin(run)
    with _failures_recorded(group.runs, site, []) as outcomes, full_disk_told(group.folder(site)):
        work(group.runs, group.folder(site), record)
        recorded = {run.fingerprint for run, _ in outcomes}
        lost = [run for run in site.unfinished(group.runs) if run.fingerprint not in recorded]
        if lost:
            raise RuntimeError(f"the stack has ended without a result of {len(lost)} runs")
    group.tidy(site)
    return outcomes


@contextmanager
def _failures_recorded(runs: Sequence[Run], site: _Site, outcomes: _Outcomes) -> Iterator[_Outcomes]:
    """Record an error in the block, unless it is the user's to mend, for all runs that have not ended."""
    try:
        yield outcomes
    except VisionStudiesError:
        raise
    except Exception as error:
        outcomes += _fail(runs, site, error, traceback.format_exc())


def _fail(runs: Sequence[Run], site: _Site, error: Exception, told: str) -> _Outcomes:
    return [(run, site.store.record_failure(run, site.stage, error, told)) for run in site.unfinished(runs)]


def _lost(
    position: int, runs: list[Run], alone: bool, _work: GroupWork, site: _Site, *_: object, reason: str
) -> tuple[int, _Outcomes | None]:
    """Record that workers of a cluster have died of a group; None where another process works on it by now."""
    group = _Group(runs, alone)
    group.lock(site).parent.mkdir(parents=True, exist_ok=True)
    with try_to_hold(group.lock(site), this_process()) as held:
        if not held:
            return position, None
        outcomes = _fail(runs, site, ClusterError(reason), reason)
        group.tidy(site)
    return position, outcomes


def _require(runs: Sequence[Run], stage: Stage, store: RunStore) -> None:
    """Refuse to go on without the network of a run that others build on."""
    name, learning_rate = stage.required or ("", "")
    for run in runs:
        result = store.result(run, stage.name)
        if result is None or result["status"] != COMPLETE:
            why = "" if result is None else f" ({result['reason']})"
            raise DataError(
                f"The {name} with seed {run.seed} has not given a network{why}; lower {learning_rate} or mend what it says."
            )
