"""Mean test accuracy over fraction and cut at once: as a map, as bars and as a surface.

Tables as in `plots.cuts`. The upper right corner of every figure is left free for a stamp.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.figures.marks import cells, colour_scale
from vision_studies.figures.panels import finished, single
from vision_studies.figures.style import COLOURS, INK, SOFT, figure, styled
from vision_studies.figures.ticks import have_room
from vision_studies.pipelines.transfer_cuts.plots.cut_axes import (
    BASELINE,
    cell_means,
    cut_looks,
    cut_name,
    cut_tick,
    cuts_of,
    deviation,
    fraction_label,
    fraction_tick,
    fractions_of,
    grouped_axes,
    percent_of,
    percentage,
    reduced,
)


@styled
def heat_map(table: pd.DataFrame, *, title: str = "Mean test accuracy (%)") -> Figure:
    """Mean test accuracy of every fraction and cut, written into its cell.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions, cuts = fractions_of(table), cuts_of(table)
    drawn, axes = single(3 + 0.85 * max(1, len(cuts)), max(3.6, 1.9 + 0.62 * len(fractions)))
    image = cells(
        axes,
        cell_means(table, fractions, cuts),
        "{:.1f}".format,
        rows=[fraction_tick(table, fraction) for fraction in fractions],
        columns=[cut_tick(cut) for cut in cuts],
        font_size=10,
        cmap="viridis",
    )
    if BASELINE in cuts and len(cuts) > 1:
        axes.axvline(0.5, color="white", linewidth=4)
    axes.set(xlabel="cut: convolutions that are taken over", ylabel=fraction_label(table).replace(" and", "\nand"))
    colour_scale(axes, image)
    return finished(drawn, title)


@styled
def bars(table: pd.DataFrame, *, title: str = "Mean test accuracy") -> Figure:
    """Mean test accuracy as bars, a group for each fraction, with the standard deviation (n - 1) over repeats.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions, looks = fractions_of(table), cut_looks(cuts_of(table))
    drawn, axes, places, width = grouped_axes(table, 5)
    for cut, place in places.items():
        runs = [percent_of(table, fraction, cut) for fraction in fractions]
        colour = looks[cut]["color"]
        axes.bar(
            np.arange(len(fractions)) + place,
            [reduced(np.mean, values) for values in runs],
            0.92 * width,
            yerr=[deviation(values) for values in runs],
            color=colour,
            error_kw={"ecolor": INK if colour != COLOURS[-1] else SOFT, "elinewidth": 0.9, "capsize": 1.5},
        )
    axes.set_ylim(0, 100)
    handles = [Patch(color=looks[cut]["color"], label=cut_name(cut)) for cut in places]
    note = "Lines on the bars: standard deviation over repeats."
    return finished(drawn, title, legend=handles, note=note, handleheight=1.2)


@styled
def surface(table: pd.DataFrame, *, title: str = "Mean test accuracy over share and cut") -> Figure:
    """Mean test accuracy as a surface over the logarithm of the fraction and the cut.

    It passes through the means and is straight between them: nothing is smoothed.

    Args:
        table: the accuracies of one mode; the baseline has no place on an axis of cuts and is left out.
        title: of the figure.
    """
    own = table[table["cut"] != BASELINE]
    fractions, cuts = fractions_of(own), cuts_of(own)
    means = cell_means(own, fractions, cuts)
    drawn = figure(8.4, 6.2)
    axes = drawn.add_subplot(projection="3d")
    small_print = "Dots: means over repeats. The surface is straight between them. The baseline is not shown."
    finished(drawn, title, small_print=small_print)
    if min(means.shape) < 2:
        axes.set_axis_off()
        axes.text2D(0.5, 0.5, "A surface needs two cuts and two shares.", transform=axes.transAxes, ha="center")
        return drawn
    across, along = np.meshgrid(cuts, np.log10(fractions))
    axes.plot_surface(
        across, along, means, cmap="viridis", edgecolor="white", linewidth=0.6, alpha=0.9, rstride=1, cstride=1
    )
    axes.scatter(across, along, means, color=INK, s=9, depthshade=False)
    axes.set_xticks(cuts)
    named = have_room(np.log10(fractions), 0.13)
    labels = [percentage(fraction) if room else "" for fraction, room in zip(fractions, named, strict=True)]
    axes.set_yticks(np.log10(fractions), labels)
    axes.tick_params(axis="y", pad=4)
    axes.set_xlabel("cut", labelpad=6)
    axes.set_ylabel("share of the training images", labelpad=14)
    axes.set_zlabel("test accuracy (%)", labelpad=6)
    axes.view_init(elev=24, azim=-58)
    axes.set_box_aspect((1.1, 1.2, 0.8), zoom=1.05)
    return drawn
