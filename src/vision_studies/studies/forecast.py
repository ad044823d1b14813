"""What the next call would do with each run of a study, and why. Nothing is trained, written or waited for."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.costs import Costs
from vision_studies.outcomes import COMPLETE, FAILED
from vision_studies.run_folders import DESCRIPTION_FILE, descriptions, epoch_of, is_run
from vision_studies.studies.provenance import parameter_differences
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.search_trial import RUNNING, best_trial
from vision_studies.studies.sharing import holder_of, is_held
from vision_studies.studies.stages import Artifact, Artifacts, Later, Stage
from vision_studies.studies.trials import Trials

if TYPE_CHECKING:
    from vision_studies.studies.method import Context

REUSE, TRAIN, CONTINUE, RETRY, BUSY, LATER = "reuse", "train", "continue", "retry", "busy", "later"

JOIN = "join"
"""What is done to runs that are put together from those of folds: their numbers are known when these are."""

Change = tuple[str, Any, Any]
"""Dotted name of a parameter, its value in the newest stored run of the same name, and its value now."""


@dataclass(frozen=True)
class Decision:
    """What would become of one run.

    Attributes:
        action: REUSE, TRAIN (from the beginning), CONTINUE (from a checkpoint), RETRY (it failed), BUSY (another process
            works on it), or LATER (known, but it waits for what comes before it).
        reason: why, in words.
        changes: parameters that differ from the newest stored run of the same name.
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
    """Runs that are known only when something before them has ended; see `stages.Later`."""

    count: int
    reason: str


