"""The runs of `mlp_transfer`: which there are, and doing them in stacks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.mlp_transfer import MlpRunSettings, MlpTransferSettings, architecture_name
from vision_studies.config.search import pruner_name
from vision_studies.config.study import StudySettings
from vision_studies.stored_tables import read_table
from vision_studies.studies.results import COMPLETE, PRUNED
from vision_studies.studies.runs import Run
from vision_studies.studies.stacks import Record, execute_stacks
from vision_studies.studies.stages import Outcome, forget_run, pruned, read_stage, run_folder, was_pruned_otherwise

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.methods.hyperparameter_search import ArchitectureSearch, FinishedTrial

TRAINING, EVALUATION = "training", "evaluation"

Widths = tuple[int, ...]
Hyperparameters = dict[str, float]


@dataclass(frozen=True)
class Workplace:
    """All that a run needs besides its own settings."""

    settings: MlpTransferSettings
    study: StudySettings
    execution: ExecutionSettings
    data: "PreparedData"
    folder: Path

    def run(self, variant: str, trial: int, seed: int, widths: Widths, hyperparameters: Hyperparameters) -> Run:
        """One perceptron to train."""
        from vision_studies.methods.mlp_transfer import METHOD_VERSION

        return Run(
            "mlp_transfer",
            self.study.name,
            variant,
            trial,
            seed,
            self.settings.run(widths, hyperparameters),
            self.data.fingerprint,
            METHOD_VERSION,
        )


def train_runs(
    place: Workplace, runs: Sequence[Run], *, fresh: bool = False, searches: dict[str, "_Search"] | None = None
) -> None:
    """Train the runs that are not finished, shape by shape.

    Args:
        place: where and with what.
        runs: what to train.
        fresh: train again what is finished.
        searches: fingerprint of a run -> the search that may end it.
    """
    work = partial(_train, place=place, searches=searches or {})
    execute_stacks(runs, TRAINING, work, partial(_group, place), place.folder, place.execution, fresh=fresh)


def evaluate_runs(place: Workplace, runs: Iterable[Run]) -> None:
    """Score the trained ones of `runs` on the test split, once."""
    trained = [run for run in runs if _is_trained(place.folder, run)]
    work = partial(_evaluate, place=place)
    execute_stacks(trained, EVALUATION, work, _by_shape, place.folder, place.execution)


@dataclass(frozen=True)
class _Search:
    """A batch of an architecture's trials under a pruner.

    Attributes:
        finished: trials of earlier batches.
        architecture: number of the architecture.
    """

    finished: "Sequence[FinishedTrial]"
    architecture: int

    def begin(self, settings: MlpTransferSettings, stack: Sequence[Run]) -> "ArchitectureSearch":
        from vision_studies.methods.hyperparameter_search import ArchitectureSearch

        search = ArchitectureSearch(settings.search, self.architecture, self.finished, settings.training.epochs)
        search.begin([run.configuration["hyperparameters"] for run in stack])
        return search


def search_runs(place: Workplace, *, fresh: bool) -> list[Run]:
    """Draw and train the trials of every architecture, batch by batch.

    Returns:
        The runs of all trials.
    """
    done: list[Run] = []
    for runs, searches in search_batches(place):
        for run in pruned_otherwise(place, runs):
            forget_run(place.folder, run)
        train_runs(place, runs, fresh=fresh, searches=searches)
        done += runs
    names = [architecture_name(widths) for widths in place.settings.architectures]
    return sorted(done, key=lambda run: names.index(run.variant))


def search_batches(place: Workplace) -> Iterator[tuple[list[Run], dict[str, _Search]]]:
    """The trials of all architectures, batch by batch; a batch is drawn when the one before it has been trained.

    Yields:
        Runs, and the searches that may end them.
    """
    from vision_studies.methods.hyperparameter_search import ArchitectureSearch, quiet, shared_draws

    quiet()
    search = place.settings.search
    shared = shared_draws(search.space, search.trials, search.seed) if search.sampler.name == "shared" else None
    informed = shared is None or search.pruner is not None
    latest: dict[int, list[Run]] = {}
    known: dict[int, list[FinishedTrial]] = {number: [] for number in range(len(place.settings.architectures))}
    batch = search.batch or search.trials
    for start in range(0, search.trials, batch):
        count = min(batch, search.trials - start)
        runs: list[Run] = []
        searches: dict[str, _Search] = {}
        for number, widths in enumerate(place.settings.architectures):
            if informed:
                known[number] += [finished_trial(place, run) for run in latest.get(number, [])]
            finished = list(known[number])
            if shared is not None:
                drawn = shared[start : start + count]
            else:
                drawn = ArchitectureSearch(search, number, finished, place.settings.training.epochs).draw(count)
            own = [
                place.run(architecture_name(widths), start + trial, search.training_seed, widths, hyperparameters)
                for trial, hyperparameters in enumerate(drawn)
            ]
            if search.pruner is not None:
                searches |= {run.fingerprint: _Search(finished, number) for run in own}
            latest[number] = own
            runs += own
        yield runs, searches


def pruned_otherwise(place: Workplace, runs: Iterable[Run]) -> list[Run]:
    """The runs that a search with another pruner has ended."""
    pruner = pruner_name(place.settings.search.pruner)
    return [run for run in runs if was_pruned_otherwise(place.folder, run, TRAINING, pruner)]


def finished_trial(place: Workplace, run: Run) -> "FinishedTrial":
    """What Optuna is told of a trial."""
    from vision_studies.methods.hyperparameter_search import FinishedTrial, trial_values

    result = read_stage(place.folder, run, TRAINING) or {"status": "failed", "metrics": {}}
    validations = {}
    usable = result["status"] in (COMPLETE, PRUNED)
    if usable:
        file = run_folder(place.folder, run) / "history.parquet"
        history = read_table(file, "delete its folder and run the study again", ["epoch", "validation_loss"])
        validations = trial_values(history, "validation_loss")
    return FinishedTrial(
        hyperparameters=run.configuration["hyperparameters"],
        value=result["metrics"].get("validation_loss") if usable else None,
        pruned=result["status"] == PRUNED,
        validations=validations,
    )


def _is_trained(folder: Path, run: Run) -> bool:
    result = read_stage(folder, run, TRAINING)
    return result is not None and result["status"] == COMPLETE


def _by_shape(runs: Sequence[Run]) -> list[list[Run]]:
    def widths(run: Run) -> list[int]:
        return run.configuration["widths"]

    return [list(own) for _, own in groupby(sorted(runs, key=widths), key=widths)]


def _group(place: Workplace, runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Runs of one shape, as many at a time as the memory of a stack allows, in stacks of nearly equal size."""
    from vision_studies.methods.mlp_transfer import perceptron_bytes
    from vision_studies.training.members import divide_into_stacks

    stacks: list[Sequence[Run]] = []
    for own in _by_shape(runs):
        needed = perceptron_bytes(MlpRunSettings.model_validate(own[0].configuration), place.data)
        stacks += divide_into_stacks(own, needed, place.settings.stack.memory_mb)
    return stacks


