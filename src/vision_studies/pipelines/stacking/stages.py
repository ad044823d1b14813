"""The runs of a stacking study, variants and opponents, and what is done to them: searching, training, combining, scoring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vision_studies.costs import Costs
from vision_studies.errors import ParameterError
from vision_studies.files import hash_json
from vision_studies.outcomes import COMPLETE, DIVERGED, FAILED, Outcome
from vision_studies.pipelines.stacking.settings import (
    AnyRun,
    CombinationRun,
    CrossValidatedRun,
    EnsembleOptions,
    EnsembleRun,
    NetworkRun,
    OneTraining,
    Stack,
    StackingSettings,
    StackingVariantSettings,
    read_run,
    stack_run,
)
from vision_studies.studies.adding_seeds import check_until, with_enough_seeds
from vision_studies.studies.method import Context, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.search_trial import Drawn
from vision_studies.studies.stages import Alone, Known, Later, Stage, Steps
from vision_studies.studies.trials import Trials

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.stacking.outputs import SplitOutputs
    from vision_studies.pipelines.stacking.work import Report
    from vision_studies.studies.search import Report as TrialReport

TRAINING, COMBINATIONS, EVALUATION = "training", "combinations", "evaluation"
SEARCH = Trials.label

Stacking = Context[StackingSettings]

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
    "snapshot": "snapshots",
    "swa": "stochastic weight averaging",
    "ema": "moving average of weights",
    "shared_soup": "soup of branches",
    "packed": "packed ensemble",
    "batch_ensemble": "BatchEnsemble",
    "mc_dropout": "MC dropout",
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
    settings: StackingSettings, data: "PreparedData", hyperparameters: Mapping[str, Mapping[str, Any]]
) -> list[Entry]:
    """Variants in their order, then their opponents. What two variants both need is there once.

    Variant -> `hyperparameters` are what a search has found for it, empty where there was none; data decide how large
    networks are.

    Raises:
        ParameterError: a network does not exist or does not fit the images.
    """
    stacks: list[tuple[Entry, Stack]] = []
    for variant in settings.variants:
        run = _stack_of(settings, variant, hyperparameters.get(variant.name, {}))
        parts = _parts(variant.name, run, data)
        stacks.append((Entry(variant.name, STACK, (variant.name,), run, parts), run))
    opposing: dict[str, tuple[tuple[str, str], list[str], AnyRun]] = {}
    for (entry, stack), variant in zip(stacks, settings.variants, strict=True):
        names = settings.configured(variant).base_learners
        for role in settings.opponents:
            for title, opponent in _opponents(role, stack, names, settings.ensembles, data):
                key = opponent.model_dump_json()
                opposing.setdefault(key, ((role, title), [], opponent))[1].append(entry.name)
    titles = [title for title, _, _ in opposing.values()]
    opponents = []
    for (kind, title), opposed, opponent in opposing.values():
        shown = title if titles.count((kind, title)) == 1 else f"{title} ({opposed[0]})"
        opponents.append(Entry(shown, kind, tuple(opposed), opponent))
    return [*(entry for entry, _ in stacks), *opponents]


def entry_runs(context: Stacking, entries: Sequence[Entry], seeds: Sequence[int] | None = None) -> list[Run]:
    """The runs of all entries, one for each of some seeds (None: those of the settings)."""
    seeds = context.settings.seeds if seeds is None else seeds
    return [make_run(context, entry.name, seed, entry.run) for entry in entries for seed in seeds]


def make_run(context: Stacking, variant: str, seed: int, run: AnyRun, trial: int = 0) -> Run:
    """One run of the study."""
    return context.run(variant, seed, run.model_dump(mode="json"), trial=trial)


def members_of(context: Stacking, run: Run, combined: CombinationRun) -> list[Run]:
    """The runs that a combination is made from."""
    return [make_run(context, f"learner {member.member + 1}", run.seed, member) for member in combined.members]


def divided(context: Stacking, runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Runs that are trained, with the members of combinations that are no rows of the study, and combinations."""
    combined = [run for run in runs if run.configuration["method"] == "combination"]
    trained = [run for run in runs if run.configuration["method"] != "combination"]
    fingerprints = {run.fingerprint for run in trained}
    for run in combined:
        for member in members_of(context, run, read_combination(run)):
            if member.fingerprint not in fingerprints:
                fingerprints.add(member.fingerprint)
                trained.append(member)
    return trained, combined


