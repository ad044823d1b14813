"""The runs of `mlp_transfer`, and what is done to them: searching batch by batch, retraining, transfer and scoring."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vision_studies.config.search import pruner_name
from vision_studies.costs import Costs
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.outcomes import COMPLETE, Outcome
from vision_studies.pipelines.mlp_transfer.plan import (
    EVALUATION,
    RETRAINING,
    SEARCH,
    TRAINING,
    TRANSFER,
    TRANSFER_SCORES,
    TRIAL_SCORES,
    Perceptrons,
    perceptron_run,
)
from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, MlpTransferSettings, Perceptron
from vision_studies.studies.method import WEIGHTS_FILE, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Known, Later, Record, Stage, Steps, alike, pruned_otherwise

if TYPE_CHECKING:
    from vision_studies.pipelines.mlp_transfer.search import Searches


def select_hyperparameters(context: Perceptrons, search_results: pd.DataFrame) -> dict[str, Any]:
    """The trial with the lowest validation loss of each architecture, the first of equals, and what it was chosen from.

    Raises:
        DataError: no trial of an architecture is complete.
    """
    chosen = {}
    for name, widths, _ in context.settings.perceptrons:
        trials = search_results[search_results["variant"] == name].sort_values("trial")
        complete = trials[(trials["status"] == COMPLETE) & trials["validation_loss"].notna()]
        if complete.empty:
            counts = ", ".join(f"{count} {status}" for status, count in trials["status"].value_counts().items())
            raise DataError(
                f"No trial of the architecture {name} gave usable weights ({counts}); lower "
                "mlp_transfer.search.space.lr.high, or raise mlp_transfer.search.trials."
            )
        best = complete.loc[complete["validation_loss"].idxmin()]
        configuration = json.loads(best["configuration"])
        prefix = "hyperparameters."
        chosen[name] = {
            "layers": list(widths),
            "hyperparameters": {
                key.removeprefix(prefix): value for key, value in configuration.items() if key.startswith(prefix)
            },
            "trial": int(best["trial"]),
            "validation_loss": float(best["validation_loss"]),
            "best_epoch": int(best["best_epoch"]),
            "terminating_epoch": int(json.loads(best["other_metrics"])["terminating_epoch"]),
            "run_fingerprint": best["run_fingerprint"],
        }
    return {"search": search_identity(context), "architectures": chosen}


def search_identity(context: Perceptrons) -> dict[str, Any]:
    """All that the choice of hyperparameters depends on, part by part, as hashes."""
    dumped = context.settings.model_dump(mode="json")
    parts = ["architectures", "search", "training", "normalise", "protocol"]
    if context.settings.parametrisations != ("standard",):
        parts += ["parametrisations", "base_width"]
    return {
        **{name: hash_json(dumped[name])[:16] for name in parts},
        "data": context.images.fingerprint,
        "method_version": context.method.version,
    }


def home_runs(context: Perceptrons, best: dict[str, Any]) -> list[Run]:
    """Every architecture with its own best hyperparameters and every seed."""
    return [
        perceptron_run(context, perceptron, seed, best["architectures"][perceptron.name]["hyperparameters"])
        for seed in context.settings.seeds
        for perceptron in context.settings.perceptrons
    ]


def transfer_cells(context: Perceptrons, best: dict[str, Any]) -> list[tuple[str, str, Run]]:
    """Target, source and run, for every pair of architectures of one parametrisation and every seed."""
    tuned = {name: chosen["hyperparameters"] for name, chosen in best["architectures"].items()}
    return [
        (target.name, source.name, perceptron_run(context, target, seed, tuned[source.name]))
        for target, source in product(context.settings.perceptrons, repeat=2)
        if target.parametrisation == source.parametrisation
        for seed in context.settings.seeds
    ]


def check(context: Perceptrons) -> None:
    """Raises DataError where the images are none to learn from; a perceptron takes any that others do."""
    check_images(context.images)


def stages(context: Perceptrons, known: Known) -> Steps:
    """Search, then retraining at home and elsewhere, which are known when the search has ended.

    Of what is `known`, `best` is what the search has found, and `trials` are fingerprints of its runs.
    """
    check(context)
    best, trials = known.get("best"), known.get("trials", ())
    if best is None:
        runs, reason = yield from _searched(context)
        if reason is None:
            try:
                best = select_hyperparameters(context, context.table(runs, [TRAINING]))
            except DataError as error:  # the run stops here and says so
                reason = str(error)
        if best is None:
            perceptrons, seeds = len(context.settings.perceptrons), len(context.settings.seeds)
            others = len(context.settings.architectures) - 1
            counts = {RETRAINING: perceptrons * seeds, TRANSFER: perceptrons * others * seeds}
            for label, count in counts.items():
                if count:
                    sources = 1 if label == RETRAINING else others
                    yield Later(label, count, reason, partial(_later_costs, context, sources))
            return
        trials = [run.fingerprint for run in runs]
    home = home_runs(context, best)
    # In the published protocol one of the seeds is the search's own: that run is there already.
    yield _training(context, [run for run in home if run.fingerprint not in trials], RETRAINING)
    yield _evaluation(context, home, EVALUATION)
    trained = {*trials, *(run.fingerprint for run in home)}
    elsewhere = [run for *_, run in transfer_cells(context, best) if run.fingerprint not in trained]
    yield _training(context, elsewhere, TRANSFER)
    yield _evaluation(context, elsewhere, TRANSFER_SCORES)


def most_runs(settings: MlpTransferSettings) -> int:
    """How many trainings there are at most, counted without data."""
    perceptrons = len(settings.perceptrons)
    return perceptrons * (settings.search.trials + len(settings.architectures) * len(settings.seeds))


def _searched(context: Perceptrons) -> Steps:
    """Draw and train the trials of every architecture, batch by batch.

    Returns:
        The runs of all trials that are known, and why not all of them have ended; None where they have.
    """
    from vision_studies.pipelines.mlp_transfer.search import search_batches

    settings = context.settings
    runs: list[Run] = []
    has_ended = True
    for batch, searches in search_batches(context):
        runs += batch
        has_ended &= yield _training(context, batch, SEARCH, searches)
        if not has_ended and settings.search.sampler.name == "tpe":
            break
    missing = settings.search.trials * len(settings.perceptrons) - len(runs)
    if missing:
        of_each = missing // len(settings.perceptrons)
        cost = partial(_trial_costs, context, of_each)
        yield Later(SEARCH, missing, "drawn from what the trials before them find", cost)
    if settings.protocol == "published":  # the original scores every trial; nothing is chosen by it
        yield _evaluation(context, runs, TRIAL_SCORES)
    return runs, None if has_ended and not missing else "the search chooses their hyperparameters"


def _training(context: Perceptrons, runs: Sequence[Run], title: str, searches: "Searches | None" = None) -> Stage:
    pruner = pruner_name(context.settings.search.pruner)
    again = partial(_pruned_otherwise, pruner=pruner) if title == SEARCH else None
    work = partial(_train, context=context, searches=searches or {})
    cost = partial(_training_costs, context=context)
    return Stage(TRAINING, runs, work, cost, partial(_stacks, context), title=title, again=again)


def _evaluation(context: Perceptrons, runs: Sequence[Run], title: str) -> Stage:
    work = partial(_evaluate, context=context)
    cost = partial(_scoring_costs, context=context)
    return Stage(EVALUATION, runs, work, cost, _by_shape, title=title, verb="score", after=TRAINING)


def _pruned_otherwise(result: Mapping[str, Any], *, pruner: str | None) -> str | None:
    return "a search with another pruner had ended it" if pruned_otherwise(result, pruner) else None


def _widths(run: Run) -> list[int]:
    return run.configuration["widths"]


_by_shape = partial(alike, key=_widths)


def _stacks(context: Perceptrons, runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Runs of one shape, as many at a time as the memory of a stack allows, in stacks of nearly equal size."""
    from vision_studies.pipelines.mlp_transfer.work import perceptron_bytes
    from vision_studies.training.ensemble import divide_into_stacks

    stacks: list[Sequence[Run]] = []
    for members in _by_shape(runs):
        needed = perceptron_bytes(MlpRunSettings.model_validate(members[0].configuration), context.images)
        stacks += divide_into_stacks(members, needed, context.settings.stack.memory_mb)
    return stacks