def _train(
    stack: Sequence[Run], folder: Path, record: Record, *, place: Workplace, searches: dict[str, _Search]
) -> None:
    from vision_studies.methods import mlp_transfer
    from vision_studies.training.runtime import select_device

    def end(member: int, outcome: Outcome) -> None:
        pruner = pruner_name(place.settings.search.pruner)
        record(stack[member], pruned(outcome, pruner) if outcome.status == PRUNED and pruner else outcome)

    search = searches.get(stack[0].fingerprint)
    mlp_transfer.train_stack(
        [(MlpRunSettings.model_validate(run.configuration), run.seed) for run in stack],
        place.data,
        folder,
        select_device(place.execution.device),
        place.settings.stack,
        on_end=end,
        weights_file=lambda member: run_folder(place.folder, stack[member]) / mlp_transfer.WEIGHTS_FILE,
        prune=search.begin(place.settings, stack).should_prune if search else None,
    )


def _evaluate(stack: Sequence[Run], _folder: Path, record: Record, *, place: Workplace) -> None:
    from vision_studies.methods.mlp_transfer import evaluate_stack
    from vision_studies.training.runtime import select_device

    scored = [(MlpRunSettings.model_validate(run.configuration), run_folder(place.folder, run)) for run in stack]
    scores = evaluate_stack(scored, place.data, select_device(place.execution.device))
    for run, metrics in zip(stack, scores, strict=True):
        record(run, Outcome(metrics))
