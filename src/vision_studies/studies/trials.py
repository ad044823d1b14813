"""The search for the hyperparameters of a variant as a step of a study: trials are runs, and several processes share them."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vision_studies.config.search import SearchDomain, SharedSearchSettings, pruner_name
from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import Costs
from vision_studies.errors import DataError
from vision_studies.outcomes import Outcome
from vision_studies.studies.execution import execute_one
from vision_studies.studies.parallel import parallel_runs
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.search_trial import Drawn, Report, SearchTrial, described_trial
from vision_studies.studies.sharing import is_held
from vision_studies.studies.stages import pruned_otherwise

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from vision_studies.studies.search import SharedSearch


@dataclass(frozen=True)
class Trials:
    """The trials of a variant.

    Attributes:
        variant: its name.
        name: of the search; unique in its storage.
        folder: of journal and locks.
        settings: how to search.
        space: dotted path -> where it is looked for, in the order in which values are drawn.
        base: settings that the draws are laid over.
        epochs: most epochs of a trial.
        stage: of a run, in which a trial is trained; its metric `validation_accuracy` is maximised.
        run: number and draws of a trial -> its run.
        train: run, folder and `report(epoch, value)`, which tells whether the trial is hopeless -> what was found.
        cost: what a trial costs at most, by settings before anything is drawn.
        mend: what to change where no trial is complete, as the end of a sentence.
    """

    label: ClassVar[str] = "search"

    variant: str
    name: str
    folder: Path
    settings: SharedSearchSettings
    space: Mapping[str, SearchDomain]
    base: Mapping[str, Any]
    epochs: int
    stage: str
    run: Callable[[int, Drawn], Run]
    train: Callable[[Run, Path, Report], Outcome]
    cost: Callable[[], Costs]
    mend: str

    def search(self) -> "SharedSearch":
        """The search as its storage has it."""
        from vision_studies.studies.search import SharedSearch, build_pruner

        pruner = build_pruner(self.settings.pruner, self.epochs)
        return SharedSearch(self.settings, self.space, self.base, name=self.name, folder=self.folder, pruner=pruner)

    def stored(self) -> list[SearchTrial]:
        """All trials as they are stored; no trial is begun, continued or waited for.

        Raises:
            StorageError: the storage cannot be reached.
        """
        import optuna

        from vision_studies.studies.search_storage import JOURNAL, database_errors, open_storage

        address = self.settings.storage
        if address is None and not (self.folder / JOURNAL).is_file():
            return []
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage, locks = open_storage(address, self.name, self.folder)

        def is_busy(trial: "FrozenTrial") -> bool:
            if trial.state.is_finished():
                return False
            if address is None:
                return is_held(self.folder / f"trial_{trial.number + 1}.lock")
            release = locks.take(trial.number)
            if release is not None:
                release()
            return release is None

        with database_errors(address):
            try:
                trials = optuna.load_study(study_name=self.name, storage=storage).get_trials(deepcopy=False)
            except KeyError:  # the storage holds other searches only
                return []
            return [described_trial(trial, self.space, busy=is_busy(trial)) for trial in trials]

    def forget(self, store: RunStore) -> None:
        """Delete all trials with their runs.

        Raises:
            BusyError: another process works on one of them.
        """
        for trial in self.search().forget():
            shutil.rmtree(store.path(self.run(trial.number, trial.drawn)), ignore_errors=True)

    def work(self, store: RunStore, execution: ExecutionSettings) -> dict[str, Any]:
        """Do trials, in as many processes as the execution settings say, until the search has ended.

        Returns:
            What the best trial has drawn.

        Raises:
            DataError: no trial is complete.
        """
        import joblib

        workers = execution.workers if execution.backend != "sequential" else 1
        with parallel_runs(execution) as parallel:
            list(parallel(joblib.delayed(_worker)(self, store) for _ in range(workers)))
        search = self.search()
        best = search.best()
        if best is None:
            counts = Counter(sorted(trial.status for trial in search.trials())).most_common()
            statuses = ", ".join(f"{count} {status}" for status, count in counts)
            raise DataError(f"No trial of the variant {self.variant} is complete ({statuses}); {self.mend}.")
        return best.drawn


def _worker(trials: Trials, store: RunStore) -> None:
    trials.search().work(partial(_do_trial, trials=trials, store=store))


def _do_trial(trial: SearchTrial, report: Report, *, trials: Trials, store: RunStore) -> Outcome:
    run, pruner = trials.run(trial.number, trial.drawn), pruner_name(trials.settings.pruner)
    result = store.result(run, trials.stage)
    if result is not None and pruned_otherwise(result, pruner):
        store.forget(run)

    def train(run: Run, folder: Path) -> Outcome:
        return trials.train(run, folder, report).pruned_by(pruner)

    return execute_one(run, trials.stage, train, store)
