"""The search, batch by batch: drawn once for all architectures as the published project does, or for each by Optuna."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product

from optuna.trial import FrozenTrial

from vision_studies.config.search import ChoiceSettings, RangeSettings
from vision_studies.outcomes import COMPLETE, FAILED, PRUNED
from vision_studies.pipelines.mlp_transfer.plan import TRAINING, Hyperparameters, Perceptrons, perceptron_run
from vision_studies.pipelines.mlp_transfer.settings import (
    HYPERPARAMETERS,
    Domain,
    SearchSettings,
    SearchSpaceSettings,
    TpeSamplerSettings,
)
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.search import Search, build_pruner, build_sampler, ended_trial
from vision_studies.training.runtime import derived_seed

Searches = Mapping[str, Callable[[], Search]]
"""Fingerprint of a run -> what makes the search that may end it, as it was before the run's batch."""


def shared_draws(space: SearchSpaceSettings, count: int, seed: int) -> list[Hyperparameters]:
    """The published project's draws of `count` configurations: one generator of Python's, hyperparameters in its order."""
    generator = random.Random(seed)  # noqa: S311 - no secret is drawn
    return [{name: _draw(generator, domain) for name, domain in space} for _ in range(count)]


def grid_draws(space: SearchSpaceSettings, count: int) -> list[Hyperparameters]:
    """Every combination, `count` in all, the last hyperparameter varying first; a range is cut into equal steps."""
    steps = count // math.prod(len(domain.choices) for _, domain in space if isinstance(domain, ChoiceSettings))
    values = [domain.choices if isinstance(domain, ChoiceSettings) else _steps(domain, steps) for _, domain in space]
    return [dict(zip(HYPERPARAMETERS, combination, strict=True)) for combination in product(*values)]


def architecture_search(
    settings: SearchSettings, architecture: int, ended: Sequence[FrozenTrial], max_epochs: int
) -> Search:
    """The search of one architecture, built anew from its ended trials: what lasts are the runs themselves.

    The number of the architecture and the seed decide the draws.
    """
    sampler, pruner = settings.sampler, build_pruner(settings.pruner, max_epochs)
    startup_trials = sampler.startup_trials if isinstance(sampler, TpeSamplerSettings) else 0
    return Search(
        dict(settings.space),
        lambda count: build_sampler(
            sampler.name, startup_trials, derived_seed(settings.seed, architecture, count) % 2**32, multivariate=True
        ),
        pruner,
        direction="minimize",
        name=f"architecture {architecture}",
        trials=ended,
    )


def search_batches(context: Perceptrons) -> Iterator[tuple[list[Run], Searches]]:
    """The trials of all architectures, batch by batch; a batch is drawn when the one before it has been trained.

    Yields:
        Runs, and the searches that may end them.
    """
    settings, search = context.settings, context.settings.search
    shared = None
    if search.sampler.name == "shared":
        shared = shared_draws(search.space, search.trials, search.seed)
    elif search.sampler.name == "grid":
        shared = grid_draws(search.space, search.trials)
    informed = shared is None or search.pruner is not None
    latest: list[list[Run]] = [[] for _ in settings.perceptrons]
    ended: list[list[FrozenTrial]] = [[] for _ in settings.perceptrons]
    batch = search.batch or search.trials
    for start in range(0, search.trials, batch):
        count = min(batch, search.trials - start)
        searches: dict[str, Callable[[], Search]] = {}
        for number, perceptron in enumerate(settings.perceptrons):
            if informed:
                ended[number] += [_ended(context.runs, run, search.space) for run in latest[number]]
            make = partial(architecture_search, search, number, tuple(ended[number]), settings.training.epochs)
            draws = shared[start : start + count] if shared else [dict(trial.params) for trial in make().ask(count)]
            latest[number] = [
                perceptron_run(context, perceptron, search.training_seed, draw, start + trial)
                for trial, draw in enumerate(draws)
            ]
            if search.pruner is not None:
                searches |= {run.fingerprint: make for run in latest[number]}
        yield [run for runs in latest for run in runs], searches


def _ended(store: RunStore, run: Run, space: SearchSpaceSettings) -> FrozenTrial:
    result = store.result(run, TRAINING) or {"status": FAILED}
    value, reports = None, {}
    if result["status"] in (COMPLETE, PRUNED):
        value = result["metrics"].get("validation_loss")
        losses = store.history(run, ["epoch", "validation_loss"]).dropna().set_index("epoch")["validation_loss"]
        reports = {int(epoch): float(loss) for epoch, loss in losses.items()}
    return ended_trial(dict(space), run.configuration["hyperparameters"], result["status"], value, reports)


def _steps(domain: RangeSettings, count: int) -> list[float]:
    """Both ends and equal steps between them; the middle where there is room for one."""
    logarithmic = domain.scale == "log"
    low, high = (math.log(domain.low), math.log(domain.high)) if logarithmic else domain.ends
    places = [low + (high - low) * (step / (count - 1) if count > 1 else 0.5) for step in range(count)]
    return [math.exp(place) for place in places] if logarithmic else places


def _draw(generator: random.Random, domain: Domain) -> float:
    if isinstance(domain, ChoiceSettings):
        return generator.choice(domain.choices)
    if domain.scale == "log":
        return math.exp(generator.uniform(math.log(domain.low), math.log(domain.high)))
    return generator.uniform(domain.low, domain.high)
