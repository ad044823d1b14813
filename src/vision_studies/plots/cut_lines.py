"""Test accuracy of cuts against the share of the training images, on a logarithmic axis.

Tables as in `plots.cuts`. The upper right corner of every figure is left free for a stamp.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vision_studies.plots.cut_axes import (
    BASELINE,
    cut_handles,
    cut_looks,
    cut_name,
    cuts_of,
    fraction_label,
    fractions_of,
    legend_below,
    logarithmic_fractions,
    percent_of,
)
from vision_studies.plots.style import COLOURS, INK, SOFT, figure, footnote, heading, styled

_SIDE_BY_SIDE = 4
_APART = 0.008  # of the axis, between the error bars of two cuts


@styled
def difference_lines(table: pd.DataFrame, *, title: str = "Median of each cut minus that of the baseline") -> Figure:
    """Median of each cut minus the median of the baseline against the fraction, a line for each cut.

    Args:
        table: the accuracies of one mode and the baseline. Fractions without a baseline are left out.
        title: of the figure.
    """
    known = [fraction for fraction in fractions_of(table) if len(percent_of(table, fraction, BASELINE))]
    cuts = [cut for cut in cuts_of(table) if cut != BASELINE]
    looks = cut_looks(cuts)
    drawn = figure(9, 5.4)
    axes = drawn.subplots()
    axes.axhline(0, color=INK, linewidth=1.2)
    for cut in cuts:
        differences = [
            _of(np.median, percent_of(table, fraction, cut)) - np.median(percent_of(table, fraction, BASELINE))
            for fraction in known
        ]
        _line(axes, known, differences, looks[cut])
    logarithmic_fractions(axes, table[table["fraction"].isin(known)])
    axes.set(xlabel=fraction_label(table), ylabel="difference in test accuracy (points)")
    heading(drawn, title)
    drawn.legend(handles=cut_handles(looks), loc="outside right center")
    return drawn


@styled
def accuracy_lines(table: pd.DataFrame, *, title: str = "Mean test accuracy of each cut") -> Figure:
    """Mean and standard deviation (n - 1) of each cut and the baseline against the fraction.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions, cuts = fractions_of(table), cuts_of(table)
    looks = cut_looks(cuts)
    reach = max(float(np.ptp(np.log10(fractions))), 1.0) if fractions else 1.0
    drawn = figure(9.5, 5.6)
    axes = drawn.subplots()
    for place, cut in enumerate(cuts):
        # Error bars of one fraction stand side by side, or they would hide each other.
        shift = 10 ** ((place - (len(cuts) - 1) / 2) * _APART * reach)
        cells = [percent_of(table, fraction, cut) for fraction in fractions]
        means = [_of(np.mean, cell) for cell in cells]
        spreads = [cell.std(ddof=1) if len(cell) > 1 else 0.0 for cell in cells]
        places = [fraction * shift for fraction in fractions]
        axes.errorbar(
            places, means, yerr=spreads, fmt="none", ecolor=looks[cut]["color"], elinewidth=1, capsize=2, alpha=0.75
        )
        _line(axes, places, means, looks[cut])
    logarithmic_fractions(axes, table)
    axes.set(xlabel=fraction_label(table), ylabel="test accuracy (%)")
    heading(drawn, title)
    drawn.legend(handles=cut_handles(looks), loc="outside right center")
    footnote(drawn, "Bars: standard deviation over repeats. Within a share, cuts are set side by side.")
    return drawn


@styled
def range_lines(table: pd.DataFrame, *, title: str = "Median and range of the test accuracy") -> Figure:
    """Median with the band from the lowest to the highest run: a panel for each cut, over the baseline.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions = fractions_of(table)
    cuts = [cut for cut in cuts_of(table) if cut != BASELINE]
    columns = max(1, min(_SIDE_BY_SIDE, len(cuts)))
    rows = max(1, -(-len(cuts) // columns))
    drawn = figure(3.3 * columns + 1, 2.8 * rows + 1.2)
    panels = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, (axes, cut) in enumerate(zip(panels.flat, cuts, strict=False)):
        for own, colour, line in ((BASELINE, SOFT, "--"), (cut, COLOURS[0], "-")):
            cells = [percent_of(table, fraction, own) for fraction in fractions]
            axes.fill_between(
                fractions,
                [_of(np.min, cell) for cell in cells],
                [_of(np.max, cell) for cell in cells],
                color=colour,
                alpha=0.22,
                linewidth=0,
            )
            medians = [_of(np.median, cell) for cell in cells]
            axes.plot(fractions, medians, color=colour, linestyle=line, marker="o", markersize=4, linewidth=1.6)
        logarithmic_fractions(axes, table.assign(images=np.nan), apart=0.13)
        axes.tick_params(axis="x", labelsize=8.5)
        axes.set_title(cut_name(cut), fontsize=11)
        if place + columns >= len(cuts):
            axes.set_xlabel("share of the training images")
            axes.xaxis.set_tick_params(labelbottom=True)
    for axes in panels.flat[len(cuts) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("test accuracy (%)")
    heading(drawn, title)
    handles = [
        Line2D([], [], color=COLOURS[0], marker="o", markersize=4, label="median of the cut"),
        Patch(color=COLOURS[0], alpha=0.22, label="its lowest to highest run"),
    ]
    if BASELINE in cuts_of(table):
        handles += [
            Line2D([], [], color=SOFT, linestyle="--", marker="o", markersize=4, label="median of the baseline"),
            Patch(color=SOFT, alpha=0.22, label="its lowest to highest run"),
        ]
    legend_below(drawn, handles, columns=4)
    return drawn


def _line(axes: Axes, places: list[float], values: list[float], look: dict) -> None:
    """A line over the fractions that have a value: one that was not run does not break it."""
    known = [place for place, value in enumerate(values) if not np.isnan(value)]
    axes.plot([places[own] for own in known], [values[own] for own in known], linewidth=1.6, markersize=6, **look)


def _of(reduce: Callable[[np.ndarray], Any], values: np.ndarray) -> float:
    return float(reduce(values)) if len(values) else np.nan
