"""What is done to the runs of `mlp_transfer`: the search batch by batch, retraining, transfer and scoring, in stacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.search import pruner_name
from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE, PRUNED, Outcome
from vision_studies.pipelines.mlp_transfer.plan import (
    Perceptrons,
    choose_hyperparameters,
    home_runs,
    perceptron_run,
    transfer_cells,
    without,
)
from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, MlpTransferSettings, architecture_name
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Known, Later, Record, Stage, Steps, pruned_otherwise

if TYPE_CHECKING:
    from vision_studies.pipelines.mlp_transfer.search import ArchitectureSearch, FinishedTrial

TRAINING, EVALUATION = "training", "evaluation"
SEARCH, TRIAL_SCORES, RETRAINING, TRANSFER, TRANSFER_SCORES = (
    "search",
    "trial scores",
    "retraining",
    "transfer",
    "transfer scores",
)


def stages(context: Perceptrons, known: Known) -> Steps:
    """Search, then retraining at home and elsewhere, which are known when the search has ended.

    Args:
        context: where and with what.
        known: `best`, what the search has found, and `trials`, fingerprints of its runs, where they have been saved.
    """
    best, trials = known.get("best"), known.get("trials", ())
    if best is None:
        runs, reason = yield from _searched(context)
        if reason is None:
            try:
                best = choose_hyperparameters(context, context.table(runs, [TRAINING]))
            except DataError as error:  # the run stops here and says so
                reason = str(error)
        if best is None:
            architectures, seeds = len(context.settings.architectures), len(context.settings.seeds)
            counts = {RETRAINING: architectures * seeds, TRANSFER: architectures * (architectures - 1) * seeds}
            for label, count in counts.items():
                if count:
                    yield Later(label, count, reason)
            return
        trials = [run.fingerprint for run in runs]
    home = home_runs(context, best)
    # In the published protocol one of the seeds is the search's own: that run is there already.
    yield _training(context, without(home, trials), RETRAINING)
    yield _evaluation(context, home, EVALUATION)
    elsewhere = without(
        [run for *_, run in transfer_cells(context, best)], {*trials, *(run.fingerprint for run in home)}
    )
    yield _training(context, elsewhere, TRANSFER)
    yield _evaluation(context, elsewhere, TRANSFER_SCORES)


def most_runs(settings: MlpTransferSettings) -> int:
    """How many trainings there are at most, found without data."""
    architectures = len(settings.architectures)
    return architectures * settings.search.trials + architectures**2 * len(settings.seeds)


def search_batches(context: Perceptrons) -> "Iterator[tuple[list[Run], dict[str, Search]]]":
    """The trials of all architectures, batch by batch; a batch is drawn when the one before it has been trained.

    Yields:
        Runs, and the searches that may end them.
    """
    from vision_studies.pipelines.mlp_transfer.search import ArchitectureSearch, quiet, shared_draws

    quiet()
    settings, search = context.settings, context.settings.search
    shared = shared_draws(search.space, search.trials, search.seed) if search.sampler.name == "shared" else None
    informed = shared is None or search.pruner is not None
    latest: dict[int, list[Run]] = {}
    known: dict[int, list[FinishedTrial]] = {number: [] for number in range(len(settings.architectures))}
    batch = search.batch or search.trials
    for start in range(0, search.trials, batch):
        count = min(batch, search.trials - start)
        runs: list[Run] = []
        searches: dict[str, Search] = {}
        for number, widths in enumerate(settings.architectures):
            if informed:
                known[number] += [finished_trial(context.runs, run) for run in latest.get(number, [])]
            finished = list(known[number])
            if shared is not None:
                drawn = shared[start : start + count]
            else:
                drawn = ArchitectureSearch(search, number, finished, settings.training.epochs).draw(count)
            name = architecture_name(widths)
            latest[number] = [
                perceptron_run(context, name, search.training_seed, widths, hyperparameters, start + trial)
                for trial, hyperparameters in enumerate(drawn)
            ]
            if search.pruner is not None:
                searches |= {run.fingerprint: Search(finished, number) for run in latest[number]}
            runs += latest[number]
        yield runs, searches


@dataclass(frozen=True)
class Search:
    """A batch of an architecture's trials under a pruner.

    Attributes:
        finished: trials of earlier batches.
        architecture: number of the architecture.
    """

    finished: "Sequence[FinishedTrial]"
    architecture: int

    def begin(self, settings: MlpTransferSettings, stack: Sequence[Run]) -> "ArchitectureSearch":
        """Watch the trials of a stack."""
        from vision_studies.pipelines.mlp_transfer.search import ArchitectureSearch

        search = ArchitectureSearch(settings.search, self.architecture, self.finished, settings.training.epochs)
        search.begin([run.configuration["hyperparameters"] for run in stack])
        return search


def finished_trial(store: RunStore, run: Run) -> "FinishedTrial":
    """What Optuna is told of a trial."""
    from vision_studies.pipelines.mlp_transfer.search import FinishedTrial, trial_values

    result = store.result(run, TRAINING) or {"status": "failed", "metrics": {}}
    usable = result["status"] in (COMPLETE, PRUNED)
    history = store.history(run, ["epoch", "validation_loss"]) if usable else None
    return FinishedTrial(
        hyperparameters=run.configuration["hyperparameters"],
        value=result["metrics"].get("validation_loss") if usable else None,
        pruned=result["status"] == PRUNED,
        validations={} if history is None else trial_values(history, "validation_loss"),
    )


def _searched(context: Perceptrons) -> Steps:
    """Draw and train the trials of every architecture, batch by batch.

    Returns:
        The runs of all trials that are known, and why not all of them have ended; None where they have.
    """
    settings = context.settings
    runs: list[Run] = []
    has_ended = True
    for batch, searches in search_batches(context):
        runs += batch
        has_ended &= yield _training(context, batch, SEARCH, searches)
        if not has_ended and settings.search.sampler.name == "tpe":
            break
    missing = settings.search.trials * len(settings.architectures) - len(runs)
    if missing:
        yield Later(SEARCH, missing, "drawn from what the trials before them find")
    if settings.protocol == "published":  # the original scores every trial; nothing is chosen by it
        yield _evaluation(context, runs, TRIAL_SCORES)
    return runs, None if has_ended and not missing else "the search chooses their hyperparameters"


def _training(
    context: Perceptrons, runs: Sequence[Run], title: str, searches: Mapping[str, Search] | None = None
) -> Stage:
    pruner = pruner_name(context.settings.search.pruner)
    again = partial(_pruned_otherwise, pruner=pruner) if title == SEARCH else None
    work = partial(_train, context=context, searches=searches or {})
    return Stage(TRAINING, runs, work, partial(_stacks, context), title=title, again=again)


def _evaluation(context: Perceptrons, runs: Sequence[Run], title: str) -> Stage:
    work = partial(_evaluate, context=context)
    return Stage(EVALUATION, runs, work, _by_shape, title=title, verb="score", after=TRAINING)


def _pruned_otherwise(result: Mapping[str, Any], *, pruner: str | None) -> str | None:
    return "a search with another pruner had ended it" if pruned_otherwise(result, pruner) else None


def _by_shape(runs: Sequence[Run]) -> list[list[Run]]:
    def widths(run: Run) -> list[int]:
        return run.configuration["widths"]

    return [list(alike) for _, alike in groupby(sorted(runs, key=widths), key=widths)]


def _stacks(context: Perceptrons, runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Runs of one shape, as many at a time as the memory of a stack allows, in stacks of nearly equal size."""
    from vision_studies.pipelines.mlp_transfer.work import perceptron_bytes
    from vision_studies.training.ensemble import divide_into_stacks

    stacks: list[Sequence[Run]] = []
    for alike in _by_shape(runs):
        needed = perceptron_bytes(MlpRunSettings.model_validate(alike[0].configuration), context.images)
        stacks += divide_into_stacks(alike, needed, context.settings.stack.memory_mb)
    return stacks


