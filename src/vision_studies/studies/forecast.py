"""What the next call would do with each run of a study, and why. Nothing is trained, written or waited for."""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vision_studies.studies.provenance import parameter_differences
from vision_studies.studies.results import COMPLETE, FAILED
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import holder_of
from vision_studies.studies.stacks import _begun
from vision_studies.studies.stages import read_stage, run_folder, run_lock

REUSE, TRAIN, CONTINUE, RETRY, BUSY, LATER = "reuse", "train", "continue", "retry", "busy", "later"

Change = tuple[str, Any, Any]
"""Dotted name of a parameter, its value in the newest stored run of the same name, and its value now."""

_NUMBERED = re.compile(r"epoch_(\d+)\.safetensors")
_HEADER_BYTES = 8  # of a safetensors file: the length of its description, which comes next


@dataclass(frozen=True)
class Decision:
    """What would become of one run.

    Attributes:
        name: how it is called.
        action: REUSE, TRAIN (from the beginning), CONTINUE (from a checkpoint), RETRY (it failed), BUSY (another process
            works on it), or LATER (known, but it waits for what comes before it).
        reason: why, in words.
        changes: parameters that differ from the newest stored run of the same name.
        fingerprint: of the run.
        finished_at: when what is reused was finished, in ISO 8601.
    """

    name: str
    action: str
    reason: str
    changes: tuple[Change, ...] = ()
    fingerprint: str | None = None
    finished_at: str | None = None


@dataclass(frozen=True)
class Unknown:
    """Runs that are known only when something before them has ended.

    Attributes:
        count: how many there are at most.
        reason: why they are not known.
    """

    count: int
    reason: str


@dataclass(frozen=True)
class StageForecast:
    """A stage of a pipeline.

    Attributes:
        pipeline: name of the pipeline.
        stage: name of the stage, as a reader knows it.
        verb: what is done to a run: "train", or "score" and the like.
        decisions: one a run; runs of equal fingerprint are one.
        unknown: runs that are not known yet.
    """

    pipeline: str
    stage: str
    verb: str
    decisions: tuple[Decision, ...] = ()
    unknown: tuple[Unknown, ...] = ()


def joined(first: StageForecast, *others: StageForecast) -> StageForecast:
    """Forecasts of one stage as one; what is not known for the same reason is counted together."""
    every = (first, *others)
    counts: dict[str, int] = {}
    for unknown in (unknown for own in every for unknown in own.unknown):
        counts[unknown.reason] = counts.get(unknown.reason, 0) + unknown.count
    decisions = tuple(decision for own in every for decision in own.decisions)
    told = tuple(Unknown(count, reason) for reason, count in counts.items())
    return StageForecast(first.pipeline, first.stage, first.verb, decisions, told)