def read_combination(run: Run) -> CombinationRun:
    """The settings of a combination."""
    settings = read_run(run.configuration)
    assert isinstance(settings, CombinationRun)  # noqa: S101 - asked for only of combinations
    return settings


def _opponents(
    role: Any, stack: Any, names: tuple[str, ...], options: EnsembleOptions, data: "PreparedData"
) -> list[tuple[str, AnyRun]]:
    from vision_studies.pipelines.stacking import fair_opponents

    if role == "ema" or role in get_args(OneTraining):
        shown = "{role}, same {equal}" if len(options.equal) > 1 else "{role}"
        made = {
            equal: fair_opponents.averaged_weights(stack, options, equal, data)
            if role == "ema"
            else fair_opponents.ensemble(role, stack, options, equal, data)
            for equal in options.equal
        }
        return [(shown.format(role=TITLES[role], equal=equal), run) for equal, run in made.items() if run is not None]
    if role == "alone":
        members = fair_opponents.independent_members(stack)
        return [(f"{name} alone, {member.member + 1}", member) for name, member in zip(names, members, strict=True)]
    alone = {"same_parameters": fair_opponents.same_parameters, "same_macs": fair_opponents.same_macs}
    one: AnyRun | None = alone[role](stack, data) if role in alone else fair_opponents.combination(stack, role)
    return [(TITLES[role], one)] if one is not None else []


def _parts(variant: str, run: Stack, data: "PreparedData") -> tuple[dict[str, Any], ...]:
    from vision_studies.pipelines.stacking.fair_opponents import stack_parts

    try:
        return tuple(stack_parts(run, data))
    except ParameterError as error:
        raise ParameterError(f"stacking: variant '{variant}': {error}") from error


def check(context: Stacking) -> None:
    """Build every stack, without weights, and divide the images into its folds.

    Raises:
        ParameterError: a network does not exist or does not fit the images, a file of weights is not there, or seeds are to be
            added and the images are in folds.
        DataError: the images are none to learn from, or a class has fewer images than there are folds.
    """
    from vision_studies.pipelines.stacking.cross_validation import assign_folds

    settings, data = context.settings, context.images
    check_images(data)
    check_until(context)
    for variant in settings.variants:
        run = _stack_of(settings, variant, {})
        _parts(variant.name, run, data)
        if isinstance(run, CrossValidatedRun):
            assign_folds(data.image_set.labels[data.splits.train], run.folds, run.fold_seed)


def _stack_of(settings: StackingSettings, variant: StackingVariantSettings, drawn: Mapping[str, Any]) -> Stack:
    try:
        configured = settings.configured(variant, dict(drawn))
    except ValueError as error:
        raise ParameterError(f"stacking: {error}") from error
    return stack_run(configured, settings.networks)


def stages(context: Stacking, known: Known) -> Steps:
    """The search, where there is one, training, combinations of what was trained, and evaluation.

    Of what is `known`, `drawn` is what the search of each variant has found.
    """
    settings = context.settings
    hyperparameters = known.get("drawn")
    if hyperparameters is None:
        if settings.search is not None:
            plan_entries(settings, context.images, {})  # what does not fit is refused before the first trial
        hyperparameters = yield from _searched(context)
        if hyperparameters is None:
            later = partial(_unsearched_costs, context=context)
            yield Later(TRAINING, most_runs(settings), "the search chooses their hyperparameters", later)
            return
    entries = plan_entries(settings, context.images, hyperparameters)
    done = partial(entry_runs, context, entries)
    training, scoring = partial(_costs, context=context), partial(_costs, context=context, scoring=True)

    def train(seeds: Sequence[int]) -> Steps:
        trained, combined = divided(context, done(seeds))
        by_seed = sorted(trained, key=lambda run: seeds.index(run.seed))  # every variant before any has its second
        combining, ready = Alone(partial(_combine, context=context)), partial(_can_be_combined, context)
        first = yield Stage(TRAINING, by_seed, Alone(partial(_train, context=context)), training)
        then = yield Stage(TRAINING, combined, combining, training, title=COMBINATIONS, verb="combine", ready=ready)
        return first and then

    def cost(seeds: Sequence[int]) -> Costs:
        return _costs_of(done(seeds), context=context)

    for runs in divided(context, done((yield from with_enough_seeds(context, train, done, cost)))):
        evaluating = Alone(partial(_evaluate, context=context))
        yield Stage(EVALUATION, runs, evaluating, scoring, verb="score", after=TRAINING)


