"""Doing the stages of a study's runs: each once, on one core or a cluster, with nothing lost when it is stopped.

A stage that ends writes `<stage>.json` into the run's folder; that file is what makes it finished. Joblib does the scheduling:
one after the other, in processes, or on a Dask cluster. Any number of commands may do the runs of one study: each takes runs
that nobody works on, and all wait for the last one. Runs are done in groups; a run that is done alone is a group of one.
"""

import logging
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import joblib
from filelock import FileLock

from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import ClusterError, DataError, ParameterError, StorageError, VisionStudiesError
from vision_studies.files import full_disk_told, require_free_space
from vision_studies.outcomes import COMPLETE, FAILED, Outcome
from vision_studies.storage.kept_data import KeptData, kept_with
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.run_store import RESERVE_BYTES, RunStore, fingerprints, has_begun
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import Elsewhere, is_held, log_reused, this_process, try_to_hold
from vision_studies.studies.stages import GroupWork, Stage, Work, alike
from vision_studies.studies.study_clock import StageClock, even_weights
from vision_studies.studies.times import duration

logger = logging.getLogger(__name__)

_TOO_LATE = -1.0
_LINE_AFTER = 5.0  # seconds from line to line: hundreds of small runs would fill the screen

_Outcomes = list[tuple[Run, Outcome]]


def execute(
    stage: Stage,
    store: RunStore,
    settings: ExecutionSettings,
    *,
    fresh: bool = False,
    clock: StageClock | None = None,
) -> None:
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
        clock: tells what is left in time, and remembers how long runs took; None: runs count alike.

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
    if clock is not None and clock.study.without and stage.ready is not None:
        clock.leave_out([run for run in waiting.values() if not stage.ready(run)])
        waiting = {name: run for name, run in waiting.items() if stage.ready(run)}
    log_reused(stage.name, len(unique) - len(waiting), len(unique), "runs are")
    if waiting:
        require_free_space(store.folder, RESERVE_BYTES)
        _execute(stage, store, settings, unique, waiting, clock)
    name, learning_rate = stage.required or ("", "")
    for run in runs if stage.required is not None else ():  # others build on their networks
        result = store.result(run, stage.name)
        if result is None and clock is not None and clock.study.ends is not None:
            raise ParameterError(
                f"execution.budget is used up before each {name} has been trained, on which all others build: "
                f"{clock.least} more is the least."
            )
        if result is None or result["status"] != COMPLETE:
            why = "" if result is None else f" ({result['reason']})"
            raise DataError(
                f"The {name} with seed {run.seed} has not given a network{why}; lower {learning_rate} or mend what it says."
            )


def execute_one(run: Run, stage: str, work: Work, store: RunStore) -> Outcome:
    """Do a stage for one run, or take what an earlier call found; see `execute`. Waits for a process that works on it."""
    group = _Group(store, stage, [run], failed=_failure_marks(store, stage, [run]))
    store.path(run).mkdir(parents=True, exist_ok=True)
    with FileLock(group.lock), _kept_runs(kept_with(store.folder), group):
        ended = group.ended()
        if not ended:
            store.begin(run)
            with _failures_recorded(group) as ended, full_disk_told(store.folder):
                outcome = work(run, store.path(run))
                store.record(run, stage, outcome)
                ended.append((run, outcome))
        return ended[0][1]


@dataclass(frozen=True)
class _Group:
    """Runs of which a stage is done together, or one alone, which needs no folder but its own; can be sent to a cluster.

    Attributes:
        store: where the runs lie.
        stage: its name.
        runs: by them a cluster names what has killed its workers.
        is_written: whether it is written down that they are done together.
        failed: fingerprint -> the `failure_mark` of the time when the command began.
    """

    store: RunStore
    stage: str
    runs: list[Run]
    is_written: bool = False
    failed: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where a cluster's workers have to see the study."""
        return self.store.folder

    @property
    def workplace(self) -> Path:
        if self.is_written:
            return self.store.group_folder(self.stage, fingerprints(self.runs))
        return self.store.path(self.runs[0])

    @property
    def lock(self) -> Path:
        if self.is_written:
            return self.store.group_lock(self.stage, fingerprints(self.runs))
        return self.store.lock(self.runs[0])

    def ended(self) -> _Outcomes:
        """Runs that need not be done again, with what has been found."""
        return _ended(self.store, self.stage, self.runs, self.failed)

    def unfinished(self) -> list[Run]:
        return [run for run in self.runs if not self.store.is_finished(run, self.stage)]

    def fail(self, error: Exception, report: str) -> _Outcomes:
        return [(run, self.store.record_failure(run, self.stage, error, report)) for run in self.unfinished()]

    def tidy(self) -> None:
        """Remove what only the work needed."""
        if self.is_written:
            shutil.rmtree(self.workplace, ignore_errors=True)


