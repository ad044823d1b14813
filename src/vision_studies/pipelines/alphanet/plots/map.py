"""Maps of a few class's classifier among its neighbours' and its test images, before and after AlphaNet."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.panels import finished, key, small_multiples
from vision_studies.figures.style import COLOURS, INK, RIGHT, SOFT, short, styled

_OTHER = "#b4bcc5"
_NEIGHBOUR_COLOURS = (COLOURS[4], COLOURS[2], COLOURS[3], COLOURS[5], COLOURS[1], COLOURS[6])
_MARKERS = ("o", "s", "^")  # with the colours, 18 neighbours can be told apart
_PANELS = {"before": "baseline", "after": "AlphaNet"}
_LETTERS = 26
_OUTLINED: dict[str, Any] = {"linestyle": "", "markeredgecolor": INK, "markeredgewidth": 1}
_SHORTEST_ARROW = 0.08  # as a share of the map: a shorter one would hide between the stars


@styled
def template_panels(map_of_class: pd.DataFrame, title: str, neighbour_names: Sequence[str]) -> Figure:
    """One class: its classifier, its neighbours' and its test images; baseline left, AlphaNet right.

    Args:
        map_of_class: x, y, kind, panel, position, group, as `analysis.template_map` makes it.
        title: of the figure: class and experiment.
        neighbour_names: k names, the nearest neighbour's first.
    """
    height = 5.4 + 0.12 * max(0, len(neighbour_names) - 8)
    return _rows({"": map_of_class}, {"": neighbour_names}, title, height=height, margin=0)


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
    return _rows(maps, neighbour_names, title, height=4.2, margin=1.3)


def _rows(
    maps: Mapping[str, pd.DataFrame],
    neighbour_names: Mapping[str, Sequence[str]],
    title: str,
    *,
    height: float,
    margin: float,
) -> Figure:
    """A row a class: both of its maps, and their legend."""
    ratios = (1, 1, 0.62)
    panels = small_multiples(3 * len(maps), columns=3, size=(12.2 / 3, height), margin=(0, margin), width_ratios=ratios)
    for row, (class_name, table) in enumerate(maps.items()):
        before, after, legend = panels.axes[3 * row : 3 * row + 3]
        for axes, panel, above in ((before, "before", short(class_name, 88)), (after, "after", "")):
            _panel(axes, table, panel)
            # The name stands above the left panel and may reach over the right one, whose title has an empty line there.
            axes.set_title(f"{above}\n{_PANELS[panel]}" if class_name else _PANELS[panel], fontsize=11)
            _limit(axes, table)
        _legend(legend, table, neighbour_names[class_name], explained=row == 0)
    small_print = (
        "Multidimensional scaling: distances on the map are as close as can be to those among classifiers and images. "
        "Predictions follow scores, to which biases belong, too, and not the nearest classifier."
    )
    return finished(panels.figure, title, small_print=small_print)


def _panel(axes: Axes, table: pd.DataFrame, panel: str) -> None:
    own = table[table["panel"] == panel]
    features = own[own["kind"] == "feature"]
    # The more a group says of the class the later it is drawn.
    for group in sorted(features["group"].unique(), key=_order, reverse=True):
        points = features[features["group"] == group]
        axes.plot(points["x"], points["y"], **_dot(group), alpha=0.85, zorder=2, label=group)
    for _, neighbour in own[own["kind"] == "neighbour"].iterrows():
        axes.plot(neighbour["x"], neighbour["y"], **_diamond(neighbour["group"]), zorder=4)
        middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "fontweight": "bold"}
        place = (neighbour["x"], neighbour["y"])
        axes.annotate(f"{neighbour['position']}", place, color=_ink(neighbour["group"]), zorder=5, **middle)
    places = dict(_classifiers(table).iterrows())
    if panel == "after" and "before" in places:
        old = places["before"]
        axes.plot(old["x"], old["y"], **_star("white"), zorder=5)
        start, end = (old["x"], old["y"]), (places["after"]["x"], places["after"]["y"])
        if math.dist(start, end) > _SHORTEST_ARROW * _extent(table):
            arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 7, "shrinkB": 7}
            axes.annotate("", end, start, arrowprops=arrow, zorder=6)
    axes.plot(places[panel]["x"], places[panel]["y"], **_star(RIGHT), zorder=7)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=SOFT, linewidth=0.6)


def _limit(axes: Axes, table: pd.DataFrame) -> None:
    """One scale for x and y, and the same part of the map in both panels."""
    reach = 0.55 * _extent(table)
    for direction in ("x", "y"):
        values = table[direction]
        centre = float(values.max() + values.min()) / 2
        axes.set(**{f"{direction}lim": (centre - reach, centre + reach)})
    axes.set_aspect("equal", adjustable="box")


def _extent(table: pd.DataFrame) -> float:
    """Width or height of all points, whichever is larger."""
    return max(*(float(table[direction].max() - table[direction].min()) for direction in ("x", "y")), 1e-6)


def _legend(axes: Axes, table: pd.DataFrame, names: Sequence[str], *, explained: bool) -> None:
    axes.set_axis_off()
    features = table[table["kind"] == "feature"]
    counts = features.groupby(["group", "panel"]).size().unstack(fill_value=0)
    groups = {"correct": "the class itself"}
    groups |= {f"neighbour {place}": f"{place} {short(name, _LETTERS)}" for place, name in enumerate(names, start=1)}
    groups |= {"other": "another class"}
    handles = [
        key("classifier of the class", **_star(RIGHT)),
        key("its place in the baseline", **_star("white")),
        key("classifier of a neighbour", **_diamond("other")),
    ]
    if explained:
        above = axes.legend(handles=handles, loc="upper left", borderaxespad=0, borderpad=0.2, labelspacing=0.9)
        axes.add_artist(above)
    dots = []
    for group, name in groups.items():
        before, after = (int(counts[panel].get(group, 0)) if panel in counts else 0 for panel in _PANELS)
        dots.append(key(f"{name}: {before} → {after}", **_dot(group)))
    axes.legend(
        handles=dots, loc="lower left", borderaxespad=0, borderpad=0, title="test images predicted as", alignment="left"
    )


def _classifiers(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == "classifier"].set_index("panel")


def _order(group: str) -> int:
    if group in ("correct", "other"):
        return 0 if group == "correct" else 1_000
    return int(group.removeprefix("neighbour "))


def _colour(group: str) -> str:
    if group in ("correct", "other"):
        return RIGHT if group == "correct" else _OTHER
    return _NEIGHBOUR_COLOURS[(_order(group) - 1) % len(_NEIGHBOUR_COLOURS)]


def _ink(group: str) -> str:
    return "white" if _colour(group) == COLOURS[6] else INK


def _dot(group: str) -> dict[str, Any]:
    place = _order(group) - 1 if group.startswith("neighbour") else 0
    marker = _MARKERS[place // len(_NEIGHBOUR_COLOURS) % len(_MARKERS)]
    return {"color": _colour(group), "marker": marker, "linestyle": "", "markersize": 6, "markeredgewidth": 0}


def _diamond(group: str) -> dict[str, Any]:
    return {"color": _colour(group), "marker": "D", "markersize": 14, **_OUTLINED}


def _star(colour: str) -> dict[str, Any]:
    return {"color": colour, "marker": "*", "markersize": 19, **_OUTLINED}
