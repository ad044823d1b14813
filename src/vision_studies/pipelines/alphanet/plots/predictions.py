"""What test images are taken for, seen from their class: itself, one of its neighbours, or another class.

Groups are those of `prediction_groups`; numbers of images are means over repeats and need not be whole.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path

from vision_studies.figures.marks import names
from vision_studies.figures.panels import finished, nothing_to_draw, single
from vision_studies.figures.style import COLOURS, INK, RIGHT, styled

GROUP_COLOURS = {"correct": RIGHT, "neighbour": COLOURS[4], "other": "#8b96a3"}
_NAMES = {"correct": "correct", "neighbour": "wrong, as a neighbour", "other": "wrong, as another class"}
_WIDTH = 0.13  # of a column, where the columns' outer edges stand 1 apart
_HATCH = "////"
_SMALLEST_WRITTEN = 0.035  # of all images: thinner bands hold no number
_SMALLEST_PARTED = 0.01  # of all images: a white line between thinner groups would hide them
_LABEL_HEIGHTS = (0.11, 0.16)  # of labels of two and three lines, as a share of a column


@styled
def prediction_counts(counts: pd.DataFrame, title: str) -> Figure:
    """How many images are taken for their class, for one of its neighbours, or for another class.

    Args:
        counts: a row a group: group, images, share (fraction; NaN where there are no images).
        title: of which images and classifier.
    """
    figure, axes = single(7.6, 3.1)
    colours = [GROUP_COLOURS[group] for group in counts["group"]]
    bars = axes.barh(range(len(counts)), counts["images"], height=0.7, color=colours)
    texts = [_counted(images, share) for images, share in zip(counts["images"], counts["share"], strict=True)]
    axes.bar_label(bars, labels=texts, padding=5, fontsize=11)
    names(axes, "y", [_NAMES[group] for group in counts["group"]], fontsize=11)
    axes.set_xlim(0, 1.3 * max(counts["images"].max(), 1))  # room for the numbers
    axes.set_xlabel("test images")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return finished(figure, title, small_print="Numbers are means over repeats.")


@styled
def prediction_changes(flows: pd.DataFrame, title: str) -> Figure:
    """Which images the baseline (left) and AlphaNet (right) take for what, and which change.

    Heights are numbers of images. Where images of few and of base classes are both shown, those of few classes are hatched.

    Args:
        flows: before_group, after_group, few (whether the true class is one), images; a row for each.
        title: of which images and classifier.
    """
    total = float(flows["images"].sum())
    if not total:
        return nothing_to_draw("There are no such images.", title)
    figure, axes = single(9.6, 6.2)
    axes.set_axis_off()
    axes.set(xlim=(-0.42, 1.42), ylim=(1.01, -0.06))
    both = flows["few"].nunique() > 1
    left, right = _stacked(flows, "before_group", total), _stacked(flows, "after_group", total)
    for row in flows.index[flows["images"] > 0]:
        few = both and bool(flows.at[row, "few"])
        _band(axes, left[row], right[row], flows.loc[row], few)
    for side, name, x, align in (("before", "baseline", 0.0, "left"), ("after", "AlphaNet", 1.0, "right")):
        _column(axes, flows, side, both)
        axes.text(x, -0.02, name, ha=align, fontsize=12, fontweight="bold")
    if both:
        kinds = {"images of few classes": _HATCH, "images of base classes": None}
        handles = [Patch(facecolor="white", edgecolor=INK, hatch=hatch, label=label) for label, hatch in kinds.items()]
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, -0.12), ncols=2, handlelength=2.4)
    return finished(figure, title, small_print=_summary(flows, total))


def _stacked(flows: pd.DataFrame, by: str, total: float) -> dict[int, tuple[float, float]]:
    """Upper and lower end of every flow in a column, as shares of it: by group, few classes first, then by the other side."""
    other = "after_group" if by == "before_group" else "before_group"
    ranks: dict[Any, int] = {True: 0, False: 1} | {group: rank for rank, group in enumerate(_NAMES)}
    ordered = flows.sort_values([by, "few", other], key=lambda column: column.map(ranks))
    ends = np.concatenate([[0.0], ordered["images"].to_numpy(dtype=float).cumsum() / total])
    return dict(zip(ordered.index, pairwise(ends), strict=True))


def _band(axes: Axes, left: tuple[float, float], right: tuple[float, float], flow: pd.Series, few: bool) -> None:
    """A band from the left column to the right one, with the number of its images where it has room."""
    start, end = _WIDTH, 1 - _WIDTH
    bend, curve = (start + end) / 2, Path.CURVE4
    there = [(start, left[0]), (bend, left[0]), (bend, right[0]), (end, right[0])]
    back = [(end, right[1]), (bend, right[1]), (bend, left[1]), (start, left[1])]
    codes = [Path.MOVETO, curve, curve, curve, Path.LINETO, curve, curve, curve, Path.CLOSEPOLY]
    look: dict[str, Any] = {"hatch": _HATCH, "edgecolor": (1, 1, 1, 0.7)} if few else {"edgecolor": "none"}
    look |= {"facecolor": GROUP_COLOURS[flow["before_group"]], "alpha": 0.42, "linewidth": 0, "zorder": 2}
    axes.add_patch(PathPatch(Path([*there, *back, (start, left[0])], codes), **look))
    if left[1] - left[0] >= _SMALLEST_WRITTEN:
        text = axes.text(_WIDTH + 0.015, sum(left) / 2, _number(flow["images"]), va="center", fontsize=9, zorder=5)
        if few:  # strokes make it hard to read
            text.set_bbox({"facecolor": (1, 1, 1, 0.75), "edgecolor": "none", "pad": 1})


def _column(axes: Axes, flows: pd.DataFrame, side: str, both: bool) -> None:
    images = flows.groupby([f"{side}_group", "few"])["images"].sum().astype(float)
    total, edge = images.sum(), 0.0
    x = 0.0 if side == "before" else 1 - _WIDTH
    centres, texts = [], []
    for group, name in _NAMES.items():
        counts = {few: images.get((group, few), 0.0) for few in (True, False)}
        top = edge
        for few, count in counts.items():
            look: dict[str, Any] = {"hatch": _HATCH, "edgecolor": "white"} if few and both else {"edgecolor": "none"}
            look |= {"facecolor": GROUP_COLOURS[group], "linewidth": 0, "zorder": 3}
            if count:
                axes.add_patch(Rectangle((x, edge), _WIDTH, count / total, **look))
            edge += count / total
        if min(edge - top, 1 - edge) > _SMALLEST_PARTED:
            axes.plot([x, x + _WIDTH], [edge, edge], color="white", linewidth=1.5, zorder=4)
        if edge > top:
            kinds = f"\nfew {_number(counts[True])}, base {_number(counts[False])}" if both else ""
            centres.append((top + edge) / 2)
            texts.append(f"{name}\n{_counted(edge * total - top * total, edge - top)}{kinds}")
    outer, away, align = (0.0, -0.05, "right") if side == "before" else (1.0, 0.05, "left")
    for centre, y, text in zip(centres, _spread(centres, _LABEL_HEIGHTS[both]), texts, strict=True):
        axes.plot([outer, outer + 0.8 * away], [centre, y], color=INK, linewidth=0.8, clip_on=False)
        axes.text(outer + away, y, text, ha=align, va="center", fontsize=10, linespacing=1.25)


def _spread(centres: list[float], gap: float) -> np.ndarray:
    """Heights nearest to `centres` (ascending) that keep a distance of `gap` and stay between half of it and 1 less that."""
    steps = gap * np.arange(len(centres))
    heights = np.maximum.accumulate(np.maximum(centres - steps, gap / 2)) + steps
    return np.minimum(heights, 1 - gap / 2 - steps[::-1])


def _summary(flows: pd.DataFrame, total: float) -> str:
    was, becomes = flows["before_group"] == "correct", flows["after_group"] == "correct"
    gained, lost = (float(flows.loc[rows, "images"].sum()) for rows in (~was & becomes, was & ~becomes))
    return (
        f"Of {_number(total)} images {_number(gained)} turn from wrong to correct and {_number(lost)} from correct to wrong. "
        "Bands have the colours of the baseline's groups. Numbers are means over repeats."
    )


def _counted(images: float, share: float) -> str:
    return _number(images) if np.isnan(share) else f"{_number(images)} ({100 * share:.1f} %)"


def _number(images: float) -> str:
    """Whole from a hundred upwards, with one decimal below that where it is not whole."""
    return f"{images:,.0f}" if images >= 100 or abs(images - round(images)) < 0.05 else f"{images:.1f}"