def most_runs(settings: StackingSettings) -> int:
    """How many variants and opponents are trained or combined at most, counted without data: trials not counted."""
    twice = [role for role in settings.opponents if role == "ema" or role in get_args(OneTraining)]
    opponents = len(settings.opponents) + (len(settings.ensembles.equal) - 1) * len(twice)
    count = len(settings.variants) * (1 + opponents)
    if "alone" in settings.opponents:
        count += sum(len(settings.configured(variant).base_learners) - 1 for variant in settings.variants)
    return count * len(settings.possible_seeds)


def trials_of(context: Stacking, variant: StackingVariantSettings) -> Trials:
    """The search for a variant's hyperparameters, kept beside the runs; another question has another search."""
    settings, search = context.settings, context.settings.search
    assert search is not None  # noqa: S101 - asked for only where there is one
    space = search.spaces[variant.space or next(iter(search.spaces))]
    configured = settings.configured(variant)
    question = {
        "run": stack_run(configured, settings.networks).model_dump(mode="json"),
        "space": {path: domain.model_dump(mode="json") for path, domain in space.items()},
        "order": list(space),
        "search": search.model_dump(mode="json", include={"seed", "sampler", "pruner"}),
        "data": context.images.fingerprint,
        "method_version": context.method.version,
    }
    name = hash_json(question)[:16]
    return Trials(
        variant=variant.name,
        name=f"stacking/{name}",
        folder=context.runs.folder.parent / "search" / name,
        settings=search,
        space=space,
        base=configured.model_dump(mode="json"),
        epochs=configured.training.epochs,
        stage=TRAINING,
        run=partial(_trial_run, context, variant, search.seed),
        train=partial(_train_trial, context=context),
        cost=partial(_costs, [_trial_run(context, variant, search.seed, 1, {})], context=context),
        mend="narrow the learning rates of stacking.search.spaces, or raise stacking.search.trials",
    )


def _searched(context: Stacking) -> Steps:
    """Search the hyperparameters of every variant.

    Returns:
        Variant -> its best hyperparameters, none without a search; None where a search has not ended.
    """
    best = {}
    for variant in context.settings.variants if context.settings.search is not None else ():
        best[variant.name] = yield trials_of(context, variant)
    return None if any(hyperparameters is None for hyperparameters in best.values()) else best


def _costs(runs: Sequence[Run], *, context: Stacking, scoring: bool = False) -> Costs:
    from vision_studies.pipelines.stacking.costs import scoring_costs, training_costs

    told = scoring_costs if scoring else training_costs
    return told(read_run(runs[0].configuration), context.images, context.device)


def _unsearched_costs(*, context: Stacking) -> Costs:
    """Of variants and opponents as they are before a search has changed anything, all of them."""
    entries = plan_entries(context.settings, context.images, {})
    return _costs_of(entry_runs(context, entries, context.settings.possible_seeds), context=context)


def _costs_of(runs: Sequence[Run], *, context: Stacking) -> Costs:
    """Of training and scoring entries, with what combinations are made from."""
    runs = [run for part in divided(context, runs) for run in part]
    each = ((run, scoring) for run in runs for scoring in (False, True))
    return [cost for run, scoring in each for cost in _costs([run], context=context, scoring=scoring)]


def _trial_run(context: Stacking, variant: StackingVariantSettings, seed: int, number: int, draws: Drawn) -> Run:
    run = stack_run(context.settings.configured(variant, dict(draws)), context.settings.networks)
    return make_run(context, variant.name, seed, run, trial=number)


def _train_trial(run: Run, folder: Path, report: "TrialReport", *, context: Stacking) -> Outcome:
    def tell(row: dict[str, Any]) -> bool:
        value = row["validation_accuracy"]
        return value == value and report(row["epoch"], value)  # noqa: PLR0124 - NaN where it was not validated

    return replace(_train(run, folder, context=context, report=tell), predictions=())  # trials are not scored


