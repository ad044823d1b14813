"""One search for hyperparameters: trials are asked for and told of, in memory or in a storage that several processes share.

Optuna keeps the trials (see `search_storage`), and the draws of a trial depend on how many there were before it, so that a
search that was stopped draws what it would have drawn. For processes that share a search, two things are added: a trial is
begun under a lock, so that no more are begun than were asked for; and while a process works on a trial it holds a lock that is
taken from it when it dies, so that another one finds the trial and continues it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from vision_studies.config.merge import has_path, merge_settings, nested
from vision_studies.config.search import (
    ChoiceSettings,
    IntegerSettings,
    OptionSettings,
    PatiencePrunerSettings,
    PrunerSettings,
    RangeSettings,
    SearchDomain,
    SharedSearchSettings,
)
from vision_studies.config.training import EarlyStoppingSettings, ValidationMetric
from vision_studies.errors import BusyError
from vision_studies.outcomes import COMPLETE, PRUNED, Outcome
from vision_studies.studies.search_storage import Release, database_errors, open_storage
from vision_studies.studies.search_trial import Report, SearchTrial, best_trial, described_trial, meant
from vision_studies.training.selection import EarlyStopping

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_LINE_AFTER = 5.0  # seconds: a line of log for each of many short trials would be noise
_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED}

Space = Mapping[str, SearchDomain | ChoiceSettings]
"""Dotted path -> where it is looked for, in the order in which values are drawn."""


Evaluate = Callable[[SearchTrial, Report], Outcome]
"""Trains a trial; of its metrics, `validation_accuracy` is what is searched by, and `seconds` are counted."""


class Search:
    """Trials that are asked for; Optuna keeps them.

    Args:
        space: where values are looked for.
        sampler: number of trials that there are -> what draws the next ones.
        pruner: ends hopeless trials.
        direction: "maximize" or "minimize".
        name: of the search; unique in its storage, and with a trial's number decides the rungs of hyperband.
        storage: of Optuna; None keeps trials in memory.
        base: settings that the draws are laid over: a path that is not in them, after the draws before it, is not drawn.
        trials: those that have ended before; see `ended_trial`.
    """

    def __init__(
        self,
        space: Space,
        sampler: Callable[[int], optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner,
        *,
        direction: Literal["maximize", "minimize"],
        name: str,
        storage: optuna.storages.BaseStorage | None = None,
        base: Mapping[str, Any] | None = None,
        trials: Sequence[FrozenTrial] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study logs its runs itself
        self._space, self._sampler, self._base = space, sampler, base
        self._study = optuna.create_study(
            study_name=name, storage=storage, pruner=pruner, direction=direction, load_if_exists=True
        )
        self._study.add_trials(trials)

    def ask(self, count: int = 1) -> list[optuna.Trial]:
        """The next trials, with their draws."""
        self._study.sampler = self._sampler(len(self._study.get_trials(deepcopy=False)))
        return [self._draw(self._study.ask()) for _ in range(count)]

    def ask_for(self, configurations: Sequence[Mapping[str, Any]]) -> list[optuna.Trial]:
        """The next trials, with these values."""
        for values in configurations:
            self._study.enqueue_trial(dict(values))
        return self.ask(len(configurations))

    def _draw(self, trial: optuna.Trial) -> optuna.Trial:
        settings = self._base
        for path, domain in self._space.items():
            if settings is not None and not has_path(settings, path):
                continue
            # What Optuna's `suggest_float`, `suggest_int` and `suggest_categorical` call.
            value = trial._suggest(path, _distribution(domain))
            if settings is not None:
                settings = merge_settings(settings, nested(path, meant(self._space, {path: value})[path]))
        return trial


class SharedSearch(Search):
    """The search of one variant for what maximises a value, by any number of processes.

    Args:
        settings: how to search.
        space: where values are looked for.
        base: settings that the draws are laid over.
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
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._last_line = time.monotonic()
        self._storage, self._locks = open_storage(settings.storage, name, folder)

        def sampler(count: int) -> optuna.samplers.BaseSampler:
            seed = int(np.random.SeedSequence([settings.seed, count]).generate_state(1)[0])
            return build_sampler(settings.sampler.name, settings.sampler.startup_trials, seed)

        with self._reachable(), self._locks.claim():
            super().__init__(space, sampler, pruner, direction="maximize", name=name, storage=self._storage, base=base)

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
            return [described_trial(trial, self._space) for trial in self._study.get_trials(deepcopy=False)]

    def best(self) -> SearchTrial | None:
        """See `best_trial`."""
        return best_trial(self.trials())

    def importance(self) -> dict[str, float]:
        """See `importance`."""
        return importance(self._study.get_trials(deepcopy=False), self._settings.seed)

    @contextmanager
    def _next(self) -> Any:
        """A trial that nobody works on, with its lock: one that was interrupted, or a new one; None where there is none."""
        release: Release | None = None
        trial: optuna.Trial | None = None
        with self._locks.claim():
            trials = self._study.get_trials(deepcopy=False)
            for running in (one for one in trials if one.state == TrialState.RUNNING):
                release = self._locks.take(running.number)
                if release is not None and self._has_ended(running):
                    release()
                    release = None
                if release is not None:
                    logger.info("trial %d was interrupted and goes on", running.number + 1)
                    trial = self._draw(optuna.Trial(self._study, running._trial_id))
                    break
            if trial is None and len(trials) < self._settings.trials and not self._out_of_time(trials):
                [trial] = self.ask()  # while nobody else draws: the sampler keeps trials at work apart
                release = self._locks.take(trial.number)
        try:
            yield trial
        finally:
            if release is not None:
                release()

    def _evaluate(self, trial: optuna.Trial, evaluate: Evaluate) -> None:
        reported = set(self._frozen(trial.number).intermediate_values)

        def report(epoch: int, value: float) -> bool:
            # A trial that goes on has told of some epochs before.
            return trial.should_prune() if epoch in reported else is_hopeless(trial, epoch, value)

        outcome = evaluate(described_trial(self._frozen(trial.number), self._space), report)
        accuracy = outcome.metrics.get("validation_accuracy")
        trial.set_user_attr("seconds", outcome.metrics.get("seconds", 0.0))
        trial.set_user_attr("status", outcome.status)
        if outcome.status == COMPLETE:
            self._study.tell(trial, accuracy)
        else:
            self._study.tell(trial, state=_STATES.get(outcome.status, TrialState.FAIL))
        if time.monotonic() - self._last_line >= _LINE_AFTER:
            result = f"accuracy {accuracy:.4f}" if outcome.status == COMPLETE else outcome.status
            logger.info("trial %d of %d: %s", trial.number + 1, self._settings.trials, result)
            self._last_line = time.monotonic()

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