def _ended(store: RunStore, stage: str, runs: Sequence[Run], failed: Mapping[str, int | None]) -> _Outcomes:
    outcomes = [(run, store.ended_since(run, stage, failed.get(run.fingerprint))) for run in runs]
    return [(run, outcome) for run, outcome in outcomes if outcome is not None]


def _failure_marks(store: RunStore, stage: str, runs: Sequence[Run]) -> dict[str, int | None]:
    return {run.fingerprint: store.failure_mark(run, stage) for run in runs}


def _execute(
    stage: Stage,
    store: RunStore,
    settings: ExecutionSettings,
    unique: Mapping[str, Run],
    waiting: dict[str, Run],
    clock: StageClock | None,
) -> None:
    failed = _failure_marks(store, stage.name, [*waiting.values()])
    name = stage.name if stage.joins is None else f"{stage.name} over folds"
    runs = [*waiting.values()]
    weights = even_weights(runs) if clock is None else clock.weights(runs)
    log = RunLog(name, weights, clock)
    by_seed = clock is not None and clock.study.ends is not None
    elsewhere, holder = Elsewhere(stage.name), this_process()
    kept_data = kept_with(store.folder)
    with parallel_runs(settings) as parallel:
        while waiting:
            groups, held = _divide(stage, store, failed, unique, waiting, by_seed=by_seed)
            tasks = [
                joblib.delayed(_try_group)(
                    position,
                    group,
                    stage.work,
                    holder,
                    kept_data,
                    clock.latest(sum(weights.get(run.fingerprint, 0.0) for run in group.runs)) if clock else None,
                )
                for position, group in enumerate(groups)
            ]
            for position, outcomes, seconds in parallel(tasks, when_lost=_lost):
                group = groups[position]
                if seconds == _TOO_LATE:
                    left_out = [waiting.pop(run.fingerprint) for run in group.runs if run.fingerprint in waiting]
                    if clock is not None:
                        clock.leave_out(left_out)
                    continue
                if outcomes is None:
                    held.append((group.lock, len(group.runs)))
                    continue
                for run, outcome in outcomes:
                    _bring_here(kept_data, store, run, stage.name, outcome)
                    waiting.pop(run.fingerprint, None)
                log.ended(outcomes)
                if clock is not None and seconds is not None:
                    clock.note(group.runs, seconds)
                if kept_data is not None:  # another machine has tidied up in its own folder only
                    group.tidy()
            if held:
                elsewhere.wait(held)
            ended = _ended(store, stage.name, [*waiting.values()], failed)
            for run, _ in ended:
                del waiting[run.fingerprint]
            log.ended(ended)
    if clock is not None:
        clock.ended(log.planned, log.seconds)


def _divide(
    stage: Stage,
    store: RunStore,
    failed: Mapping[str, int | None],
    unique: Mapping[str, Run],
    waiting: Mapping[str, Run],
    *,
    by_seed: bool,
) -> tuple[list[_Group], list[tuple[Path, int]]]:
    """Groups that hold all runs that are still to be done; those that nobody has written down yet are written down.

    `by_seed`: all runs of a seed come before those of the next, in groups of their own.

    Returns:
        The groups, and locks of others, with runs that this command does not have, with the number of runs that have to be
        waited for.
    """

    def grouped(runs: Sequence[Run], *, is_written: bool) -> _Group:
        # No more is sent to the process that does it than it needs.
        marks = {name: failed[name] for name in fingerprints(runs) if name in failed}
        return _Group(store, stage.name, list(runs), is_written, marks)

    def seed(run: Run) -> int:
        return seeds.index(run.seed)

    seeds = list(dict.fromkeys(run.seed for run in stage.runs))
    if stage.group is None:
        alone = sorted(waiting.values(), key=seed) if by_seed else waiting.values()
        return [grouped([run], is_written=False) for run in alone], []
    with full_disk_told(store.folder), store.claim(stage.name):
        ended = {run.fingerprint for run, _ in _ended(store, stage.name, [*waiting.values()], failed)}
        to_do = {name: run for name, run in waiting.items() if name not in ended}
        groups: list[_Group] = []
        foreign: list[tuple[Path, int]] = []
        taken: set[str] = set()
        begun = store.groups(stage.name)
        locks = {folder: store.group_lock(stage.name, members) for folder, members in begun.items()}
        held = {folder for folder, lock in locks.items() if is_held(lock)}
        for folder in sorted(begun, key=lambda folder: folder not in held):
            members, lock = begun[folder], locks[folder]
            wanted = to_do.keys() & set(members)
            is_ours = set(members) <= unique.keys()
            if wanted and is_ours and not wanted & taken:
                groups.append(grouped([unique[name] for name in members], is_written=True))
                taken |= wanted
            elif wanted and folder in held:
                foreign.append((lock, len(wanted)))
                taken |= wanted
            elif is_ours if not wanted else not has_begun(folder):  # all of it has ended, or nobody will begin it
                with try_to_hold(lock, this_process()) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)
        rest = [run for name, run in to_do.items() if name not in taken]
        parts = alike(rest, seed) if by_seed else [rest]
        for planned in [group for part in parts if part for group in stage.group(part)]:
            store.write_group(stage.name, fingerprints(planned))
            groups.append(grouped(planned, is_written=True))
    return groups, foreign


