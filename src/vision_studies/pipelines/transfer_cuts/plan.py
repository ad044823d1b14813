"""The runs of `transfer_cuts`: networks that learn the first classes, and places of the table."""

from dataclasses import dataclass
from typing import Any

from vision_studies.errors import DataError
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, TransferCutsSettings
from vision_studies.studies.method import Context
from vision_studies.studies.runs import Run

Cuts = Context[TransferCutsSettings]


@dataclass(frozen=True)
class Cell:
    """A place in the study's table; several may be one and the same run.

    Attributes:
        mode: what is done at the cut, or `baseline`.
        cut: convolutions before the cut; -1 for the baseline.
        fraction: share of the training images.
        run: what is trained.
    """

    mode: str
    cut: int
    fraction: float
    run: Run


def study_classes(context: Context[Any], settings: TransferCutsSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First and new classes, by name.

    Raises:
        DataError: a class is unknown, or stands among both.
    """
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
    """One a pretraining seed."""
    settings = context.settings
    configuration = settings.pretraining_run(study_classes(context, settings)[0])
    return [context.run("pretraining", seed, configuration) for seed in settings.pretraining.seeds]


def study_cells(context: Cuts) -> list[Cell]:
    """All places of the study's table, fraction by fraction; the baseline is the first of each."""
    settings, classes = context.settings, study_classes(context, context.settings)[1]
    pretrained = [run.fingerprint for run in pretraining_runs(context)]
    points = [(BASELINE, -1)] + [(mode, cut) for mode in settings.modes for cut in settings.cut_points(mode)]
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
    """How a place of the table is called, as in `1 %: FR, cut 4`."""
    from vision_studies.pipelines.transfer_cuts.rankings import mode_label

    point = f", cut {cut}" if cut >= 0 and mode != "fine_tune" else ""
    return f"{share_name(fraction)}: {mode_label(mode)}{point}"


def share_name(fraction: float) -> str:
    """How a share of the images is called, as in `0.1 %`."""
    return f"{100 * fraction:.4g} %"
