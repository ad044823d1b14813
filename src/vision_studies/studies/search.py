"""A search for hyperparameters that several processes can work on, and that goes on where it was stopped.

Optuna keeps the trials (see `search_storage`). Three things are added to it: a trial is begun under a lock, so that no more
are begun than were asked for; while a process works on a trial it holds a lock that is taken from it when it dies, so that
another one finds the trial and continues it; and the draws of a trial depend on its number, so that a search that was
stopped draws what it would have drawn.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from vision_studies.config.merge import has_path, merge_settings, nested
from vision_studies.config.search import (
    IntegerSettings,
    OptionSettings,
    PrunerSettings,
    SamplerSettings,
    SearchDomain,
    SharedSearchSettings,
)
from vision_studies.errors import BusyError
from vision_studies.outcomes import COMPLETE, PRUNED
from vision_studies.studies.search_storage import Release, database_errors, open_storage
from vision_studies.studies.stored_trials import best_trial, meant

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_LINE_AFTER = 5.0  # seconds: a line of log for each of many short trials would be noise

Drawn = dict[str, Any]
"""Dotted path -> value."""


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial found.

    Attributes:
        status: one of `outcomes.STATUSES`.
        value: what is maximised; None where there is none.
        seconds: of training.
    """

    status: str
    value: float | None
    seconds: float


@dataclass(frozen=True)
class SearchTrial:
    """A trial that is being worked on, or has ended.

    Attributes:
        number: from 1.
        drawn: dotted path -> value.
        names: dotted path -> how the value is called: of an option its name, else the value.
        status: one of `outcomes.STATUSES`, or "running".
        value: what is maximised; None where there is none.
    """

    number: int
    drawn: Drawn
    names: dict[str, Any] = field(default_factory=dict)
    status: str = "running"
    value: float | None = None


Report = Callable[[int, float], bool]
"""Is given epoch and value; tells whether the trial is hopeless."""

Evaluate = Callable[[SearchTrial, Report], TrialOutcome]


