"""Figures of one study or of several, from the tables that they have saved."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

from matplotlib.figure import Figure

from vision_studies.pipelines.alphanet import long_tail
from vision_studies.pipelines.alphanet.figures import class_figures
from vision_studies.pipelines.alphanet.plots import accuracies, neighbours
from vision_studies.pipelines.alphanet.saved_experiments import SavedTables
from vision_studies.statistics.interval_kinds import Interval

SPLITS = {"points", "point_gains", "lines", "line_gains"}
"""Figures of the splits; others are named as `class_figures` does, or `coefficients`."""


def joint_figures(
    tables: SavedTables, names: Collection[str], *, metric: str = "top_1", confidence: float, interval: Interval
) -> Iterator[tuple[str, Figure]]:
    """Figures by name, each with all experiments of all studies.

    Args:
        tables: of the studies, joined.
        names: which: of `SPLITS`, of `class_figures`, or `coefficients`. Lines against rho, or against the number of
            neighbours, are drawn where it varies.
        metric: of the splits.
        confidence: of all intervals.
        interval: their kind.
    """
    intervals: dict[str, Any] = {"confidence": confidence, "interval": interval}
    improved = tables.accuracies[~tables.accuracies["baseline"].astype(bool)]
    settings: tuple[Literal["rho", "neighbours"], ...] = ("rho", "neighbours")
    over = next((name for name in settings if improved[name].nunique() > 1), None)
    for gain in (False, True):
        points, lines = ("point_gains", "line_gains") if gain else ("points", "lines")
        if not {points, lines} & {*names}:
            continue
        summary = long_tail.summarise(
            tables.accuracies, metric=metric, gain=gain, confidence=confidence, interval=interval
        )
        options: dict[str, Any] = {"gain": gain, "metric": metric, **intervals}
        if points in names:
            yield points, accuracies.split_points(summary, **options)
        if lines in names and over is not None:
            yield lines, accuracies.split_lines(summary, over=over, **options)
    wanted = {*names} - SPLITS - {"coefficients"}
    if wanted:
        yield from (
            (name, figure) for name, figure in class_figures(tables.class_accuracies, **intervals) if name in wanted
        )
    if "coefficients" in names:
        yield "coefficients", neighbours.coefficient_densities(tables.combinations)
