"""Small multiples: panels laid out in a grid, and the legends and labels around them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vision_studies.figures.style import SOFT, figure, footnote, heading, wrapped

_NARROWEST = 7.0  # inches: a legend needs them
_LEGEND_LETTERS_PER_INCH = 11


class Panels(NamedTuple):
    """The panels of a figure.

    Attributes:
        axes: of all of them, row by row; those that the last row has left over are hidden.
        columns: how many stand side by side.
    """

    figure: Figure
    axes: list[Axes]
    columns: int

    def label(self, x: str, y: str, **look: Any) -> None:
        """Label all axes; seen are vertical ones at the left edge, and horizontal ones that have no panel below them."""
        for number, axes in enumerate(self.axes):
            axes.set_ylabel(y, visible=number % self.columns == 0, **look)
            lowest = number + self.columns >= len(self.axes)
            axes.set_xlabel(x, visible=lowest, **look)
            if lowest:
                axes.xaxis.set_tick_params(labelbottom=True)

    def ends_row(self, number: int) -> bool:
        """Whether this panel has none at its right."""
        return number % self.columns == self.columns - 1 or number == len(self.axes) - 1


def small_multiples(
    count: int, *, columns: int, size: tuple[float, float], margin: tuple[float, float] = (0.6, 1.4), **sharing: Any
) -> Panels:
    """A figure with so many panels of one size.

    Args:
        count: panels; there is one at least.
        columns: how many stand side by side at most.
        size: width and height of a panel in inches.
        margin: inches beside and above the panels, for axes, heading and legend.
        sharing: of `Figure.subplots`: sharex, sharey, height_ratios and so on.
    """
    count = max(1, count)
    across = min(columns, count)
    rows = -(-count // across)
    fig = figure(max(_NARROWEST, size[0] * across + margin[0]), size[1] * rows + margin[1])
    grid = list(fig.subplots(rows, across, squeeze=False, **sharing).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return Panels(fig, grid[:count], across)


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, so many inches wide and high."""
    fig = figure(width, height)
    return fig, fig.subplots()


def key(label: str, **look: Any) -> Line2D:
    """An entry of a legend that is no artist of a panel: a line or, without a linestyle, a marker."""
    return Line2D([], [], label=label, **look)


def marker_key(label: str, **look: Any) -> Line2D:
    """An entry of a legend: a marker without a line."""
    return key(label, linestyle="", **look)


def finished(
    fig: Figure,
    title: str = "",
    *,
    legend: Sequence[Artist] | None = None,
    columns: int | None = None,
    note: str | None = None,
    small_print: str = "",
    **look: Any,
) -> Figure:
    """The figure with its heading, with one legend below all panels and with small print.

    Args:
        columns: of the legend; if missing, as many as the figure is wide enough for.
        note: heads the legend, which stands at the left then, where a footnote would lie under it.
        small_print: below the panels of a figure whose legend has no note.
        look: of the legend.
    """
    if title:
        heading(fig, title)
    if note is not None:
        text = wrapped(fig, note, 14.2) or None
        look |= {"loc": "outside lower left", "title": text, "title_fontsize": 9, "alignment": "left"}
        fig.legend(handles=list(legend or ()), ncols=columns or 8, **look).get_title().set_color(SOFT)
    elif legend is not None:
        if columns is None:
            letters = max(len(str(handle.get_label())) for handle in legend) + 7
            columns = int(np.clip(fig.get_figwidth() * _LEGEND_LETTERS_PER_INCH // letters, 1, len(legend)))
        fig.legend(handles=list(legend), **{"loc": "outside lower center", "ncols": columns, **look})
    if small_print:
        footnote(fig, small_print)
    return fig


def side_by_side(count: int, step: float) -> np.ndarray:
    """Shifts of so many series, a step apart around 0: float64 [count]."""
    return (np.arange(count) - (count - 1) / 2) * step


def same_heights(panels: Sequence[Axes]) -> None:
    """Let vertical axes that are not shared reach equally far."""
    low, high = zip(*(axes.get_ylim() for axes in panels), strict=True)
    for axes in panels:
        axes.set_ylim(min(low), max(high))


def nothing_to_draw(reason: str, title: str = "") -> Figure:
    """A figure that says why it is empty."""
    fig, axes = single(8, 2)
    axes.axis("off")
    axes.text(0, 0.5, reason, va="center", fontsize=11, color=SOFT)
    return finished(fig, title)