class SharedSearch:
    """The search of one variant.

    Args:
        settings: how to search.
        space: dotted path -> where it is looked for, in the order in which values are drawn.
        base: settings that the draws are laid over; a path that is not in them (after the draws before it) is not drawn.
        name: of the search; unique in its storage.
        folder: journal and locks.
        pruner: ends hopeless trials.
    """

    def __init__(
        self,
        settings: SharedSearchSettings,
        space: Mapping[str, SearchDomain],
        base: Mapping[str, Any],
        *,
        name: str,
        folder: Path,
        pruner: optuna.pruners.BasePruner,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # the study logs its trials itself
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._space = space
        self._base = base
        self._folder = folder
        self._said = time.monotonic()
        self._storage, self._locks = open_storage(settings.storage, name, folder)
        with self._reachable(), self._locks.claim():
            self._study = optuna.create_study(
                study_name=name,
                storage=self._storage,
                pruner=pruner,
                direction="maximize",
                load_if_exists=True,
            )

    def work(self, evaluate: Evaluate) -> int:
        """Do trials until there are as many as were asked for and all have ended, by whichever process.

        Returns:
            Trials that were done here.
        """
        done = 0
        while True:
            with self._reachable(), self._next() as trial:
                if trial is not None:
                    self._evaluate(trial, evaluate)
                    done += 1
                    continue
            if not self._running():
                return done
            time.sleep(_POLL_SECONDS)  # another process is at work: its trial may be the best

    def forget(self) -> list[SearchTrial]:
        """Delete all trials; return what they were.

        Raises:
            BusyError: another process works on one of them.
        """
        with self._reachable(), self._locks.claim(), ExitStack() as held:
            for running in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                release = self._locks.take(running.number)
                if release is None:
                    raise BusyError(
                        f"Another process works on trial {running.number + 1}; stop it, or leave out fresh=true to join it."
                    )
                held.callback(release)
            trials = self.trials()
            optuna.delete_study(study_name=self._study.study_name, storage=self._storage)
        return trials

    def trials(self) -> list[SearchTrial]:
        """All trials, in their order."""
        with self._reachable():
            return [self._described(trial) for trial in self._study.get_trials(deepcopy=False)]

    def best(self) -> SearchTrial | None:
        """See `best_trial`."""
        return best_trial(self.trials())

    def importance(self) -> dict[str, float]:
        """Share of the value's variance that each hyperparameter explains (functional ANOVA, Hutter et al. 2014).

        Returns:
            Path -> share, largest first; empty where fewer than four trials are complete or all have one value.
        """
        complete = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if len(complete) < 4 or len({trial.value for trial in complete}) == 1:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._settings.seed)
        return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    @contextmanager
    def _next(self) -> Any:
        """A trial that nobody works on, with its lock: one that was interrupted, or a new one; None where there is none."""
        release: Release | None = None
        found: optuna.Trial | None = None
        with self._locks.claim():
            trials = self._study.get_trials(deepcopy=False)
            for running in (trial for trial in trials if trial.state == TrialState.RUNNING):
                release = self._locks.take(running.number)
                if release is not None and self._has_ended(running):
                    release()
                    release = None
                if release is not None:
                    logger.info("trial %d was interrupted and goes on", running.number + 1)
                    found = optuna.Trial(self._study, running._trial_id)
                    break
            if found is None and len(trials) < self._settings.trials and not self._out_of_time(trials):
                self._study.sampler = _sampler(self._settings.sampler, self._settings.seed, len(trials))
                found = self._study.ask()
                release = self._locks.take(found.number)
            if found is not None:
                self._draw(found)  # while nobody else draws: the sampler keeps trials at work apart
        try:
            yield found
        finally:
            if release is not None:
                release()

    def _evaluate(self, trial: optuna.Trial, evaluate: Evaluate) -> None:
        reported = set(self._frozen(trial.number).intermediate_values)

        def report(epoch: int, value: float) -> bool:
            if epoch not in reported:  # a trial that goes on has told of some epochs before
                trial.report(value, epoch)
            return trial.should_prune()

        outcome = evaluate(self._described(self._frozen(trial.number)), report)
        trial.set_user_attr("seconds", outcome.seconds)
        trial.set_user_attr("status", outcome.status)
        if outcome.status == COMPLETE:
            self._study.tell(trial, outcome.value)
        else:
            self._study.tell(trial, state=TrialState.PRUNED if outcome.status == PRUNED else TrialState.FAIL)
        if time.monotonic() - self._said >= _LINE_AFTER:
            found = f"accuracy {outcome.value:.4f}" if outcome.status == COMPLETE else outcome.status
            logger.info("trial %d of %d: %s", trial.number + 1, self._settings.trials, found)
            self._said = time.monotonic()

    def _draw(self, trial: optuna.Trial) -> None:
        settings: Mapping[str, Any] = self._base
        for path, domain in self._space.items():
            if not has_path(settings, path):
                continue
            value: Any
            if isinstance(domain, OptionSettings):
                value = domain.options[trial.suggest_categorical(path, list(domain.options))]
            elif isinstance(domain, IntegerSettings):
                value = trial.suggest_int(path, domain.lowest, domain.highest)
            else:
                value = trial.suggest_float(path, domain.low, domain.high, log=domain.scale == "log")
            settings = merge_settings(settings, nested(path, value))

    def _described(self, trial: FrozenTrial) -> SearchTrial:
        status = trial.user_attrs.get("status", "running")
        drawn = meant(self._space, trial.params)
        return SearchTrial(trial.number + 1, drawn, dict(trial.params), status, trial.value)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _running(self) -> bool:
        with self._reachable():
            return bool(self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

    def _out_of_time(self, trials: Sequence[FrozenTrial]) -> bool:
        timeout = self._settings.timeout
        return timeout is not None and sum(trial.user_attrs.get("seconds", 0) for trial in trials) >= timeout

    def _has_ended(self, trial: FrozenTrial) -> bool:
        """Whether another process has ended a trial between the look at it and the taking of its lock."""
        return self._storage.get_trial(trial._trial_id).state != TrialState.RUNNING

    def _reachable(self) -> AbstractContextManager[None]:
        return database_errors(self._settings.storage)


def build_pruner(settings: PrunerSettings | None, max_epochs: int) -> optuna.pruners.BasePruner:
    """What ends hopeless trials of at most `max_epochs` epochs."""
    if settings is None:
        return optuna.pruners.NopPruner()
    if settings.name == "median":
        # Optuna spares the steps before the one it is given.
        return optuna.pruners.MedianPruner(
            n_startup_trials=settings.startup_trials, n_warmup_steps=settings.warmup_epochs + 1
        )
    return optuna.pruners.HyperbandPruner(
        min_resource=settings.min_epochs, max_resource=max_epochs, reduction_factor=settings.reduction_factor
    )


def _sampler(settings: SamplerSettings, seed: int, number: int) -> optuna.samplers.BaseSampler:
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if settings.name == "tpe":
        # The liar keeps trials that are at work at the same time apart from each other.
        return optuna.samplers.TPESampler(n_startup_trials=settings.startup_trials, seed=own, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=own)