def _train(run: Run, folder: Path, *, context: Stacking, report: "Report | None" = None) -> Outcome:
    from vision_studies.pipelines.stacking import cross_validation, mock_trainer, paths
    from vision_studies.pipelines.stacking import work as stacking
    from vision_studies.pipelines.stacking.fair_opponents import ensemble_cost, network_cost, stack_cost

    settings = read_run(run.configuration)
    assert not isinstance(settings, CombinationRun)  # noqa: S101 - those are combined
    data = context.images
    job: Any = stacking.Job(settings, run.seed, data, folder, context.device)
    if settings.mock:
        if isinstance(settings, EnsembleRun):
            cost = ensemble_cost(settings, data)
        elif isinstance(settings, NetworkRun):
            cost = network_cost(settings.learner, data)
        else:
            cost = stack_cost(settings, data)
        return mock_trainer.train(job, cost, report)
    work: Any = cross_validation if isinstance(settings, CrossValidatedRun) else stacking
    if isinstance(settings, EnsembleRun) and settings.along_a_path:
        work = paths
    return work.train(job, report)


def _can_be_combined(context: Stacking, run: Run) -> bool:
    """Whether all its members have ended, in whatever way."""
    members = members_of(context, run, read_combination(run))
    return all(context.runs.status(member, TRAINING) is not None for member in members)


def _combine(run: Run, folder: Path, *, context: Stacking) -> Outcome:
    from vision_studies.pipelines.stacking import combinations
    from vision_studies.pipelines.stacking.work import Job

    settings, store = read_combination(run), context.runs
    members = members_of(context, run, settings)
    statuses = [store.status(member, TRAINING) for member in members]
    lost = [member.name for member, status in zip(members, statuses, strict=True) if status != COMPLETE]
    if lost:
        # What has failed is tried again, and then this, too; what has diverged would diverge again.
        status = FAILED if None in statuses or FAILED in statuses else DIVERGED
        return Outcome({}, status, f"{', '.join(lost)} has no weights to combine")
    folders = [store.path(member) for member in members]
    costs = [store.metrics(member, TRAINING) for member in members]
    return combinations.combine(Job(settings, run.seed, context.images, folder, context.device), folders, costs)


def _evaluate(run: Run, folder: Path, *, context: Stacking) -> Outcome:
    from vision_studies.pipelines.stacking.outputs import metrics_on_test, save_outputs
    from vision_studies.pipelines.stacking.views import view_metrics, view_name

    settings, trained = read_run(run.configuration), context.runs.metrics(run, TRAINING)
    shared = settings.members[0] if isinstance(settings, CombinationRun) else settings
    asked = shared.evaluation.views if not settings.mock else None  # nothing sees the images of made-up curves
    views = []
    for view in range(1 if asked is None else max(asked.numbers)):
        views.append(_outputs_on_test(run, folder, view, context=context))
        save_outputs(views[-1], folder, view_name(view))
    metrics = metrics_on_test(views[0])
    others = {**trained.get("other_metrics", {}), **metrics.get("other_metrics", {})}
    metrics["other_metrics"] = others | (view_metrics(views, asked.numbers) if asked else {})
    return Outcome(metrics, predictions=(views[0].predictions("test"),))


def _outputs_on_test(run: Run, folder: Path, view: int, *, context: Stacking) -> "SplitOutputs":
    from vision_studies.pipelines.stacking import combinations, cross_validation, mock_trainer
    from vision_studies.pipelines.stacking import work as stacking

    settings, trained = read_run(run.configuration), context.runs.metrics(run, TRAINING)
    job: Any = stacking.Job(settings, run.seed, context.images, folder, context.device)
    if isinstance(settings, CombinationRun):
        folders = [context.runs.path(member) for member in members_of(context, run, settings)]
        return combinations.combined_on_test(job, folders, combinations.chosen_weights(trained), view)
    if settings.mock:
        return mock_trainer.make_up_outputs(job, "test", trained["validation_accuracy"])
    return (cross_validation if isinstance(settings, CrossValidatedRun) else stacking).outputs_on_test(job, view)