@dataclass(frozen=True)
class StageForecast:
    """What would become of a stage of a pipeline, as a reader knows it.

    Attributes:
        verb: what is done to a run: "train", or "score" and the like.
        decisions: one a run; runs of equal fingerprint are one.
        unknown: runs that are not known yet.
        work: what is left to be done, each part as what tells its cost: a group of runs, a thing that is made, or all runs that
            are not known yet.
    """

    pipeline: str
    stage: str
    verb: str
    decisions: tuple[Decision, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    work: tuple[Callable[[], Costs], ...] = field(default=(), compare=False, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.unknown and all(decision.action == REUSE for decision in self.decisions)


def forecast(context: "Context[Any]") -> list[StageForecast]:
    """What `run_stages` would do, stage by stage; stages without runs are left out. Raises VisionStudiesError where something
    is the user's to mend, before any run.
    """
    method = context.method
    forecaster = Forecaster(method.name, context.runs, fresh=context.fresh)
    steps, answer = context.steps({}), None
    stages: dict[tuple[str, bool], StageForecast] = {}
    while True:
        try:
            item = steps.send(answer)
        except StopIteration:
            return [stage for stage in stages.values() if stage.decisions or stage.unknown]
        stage_forecast, answer = forecaster.item(item)
        key = stage_forecast.stage, stage_forecast.verb == JOIN
        earlier = stages.pop(key, None)  # a stage that goes on stands where it ends
        stages[key] = joined(earlier, stage_forecast) if earlier is not None else stage_forecast


def joined(first: StageForecast, second: StageForecast) -> StageForecast:
    """Two forecasts of one stage as one; what is not known for the same reason is counted together."""
    counts = Counter[str]()
    for unknown in first.unknown + second.unknown:
        counts[unknown.reason] += unknown.count
    unknowns = tuple(Unknown(count, reason) for reason, count in counts.items())
    decisions, work = first.decisions + second.decisions, first.work + second.work
    return replace(first, decisions=decisions, unknown=unknowns, work=work)


@dataclass
class Forecaster:
    """Decides about the runs of a pipeline in a store as `execute` would; `fresh`: finished runs would be forgotten."""

    pipeline: str
    store: RunStore
    fresh: bool

    def item(self, item: Any) -> tuple[StageForecast, Any]:
        """What would become of something that a method does, and what the method is answered. Raises DataError where a run's
        result or a list of a group's members is damaged.
        """
        if isinstance(item, Later):
            unknown = (Unknown(item.count, item.reason),)
            return StageForecast(self.pipeline, item.label, "train", unknown=unknown, work=(item.cost,)), None
        if not isinstance(item, Stage | Artifacts):
            return self._trials(item)
        stage_forecast = self.stage(item) if isinstance(item, Stage) else self._artifacts(item)
        return stage_forecast, stage_forecast.has_ended

    def stage(self, stage: Stage) -> StageForecast:
        """What would become of the runs of a stage. Raises DataError where a run's result or a list of a group's members is
        damaged.
        """
        if stage.joins is not None:
            runs = {run.fingerprint: run for run in stage.runs}.values()
            return StageForecast(self.pipeline, stage.label, JOIN, tuple(self._join(run, stage) for run in runs))
        named: dict[str, list[Run]] = {}
        for run in stage.runs:
            named.setdefault(run.fingerprint, []).append(run)
        groups = self._groups(stage.name, set(named))
        decisions = {name: self._decide(runs, stage, groups) for name, runs in named.items()}
        left = [named[name][-1] for name, decision in decisions.items() if decision and decision.action != REUSE]
        together = [[run] for run in left] if stage.group is None or not left else stage.group(left)
        work = tuple(partial(stage.cost, runs) for runs in together)
        return StageForecast(self.pipeline, stage.label, stage.verb, tuple(filter(None, decisions.values())), work=work)

    def _join(self, run: Run, stage: Stage) -> Decision:
        result = None if self.fresh else self.store.result(run, stage.name)
        again = result is None or result["status"] == FAILED or (stage.again is not None and stage.again(result))
        if again:
            return _decision(run, LATER, "when its folds have ended")
        return _decision(run, REUSE, "finished")

    def _artifacts(self, artifacts: Artifacts) -> StageForecast:
        decisions = tuple(self._artifact(artifact) for artifact in artifacts.items)
        pairs = zip(artifacts.items, decisions, strict=True)
        work = tuple(artifact.cost for artifact, decision in pairs if decision.action != REUSE)
        return StageForecast(self.pipeline, artifacts.label, artifacts.verb, decisions, work=work)

    def _artifact(self, artifact: Artifact) -> Decision:
        unfinished = (not self.store.is_finished(run, stage) for run, stage in artifact.needs)
        if artifact.needs and (self.fresh or any(unfinished)):
            return Decision(artifact.name, LATER, artifact.waits)
        if artifact.file.exists() and not self.fresh:
            return Decision(artifact.name, REUSE, "finished")
        return Decision(artifact.name, TRAIN, artifact.new)

    def _trials(self, trials: Trials) -> tuple[StageForecast, dict[str, Any] | None]:
        stored = [] if self.fresh else trials.stored()
        decisions = []
        for trial in stored:
            if trial.status != RUNNING:
                action, reason = REUSE, "finished" if trial.status == COMPLETE else f"finished as {trial.status}"
            else:
                action, reason = (BUSY, "another process works on it now") if trial.busy else (CONTINUE, "interrupted")
            fingerprint = trials.run(trial.number, trial.drawn).fingerprint
            decisions.append(
                Decision(f"{trials.variant}, trial {trial.number}", action, reason, fingerprint=fingerprint)
            )
        settings = trials.settings
        over = settings.timeout is not None and sum(trial.seconds for trial in stored) >= settings.timeout
        missing = 0 if over else max(0, settings.trials - len(stored))
        unknown = (Unknown(missing, "new trials, drawn as the search goes on"),) if missing else ()
        unfinished = missing + sum(decision.action != REUSE for decision in decisions)
        work = (trials.cost,) * unfinished
        stage_forecast = StageForecast(self.pipeline, trials.label, "train", tuple(decisions), unknown, work)
        best = best_trial(stored) if stage_forecast.has_ended else None
        return stage_forecast, None if best is None else best.drawn

    def _decide(self, names: Sequence[Run], stage: Stage, groups: dict[str, tuple[Path, int]]) -> Decision | None:
        run = names[-1]
        if stage.after is not None:
            before = None if self.fresh else self.store.status(run, stage.after)
            if before in (None, FAILED):
                return _decision(run, LATER, f"when its {stage.after} has ended")
            if before != COMPLETE:
                return None
        elif self.fresh:
            return _decision(run, TRAIN, "fresh=true forgets what is finished")
        result = self.store.result(run, stage.name)
        if result is None or result["status"] == FAILED:
            return self._undone(names, stage, groups.get(run.fingerprint), result)
        again = stage.again(result) if stage.again is not None else None
        if again is not None:
            return _decision(run, TRAIN, again)
        ended = "" if result["status"] == COMPLETE else f" as {result['status']} ({result['reason']})"
        return _decision(run, REUSE, f"finished{ended}", finished_at=result["provenance"]["finished_at"])

    def _undone(
        self, names: Sequence[Run], stage: Stage, group: tuple[Path, int] | None, failed: dict[str, Any] | None
    ) -> Decision:
        run, folder = names[-1], self.store.path(names[-1])
        locks = [self.store.lock(run), *([group[0].with_suffix(".lock")] if group is not None else [])]
        held = next((lock for lock in locks if is_held(lock)), None)
        if held is not None:
            return _decision(run, BUSY, f"{holder_of(held)} works on it now")
        if group is not None and (reached := _reached(group[0])) != _FROM_BEGINNING:
            return _decision(run, CONTINUE, f"interrupted, {reached}, in a stack of {group[1]}")
        if failed is not None:
            return _decision(run, RETRY, f"failed: {str(failed['reason']).removeprefix(f'{stage.name}: ')}")
        if stage.after is not None:
            return _decision(run, TRAIN, f"not done yet since its {stage.after}")
        if is_run(folder):
            reached = _reached(folder)
            return _decision(run, TRAIN if reached == _FROM_BEGINNING else CONTINUE, f"interrupted, {reached}")
        reason, changes = self._compared(names)
        return _decision(run, TRAIN, reason, changes=changes)

    def _groups(self, stage: str, planned: set[str]) -> dict[str, tuple[Path, int]]:
        """Fingerprint of a run -> the folder of the interrupted group that would be continued, and its number of runs."""
        if self.fresh:
            return {}
        whole = {folder: members for folder, members in self.store.groups(stage).items() if set(members) <= planned}
        return {name: (folder, len(members)) for folder, members in whole.items() for name in members}

    def _compared(self, names: Sequence[Run]) -> tuple[str, tuple[Change, ...]]:
        """Why a run is new, by the newest stored run that was called like it."""
        run = names[-1]
        namesakes = [
            self._stored[key]
            for alias in names
            if (key := (alias.variant, alias.trial, alias.seed, alias.fold)) in self._stored
        ]
        if not self._stored:
            return "never trained", ()
        if not namesakes and run.variant not in {variant for variant, *_ in self._stored}:
            return f"new: no run is called {run.variant} yet", ()
        if not namesakes:
            return (f"new: trial {run.trial}" if run.trial else f"new: seed {run.seed}"), ()
        _, earlier = max(namesakes, key=lambda namesake: namesake[0])
        reasons = ["other data"] if earlier["data_fingerprint"] != run.data_fingerprint else []
        if earlier["method_version"] != run.method_version:
            reasons.append(f"version {run.method_version} of the method, was {earlier['method_version']}")
        changes = _changes(earlier["configuration"], run.configuration)
        return ", ".join(reasons) or ("changed" if changes else "never trained"), changes

    @cached_property
    def _stored(self) -> dict[tuple[str, int, int, int], tuple[float, dict[str, Any]]]:
        """Variant, trial, seed and fold -> time and description of the newest stored run that is called so."""
        newest: dict[tuple[str, int, int, int], tuple[float, dict[str, Any]]] = {}
        for folder, described in descriptions(self.store.folder):
            if {"variant", "trial", "seed"} <= described.keys():
                key = described["variant"], described["trial"], described["seed"], described.get("fold", 0)
                time = (folder / DESCRIPTION_FILE).stat().st_mtime
                if key not in newest or newest[key][0] < time:
                    newest[key] = (time, described)
        return newest


def _decision(run: Run, action: str, reason: str, **more: Any) -> Decision:
    return Decision(run.name, action, reason, fingerprint=run.fingerprint, **more)


_FROM_BEGINNING = "from the beginning: there is no checkpoint yet"


def _reached(folder: Path) -> str:
    """How far the newest checkpoint in `folder`, of a run or of a stack, has come."""
    files = [*folder.rglob("*.safetensors")]
    numbered = {file: epoch for file in files if (epoch := epoch_of(file)) is not None}
    if numbered and all(file.parent.parent == folder for file in numbered):
        return f"after epoch {max(numbered.values())}"
    epoch = _epoch(folder / "stack.safetensors")
    if epoch is not None:
        return f"after epoch {epoch}"
    return "from its checkpoints" if files else _FROM_BEGINNING


def _epoch(file: Path) -> int | None:
    """The epoch that a state was saved after; None where it does not say. Tensors are not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            state = json.loads(opened.metadata()["state"])
        return next((value for key, value in state["dict"] if key == "epoch" and isinstance(value, int)), None)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
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
