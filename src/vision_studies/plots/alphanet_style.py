"""What the figures of long-tailed classes share: names, colours and markers of the splits, and accuracies by class."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vision_studies.plots.style import COLOURS, INK, SOFT, figure, heading

SPLIT_LABELS: Mapping[str, str] = MappingProxyType(
    {"overall": "overall", "few": "few", "medium": "medium", "many": "many"}
)
"""Splits in the order they are drawn, and what a legend calls them."""

SPLIT_COLOURS: Mapping[str, str] = MappingProxyType(
    {"overall": INK, "few": COLOURS[1], "medium": COLOURS[2], "many": COLOURS[0]}
)
"""One colour a split in every figure, from the palette for colour-blind readers."""

SPLIT_MARKERS: Mapping[str, str] = MappingProxyType({"overall": "D", "few": "o", "medium": "s", "many": "^"})
"""One marker a split, for figures that are printed without colour."""

METRIC_LABELS: Mapping[str, str] = MappingProxyType({"top_1": "top-1", "top_5": "top-5"})
"""What an axis calls the columns of accuracies."""

CLASS_SPLITS = ("few", "medium", "many")
_LETTERS_PER_INCH = 14.2


def splits_in(table: pd.DataFrame) -> list[str]:
    """Splits of a table in the order they are drawn."""
    found = set(table["split"])
    return [split for split in SPLIT_LABELS if split in found]


def split_handles(splits: Iterable[str], *, linestyle: Literal["-", ""] = "") -> list[Line2D]:
    """What a legend shows for splits."""
    return [
        Line2D(
            [],
            [],
            color=SPLIT_COLOURS[split],
            marker=SPLIT_MARKERS[split],
            markersize=6,
            linestyle=linestyle,
            linewidth=1.8,
            label=SPLIT_LABELS[split],
        )
        for split in splits
    ]


def experiments_in(table: pd.DataFrame) -> list[str]:
    """Experiments of a table in the order of its rows."""
    return [str(name) for name in table["experiment"].drop_duplicates()]


def class_means(class_accuracies: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of every class averaged over repeats.

    Args:
        class_accuracies: one row a run and class: classifier, experiment, baseline, repeat, label, name, split,
            train_images, accuracy, baseline_accuracy and, where it is known, neighbour_distance. A table that has been
            averaged comes back as it is.

    Returns:
        One row an experiment and class, in the order of the table, with the column gain (accuracy minus baseline_accuracy).
    """
    identity = ["classifier", "experiment", "baseline", "label", "name", "split", "train_images"]
    averaged = [
        column for column in ("accuracy", "baseline_accuracy", "neighbour_distance") if column in class_accuracies
    ]
    means = class_accuracies.groupby(identity, sort=False, dropna=False)[averaged].mean().reset_index()
    return means.assign(gain=means["accuracy"] - means["baseline_accuracy"])


def panels(count: int, *, columns: int, width: float, height: float, room: float = 1.4) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels and no empty ones; the axes of a row share the vertical scale with all others.

    Args:
        count: panels, 1 or more.
        columns: how many stand side by side at most.
        width: of a panel in inches.
        height: likewise.
        room: inches for heading and legend.
    """
    across = min(columns, count)
    rows = -(-count // across)
    drawn = figure(max(7.0, width * across + 0.6), height * rows + room)
    grid = drawn.subplots(rows, across, squeeze=False, sharey=True)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return drawn, list(grid.flat[:count])


def outer_labels(axes: Sequence[Axes], columns: int, *, x: str, y: str) -> None:
    """Label the vertical axes at the left edge, and the horizontal ones that have no panel below them."""
    across = min(columns, len(axes))
    for place, panel in enumerate(axes):
        if place % across == 0:
            panel.set_ylabel(y)
        if place + across >= len(axes):
            panel.set_xlabel(x)


def legend_below(drawn: Figure, handles: Sequence[Artist], note: str) -> None:
    """A legend below the panels, headed by a note."""
    text = "\n".join(textwrap.wrap(note, int(drawn.get_figwidth() * _LETTERS_PER_INCH)))
    legend = drawn.legend(
        handles=list(handles), loc="outside lower left", ncols=8, title=text, title_fontsize=9, alignment="left"
    )
    legend.get_title().set_color(SOFT)


def nothing_to_draw(title: str, reason: str) -> Figure:
    """A figure that says why it is empty."""
    drawn = figure(8, 2)
    axes = drawn.subplots()
    axes.axis("off")
    axes.text(0, 0.5, reason, va="center", fontsize=11, color=SOFT)
    heading(drawn, title)
    return drawn


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign and one decimal; a dash where it is missing."""
    if np.isnan(value):
        return "–"
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"