def _training_costs(stack: Sequence[Run], *, context: Perceptrons) -> Costs:
    from vision_studies.pipelines.mlp_transfer.costs import training_costs

    settings = MlpRunSettings.model_validate(stack[0].configuration)
    return training_costs(settings, len(stack), context.images, context.device, context.settings.stack)


def _scoring_costs(stack: Sequence[Run], *, context: Perceptrons) -> Costs:
    from vision_studies.pipelines.mlp_transfer.costs import scoring_costs

    settings = MlpRunSettings.model_validate(stack[0].configuration)
    return scoring_costs(settings, len(stack), context.images, context.device)


def _trial_costs(context: Perceptrons, of_each: int) -> Costs:
    """Trials of all architectures, drawn in batches."""
    batch = min(context.settings.search.batch or of_each, of_each)
    full, rest = divmod(of_each, batch)
    sizes = [batch] * full + [rest] * (rest > 0)
    return [
        cost
        for perceptron in context.settings.perceptrons
        for size in sizes
        for cost in _costs_of_some(context, perceptron, size, _training_costs)
    ]


def _later_costs(context: Perceptrons, sources: int) -> Costs:
    """Every architecture with so many others' hyperparameters, and every seed: trained and scored."""
    size = sources * len(context.settings.seeds)
    return [
        cost
        for perceptron in context.settings.perceptrons
        for told in (_training_costs, _scoring_costs)
        for cost in _costs_of_some(context, perceptron, size, told)
    ]


