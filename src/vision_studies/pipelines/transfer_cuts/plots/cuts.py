"""Test accuracy of every cut of a pretrained network, run by run.

The tables are those of `analysis.rankings`: one row a run with cut (-1 for the baseline), fraction, repeat, test_accuracy
and, where it is known, images; of one mode and the baseline. The upper right corner is left free for a stamp.
"""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.figures.marks import boxes, spread
from vision_studies.figures.panels import Panels, finished, small_multiples
from vision_studies.figures.style import FAINT, INK, NO_DATA, SOFT, styled
from vision_studies.pipelines.transfer_cuts.plots.cut_axes import (
    cut_looks,
    cut_name,
    cut_tick,
    cuts_of,
    fractions_of,
    grouped_axes,
    percent_of,
    share_name,
)

_FEW = 10  # so few runs are drawn one by one, as a box of them says little
_BOXES = "Boxes: quartiles; whiskers: runs within 1.5 times their distance; dots: runs beyond, or all of fewer than 10."
_TOO_FEW = "; too few for any difference to be significant"
_UNKNOWN: dict[str, Any] = {"facecolor": NO_DATA, "edgecolor": INK}
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
    telling = ranks[ranks.groupby("fraction")["can_be_significant"].transform("any").astype(bool)]
    ranked = {(float(row["fraction"]), int(row["cut"])): int(row["rank"]) for row in telling.to_dict("records")}
    panels = _panels(table)
    seen: set[int | None] = set()

    def look(rank: int | None) -> dict[str, Any]:
        """The lightest colour is the best rank, in every panel the same."""
        if rank is None:
            return _UNKNOWN
        return {"facecolor": mpl.colormaps["viridis"](1 - (rank - 1) / max(1, len(cuts) - 1)), "edgecolor": INK}

    for axes, fraction in zip(panels.axes, fractions_of(table), strict=True):
        cells = {cut: percent_of(table, fraction, cut) for cut in cuts}
        for place, (cut, values) in enumerate(cells.items()):
            if len(values):
                rank = ranked.get((fraction, cut))
                seen.add(rank)
                _box(axes, values, place, look(rank), "" if rank is None else f" · rank {rank}")
        compared = sum(1 for values in cells.values() if len(values)) > 1
        possible = any(of == fraction for of, _ in ranked)
        _finish_panel(axes, table, fraction, _TOO_FEW if compared and not possible else "")
    shown = [*sorted(rank for rank in seen if rank is not None), *([None] if None in seen else [])]
    handles = [Patch(**look(rank), label="no rank" if rank is None else f"rank {rank}") for rank in shown]
    note = "Above each box: median in percent and rank (1 + number of cuts that are significantly better). "
    return finished(panels.figure, title, legend=handles, note=note + _BOXES, columns=9, handleheight=1.2)


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
    panels = _panels(table)
    for axes, fraction in zip(panels.axes, fractions_of(table), strict=True):
        rows = compared[compared["fraction"] == fraction].set_index("cut")
        for place, cut in enumerate(cuts_of(table)):
            values = percent_of(table, fraction, cut)
            if len(values):
                _box(axes, values, place, _VERDICTS[rows["verdict"][cut]] if cut in rows.index else _UNKNOWN)
        note = "" if rows["can_be_significant"].any() else _TOO_FEW if len(rows) else f"; not compared with {second}"
        _finish_panel(axes, table, fraction, note)
    names = {
        "higher": f"{first} significantly higher than {second}",
        "lower": f"{first} significantly lower than {second}",
        "no difference": "no significant difference",
    }
    handles = [Patch(label=names[verdict], **look) for verdict, look in _VERDICTS.items()]
    handles.append(Patch(label="not compared", **_UNKNOWN))
    note = f"{first}; above each box its median in percent. {_BOXES}"
    title = title or f"Test accuracy of {first} against {second}"
    return finished(panels.figure, title, legend=handles, note=note, columns=2, handleheight=1.2)


@styled
def full_box_plot(table: pd.DataFrame, *, title: str = "Test accuracy at every share of the images") -> Figure:
    """All fractions on one axis, a group of boxes for each, coloured by cut.

    Args:
        table: the accuracies of one mode and the baseline.
        title: of the figure.
    """
    fractions = fractions_of(table)
    drawn, axes, places, width = grouped_axes(table, 5.4)
    handles = []
    for cut, look in sorted(cut_looks(cuts_of(table)).items()):
        values = [percent_of(table, fraction, cut) for fraction in fractions]
        fill, edge = f"{look['color']}66", look["color"]
        positions = np.arange(len(fractions)) + places[cut]
        boxes(axes, values, positions, 0.8 * width, fill=fill, edge=edge, whiskers=SOFT, dots=SOFT, linewidth=0.9)
        handles.append(Patch(facecolor=fill, edgecolor=edge, label=cut_name(cut)))
    for group in range(1, len(fractions)):
        axes.axvline(group - 0.5, color=FAINT, linewidth=0.8)
    axes.set_xlim(-0.5, max(1, len(fractions)) - 0.5)
    return finished(drawn, title, legend=handles, note="", handleheight=1.2)


def _panels(table: pd.DataFrame) -> Panels:
    """A panel for each fraction, one below the other, over one axis of cuts."""
    cuts = cuts_of(table)
    width = max(7.0, 1.4 + 1.16 * len(cuts))
    panels = small_multiples(len(fractions_of(table)), columns=1, size=(width, 2.1), margin=(0, 1.5), sharex=True)
    for axes in panels.axes:
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("test accuracy (%)", fontsize=9.5)
    panels.axes[-1].set_xticks(range(len(cuts)), [cut_tick(cut) for cut in cuts])
    panels.axes[-1].set_xlim(-0.6, len(cuts) - 0.4)
    panels.axes[-1].set_xlabel("cut: convolutions that are taken over")
    return panels


def _finish_panel(axes: Axes, table: pd.DataFrame, fraction: float, note: str) -> None:
    """Title of a panel, with room between it and the boxes for their labels."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))
    counts = [len(percent_of(table, fraction, cut)) for cut in cuts_of(table)]
    counts = [count for count in counts if count] or [0]
    repeats = f"{max(counts)} repeats" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} repeats"
    axes.set_title(f"{share_name(table, fraction)}, {repeats}{note}", fontsize=11)


def _box(axes: Axes, values: np.ndarray, place: float, look: dict[str, Any], label: str = "") -> None:
    """One box with its median above its highest run; few runs are dots, too."""
    fill, edge, hatch = look["facecolor"], look["edgecolor"], look.get("hatch")
    dots = None if len(values) < _FEW else SOFT
    boxes(axes, [values], [place], 0.62, fill=fill, edge=edge, whiskers=SOFT, dots=dots, linewidth=0.9, hatch=hatch)
    if len(values) < _FEW:
        places = place + spread(len(values), 0.2)
        axes.plot(places, values, "o", color=SOFT, markersize=3.5, markeredgewidth=0, zorder=3)
    above: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(f"{np.median(values):.1f}{label}", (place, values.max()), fontsize=9, color=INK, **above)
