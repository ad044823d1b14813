"""The runs of `transfer_cuts`, and what is done to them: pretraining, fine-tuning in stacks, and scoring."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.classifiers.transferability import SCORES
from vision_studies.costs import Costs
from vision_studies.errors import DataError, ParameterError, guess
from vision_studies.files import hash_file
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.pipelines.transfer_cuts.settings import (
    BASELINE,
    BASELINE_CUT,
    CutRunSettings,
    ImportedRunSettings,
    TransferCutsSettings,
    mode_label,
    read_pretraining,
)
from vision_studies.project_folders import in_project
from vision_studies.studies.method import WEIGHTS_FILE, Context, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Known, Record, Stage, Steps, alike

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.transfer_cuts.costs import CutCosts
    from vision_studies.pipelines.transfer_cuts.work import CutRun

PRETRAINING, TRAINING, EVALUATION = "pretraining", "training", "evaluation"
FINE_TUNING = "fine-tuning"

Cuts = Context[TransferCutsSettings]


@dataclass(frozen=True)
class Cell:
    """A cell of the study's table; several may be one and the same run."""

    mode: str  # what is done at the cut, or `baseline`
    cut: int  # convolutions before the cut; -1 for the baseline
    fraction: float  # share of the training images
    run: Run


def check(context: Cuts) -> None:
    """Divide the classes, and draw every subset. Raises DataError where the images are none to learn from, a class is unknown
    or stands among first and new ones, or a fraction leaves a class without an image.
    """
    check_images(context.images)
    check_backbone(context)
    if unknown := [name for name in context.settings.scores if name not in SCORES]:
        raise ParameterError(
            f"transfer_cuts.scores has '{unknown[0]}', which is no score.{guess(unknown[0], list(SCORES))} There are: "
            f"{', '.join(SCORES)}."
        )
    check_subsets(context.images, [cell.run for cell in study_cells(context)])


def stages(context: Cuts, _: Known) -> Steps:
    """Pretraining, fine-tuning and evaluation."""
    check(context)
    runs = [cell.run for cell in study_cells(context)]
    yield Stage(
        PRETRAINING,
        pretraining_runs(context),
        Alone(partial(_pretrain, context=context)),
        partial(_pretraining_costs, context=context),
        verb="train" if context.settings.trains_networks else "read",
        required=("pretraining", "transfer_cuts.pretraining.optimizer.learning_rate"),
    )
    tuning, scoring = (partial(cost, context=context) for cost in (_tuning_costs, _scoring_costs))
    yield Stage(TRAINING, runs, partial(_train, context=context), tuning, partial(_stacks, context), title=FINE_TUNING)
    evaluating = partial(_evaluate, context=context)
    yield Stage(EVALUATION, runs, evaluating, scoring, _by_layers, verb="score", after=TRAINING)


def most_runs(settings: TransferCutsSettings) -> int:
    """How many trainings there are at most, counted without data: several cells of the table may be one run."""
    points = 1 + sum(len(settings.cut_points(mode)) for mode in settings.modes)
    return settings.networks + points * sum(subset.repeats for subset in settings.subsets)


