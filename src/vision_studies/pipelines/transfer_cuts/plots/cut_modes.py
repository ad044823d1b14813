"""What is done at a cut, one way beside another."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.panels import finished, side_by_side, small_multiples
from vision_studies.figures.style import MARKERS, SOFT, colour, styled
from vision_studies.pipelines.transfer_cuts.plots.cut_axes import (
    BASELINE,
    deviation,
    fractions_of,
    percent_of,
    share_name,
)

_APART = 0.07  # of a cut, between the error bars of two modes


@styled
def mode_lines(table: pd.DataFrame, labels: dict[str, str], *, title: str = "Test accuracy at every cut") -> Figure:
    """Mean and standard deviation (n - 1) of each mode against the cut, over the baseline; a panel for each fraction.

    Args:
        table: accuracies of any number of modes and the baseline: mode, cut, fraction, test_accuracy, and images where known.
        labels: mode -> what it is called; they are drawn in this order.
        title: of the figure.
    """
    fractions = fractions_of(table)
    panels = small_multiples(len(fractions), columns=3, size=(3.7, 3.1), margin=(0.8, 1.3), sharex=True)
    for axes, fraction in zip(panels.axes, fractions, strict=True):
        _panel(axes, table[table["fraction"] == fraction], fraction, labels)
    panels.label("convolutions before the cut", "test accuracy (%)")
    handles, _ = panels.axes[0].get_legend_handles_labels()
    small_print = "Bars and band: standard deviation over repeats."
    return finished(
        panels.figure, title, legend=handles, columns=len(handles), small_print=small_print, loc="outside lower right"
    )


def _panel(axes: Axes, table: pd.DataFrame, fraction: float, labels: dict[str, str]) -> None:
    axes.set_title(share_name(table, fraction))
    baseline = percent_of(table, fraction, BASELINE)
    if len(baseline):
        ends = baseline.mean() + deviation(baseline) * np.array([-1, 1])
        axes.axhline(baseline.mean(), color=SOFT, linestyle="--", label="baseline")
        axes.axhspan(*ends, color=SOFT, alpha=0.12, linewidth=0)
    for number, ((mode, label), shift) in enumerate(
        zip(labels.items(), side_by_side(len(labels), _APART), strict=True)
    ):
        rows = table[table["mode"] == mode]
        cells = {cut: percent_of(rows, fraction, cut) for cut in sorted(rows["cut"].unique())}
        known = {cut: cell for cut, cell in cells.items() if len(cell)}
        axes.errorbar(
            [cut + shift for cut in known],
            [cell.mean() for cell in known.values()],
            yerr=[deviation(cell) for cell in known.values()],
            color=colour(number),
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            capsize=2,
            label=label,
        )
    axes.set_xticks(sorted(cut for cut in table["cut"].unique() if cut != BASELINE))