def _train(
    stack: Sequence[Run], folder: Path, record: Record, *, context: Perceptrons, searches: Mapping[str, Search]
) -> None:
    from vision_studies.pipelines.mlp_transfer import work as mlp_transfer
    from vision_studies.training.runtime import select_device

    pruner = pruner_name(context.settings.search.pruner)

    def end(member: int, outcome: Outcome) -> None:
        record(stack[member], outcome.pruned_by(pruner) if outcome.status == PRUNED and pruner else outcome)

    search = searches.get(stack[0].fingerprint)
    mlp_transfer.train_stack(
        [(MlpRunSettings.model_validate(run.configuration), run.seed) for run in stack],
        context.images,
        folder,
        select_device(context.execution.device),
        context.settings.stack,
        on_end=end,
        weights_file=lambda member: context.runs.path(stack[member], mlp_transfer.WEIGHTS_FILE),
        prune=search.begin(context.settings, stack).should_prune if search else None,
    )


def _evaluate(stack: Sequence[Run], _folder: Path, record: Record, *, context: Perceptrons) -> None:
    from vision_studies.pipelines.mlp_transfer.work import evaluate_stack
    from vision_studies.training.runtime import select_device

    scored = [(MlpRunSettings.model_validate(run.configuration), context.runs.path(run)) for run in stack]
    scores = evaluate_stack(scored, context.images, select_device(context.execution.device))
    for run, metrics in zip(stack, scores, strict=True):
        record(run, Outcome(metrics))
