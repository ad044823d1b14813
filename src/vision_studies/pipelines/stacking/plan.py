"""The runs of a stacking study: its variants, and the opponents that each of them has to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vision_studies.errors import ParameterError
from vision_studies.pipelines.stacking.run_settings import (
    AnyRun,
    CombinationRun,
    Stack,
    read_run,
    stack_run,
)
from vision_studies.pipelines.stacking.settings import StackingSettings
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

STACK = "stack"

TRAINED = "training.json"
"""What is left of a combination that keeps no weights."""

TITLES = {
    "best_learner": "best learner",
    "average": "average",
    "weighted_average": "weighted average",
    "greedy": "greedy selection",
    "soup": "greedy soup",
    "same_parameters": "same parameters",
    "same_macs": "same operations",
}
"""Opponent -> how its rows are called."""


@dataclass(frozen=True)
class Entry:
    """One row of a study's tables, for every seed.

    Attributes:
        name: how it is called.
        role: "stack" for a variant, else which opponent it is.
        stacks: variants that it opposes; of a variant, itself.
        run: what is trained or combined.
        parts: of a stack: part, parameters and macs of each of its networks.
    """

    name: str
    role: str
    stacks: tuple[str, ...]
    run: AnyRun
    parts: tuple[dict[str, Any], ...] = ()

    def described(self) -> dict[str, Any]:
        """As JSON, without the run."""
        return {"name": self.name, "role": self.role, "stacks": list(self.stacks), "parts": list(self.parts)}


def plan_entries(
    settings: StackingSettings, data: "PreparedData", drawn: Mapping[str, Mapping[str, Any]]
) -> list[Entry]:
    """Variants in their order, then their opponents. What two variants both need is there once.

    Variant -> `drawn` is what a search has found for it, empty where there was none; data decide how large networks are.

    Raises:
        ParameterError: a network does not exist or does not fit the images.
    """
    stacks: list[tuple[Entry, Stack]] = []
    for variant in settings.variants:
        try:
            configured = settings.configured(variant, dict(drawn.get(variant.name, {})))
        except ValueError as error:
            raise ParameterError(f"stacking: {error}") from error
        run = stack_run(configured, settings.networks)
        parts = _parts(variant.name, run, data)
        stacks.append((Entry(variant.name, STACK, (variant.name,), run, parts), run))
    found: dict[str, tuple[tuple[str, str], list[str], AnyRun]] = {}
    for (entry, stack), variant in zip(stacks, settings.variants, strict=True):
        names = settings.configured(variant).base_learners
        for role in settings.opponents:
            for title, opponent in _opponents(role, stack, names, data):
                key = opponent.model_dump_json()
                found.setdefault(key, ((role, title), [], opponent))[1].append(entry.name)
    titles = [title for title, _, _ in found.values()]
    opponents = []
    for (role, title), opposed, opponent in found.values():
        shown = title if titles.count((role, title)) == 1 else f"{title} ({opposed[0]})"
        opponents.append(Entry(shown, role, tuple(opposed), opponent))
    return [*(entry for entry, _ in stacks), *opponents]


def entry_runs(context: Context[StackingSettings], entries: Sequence[Entry]) -> list[Run]:
    """The runs of all entries, one a seed."""
    return [make_run(context, entry.name, seed, entry.run) for entry in entries for seed in context.settings.seeds]


def make_run(context: Context[StackingSettings], variant: str, seed: int, run: AnyRun, trial: int = 0) -> Run:
    """One run of the study."""
    return context.run(variant, seed, run.model_dump(mode="json"), trial=trial)


def members_of(context: Context[StackingSettings], run: Run, combined: CombinationRun) -> list[Run]:
    """The runs that a combination is made from."""
    return [make_run(context, f"learner {member.member + 1}", run.seed, member) for member in combined.members]


def divided(context: Context[StackingSettings], runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Runs that are trained, with the members of combinations that are no rows of the study, and combinations."""
    combined = [run for run in runs if run.configuration["method"] == "combination"]
    trained = [run for run in runs if run.configuration["method"] != "combination"]
    there = {run.fingerprint for run in trained}
    for run in combined:
        for member in members_of(context, run, read_combination(run)):
            if member.fingerprint not in there:
                there.add(member.fingerprint)
                trained.append(member)
    return trained, combined


def read_combination(run: Run) -> CombinationRun:
    """The settings of a combination."""
    settings = read_run(run.configuration)
    assert isinstance(settings, CombinationRun)  # noqa: S101 - asked for only of combinations
    return settings


def _opponents(role: str, stack: Any, names: tuple[str, ...], data: "PreparedData") -> list[tuple[str, AnyRun]]:
    from vision_studies.pipelines.stacking import fair_opponents

    if role == "alone":
        members = fair_opponents.independent_members(stack)
        return [(f"{name} alone, {member.member + 1}", member) for name, member in zip(names, members, strict=True)]
    alone = {"same_parameters": fair_opponents.same_parameters, "same_macs": fair_opponents.same_macs}
    made = alone[role](stack, data) if role in alone else fair_opponents.combination(stack, role)
    return [(TITLES[role], made)] if made is not None else []


def _parts(variant: str, run: Stack, data: "PreparedData") -> tuple[dict[str, Any], ...]:
    from vision_studies.pipelines.stacking.fair_opponents import stack_parts

    try:
        return tuple(stack_parts(run, data))
    except ParameterError as error:
        raise ParameterError(f"stacking: variant '{variant}': {error}") from error