def _try_group(
    position: int,
    group: _Group,
    work: GroupWork,
    holder: str,
    kept_data: KeptData | None,
    latest: float | None = None,
) -> tuple[int, _Outcomes | None, float | None]:
    """Do a group; None where another process is at it, nothing where another one has done it meanwhile.

    With the seconds that it took, where all of it was done here, from the beginning to a good end; `_TOO_LATE` where it has not
    been begun by the `latest` time, in seconds since 1970.
    """
    if latest is not None and time.time() > latest:
        return position, [], _TOO_LATE
    store, members = group.store, fingerprints(group.runs)
    is_elsewhere = kept_data is not None and not kept_data.is_here()
    if is_elsewhere:  # groups are written down, and failures known, in the folder of the command alone
        group = replace(group, failed=_failure_marks(store, group.stage, group.runs))
        if group.is_written:
            store.write_group(group.stage, members)
    with full_disk_told(store.folder):
        group.lock.parent.mkdir(parents=True, exist_ok=True)
    with try_to_hold(group.lock, holder) as held:
        if not held:
            return position, None, None
        with _kept_runs(kept_data, group):
            ended = group.ended()
            if len(ended) == len(members) or (group.is_written and not store.is_group(group.stage, members)):
                group.tidy()
                return position, ended if is_elsewhere else [], None
            is_new = not ended and not any(group.workplace.rglob("*.safetensors"))
            started = time.monotonic()
            done = _do(group, work)
            seconds = time.monotonic() - started
            is_whole = is_new and len(done) == len(members) and all(each.status == COMPLETE for _, each in done)
            return position, [*(ended if is_elsewhere else ()), *done], seconds if is_whole else None


def _do(group: _Group, work: GroupWork) -> _Outcomes:
    def record(run: Run, outcome: Outcome) -> None:
        # A group that is continued from its checkpoint reports runs again that had ended after it: the first time counts.
        if not group.store.is_finished(run, group.stage):
            group.store.record(run, group.stage, outcome)
            outcomes.append((run, replace(outcome, predictions=())))  # which need not be sent to another process

    for run in group.unfinished():
        group.store.begin(run)
    with _failures_recorded(group) as outcomes, full_disk_told(group.workplace):
        work(group.runs, group.workplace, record)
        recorded = {run.fingerprint for run, _ in outcomes}
        lost = [run for run in group.unfinished() if run.fingerprint not in recorded]
        if lost:
            raise RuntimeError(f"the stack has ended without a result of {len(lost)} runs")
    group.tidy()
    return outcomes


@contextmanager
def _failures_recorded(group: _Group) -> Iterator[_Outcomes]:
    """Record an error in the block, unless it is the user's to mend, for all runs that have not ended."""
    outcomes: _Outcomes = []
    try:
        yield outcomes
    except VisionStudiesError:
        raise
    except Exception as error:
        outcomes += group.fail(error, traceback.format_exc())


def _lost(position: int, group: _Group, *_: object, reason: str) -> tuple[int, _Outcomes | None, None]:
    """Record that workers of a cluster have died of a group; None where another process works on it by now."""
    group.lock.parent.mkdir(parents=True, exist_ok=True)
    with try_to_hold(group.lock, this_process()) as held:
        if not held:
            return position, None, None
        outcomes = group.fail(ClusterError(reason), reason)
        group.tidy()
    return position, outcomes, None


