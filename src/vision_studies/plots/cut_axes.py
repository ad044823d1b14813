"""What the figures of cuts share: names of cuts and fractions, their looks, and the axis of fractions."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from vision_studies.plots.style import COLOURS, SOFT, figure

BASELINE = -1
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", (0, (5, 1.5)), (0, (1, 1)))  # for more cuts than there are colours
_LETTERS_PER_INCH = 15.5


def cuts_of(table: pd.DataFrame) -> list[int]:
    """Cuts of a table in order; the baseline, -1, comes first."""
    return sorted(int(cut) for cut in table["cut"].unique())


def fractions_of(table: pd.DataFrame) -> list[float]:
    """Fractions of a table in order."""
    return sorted(float(fraction) for fraction in table["fraction"].unique())


def cut_name(cut: int) -> str:
    """How a legend calls a cut."""
    return "baseline" if cut == BASELINE else f"cut {cut}"


def cut_tick(cut: int) -> str:
    """How an axis of cuts calls a cut."""
    return "baseline" if cut == BASELINE else str(cut)


def percentage(fraction: float) -> str:
    """A fraction of the training images as percent, without needless decimals."""
    return f"{100 * fraction:g} %"


def images_of(table: pd.DataFrame, fraction: float) -> str:
    """How many images a fraction is, with thousands separated; empty where the table does not say."""
    known = table.loc[table["fraction"] == fraction, "images"].dropna() if "images" in table else []
    return f"{max(known):,.0f}" if len(known) else ""


def fraction_tick(table: pd.DataFrame, fraction: float) -> str:
    """Name of a fraction on an axis: percent and, below, the number of images where it is known."""
    images = images_of(table, fraction)
    return f"{percentage(fraction)}\n{images}" if images else percentage(fraction)


def fraction_label(table: pd.DataFrame) -> str:
    """Label of an axis of fractions."""
    known = "images" in table and table["images"].notna().any()
    return "share of the training images" + (" and their number" if known else "")


def percent_of(table: pd.DataFrame, fraction: float, cut: int) -> np.ndarray:
    """Known test accuracies of a cell in percent, float64 [N]."""
    cell = table.loc[(table["fraction"] == fraction) & (table["cut"] == cut), "test_accuracy"]
    return 100 * cell.dropna().to_numpy(dtype=float)


def cut_looks(cuts: list[int]) -> dict[int, dict[str, Any]]:
    """Colour, marker and line of each cut; the baseline is grey and dashed."""
    looks: dict[int, dict[str, Any]] = {}
    for place, cut in enumerate(cut for cut in cuts if cut != BASELINE):
        looks[cut] = {
            "color": COLOURS[place % len(COLOURS)],
            "marker": _MARKERS[place % len(_MARKERS)],
            "linestyle": _LINES[place // len(COLOURS) % len(_LINES)],
        }
    if BASELINE in cuts:
        looks[BASELINE] = {"color": SOFT, "marker": "x", "linestyle": (0, (4, 2))}
    return looks


def cut_handles(looks: dict[int, dict[str, Any]]) -> list[Line2D]:
    """What a legend shows for lines that are drawn with `cut_looks`, the baseline first."""
    return [Line2D([], [], label=cut_name(cut), linewidth=1.8, markersize=6, **looks[cut]) for cut in sorted(looks)]


def grouped_axes(table: pd.DataFrame, height: float) -> tuple[Figure, Axes, dict[int, float], float]:
    """An empty figure with a group of places for each fraction, and in each group a place for each cut.

    Args:
        table: columns fraction, cut and, where it is known, images.
        height: of the figure in inches.

    Returns:
        Figure, axes, the place of each cut from the middle of its group, and the width of a place. Groups stand at 0, 1, ...
    """
    fractions, cuts = fractions_of(table), cuts_of(table)
    drawn = figure(max(8.0, 2 + 0.27 * len(cuts) * len(fractions)), height)
    axes = drawn.subplots()
    width = 0.86 / max(1, len(cuts))
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(fractions)), [fraction_tick(table, fraction) for fraction in fractions])
    axes.set(xlabel=fraction_label(table), ylabel="test accuracy (%)")
    return drawn, axes, {cut: (place - (len(cuts) - 1) / 2) * width for place, cut in enumerate(cuts)}, width


def legend_below(drawn: Figure, handles: Sequence[Artist], note: str = "", *, columns: int = 8) -> None:
    """A legend below the panels, headed by a note: a footnote would lie under it."""
    text = "\n".join(textwrap.wrap(note, int(drawn.get_figwidth() * _LETTERS_PER_INCH)))
    legend = drawn.legend(
        handles=list(handles),
        loc="outside lower left",
        ncols=columns,
        title=text or None,
        title_fontsize=9,
        alignment="left",
        handleheight=1.2,
    )
    legend.get_title().set_color(SOFT)


def named_fractions(fractions: list[float], apart: float) -> list[bool]:
    """Which fractions have room for a name, if names on a logarithmic axis are to be so far apart (as a part of it)."""
    places = np.log10(fractions)
    reach = max(float(np.ptp(places)), 1e-9)
    named = [False] * len(fractions)
    last = np.inf
    for place in reversed(range(len(fractions))):  # all the images are named in any case
        if last - places[place] >= apart * reach:
            named[place], last = True, places[place]
    return named


def logarithmic_fractions(axes: Axes, table: pd.DataFrame, *, apart: float = 0.075) -> None:
    """A logarithmic axis with a tick at every fraction of the table; names that would overlap are left out.

    Args:
        axes: whose horizontal axis it is.
        table: columns fraction and, where it is known, images.
        apart: how far apart names must be, as a part of the axis.
    """
    fractions = fractions_of(table)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    if not fractions:
        return
    margin = 0.05 * float(np.ptp(np.log10(fractions))) + 0.02
    axes.set_xlim(fractions[0] / 10**margin, fractions[-1] * 10**margin)
    named = named_fractions(fractions, apart)
    shown = [fraction for fraction, has_room in zip(fractions, named, strict=True) if has_room]
    axes.set_xticks(shown, [fraction_tick(table, fraction) for fraction in shown])
    axes.set_xticks([fraction for fraction in fractions if fraction not in shown], minor=True)
    axes.xaxis.set_minor_formatter(NullFormatter())