def _costs_of_some(context: Perceptrons, perceptron: Perceptron, count: int, told: Callable[..., Costs]) -> Costs:
    """What so many perceptrons of one kind cost, whatever their hyperparameters, in stacks as they would be trained."""
    from vision_studies.pipelines.mlp_transfer.search import shared_draws

    [drawn] = shared_draws(context.settings.search.space, 1, 0)
    runs = [perceptron_run(context, perceptron, seed, drawn) for seed in range(count)]
    return [cost for stack in _stacks(context, runs) for cost in told(stack, context=context)]


def _train(stack: Sequence[Run], folder: Path, record: Record, *, context: Perceptrons, searches: "Searches") -> None:
    from vision_studies.pipelines.mlp_transfer.work import train_stack

    pruner = pruner_name(context.settings.search.pruner)

    def end(member: int, outcome: Outcome) -> None:
        record(stack[member], outcome.pruned_by(pruner))

    prune = None
    if stack[0].fingerprint in searches:
        from vision_studies.studies.search import is_hopeless

        search = searches[stack[0].fingerprint]()
        trials = search.ask_for([run.configuration["hyperparameters"] for run in stack])

        def prune(member: int, epoch: int, value: float) -> bool:
            return is_hopeless(trials[member], epoch, value)

    train_stack(
        [(MlpRunSettings.model_validate(run.configuration), run.seed) for run in stack],
        context.images,
        folder,
        context.device,
        context.settings.stack,
        on_end=end,
        weights_file=lambda member: context.runs.path(stack[member], WEIGHTS_FILE),
        prune=prune,
    )


def _evaluate(stack: Sequence[Run], _folder: Path, record: Record, *, context: Perceptrons) -> None:
    from vision_studies.pipelines.mlp_transfer.work import evaluate_stack

    scored = [(MlpRunSettings.model_validate(run.configuration), context.runs.path(run)) for run in stack]
    for run, outcome in zip(stack, evaluate_stack(scored, context.images, context.device), strict=True):
        record(run, outcome)
