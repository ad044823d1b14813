"""Test accuracy of cuts against the share of the training images, on a logarithmic axis.

Tables as in `plots.cuts`. The upper right corner of every figure is left free for a stamp.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.figures.panels import finished, key, side_by_side, single, small_multiples
from vision_studies.figures.style import COLOURS, INK, SOFT, styled
from vision_studies.pipelines.transfer_cuts.plots.cut_axes import (
    BASELINE,
    cut_handles,
    cut_looks,
    cut_name,
    cuts_of,
    deviation,
    fraction_label,
    fractions_of,
    logarithmic_fractions,
    percent_of,
    reduced,
)

_APART = 0.008  # of the axis, between the error bars of two cuts


@styled
def difference_lines(table: pd.DataFrame, *, title: str = "Median of each cut minus that of the baseline") -> Figure:
    """Median of each cut minus the median of the baseline against the fraction, a line for each cut.

    Args:
        table: the accuracies of one mode and the baseline. Fractions without a baseline are left out.
        title: of the figure.
    """
    medians = {fraction: reduced(np.median, percent_of(table, fraction, BASELINE)) for fraction in fractions_of(table)}
    medians = {fraction: median for fraction, median in medians.items() if not np.isnan(median)}
    looks = cut_looks([cut for cut in cuts_of(table) if cut != BASELINE])
    drawn, axes = single(9, 5.4)
    axes.axhline(0, color=INK, linewidth=1.2)
    for cut, look in looks.items():
        differences = [reduced(np.median, percent_of(table, own, cut)) - median for own, median in medians.items()]
        _line(axes, list(medians), differences, look)
    logarithmic_fractions(axes, table[table["fraction"].isin(medians)])
    axes.set(xlabel=fraction_label(table), ylabel="difference in test accuracy (points)")
    return finished(drawn, title, legend=cut_handles(looks), columns=1, loc="outside right center")


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
    drawn, axes = single(9.5, 5.6)
    # Error bars of one fraction stand side by side, or they would hide each other.
    for cut, shift in zip(cuts, side_by_side(len(cuts), _APART * reach), strict=True):
        cells = [percent_of(table, fraction, cut) for fraction in fractions]
        means, deviations = [reduced(np.mean, cell) for cell in cells], [deviation(cell) for cell in cells]
        places = [fraction * 10**shift for fraction in fractions]
        bars = {"ecolor": looks[cut]["color"], "elinewidth": 1, "capsize": 2, "alpha": 0.75}
        axes.errorbar(places, means, yerr=deviations, fmt="none", **bars)
        _line(axes, places, means, looks[cut])
    logarithmic_fractions(axes, table)
    axes.set(xlabel=fraction_label(table), ylabel="test accuracy (%)")
    small_print = "Bars: standard deviation over repeats. Within a share, cuts are set side by side."
    beside: dict[str, Any] = {"legend": cut_handles(looks), "columns": 1, "loc": "outside right center"}
    return finished(drawn, title, small_print=small_print, **beside)


@styled
def range_lines(table: pd.DataFrame, *, title: str = "Median and range of the test accuracy") -> Figure:
    """Median with the band from the lowest to the highest run: a panel for each cut, over the baseline.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions = fractions_of(table)
    cuts = [cut for cut in cuts_of(table) if cut != BASELINE]
    panels = small_multiples(len(cuts), columns=4, size=(3.3, 2.8), margin=(1, 1.2), sharex=True, sharey=True)
    for axes, cut in zip(panels.axes, cuts, strict=False):
        for own, colour, line in ((BASELINE, SOFT, "--"), (cut, COLOURS[0], "-")):
            cells = [percent_of(table, fraction, own) for fraction in fractions]
            low, median, high = ([reduced(which, cell) for cell in cells] for which in (np.min, np.median, np.max))
            axes.fill_between(fractions, low, high, color=colour, alpha=0.22, linewidth=0)
            axes.plot(fractions, median, color=colour, linestyle=line, marker="o", markersize=4, linewidth=1.6)
        logarithmic_fractions(axes, table.assign(images=np.nan), apart=0.13)
        axes.tick_params(axis="x", labelsize=8.5)
        axes.set_title(cut_name(cut), fontsize=11)
    panels.label("share of the training images", "test accuracy (%)")
    handles: list[Artist] = []
    for name, colour, line in (("cut", COLOURS[0], "-"), ("baseline", SOFT, "--")):
        if name == "cut" or BASELINE in cuts_of(table):
            handles.append(key(f"median of the {name}", color=colour, linestyle=line, marker="o", markersize=4))
            handles.append(Patch(color=colour, alpha=0.22, label="its lowest to highest run"))
    columns = 4 if len(cuts) > 2 else 2  # of fewer panels the figure is too narrow
    return finished(panels.figure, title, legend=handles, note="", columns=columns, handleheight=1.2)


def _line(axes: Axes, places: list[float], values: list[float], look: dict) -> None:
    """A line over the fractions that have a value: one that was not run does not break it."""
    known = ~np.isnan(values)
    axes.plot(np.array(places)[known], np.array(values)[known], linewidth=1.6, markersize=6, **look)
