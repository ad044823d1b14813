"""Test accuracy of every cut of a pretrained network, run by run.

The tables are those of `analysis.rankings`: one row a run with cut (-1 for the baseline), fraction, repeat, test_accuracy
and, where it is known, images; of one mode and the baseline. The upper right corner is left free for a stamp.
"""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.plots.cut_axes import (
    cut_looks,
    cut_name,
    cut_tick,
    cuts_of,
    fractions_of,
    grouped_axes,
    images_of,
    legend_below,
    percent_of,
    percentage,
)
from vision_studies.plots.style import FAINT, INK, NO_DATA, SOFT, figure, heading, styled

_FEW = 10  # so few runs are drawn one by one, as a box of them says little
_VERDICTS: dict[str, dict[str, Any]] = {
    "higher": {"facecolor": "#a9cfe8", "edgecolor": SOFT, "hatch": "*"},
    "lower": {"facecolor": "#f3c3a0", "edgecolor": SOFT, "hatch": "//"},
    "no difference": {"facecolor": "white", "edgecolor": SOFT},
}


@styled
def box_plot(table: pd.DataFrame, ranks: pd.DataFrame, *, title: str = "Test accuracy of each cut") -> Figure:
    """A box for each cut and the baseline, coloured by rank, with its median and rank above; a panel for each fraction.

    Args:
        table: the accuracies of one mode and the baseline.
        ranks: from `analysis.rankings.rank_cuts`: fraction, cut, rank, can_be_significant. Where no cut can be
            significantly better than another, the boxes have no rank and are grey.
        title: of the figure.
    """
    cuts = cuts_of(table)
    ranked = {(float(row["fraction"]), int(row["cut"])): row for row in ranks.to_dict("records")}
    colours = mpl.colormaps["viridis"]
    drawn, panels = _panels(table, title)
    seen: set[int] = set()
    unranked = False
    for axes, fraction in zip(panels, fractions_of(table), strict=True):
        possible = any(row["can_be_significant"] for (of, _), row in ranked.items() if of == fraction)
        for place, cut in enumerate(cuts):
            values = percent_of(table, fraction, cut)
            if not len(values):
                continue
            rank = int(ranked[fraction, cut]["rank"]) if possible and (fraction, cut) in ranked else None
            label = f"{np.median(values):.1f}"
            if rank is None:
                unranked = True
                _box(axes, values, place, facecolor=NO_DATA)
            else:
                seen.add(rank)
                label += f" · rank {rank}"
                _box(axes, values, place, facecolor=_rank_colour(colours, rank, len(cuts)))
            _above(axes, place, values, label)
        compared = sum(1 for cut in cuts if len(percent_of(table, fraction, cut))) > 1
        note = "; too few for any difference to be significant" if compared and not possible else ""
        _finish_panel(axes, _panel_title(table, fraction) + note)
    handles = [
        Patch(facecolor=_rank_colour(colours, rank, len(cuts)), edgecolor=INK, label=f"rank {rank}")
        for rank in sorted(seen)
    ]
    if unranked:
        handles.append(Patch(facecolor=NO_DATA, edgecolor=INK, label="no rank"))
    note = "Above each box: median in percent and rank (1 + number of cuts that are significantly better). "
    legend_below(drawn, handles, note + _BOXES, columns=9)
    return drawn


@styled
def hatched_comparison(table: pd.DataFrame, compared: pd.DataFrame, *, title: str | None = None) -> Figure:
    """The boxes of one mode, hatched where it is significantly better or worse than another; a panel for each fraction.

    Args:
        table: the accuracies of the first mode and the baseline.
        compared: from `analysis.rankings.compare_experiments`: fraction, cut, first and second (labels), verdict,
            can_be_significant. Boxes that are not in it, such as the baseline's, are grey.
        title: of the figure; the names of the two modes if missing.
    """
    first, second = compared["first"].iloc[0], compared["second"].iloc[0]
    verdicts = {(float(row["fraction"]), int(row["cut"])): row for row in compared.to_dict("records")}
    cuts = cuts_of(table)
    drawn, panels = _panels(table, title or f"Test accuracy of {first} against {second}")
    for axes, fraction in zip(panels, fractions_of(table), strict=True):
        own = [row for (of, _), row in verdicts.items() if of == fraction]
        for place, cut in enumerate(cuts):
            values = percent_of(table, fraction, cut)
            if not len(values):
                continue
            cell = verdicts.get((fraction, cut))
            _box(axes, values, place, **(_VERDICTS[cell["verdict"]] if cell else {"facecolor": NO_DATA}))
            _above(axes, place, values, f"{np.median(values):.1f}")
        note = ""
        if not own:
            note = f"; not compared with {second}"
        elif not any(row["can_be_significant"] for row in own):
            note = "; too few for any difference to be significant"
        _finish_panel(axes, _panel_title(table, fraction) + note)
    names = {
        "higher": f"{first} significantly higher than {second}",
        "lower": f"{first} significantly lower than {second}",
        "no difference": "no significant difference",
    }
    handles = [Patch(label=names[verdict], **look) for verdict, look in _VERDICTS.items()]
    handles.append(Patch(facecolor=NO_DATA, edgecolor=INK, label="not compared"))
    legend_below(drawn, handles, f"{first}; above each box its median in percent. {_BOXES}", columns=2)
    return drawn