def study_classes(context: Context[Any], settings: TransferCutsSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First and new classes, by name. Raises DataError where a class is unknown, or stands among both."""
    from vision_studies.data.subsets import resolve_classes

    names = context.images.image_set.class_names
    first, new = (
        resolve_classes(getattr(settings.classes, key), names, f"transfer_cuts.classes.{key}")
        for key in ("pretraining", "fine_tuning")
    )
    both = [name for name in new if name in first]
    if both:
        raise DataError(
            f"transfer_cuts.classes: '{both[0]}' is among the classes of pretraining and of fine_tuning; new classes "
            "must not have been seen: take it out of one of the two."
        )
    return first, new


def pretraining_runs(context: Cuts) -> list[Run]:
    """One a pretraining seed, or one a file, or the one of a pretrained network. Raises ParameterError where a file is not
    there, and as `backbones.described`.
    """
    settings = context.settings
    classes = study_classes(context, settings)[0]
    if isinstance(settings.whole_network, BackboneNetSettings):
        return [context.run("pretraining", 0, settings.imported_run(classes, settings.whole_network.weights))]
    if settings.pretraining.weights_files is None:
        configuration = settings.pretraining_run(classes)
        return [context.run("pretraining", seed, configuration) for seed in settings.pretraining.seeds]
    for file in settings.pretraining.weights_files:
        if not in_project(file).is_file():
            raise ParameterError(
                f"transfer_cuts.pretraining.weights_files has {file}, which does not exist; put the file there, or set it to "
                "null to train networks."
            )
    hashes = [hash_file(in_project(file)) for file in settings.pretraining.weights_files]
    return [
        context.run("pretraining", number, settings.imported_run(classes, weights_hash))
        for number, weights_hash in enumerate(hashes)
    ]


def study_cells(context: Cuts) -> list[Cell]:
    """All cells of the study's table, fraction by fraction; the baseline is the first of each."""
    settings, classes = context.settings, study_classes(context, context.settings)[1]
    pretrained = [run.fingerprint for run in pretraining_runs(context)]
    points = [(BASELINE, BASELINE_CUT)] + [(mode, cut) for mode in settings.modes for cut in settings.cut_points(mode)]
    cells = []
    for subset in settings.subsets:
        for mode, cut in points:
            for repeat in range(subset.repeats):
                first = pretrained[repeat % len(pretrained)]
                configuration = settings.run(mode, max(cut, 0), subset.fraction, classes, first)
                run = context.run(cell_name(mode, cut, subset.fraction), repeat, configuration)
                cells.append(Cell(mode, cut, subset.fraction, run))
    return cells


def cell_name(mode: str, cut: int, fraction: float) -> str:
    """How a cell of the table is called, as in `1 %: FR, cut 4`."""
    point = f", cut {cut}" if cut >= 0 and mode != "fine_tune" else ""
    return f"{share_name(fraction)}: {mode_label(mode)}{point}"


def share_name(fraction: float) -> str:
    """How a share of the images is called, as in `0.1 %`."""
    return f"{100 * fraction:.4g} %"


def check_backbone(context: Cuts) -> None:
    """Open the pretrained network, where one is cut.

    Raises:
        BackboneError: there is no such network, its weights are not here, or it cannot be cut.
        ParameterError: it has fewer blocks than a cut, takes images of another size, or was trained on the study's own images.
    """
    settings, network = context.settings, context.settings.whole_network
    if settings.pretrained is None:
        return
    from vision_studies.serving.trained_backbones import require_unseen

    require_unseen(settings.pretrained.backbone, context.images.image_set.name, "transfer_cuts.pretrained.backbone")
    outside = [cut for cut in settings.cuts or () if cut > network.depth]
    if outside:
        raise ParameterError(
            f"transfer_cuts.cuts has {outside[0]}, but {settings.pretrained.backbone} has {network.depth} blocks; leave it out."
        )


def check_subsets(data: "PreparedData", runs: Iterable[Run]) -> None:
    """Draw every subset before anything is trained. Raises DataError where a fraction leaves a class without an image."""
    from vision_studies.pipelines.transfer_cuts.work import subset

    for run in {run.configuration["fraction"]: run for run in runs}.values():
        subset(CutRunSettings.model_validate(run.configuration), run.seed, data)


def _layers(run: Run) -> tuple[Any, ...]:
    """Runs that share it have the same layers behind the same features; in its order, features are computed once."""
    cut = run.configuration["cut"]
    return cut["frozen"], run.configuration["pretrained"] or "", cut["transferred"], cut["kept"], cut["new_dense"]


_by_layers = partial(alike, key=_layers)


def _stacks(context: Cuts, runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Runs of equal layers and fraction, as many at a time as the memory of a stack allows."""
    from vision_studies.pipelines.transfer_cuts.work import member_bytes
    from vision_studies.training.ensemble import divide_into_stacks

    stacks: list[Sequence[Run]] = []
    for members in alike(runs, lambda run: (_layers(run), run.configuration["fraction"])):
        needed = member_bytes(_cut_run(context, members[0]), context.images)
        stacks += divide_into_stacks(members, needed, context.settings.stack.memory_mb)
    return stacks


def _costs(context: Cuts, runs: Sequence[Run]) -> "CutCosts":
    from vision_studies.pipelines.transfer_cuts.costs import CutCosts

    configuration = runs[0].configuration
    tuned = "cut" in configuration
    settings = CutRunSettings.model_validate(configuration) if tuned else read_pretraining(configuration)
    return CutCosts(settings, context.images, context.device, context.settings.stack)


def _pretraining_costs(runs: Sequence[Run], *, context: Cuts) -> Costs:
    return _costs(context, runs).pretraining()


def _tuning_costs(stack: Sequence[Run], *, context: Cuts) -> Costs:
    first, subsets = read_pretraining(pretraining_runs(context)[0].configuration), context.settings.subsets
    return _costs(context, stack).fine_tuning(first, len(stack), stack[0].seed, shared=len(subsets))


def _scoring_costs(stack: Sequence[Run], *, context: Cuts) -> Costs:
    return _costs(context, stack).scoring(len(stack), stack[0].seed)


def _cut_run(context: Cuts, run: Run) -> "CutRun":
    from vision_studies.pipelines.transfer_cuts.work import CutRun

    settings = CutRunSettings.model_validate(run.configuration)
    if settings.pretrained is None:
        return CutRun(settings, run.seed, None, None)
    first = next(earlier for earlier in pretraining_runs(context) if earlier.fingerprint == settings.pretrained)
    weights = context.runs.path(first, WEIGHTS_FILE)
    return CutRun(settings, run.seed, weights, read_pretraining(first.configuration))


def _pretrain(run: Run, folder: Path, *, context: Cuts) -> Outcome:
    from vision_studies.pipelines.transfer_cuts.work import import_network, pretrain, take_backbone

    settings = read_pretraining(run.configuration)
    if isinstance(settings.network, BackboneNetSettings) and isinstance(settings, ImportedRunSettings):
        return take_backbone(settings, context.images, folder, context.device)
    if isinstance(settings, ImportedRunSettings):
        file = in_project((context.settings.pretraining.weights_files or ())[run.seed])
        return import_network(settings, file, context.images, folder, context.device)
    return pretrain(settings, run.seed, context.images, folder, context.device, context.settings.stack)


def _train(stack: Sequence[Run], folder: Path, record: Record, *, context: Cuts) -> None:
    from vision_studies.pipelines.transfer_cuts.work import train_stack

    train_stack(
        [_cut_run(context, run) for run in stack],
        context.images,
        folder,
        context.device,
        context.settings.stack,
        on_end=lambda member, outcome: record(stack[member], outcome),
        weights_file=lambda member: context.runs.path(stack[member], WEIGHTS_FILE),
    )


def _evaluate(stack: Sequence[Run], _folder: Path, record: Record, *, context: Cuts) -> None:
    from vision_studies.pipelines.transfer_cuts.work import evaluate_stack

    store = context.runs
    files = [(_cut_run(context, run), store.path(run, WEIGHTS_FILE)) for run in stack]
    for run, outcome in zip(stack, evaluate_stack(files, context.images, context.device), strict=True):
        others = store.metrics(run, TRAINING)["other_metrics"] | outcome.metrics["other_metrics"]
        record(run, replace(outcome, metrics=outcome.metrics | {"other_metrics": others}))
