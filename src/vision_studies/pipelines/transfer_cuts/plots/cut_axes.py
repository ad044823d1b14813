"""What the figures of cuts share: names of cuts and fractions, their looks, and the axis of fractions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vision_studies.figures.panels import key, side_by_side, single
from vision_studies.figures.style import COLOURS, DASHED, DOTTED, MARKERS, SOFT, colour
from vision_studies.figures.ticks import values_run

BASELINE = -1
_LINES = ("-", (0, (5, 1.5)), DOTTED)  # for more cuts than there are colours


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


def share_name(table: pd.DataFrame, fraction: float) -> str:
    """A fraction as the title of a panel: percent and, in brackets, the number of images where it is known."""
    images = images_of(table, fraction)
    return f"{percentage(fraction)} of the images" + (f" ({images})" if images else "")


def fraction_tick(table: pd.DataFrame, fraction: float) -> str:
    """Name of a fraction on an axis: percent and, below, the number of images where it is known."""
    return f"{percentage(fraction)}\n{images_of(table, fraction)}".rstrip()


def fraction_label(table: pd.DataFrame) -> str:
    """Label of an axis of fractions."""
    known = "images" in table and table["images"].notna().any()
    return "share of the training images" + (" and their number" if known else "")


def percent_of(table: pd.DataFrame, fraction: float, cut: int) -> np.ndarray:
    """Known test accuracies of a cell in percent, float64 [N]."""
    cell = table.loc[(table["fraction"] == fraction) & (table["cut"] == cut), "test_accuracy"]
    return 100 * cell.dropna().to_numpy(dtype=float)


def reduced(reduce: Callable[[np.ndarray], Any], values: np.ndarray) -> float:
    """Mean or median of a cell, for example; NaN of an empty one."""
    return float(reduce(values)) if len(values) else np.nan


def deviation(values: np.ndarray) -> float:
    """Standard deviation of the sample; 0 of fewer than two values, which have no bar."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def cell_means(table: pd.DataFrame, fractions: list[float], cuts: list[int]) -> np.ndarray:
    """Mean test accuracies in percent, float64 [fractions, cuts]; NaN where nothing was run."""
    means = [[reduced(np.mean, percent_of(table, fraction, cut)) for cut in cuts] for fraction in fractions]
    return np.array(means, dtype=float).reshape(len(fractions), len(cuts))


def cut_looks(cuts: list[int]) -> dict[int, dict[str, Any]]:
    """Colour, marker and line of each cut; the baseline is grey and dashed."""
    looks: dict[int, dict[str, Any]] = {}
    for place, cut in enumerate(cut for cut in cuts if cut != BASELINE):
        line = _LINES[place // len(COLOURS) % len(_LINES)]
        looks[cut] = {"color": colour(place), "marker": MARKERS[place % len(MARKERS)], "linestyle": line}
    if BASELINE in cuts:
        looks[BASELINE] = {"color": SOFT, "marker": "x", "linestyle": DASHED}
    return looks


def cut_handles(looks: dict[int, dict[str, Any]]) -> list[Line2D]:
    """What a legend shows for lines that are drawn with `cut_looks`, the baseline first."""
    return [key(cut_name(cut), linewidth=1.8, markersize=6, **looks[cut]) for cut in sorted(looks)]


def grouped_axes(table: pd.DataFrame, height: float) -> tuple[Figure, Axes, dict[int, float], float]:
    """An empty figure with a group of places for each fraction, and in each group a place for each cut.

    Args:
        table: columns fraction, cut and, where it is known, images.
        height: of the figure in inches.

    Returns:
        Figure, axes, the place of each cut from the middle of its group, and the width of a place. Groups stand at 0, 1, ...
    """
    fractions, cuts = fractions_of(table), cuts_of(table)
    drawn, axes = single(max(8.0, 2 + 0.27 * len(cuts) * len(fractions)), height)
    width = 0.86 / max(1, len(cuts))
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(fractions)), [fraction_tick(table, fraction) for fraction in fractions])
    axes.set(xlabel=fraction_label(table), ylabel="test accuracy (%)")
    return drawn, axes, dict(zip(cuts, side_by_side(len(cuts), width).tolist(), strict=True)), width


def logarithmic_fractions(axes: Axes, table: pd.DataFrame, *, apart: float = 0.075) -> None:
    """A logarithmic axis with a tick at every fraction of the table; names that would overlap are left out.

    Args:
        axes: whose horizontal axis it is.
        table: columns fraction and, where it is known, images.
        apart: how far apart names must be, as a part of the axis.
    """
    if fractions := fractions_of(table):
        values_run(axes.xaxis, fractions, [fraction_tick(table, fraction) for fraction in fractions], apart)
        margin = 0.05 * float(np.ptp(np.log10(fractions))) + 0.02
        axes.set_xlim(fractions[0] / 10**margin, fractions[-1] * 10**margin)
