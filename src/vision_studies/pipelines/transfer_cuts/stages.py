"""What is done to the runs of `transfer_cuts`: pretraining, fine-tuning in stacks, and scoring."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.outcomes import Outcome
from vision_studies.pipelines.transfer_cuts.plan import Cuts, pretraining_runs, study_cells
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, PretrainingRunSettings, TransferCutsSettings
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Known, Record, Stage, Steps

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.transfer_cuts.work import CutRun

PRETRAINING, TRAINING, EVALUATION = "pretraining", "training", "evaluation"
FINE_TUNING = "fine-tuning"


def stages(context: Cuts, _: Known) -> Steps:
    """Pretraining, fine-tuning and evaluation."""
    runs = [cell.run for cell in study_cells(context)]
    check_subsets(context.images, runs)
    yield Stage(
        PRETRAINING,
        pretraining_runs(context),
        Alone(partial(_pretrain, context=context)),
        required=("pretraining", "transfer_cuts.pretraining.optimizer.learning_rate"),
    )
    yield Stage(TRAINING, runs, partial(_train, context=context), partial(_stacks, context), title=FINE_TUNING)
    yield Stage(EVALUATION, runs, partial(_evaluate, context=context), _by_layers, verb="score", after=TRAINING)


def most_runs(settings: TransferCutsSettings) -> int:
    """How many trainings there are at most, found without data: places of the table may be one run."""
    points = 1 + sum(len(settings.cut_points(mode)) for mode in settings.modes)
    return len(settings.pretraining.seeds) + points * sum(subset.repeats for subset in settings.subsets)


def check_subsets(data: "PreparedData", runs: Iterable[Run]) -> None:
    """Draw every subset before anything is trained.

    Raises:
        DataError: a fraction leaves a class without an image.
    """
    from vision_studies.pipelines.transfer_cuts.work import subset

    for run in {run.configuration["fraction"]: run for run in runs}.values():
        subset(CutRunSettings.model_validate(run.configuration), run.seed, data)


def _layers(run: Run) -> tuple[Any, ...]:
    """Runs that share it have the same layers behind the same features; in its order, features are computed once."""
    cut = run.configuration["cut"]
    return cut["frozen"], run.configuration["pretrained"] or "", cut["transferred"], cut["kept"], cut["new_dense"]


def _by_layers(runs: Sequence[Run]) -> list[list[Run]]:
    return [list(alike) for _, alike in groupby(sorted(runs, key=_layers), key=_layers)]


def _stacks(context: Cuts, runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Runs of equal layers and fraction, as many at a time as the memory of a stack allows."""
    from vision_studies.pipelines.transfer_cuts.work import member_bytes
    from vision_studies.training.ensemble import divide_into_stacks

    stacks: list[Sequence[Run]] = []
    for same_layers in _by_layers(runs):
        for _, alike in groupby(sorted(same_layers, key=_fraction), key=_fraction):
            members = list(alike)
            needed = member_bytes(_cut_run(context, members[0]), context.images)
            stacks += divide_into_stacks(members, needed, context.settings.stack.memory_mb)
    return stacks


def _fraction(run: Run) -> float:
    return float(run.configuration["fraction"])


def _cut_run(context: Cuts, run: Run) -> "CutRun":
    from vision_studies.pipelines.transfer_cuts.cut_networks import WEIGHTS_FILE
    from vision_studies.pipelines.transfer_cuts.work import CutRun

    settings = CutRunSettings.model_validate(run.configuration)
    if settings.pretrained is None:
        return CutRun(settings, run.seed, None, None)
    first = next(earlier for earlier in pretraining_runs(context) if earlier.fingerprint == settings.pretrained)
    weights = context.runs.path(first, WEIGHTS_FILE)
    return CutRun(settings, run.seed, weights, PretrainingRunSettings.model_validate(first.configuration))


def _pretrain(run: Run, folder: Path, *, context: Cuts) -> Outcome:
    from vision_studies.pipelines.transfer_cuts.work import pretrain
    from vision_studies.training.runtime import select_device

    settings = PretrainingRunSettings.model_validate(run.configuration)
    device = select_device(context.execution.device)
    return pretrain(settings, run.seed, context.images, folder, device, context.settings.stack)


def _train(stack: Sequence[Run], folder: Path, record: Record, *, context: Cuts) -> None:
    from vision_studies.pipelines.transfer_cuts.cut_networks import WEIGHTS_FILE
    from vision_studies.pipelines.transfer_cuts.work import train_stack
    from vision_studies.training.runtime import select_device

    train_stack(
        [_cut_run(context, run) for run in stack],
        context.images,
        folder,
        select_device(context.execution.device),
        context.settings.stack,
        on_end=lambda member, outcome: record(stack[member], outcome),
        weights_file=lambda member: context.runs.path(stack[member], WEIGHTS_FILE),
    )


def _evaluate(stack: Sequence[Run], _folder: Path, record: Record, *, context: Cuts) -> None:
    from vision_studies.pipelines.transfer_cuts.cut_networks import WEIGHTS_FILE
    from vision_studies.pipelines.transfer_cuts.work import evaluate_stack
    from vision_studies.training.runtime import select_device

    store = context.runs
    files = [(_cut_run(context, run), store.path(run, WEIGHTS_FILE)) for run in stack]
    scores = evaluate_stack(files, context.images, select_device(context.execution.device))
    for run, metrics in zip(stack, scores, strict=True):
        known = store.metrics(run, TRAINING)["other_metrics"]
        record(run, Outcome(metrics | {"other_metrics": known | metrics["other_metrics"]}))