@contextmanager
def _kept_runs(kept_data: KeptData | None, group: _Group) -> Iterator[None]:
    """Do a stage of runs with what the store that keeps them knows, and keep what it finds; the caller holds their locks.

    The command and its workers may be on machines that share no folder. A store that is down stops no work: what could not be
    kept follows at the end of the command, or with the next one.
    """
    if kept_data is None:
        yield
        return
    kept_data.attach()
    folders = [group.store.path(run) for run in group.runs]
    kept_data.fetch_or_later(folders)
    yield
    kept_data.keep_or_later(folders)


def _bring_here(kept_data: KeptData | None, store: RunStore, run: Run, stage: str, outcome: Outcome) -> None:
    """See to it that what a stage has found lies here, too, where it has ended on a machine with another folder. Raises
    StorageError where the store cannot be reached, or does not have it.
    """
    if kept_data is None or store.status(run, stage) == outcome.status:
        return
    if outcome.status == FAILED:  # is kept in no store, as it is tried again
        store.begin(run)
        store.record(run, stage, outcome)
        return
    kept_data.fetch(store.path(run))
    if store.status(run, stage) != outcome.status:
        raise StorageError(
            f"The run {run.fingerprint} has ended on another machine, but {kept_data.store.url} does not have it; see to it "
            "that workers reach the store, and repeat the command: what they have finished is not done again."
        )


class RunLog:
    """Says how far the runs of a stage have come: a line every few seconds at most, and each run that did not end well.

    Args:
        stage: its name.
        weights: fingerprint of each run that is to end -> what it counts for; the first may take as long as all others.
        clock: tells of what comes after the stage; None: nothing is known of that.
    """

    def __init__(self, stage: str, weights: Mapping[str, float], clock: StageClock | None = None) -> None:
        self._stage, self._total, self._clock = stage, len(weights), clock
        self.planned = sum(weights.values())
        self._weights = weights if self.planned else dict.fromkeys(weights, 1.0)
        self._done_weight = 0.0
        self._started = self._last_line = time.monotonic()
        self._ended: list[tuple[Run, Outcome]] = []
        self._logged = 0

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self._started

    def ended(self, outcomes: Sequence[tuple[Run, Outcome]]) -> None:
        """Take in runs that have ended together, be it one."""
        for run, outcome in outcomes:
            if outcome.status != COMPLETE:
                logger.warning("%s of %s: %s (%s)", self._stage, run.name, outcome.status, outcome.reason)
        self._ended += outcomes
        self._done_weight += sum(self._weights.get(run.fingerprint, 0.0) for run, _ in outcomes)
        now, done = time.monotonic(), len(self._ended)
        if done == self._logged or (done < self._total and now - self._last_line < _LINE_AFTER):
            return
        accuracies = _accuracies(self._ended[-1:] if done == self._logged + 1 else self._ended)
        news = ", ".join(filter(None, (accuracies, self._left(now, done))))
        logger.info("%s %d of %d%s", self._stage, done, self._total, f": {news}" if news else "")
        self._last_line, self._logged = now, done

    def _left(self, now: float, done: int) -> str:
        """How long it still takes, by what has been done of what it costs: the whole study, where that is known."""
        whole, elapsed = sum(self._weights.values()), now - self._started
        remaining = elapsed / self._done_weight * max(0.0, whole - self._done_weight) if self._done_weight else 0.0
        if self._clock is not None:
            study = self._clock.study
            pace = study.pace(self._done_weight, elapsed) if self.planned else study.pace(0.0, 0.0)
            remaining += study.later(self._clock.pipeline, self._clock.label, pace)
        is_worth_it = done < self._total or remaining >= 1
        return f"about {duration(remaining)} left" if is_worth_it and self._done_weight else ""


def _accuracies(outcomes: Sequence[tuple[Run, Outcome]]) -> str:
    """Accuracies of complete runs; one alone is named."""
    complete = [(run, outcome.metrics) for run, outcome in outcomes if outcome.status == COMPLETE]
    split = "test" if any("test_accuracy" in metrics for _, metrics in complete) else "validation"
    accuracies = [value for _, metrics in complete if (value := metrics.get(f"{split}_accuracy")) is not None]
    if len(complete) == 1:
        return complete[0][0].name + (f": {split} accuracy {accuracies[0]:.4f}" if accuracies else "")
    return f"{split} accuracy {min(accuracies):.4f} to {max(accuracies):.4f}" if accuracies else ""
