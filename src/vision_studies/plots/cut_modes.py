"""What is done at a cut, one way beside another."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.plots.cut_axes import BASELINE, fractions_of, images_of, percent_of, percentage
from vision_studies.plots.style import COLOURS, SOFT, figure, footnote, heading, styled

_COLUMNS = 3  # panels side by side
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
    columns = min(_COLUMNS, len(fractions))
    rows = -(-len(fractions) // columns)
    drawn = figure(3.7 * columns + 0.8, 3.1 * rows + 1.3)
    panels = np.atleast_1d(drawn.subplots(rows, columns, sharex=True, squeeze=False)).ravel()
    for axes, fraction in zip(panels, fractions, strict=False):
        _panel(axes, table[table["fraction"] == fraction], fraction, labels)
    for axes in panels[len(fractions) :]:
        axes.remove()
    for place, axes in enumerate(panels[: len(fractions)]):
        if place + columns >= len(fractions):
            axes.set_xlabel("convolutions before the cut")
            axes.tick_params(labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel("test accuracy (%)")
    heading(drawn, title)
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside lower right", ncols=len(names))
    footnote(drawn, "Bars and band: standard deviation over repeats.")
    return drawn


def _panel(axes: Axes, table: pd.DataFrame, fraction: float, labels: dict[str, str]) -> None:
    images = images_of(table, fraction)
    axes.set_title(f"{percentage(fraction)} of the images" + (f" ({images})" if images else ""))
    baseline = percent_of(table, fraction, BASELINE)
    if len(baseline):
        mean, spread = baseline.mean(), baseline.std(ddof=1) if len(baseline) > 1 else 0.0
        axes.axhline(mean, color=SOFT, linestyle="--", label="baseline")
        axes.axhspan(mean - spread, mean + spread, color=SOFT, alpha=0.12, linewidth=0)
    for place, (mode, label) in enumerate(labels.items()):
        own = table[table["mode"] == mode]
        cuts = sorted(own["cut"].unique())
        cells = [percent_of(own, fraction, cut) for cut in cuts]
        known = [(cut, cell) for cut, cell in zip(cuts, cells, strict=True) if len(cell)]
        shift = (place - (len(labels) - 1) / 2) * _APART
        axes.errorbar(
            [cut + shift for cut, _ in known],
            [cell.mean() for _, cell in known],
            yerr=[cell.std(ddof=1) if len(cell) > 1 else 0.0 for _, cell in known],
            color=COLOURS[place % len(COLOURS)],
            marker="osD^v"[place % 5],
            markersize=5,
            capsize=2,
            label=label,
        )
    axes.set_xticks(sorted(cut for cut in table["cut"].unique() if cut != BASELINE))