class Forecaster:
    """Decides about the runs of a pipeline as `execute` and `execute_stacks` would.

    Args:
        pipeline: name of the pipeline.
        folder: holds one folder a run.
        fresh: finished runs would be forgotten.
    """

    def __init__(self, pipeline: str, folder: Path, *, fresh: bool) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.fresh = fresh

    def stage(
        self,
        runs: Iterable[Run],
        stage: str,
        *,
        title: str | None = None,
        verb: str = "train",
        after: str | None = None,
        unknown: Sequence[Unknown] = (),
    ) -> StageForecast:
        """What would become of `runs` in a stage.

        Args:
            runs: the stage's runs, those of equal fingerprint under all their names.
            stage: name of the stage; a file name.
            title: what the stage is called; its name without it.
            verb: what is done to a run.
            after: the stage that has to be complete before; runs that have ended it in another way have no such stage.
            unknown: runs that are not known yet.

        Raises:
            DataError: a run's result or a list of a stack's members is damaged.
        """
        named: dict[str, list[Run]] = {}
        for run in runs:
            named.setdefault(run.fingerprint, []).append(run)
        stacks = self._stacks(stage, set(named))
        decisions = [
            decision
            for runs_of_one in named.values()
            if (decision := self._decide(runs_of_one, stage, after, stacks)) is not None
        ]
        return StageForecast(self.pipeline, title or stage, verb, tuple(decisions), tuple(unknown))

    def _decide(
        self, names: Sequence[Run], stage: str, after: str | None, stacks: dict[str, tuple[Path, int]]
    ) -> Decision | None:
        run = names[-1]
        if after is not None:
            before = None if self.fresh else read_stage(self.folder, run, after)
            if before is None or before["status"] == FAILED:
                return _decision(run, LATER, f"when its {after} has ended")
            if before["status"] != COMPLETE:
                return None
        elif self.fresh:
            return _decision(run, TRAIN, "fresh=true forgets what is finished")
        result = read_stage(self.folder, run, stage)
        if result is None or result["status"] == FAILED:
            return self._undone(names, stage, after, stacks.get(run.fingerprint), result)
        ended = "" if result["status"] == COMPLETE else f" as {result['status']} ({result['reason']})"
        return _decision(run, REUSE, f"finished{ended}", finished_at=result["provenance"]["finished_at"])

    def _undone(
        self,
        names: Sequence[Run],
        stage: str,
        after: str | None,
        stack: tuple[Path, int] | None,
        failed: dict[str, Any] | None,
    ) -> Decision:
        run = names[-1]
        own_folder = run_folder(self.folder, run)
        locks = [run_lock(self.folder, run), *([stack[0].with_suffix(".lock")] if stack is not None else [])]
        held = next((lock for lock in locks if is_held(lock)), None)
        if held is not None:
            return _decision(run, BUSY, f"{holder_of(held)} works on it now")
        if stack is not None and (reached := _reached(stack[0])) != _FROM_BEGINNING:
            return _decision(run, CONTINUE, f"interrupted, {reached}, in a stack of {stack[1]}")
        if failed is not None:
            return _decision(run, RETRY, f"failed: {str(failed['reason']).removeprefix(f'{stage}: ')}")
        if after is not None:
            return _decision(run, TRAIN, f"not done yet since its {after}")
        if (own_folder / "run.json").is_file():
            reached = _reached(own_folder)
            return _decision(run, TRAIN if reached == _FROM_BEGINNING else CONTINUE, f"interrupted, {reached}")
        reason, changes = self._compared(names)
        return _decision(run, TRAIN, reason, changes=changes)

    def _stacks(self, stage: str, known: set[str]) -> dict[str, tuple[Path, int]]:
        """Fingerprint of a run -> the folder of the interrupted stack that would be continued, and its number of runs."""
        if self.fresh:
            return {}
        begun = _begun(self.folder / "stacks" / stage)
        whole = {stack: members for stack, members in begun.items() if set(members) <= known}
        return {name: (stack, len(members)) for stack, members in whole.items() for name in members}

    def _compared(self, names: Sequence[Run]) -> tuple[str, tuple[Change, ...]]:
        """Why a run is new, by the newest stored run that was called like it."""
        if not self._stored:
            return "never trained", ()
        found = [self._stored[key] for run in names if (key := (run.variant, run.trial, run.seed)) in self._stored]
        run = names[-1]
        if not found:
            known = {variant for variant, _, _ in self._stored}
            if run.variant not in known:
                return f"new: no run is called {run.variant} yet", ()
            return (f"new: trial {run.trial}" if run.trial else f"new: seed {run.seed}"), ()
        earlier = max(found, key=lambda own: own[0])[1]
        reasons = []
        if earlier["data_fingerprint"] != run.data_fingerprint:
            reasons.append("other data")
        if earlier["method_version"] != run.method_version:
            reasons.append(f"version {run.method_version} of the method, was {earlier['method_version']}")
        changes = _changes(earlier["configuration"], run.configuration)
        return ", ".join(reasons) or ("changed" if changes else "never trained"), changes

    @cached_property
    def _stored(self) -> dict[tuple[str, int, int], tuple[float, dict[str, Any]]]:
        """Variant, trial and seed -> time and description of the newest stored run that is called so."""
        found: dict[tuple[str, int, int], tuple[float, dict[str, Any]]] = {}
        for file in self.folder.glob("*/run.json"):
            try:
                described = json.loads(file.read_text(encoding="utf-8"))
                key = described["variant"], described["trial"], described["seed"]
            except (OSError, ValueError, KeyError):
                continue  # only words depend on it; whoever needs the run tells of the damage
            time = file.stat().st_mtime
            if key not in found or found[key][0] < time:
                found[key] = (time, described)
        return found


def _decision(run: Run, action: str, reason: str, **more: Any) -> Decision:
    return Decision(run.name, action, reason, fingerprint=run.fingerprint, **more)


def is_held(lock: Path) -> bool:
    """Whether a process holds a file lock; the lock is asked for and not kept, and no file is made."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


_FROM_BEGINNING = "from the beginning: there is no checkpoint yet"


def _reached(folder: Path) -> str:
    """How far the newest checkpoint in `folder`, of a run or of a stack, has come."""
    numbered = [
        (int(match[1]), file) for file in folder.rglob("*.safetensors") if (match := _NUMBERED.fullmatch(file.name))
    ]
    if numbered and all(file.parent.parent == folder for _, file in numbered):
        return f"after epoch {max(numbered)[0]}"
    states = [*folder.glob("stack.safetensors")]
    epoch = _epoch(states[0]) if states else None
    if epoch is not None:
        return f"after epoch {epoch}"
    return "from its checkpoints" if numbered or states or any(folder.rglob("*.safetensors")) else _FROM_BEGINNING


def _epoch(file: Path) -> int | None:
    """The epoch that a state was saved after; None where it does not say. Tensors are not read."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_HEADER_BYTES), "little")
            header = json.loads(opened.read(length))
        state = json.loads(header["__metadata__"]["state"])
        return next((value for key, value in state["dict"] if key == "epoch" and isinstance(value, int)), None)
    except (OSError, ValueError, KeyError, TypeError, MemoryError):
        return None


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    """Parameters that differ; of a group that is of another kind its name alone, for its other options came with it."""
    differing = parameter_differences(before, after)
    kinds = tuple(name.removesuffix("name") for name in differing if name.endswith(".name"))
    return tuple(
        (name, old, new)
        for name, (old, new) in differing.items()
        if name.removesuffix("name") in kinds or not name.startswith(kinds)
    )
