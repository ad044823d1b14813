"""Which coefficients AlphaNet gives to the neighbours of few classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from vision_studies.figures.panels import finished, nothing_to_draw, small_multiples
from vision_studies.figures.style import INK, SOFT, short, styled

_TITLE = "Coefficients of the neighbours"
_GRID = np.linspace(-1, 1, 401)
_HEIGHT = 0.82  # of a curve, where rows stand 1 apart
_FEWEST_FOR_A_CURVE = 5
_SMALLEST_SPREAD = 0.01  # narrower curves would fall between the points of the grid
_MOST_DOTS = 60  # more lie on top of each other


@styled
def coefficient_densities(combinations: pd.DataFrame) -> Figure:
    """How the coefficient of each neighbour, from the nearest to the farthest, is spread over few classes and repeats.

    A panel an experiment, in it a row a neighbour: a kernel density estimate (Gaussian, Scott's bandwidth) that is reflected
    at -1 and 1, as no coefficient lies beyond. Up to 60 coefficients are drawn as dots, too; without spread there are
    only these.

    Args:
        combinations: a row a neighbour of a few class in a run: experiment, position (1 is the nearest), coefficient.
    """
    known = combinations.dropna(subset=["coefficient"])
    groups = list(known.groupby("experiment", sort=False))
    if not groups:
        return nothing_to_draw("There are no coefficients to draw.", _TITLE)
    columns = 3 if len(groups) in (5, 6, 9) else min(len(groups), 4)
    starts = range(0, len(groups), columns)
    # Panels side by side are as high as the one with the most neighbours needs.
    most = [max(2, *(rows["position"].nunique() for _, rows in groups[start : start + columns])) for start in starts]
    panels = small_multiples(
        len(groups),
        columns=columns,
        size=(3.5, sum(1.0 + 0.3 * count for count in most) / len(most)),
        margin=(0.6, 1.1),
        sharex=True,
        height_ratios=[count + 1.2 for count in most],
    )
    positions = sorted(known["position"].unique())
    colours = dict(zip(positions, colormaps["viridis"](np.linspace(0.1, 0.8, len(positions))), strict=True))
    for number, (axes, (name, rows)) in enumerate(zip(panels.axes, groups, strict=True)):
        _panel(axes, rows, colours)
        axes.set_ylim(most[number // columns] - 0.75, -1.05)
        axes.set_title(short(name, 34), fontsize=11)
    panels.label("coefficient", "neighbour")
    small_print = (
        "Over few classes and repeats; neighbour 1 is the nearest. Curves are scaled to one height: they show where "
        "coefficients lie. The line in each row and the number beside it are their mean."
    )
    return finished(panels.figure, _TITLE, small_print=small_print)


def _panel(axes: Axes, own: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    positions = sorted(own["position"].unique())
    axes.axvline(0, color=SOFT, linewidth=1, linestyle="--", zorder=1)
    for row, position in enumerate(positions):
        values = own.loc[own["position"] == position, "coefficient"].to_numpy(dtype=float)
        colour, density = colours[position], _density(values)
        if density is not None:
            # Rows run downwards on the reversed axis, curves upwards.
            curve = row - _HEIGHT * density / density.max()
            axes.fill_between(_GRID, row, curve, color=colour, alpha=0.55, linewidth=0, zorder=2)
            axes.plot(_GRID, curve, color=colour, linewidth=1.3, zorder=3)
        if density is None or len(values) <= _MOST_DOTS:
            look: dict[str, Any] = {"markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.4}
            axes.plot(values, np.full(len(values), row), "o", color=colour, clip_on=False, zorder=4, **look)
        mean = float(values.mean())
        axes.plot([mean, mean], [row, row - _HEIGHT], color=INK, linewidth=1.6, zorder=5)
        text, beside = f"{mean:+.2f}".replace("-", "−"), axes.get_yaxis_transform()
        axes.text(1.02, row - 0.3, text, transform=beside, fontsize=9, color=INK, va="center")
    axes.set_yticks(np.arange(len(positions)) - 0.3, [f"{position:g}" for position in positions])
    axes.set(xlim=(-1, 1), xticks=[-1, -0.5, 0, 0.5, 1])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _density(values: np.ndarray) -> np.ndarray | None:
    """[401] on the grid from -1 to 1, which holds all of the mass; None where there are too few values or too little spread."""
    if len(values) < _FEWEST_FOR_A_CURVE or values.std() < _SMALLEST_SPREAD:
        return None
    estimate = gaussian_kde(values)
    return estimate(_GRID) + estimate(-2 - _GRID) + estimate(2 - _GRID)