class _PatiencePruner(optuna.pruners.BasePruner):
    """Ends a trial as early stopping would; Optuna's own pruner of this kind wants it to have become worse."""

    def __init__(self, settings: PatiencePrunerSettings) -> None:
        self._settings = settings

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        rises = study.direction == optuna.study.StudyDirection.MAXIMIZE
        metric: ValidationMetric = "validation_accuracy" if rises else "validation_loss"
        patience, min_delta = self._settings.patience, self._settings.min_delta
        stopping = EarlyStopping(EarlyStoppingSettings(metric=metric, patience=patience, min_delta=min_delta))
        reports = sorted(trial.intermediate_values.items())
        return any(stopping.ends({metric: value, "epoch": epoch}) for epoch, value in reports)


def build_pruner(settings: PrunerSettings | None, max_epochs: int) -> optuna.pruners.BasePruner:
    """What ends hopeless trials of at most `max_epochs` epochs."""
    if settings is None:
        return optuna.pruners.NopPruner()
    if settings.name == "patience":
        return _PatiencePruner(settings)
    if settings.name == "median":
        # Optuna spares the steps before the one it is given.
        return optuna.pruners.MedianPruner(
            n_startup_trials=settings.startup_trials, n_warmup_steps=settings.warmup_epochs + 1
        )
    return optuna.pruners.HyperbandPruner(
        min_resource=settings.min_epochs, max_resource=max_epochs, reduction_factor=settings.reduction_factor
    )


def build_sampler(
    name: str, startup_trials: int, seed: int, *, multivariate: bool | None = None
) -> optuna.samplers.BaseSampler:
    """What draws: "tpe" near what has done well, anything else at random."""
    if name != "tpe":
        return optuna.samplers.RandomSampler(seed=seed)
    # The liar keeps trials that are at work at the same time apart from each other.
    return optuna.samplers.TPESampler(
        n_startup_trials=startup_trials, seed=seed, constant_liar=True, multivariate=multivariate
    )


def is_hopeless(trial: optuna.Trial, epoch: int, value: float) -> bool:
    """Take note of a trial's value after an epoch; tell whether the pruner would end it."""
    trial.report(value, epoch)
    return trial.should_prune()


def ended_trial(
    space: Space,
    params: Mapping[str, Any],
    status: str,
    value: float | None,
    reports: Mapping[int, float] | None = None,
) -> FrozenTrial:
    """A trial that has ended elsewhere, as Optuna keeps it.

    Args:
        space: where it was looked for.
        params: what it has drawn.
        status: one of `outcomes.STATUSES`.
        value: what was found; None where nothing was, which is a failure.
        reports: epoch -> value.
    """
    state = TrialState.FAIL if value is None else _STATES.get(status, TrialState.FAIL)
    return optuna.create_trial(
        state=state,
        value=None if state == TrialState.FAIL else value,
        params=dict(params),
        distributions={path: _distribution(space[path]) for path in params},
        intermediate_values=dict(reports or {}),
    )


def importance(trials: Sequence[FrozenTrial], seed: int) -> dict[str, float]:
    """Share of the value's variance that each hyperparameter explains (functional ANOVA, Hutter et al. 2014).

    Args:
        trials: of one search; complete ones count.
        seed: of the forest behind it.

    Returns:
        Path -> share, largest first; empty where fewer than four trials are complete or all have one value.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) < 4 or len({trial.value for trial in complete}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.add_trials(complete)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distribution(domain: SearchDomain | ChoiceSettings) -> optuna.distributions.BaseDistribution:
    if isinstance(domain, RangeSettings):
        return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.scale == "log")
    if isinstance(domain, IntegerSettings):
        return optuna.distributions.IntDistribution(domain.lowest, domain.highest)
    choices = list(domain.options) if isinstance(domain, OptionSettings) else domain.choices
    return optuna.distributions.CategoricalDistribution(choices)