@styled
def full_box_plot(table: pd.DataFrame, *, title: str = "Test accuracy at every share of the images") -> Figure:
    """All fractions on one axis, a group of boxes for each, coloured by cut.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions, looks = fractions_of(table), cut_looks(cuts_of(table))
    drawn, axes, places, width = grouped_axes(table, 5.4)
    for group, fraction in enumerate(fractions):
        for cut, place in places.items():
            values = percent_of(table, fraction, cut)
            if len(values):
                colour = looks[cut]["color"]
                look = {"facecolor": f"{colour}66", "edgecolor": colour}
                _box(axes, values, group + place, width=0.8 * width, single=False, **look)
        if group:
            axes.axvline(group - 0.5, color=FAINT, linewidth=0.8)
    axes.set_xlim(-0.5, max(1, len(fractions)) - 0.5)
    handles = [
        Patch(facecolor=f"{looks[cut]['color']}66", edgecolor=looks[cut]["color"], label=cut_name(cut))
        for cut in places
    ]
    heading(drawn, title)
    legend_below(drawn, handles)
    return drawn


_BOXES = "Boxes: quartiles; whiskers: runs within 1.5 times their distance; dots: runs beyond, or all of fewer than 10."


def _panels(table: pd.DataFrame, title: str) -> tuple[Figure, list[Axes]]:
    """A panel for each fraction, one below the other, over one axis of cuts."""
    cuts, rows = cuts_of(table), max(1, len(fractions_of(table)))
    drawn = figure(max(7.0, 1.4 + 1.16 * len(cuts)), 1.5 + 2.1 * rows)
    panels = drawn.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for axes in panels:
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("test accuracy (%)", fontsize=9.5)
    panels[-1].set_xticks(range(len(cuts)), [cut_tick(cut) for cut in cuts])
    panels[-1].set_xlim(-0.6, len(cuts) - 0.4)
    panels[-1].set_xlabel("cut: convolutions that are taken over")
    heading(drawn, title)
    return drawn, list(panels)


def _finish_panel(axes: Axes, title: str) -> None:
    """Title of a panel, with room between it and the boxes for their labels."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))
    axes.set_title(title, fontsize=11)


def _panel_title(table: pd.DataFrame, fraction: float) -> str:
    counts = [len(percent_of(table, fraction, cut)) for cut in cuts_of(table)]
    counts = [count for count in counts if count] or [0]
    repeats = f"{max(counts)} repeats" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} repeats"
    images = images_of(table, fraction)
    return f"{percentage(fraction)} of the images{f' ({images})' if images else ''}, {repeats}"


def _box(
    axes: Axes, values: np.ndarray, place: float, *, width: float = 0.62, single: bool = True, **look: Any
) -> None:
    """One box; its median is dark or white, whichever stands out."""
    red, green, blue, opacity = mpl.colors.to_rgba(look["facecolor"])
    dark = opacity * (0.299 * red + 0.587 * green + 0.114 * blue) + 1 - opacity < 0.5
    axes.boxplot(
        [values],
        positions=[place],
        widths=width,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"edgecolor": INK, "linewidth": 0.9, **look},
        medianprops={"color": "white" if dark else INK, "linewidth": 1.8},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
        flierprops={"marker": "o", "markersize": 3, "markerfacecolor": SOFT, "markeredgewidth": 0},
        showfliers=not (single and len(values) < _FEW),
    )
    if single and len(values) < _FEW:
        spread = np.linspace(-0.2, 0.2, len(values)) * width / 0.62 if len(values) > 1 else np.zeros(1)
        axes.plot(place + spread, values, "o", color=SOFT, markersize=3.5, markeredgewidth=0, zorder=3)


def _above(axes: Axes, place: float, values: np.ndarray, label: str) -> None:
    """A label above the highest run of a box."""
    axes.annotate(
        label,
        (place, values.max()),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=9,
        color=INK,
    )


def _rank_colour(colours: Colormap, rank: int, ranks: int) -> tuple[float, float, float, float]:
    """The lightest colour is the best rank, in every panel the same."""
    return colours(1 - (rank - 1) / max(1, ranks - 1))
