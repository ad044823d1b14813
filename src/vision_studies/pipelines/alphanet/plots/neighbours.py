"""What few classes have to do with their neighbours: coefficients, maps before and after AlphaNet, and example images."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.marks import picture
from vision_studies.figures.panels import finished, key, nothing_to_draw, small_multiples
from vision_studies.figures.style import COLOURS, INK, RIGHT, SOFT, short, styled

_GRID = np.linspace(-1, 1, 401)
_HEIGHT = 0.82  # of a curve, where rows stand 1 apart
_FEWEST_FOR_A_CURVE = 5
_SMALLEST_SPREAD = 0.01  # narrower curves would fall between the points of the grid
_MOST_DOTS = 60  # more lie on top of each other

_LINE = 24  # letters of a label of examples

_COLOURS = {"correct": RIGHT, "other": "#b4bcc5"}
_NEIGHBOUR_COLOURS = (COLOURS[4], COLOURS[2], COLOURS[3], COLOURS[5], COLOURS[1], COLOURS[6])
_MARKERS = ("o", "s", "^")  # with the colours, 18 neighbours can be told apart
_PANELS = {"before": "baseline", "after": "AlphaNet"}
_LETTERS = 26  # of a legend
_OUTLINED: dict[str, Any] = {"linestyle": "", "markeredgecolor": INK, "markeredgewidth": 1}
_STAR: dict[str, Any] = {"marker": "*", "markersize": 19, **_OUTLINED}
_DIAMOND: dict[str, Any] = {"marker": "D", "markersize": 14, **_OUTLINED}
_SHORTEST_ARROW = 0.08  # as a share of the map: a shorter one would hide between the stars


@styled
def coefficient_densities(combinations: pd.DataFrame) -> Figure:
    """How the coefficient of each neighbour, from the nearest to the farthest, is spread over few classes and repeats.

    A panel an experiment, in it a row a neighbour: a kernel density estimate (Gaussian, Scott's bandwidth) that is reflected
    at -1 and 1, as no coefficient lies beyond. Up to 60 coefficients are drawn as dots, too; without spread there are
    only these.

    Args:
        combinations: a row a neighbour of a few class in a run: experiment, position (1 is the nearest), coefficient.
    """
    title = "Coefficients of the neighbours"
    combinations = combinations.dropna(subset=["coefficient"])
    groups = list(combinations.groupby("experiment", sort=False))
    if not groups:
        return nothing_to_draw("There are no coefficients to draw.", title)
    columns = 3 if len(groups) in (5, 6, 9) else min(len(groups), 4)
    starts = range(0, len(groups), columns)
    # Panels side by side are as high as the one with the most neighbours needs.
    most = [max(2, *(rows["position"].nunique() for _, rows in groups[start : start + columns])) for start in starts]
    size, ratios = (3.5, sum(1.0 + 0.3 * count for count in most) / len(most)), [count + 1.2 for count in most]
    panels = small_multiples(
        len(groups), columns=columns, size=size, margin=(0.6, 1.1), sharex=True, height_ratios=ratios
    )
    positions = sorted(combinations["position"].unique())
    shades = mpl.colormaps["viridis"](np.linspace(0.1, 0.8, len(positions)))
    colours = dict(zip(positions, shades, strict=True))
    for number, (axes, (name, rows)) in enumerate(zip(panels.axes, groups, strict=True)):
        _densities(axes, rows, colours)
        axes.set_ylim(most[number // columns] - 0.75, -1.05)
        axes.set_title(short(name, 34), fontsize=11)
    panels.label("coefficient", "neighbour")
    small_print = (
        "Over few classes and repeats; neighbour 1 is the nearest. Curves are scaled to one height: they show where "
        "coefficients lie. The line in each row and the number beside it are their mean."
    )
    return finished(panels.figure, title, small_print=small_print)


@styled
def class_examples(images: np.ndarray, names: Sequence[str], note: str) -> Figure:
    """Examples of a few class and, below them, of each of its neighbours.

    Args:
        images: uint8 [n, m, H, W, C], m of each of n classes; the few class first.
        names: n labels, which may hold a coefficient and line breaks.
        note: small print below: how images were chosen, for example.
    """
    rows, columns = images.shape[:2]
    across = columns + 1  # the first holds the label
    widths = [2.0, *[1.15] * columns]
    panels = small_multiples(
        rows * across, columns=across, size=(1.15, 1.22), margin=(2.6 - 1.15, 1.1), width_ratios=widths
    )
    for row, name in enumerate(names):
        label, *pictures = panels.axes[row * across : (row + 1) * across]
        ink, weight, colour, linewidth = (COLOURS[0], "bold", COLOURS[0], 2) if row == 0 else (INK, "normal", SOFT, 0.6)
        label.set_axis_off()
        middle: dict[str, Any] = {"ha": "right", "va": "center", "linespacing": 1.3}
        label.text(1, 0.5, _broken(name), fontsize=10.5, color=ink, fontweight=weight, **middle)
        for axes, image in zip(pictures, images[row], strict=True):
            picture(axes, image, colour=colour, linewidth=linewidth)
    return finished(panels.figure, "A class with few training images and its neighbours", small_print=note)


@styled
def template_panels(map_of_class: pd.DataFrame, title: str, neighbour_names: Sequence[str]) -> Figure:
    """One class: its classifier, its neighbours' and its test images; baseline left, AlphaNet right.

    Args:
        map_of_class: x, y, kind, panel, position, group, as `template_map.template_map` makes it.
        title: of the figure: class and experiment.
        neighbour_names: k names, the nearest neighbour's first.
    """
    height = 5.4 + 0.12 * max(0, len(neighbour_names) - 8)
    return _maps({"": map_of_class}, {"": neighbour_names}, title, height=height, margin=0)


@styled
def template_figure(
    maps: Mapping[str, pd.DataFrame], neighbour_names: Mapping[str, Sequence[str]], title: str
) -> Figure:
    """Several classes, a row each: those with the largest or the smallest gain, for example.

    Args:
        maps: for each class's name (with its gain, for example) its map, as `template_panels` takes it.
        neighbour_names: for each of the same names the neighbours', the nearest first.
        title: of the figure.
    """
    return _maps(maps, neighbour_names, title, height=4.2, margin=1.3)


def _densities(axes: Axes, combinations: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    axes.axvline(0, color=SOFT, linewidth=1, linestyle="--", zorder=1)
    groups = combinations.groupby("position")["coefficient"]
    for row, (position, coefficients) in enumerate(groups):
        values, colour = coefficients.to_numpy(dtype=float), colours[position]
        density = _density(values)
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
    axes.set_yticks(np.arange(len(groups)) - 0.3, [f"{position:g}" for position in groups.groups])
    axes.set(xlim=(-1, 1), xticks=[-1, -0.5, 0, 0.5, 1])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _density(values: np.ndarray) -> np.ndarray | None:
    """[401] on the grid from -1 to 1, which holds all of the mass; None where there are too few values or too little spread."""
    from scipy.stats import gaussian_kde

    if len(values) < _FEWEST_FOR_A_CURVE or values.std() < _SMALLEST_SPREAD:
        return None
    estimate = gaussian_kde(values)
    return estimate(_GRID) + estimate(-2 - _GRID) + estimate(2 - _GRID)


def _broken(name: str) -> str:
    """At most two lines of each line of a name, so that labels of rows do not meet."""
    lines = []
    for line in name.splitlines():
        first, *rest = textwrap.wrap(line, _LINE) or [""]
        lines += [first, short(" ".join(rest), _LINE)] if rest else [first]
    return "\n".join(lines)


def _maps(
    maps: Mapping[str, pd.DataFrame], names: Mapping[str, Sequence[str]], title: str, height: float, margin: float
) -> Figure:
    """A row a class: both of its maps, and their legend."""
    ratios = (1, 1, 0.62)
    panels = small_multiples(3 * len(maps), columns=3, size=(12.2 / 3, height), margin=(0, margin), width_ratios=ratios)
    for row, (class_name, table) in enumerate(maps.items()):
        before, after, legend = panels.axes[3 * row : 3 * row + 3]
        for axes, panel, above in ((before, "before", short(class_name, 88)), (after, "after", "")):
            _map(axes, table, panel)
            # The name stands above the left panel and may reach over the right one, whose title has an empty line there.
            axes.set_title(f"{above}\n{_PANELS[panel]}" if class_name else _PANELS[panel], fontsize=11)
        _legend(legend, table, names[class_name], explained=row == 0)
    small_print = (
        "Multidimensional scaling: distances on the map are as close as can be to those among classifiers and images. "
        "Predictions follow scores, to which biases belong, too, and not the nearest classifier."
    )
    return finished(panels.figure, title, small_print=small_print)


def _map(axes: Axes, table: pd.DataFrame, panel: str) -> None:
    of_panel = table[table["panel"] == panel]
    # The more a group says of the class the later it is drawn.
    features = of_panel[of_panel["kind"] == "feature"]
    for group in sorted(features["group"].unique(), key=_rank, reverse=True):
        points = features[features["group"] == group]
        axes.plot(points["x"], points["y"], **_dot(group), alpha=0.85, zorder=2, label=group)
    middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "fontweight": "bold"}
    for neighbour in of_panel[of_panel["kind"] == "neighbour"].to_dict("records"):
        centre, colour = (neighbour["x"], neighbour["y"]), _dot(neighbour["group"])["color"]
        axes.plot(*centre, color=colour, **_DIAMOND, zorder=4)
        ink = "white" if colour == COLOURS[6] else INK
        axes.annotate(f"{neighbour['position']}", centre, color=ink, zorder=5, **middle)
    low, high = table[["x", "y"]].min(), table[["x", "y"]].max()
    extent = max(*(high - low), 1e-6)
    classifiers = table[table["kind"] == "classifier"].set_index("panel")[["x", "y"]]
    end = tuple(classifiers.loc[panel])
    if panel == "after" and "before" in classifiers.index:
        start = tuple(classifiers.loc["before"])
        axes.plot(*start, color="white", **_STAR, zorder=5)
        if math.dist(start, end) > _SHORTEST_ARROW * extent:
            arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 7, "shrinkB": 7}
            axes.annotate("", end, start, arrowprops=arrow, zorder=6)
    axes.plot(*end, color=RIGHT, **_STAR, zorder=7)
    axes.grid(visible=False)
    # One scale for x and y, and the same part of the map in both panels.
    (left, bottom), (right, top) = (high + low) / 2 - 0.55 * extent, (high + low) / 2 + 0.55 * extent
    axes.set(xticks=[], yticks=[], xlim=(left, right), ylim=(bottom, top))
    axes.set_aspect("equal", adjustable="box")
    axes.spines[:].set(visible=True, color=SOFT, linewidth=0.6)


def _legend(axes: Axes, table: pd.DataFrame, names: Sequence[str], *, explained: bool) -> None:
    axes.set_axis_off()
    handles = [
        key("classifier of the class", color=RIGHT, **_STAR),
        key("its place in the baseline", color="white", **_STAR),
        key("classifier of a neighbour", color=_COLOURS["other"], **_DIAMOND),
    ]
    if explained:
        above = axes.legend(handles=handles, loc="upper left", borderaxespad=0, borderpad=0.2, labelspacing=0.9)
        axes.add_artist(above)
    groups = {"correct": "the class itself"}
    groups |= {f"neighbour {number}": f"{number} {short(name, _LETTERS)}" for number, name in enumerate(names, 1)}
    groups |= {"other": "another class"}
    images = table[table["kind"] == "feature"].groupby(["group", "panel"]).size()
    dots = []
    for group, name in groups.items():
        before, after = (images.get((group, panel), 0) for panel in _PANELS)
        dots.append(key(f"{name}: {before} → {after}", **_dot(group)))
    title = "test images predicted as"
    axes.legend(handles=dots, loc="lower left", borderaxespad=0, borderpad=0, title=title, alignment="left")


def _rank(group: str) -> int:
    """The class itself comes first, then its neighbours from the nearest on, then all others."""
    return {"correct": 0, "other": 1_000}[group] if group in _COLOURS else int(group.removeprefix("neighbour "))


def _dot(group: str) -> dict[str, Any]:
    look: dict[str, Any] = {"linestyle": "", "markersize": 6, "markeredgewidth": 0}
    if group in _COLOURS:
        return {"color": _COLOURS[group], "marker": _MARKERS[0], **look}
    turn, number = divmod(_rank(group) - 1, len(_NEIGHBOUR_COLOURS))
    return {"color": _NEIGHBOUR_COLOURS[number], "marker": _MARKERS[turn % len(_MARKERS)], **look}
