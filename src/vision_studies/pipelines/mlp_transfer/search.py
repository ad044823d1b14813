"""Drawing hyperparameters: once for all architectures as the published project does, or for each by Optuna."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from vision_studies.pipelines.mlp_transfer.settings import (
    HYPERPARAMETERS,
    ChoiceSettings,
    Domain,
    SearchSettings,
    SearchSpaceSettings,
    TpeSamplerSettings,
)
from vision_studies.studies.search import build_pruner
from vision_studies.training.runtime import derived_seed

Hyperparameters = dict[str, float]


@dataclass(frozen=True)
class FinishedTrial:
    """What a trial found.

    Attributes:
        hyperparameters: what it tried.
        value: lowest validation loss; None where it diverged.
        pruned: whether it was ended as hopeless.
        validations: epoch -> validation loss.
    """

    hyperparameters: Hyperparameters
    value: float | None
    pruned: bool
    validations: Mapping[int, float]


def shared_draws(space: SearchSpaceSettings, count: int, seed: int) -> list[Hyperparameters]:
    """The published project's draws: one generator of Python's, hyperparameters in its order.

    Args:
        space: ranges and choices.
        count: how many configurations.
        seed: seed of the generator.
    """
    generator = random.Random(seed)  # noqa: S311 - no secret is drawn
    return [{name: _draw(generator, getattr(space, name)) for name in HYPERPARAMETERS} for _ in range(count)]


class ArchitectureSearch:
    """Optuna's view of one architecture's trials.

    It is built anew from finished trials each time, so that a search that was stopped draws what it would have drawn.

    Args:
        settings: how to search.
        architecture: number of the architecture; with the seed, it decides the draws.
        finished: trials that have ended, in their order.
        max_epochs: most epochs of a trial.
    """

    def __init__(
        self, settings: SearchSettings, architecture: int, finished: Sequence[FinishedTrial], max_epochs: int
    ) -> None:
        self._space = settings.space
        self._distributions = {name: _distribution(getattr(settings.space, name)) for name in HYPERPARAMETERS}
        seed = derived_seed(settings.seed, architecture, len(finished)) % 2**32
        # In memory: what lasts are the runs themselves.
        self._study = optuna.create_study(
            sampler=_sampler(settings, seed), pruner=build_pruner(settings.pruner, max_epochs), direction="minimize"
        )
        self._study.add_trials([self._frozen(trial) for trial in finished])
        self._trials: list[optuna.Trial] = []

    def draw(self, count: int) -> list[Hyperparameters]:
        """The next configurations to try."""
        trials = [self._study.ask(self._distributions) for _ in range(count)]
        return [{name: float(trial.params[name]) for name in HYPERPARAMETERS} for trial in trials]

    def begin(self, configurations: Sequence[Hyperparameters]) -> None:
        """Watch trials of these configurations from now on."""
        for configuration in configurations:
            self._study.enqueue_trial(dict(configuration))
        self._trials = [self._study.ask(self._distributions) for _ in configurations]

    def should_prune(self, place: int, epoch: int, value: float) -> bool:
        """Take note of a validation of the trial at `place` of those that began; tell whether it is hopeless."""
        trial = self._trials[place]
        trial.report(value, epoch)
        return trial.should_prune()

    def _frozen(self, trial: FinishedTrial) -> optuna.trial.FrozenTrial:
        states = optuna.trial.TrialState
        state = states.FAIL if trial.value is None else states.PRUNED if trial.pruned else states.COMPLETE
        return optuna.create_trial(
            state=state,
            value=None if state == states.FAIL else trial.value,
            params={name: trial.hyperparameters[name] for name in HYPERPARAMETERS},
            distributions=self._distributions,
            intermediate_values=dict(trial.validations),
        )


def importance(space: SearchSpaceSettings, trials: Sequence[FinishedTrial], seed: int) -> dict[str, float]:
    """Share of the validation loss's variance that each hyperparameter explains (functional ANOVA, Hutter et al. 2014).

    Args:
        space: ranges and choices.
        trials: trials of one architecture.
        seed: seed of the forest behind it.

    Returns:
        Name -> share, largest first; empty where fewer than four trials have a value, or all have the same.
    """
    known = [trial for trial in trials if trial.value is not None and not trial.pruned]
    if len(known) < 4 or len({trial.value for trial in known}) == 1:
        return {}
    distributions = {name: _distribution(getattr(space, name)) for name in HYPERPARAMETERS}
    study = optuna.create_study(direction="minimize")
    for trial in known:
        study.add_trial(
            optuna.create_trial(
                # The loss itself would tell of the few diverging trials alone.
                value=math.log(trial.value or math.inf),
                params=trial.hyperparameters,
                distributions=distributions,
            )
        )
    return dict(
        optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=seed))
    )


def _draw(generator: random.Random, domain: Domain) -> float:
    if isinstance(domain, ChoiceSettings):
        return generator.choice(domain.choices)
    if domain.scale == "log":
        return math.exp(generator.uniform(math.log(domain.low), math.log(domain.high)))
    return generator.uniform(domain.low, domain.high)


def _distribution(domain: Domain) -> optuna.distributions.BaseDistribution:
    if isinstance(domain, ChoiceSettings):
        return optuna.distributions.CategoricalDistribution(domain.choices)
    return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.scale == "log")


def _sampler(settings: SearchSettings, seed: int) -> optuna.samplers.BaseSampler:
    if isinstance(settings.sampler, TpeSamplerSettings):
        # The liar keeps trials that are drawn together apart from each other.
        return optuna.samplers.TPESampler(
            n_startup_trials=settings.sampler.startup_trials, seed=seed, constant_liar=True, multivariate=True
        )
    return optuna.samplers.RandomSampler(seed=seed)


def quiet() -> None:
    """Keep Optuna from logging every trial: the study logs its runs itself."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trial_values(history: Any, metric: str) -> dict[int, float]:
    """Epoch -> value of the validated epochs of a history."""
    validated = history.dropna(subset=[metric])
    return {int(epoch): float(value) for epoch, value in zip(validated["epoch"], validated[metric], strict=True)}
