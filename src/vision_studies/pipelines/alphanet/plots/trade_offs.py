"""Every method at once: accuracy against how frequent a class is, and few classes against many over each method's knob."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.marks import logarithmic
from vision_studies.figures.panels import finished, key, nothing_to_draw, small_multiples
from vision_studies.figures.style import COLOURS, SOFT, short, styled
from vision_studies.statistics.interval_kinds import INTERVAL_NAMES, Interval

_MOST_POINTS = 12  # classes of a panel; more are put together, equally many in each
_COLUMNS = 5


@styled
def accuracy_against_frequency(
    class_accuracies: pd.DataFrame, *, confidence: float = 0.95, interval: Interval = "t"
) -> Figure:
    """Mean test accuracy of classes with as many training images: a panel a method, the first one behind all in grey.

    Intervals are over repeats; where each repeat has a tail of its own, other classes stand behind every point.

    Args:
        class_accuracies: one row a run and class: experiment, repeat, label, train_images and accuracy.
        confidence: of the intervals.
        interval: their kind.
    """
    title = "Test accuracy against training images of a class"
    table = class_accuracies[class_accuracies["train_images"] > 0].dropna(subset=["accuracy"])
    if table.empty:
        return nothing_to_draw("No class has training images and a known accuracy.", title)
    methods = list(table["experiment"].drop_duplicates())
    panels = small_multiples(
        len(methods), columns=_COLUMNS, size=(2.9, 2.5), margin=(0.8, 1.3), sharey=True, sharex=True
    )
    curves = {method: _curve(rows, confidence, interval) for method, rows in table.groupby("experiment", sort=False)}
    first = curves[methods[0]]
    for axes, method in zip(panels.axes, methods, strict=True):
        axes.plot(first["images"], 100 * first["mean"], color=SOFT, linewidth=1.2, zorder=1)
        _band(axes, curves[method], COLOURS[0])
        logarithmic(axes.xaxis, (1,))
        axes.set_title(short(method, 30), fontsize=10)
    panels.label("training images", "accuracy (%)")
    note = f"{100 * confidence:g} % intervals over repeats ({INTERVAL_NAMES[interval]}). "
    if table["label"].nunique() > _MOST_POINTS:
        note += f"A point is the mean of a {_MOST_POINTS}th of the classes, in the order of their images. "
    legend = [
        key(str(methods[0]), color=SOFT),
        key("the method of the panel", color=COLOURS[0], marker="o", markersize=4),
    ]
    return finished(panels.figure, title, legend=legend, note=note)


@styled
def few_against_many(trade_offs: pd.DataFrame, areas: pd.DataFrame) -> Figure:
    """Accuracy of few classes against that of many over each method's knob: a panel a method, all others behind it in grey.

    Points are means over repeats; the ring is what validation chooses most often.

    Args:
        trade_offs: as `trade_offs` has it.
        areas: area of each method, which heads its panel.
    """
    title = "Few classes against many, over each method's knob"
    means = (
        trade_offs.groupby(["method", "knob"], sort=False, dropna=False)[["few", "many", "chosen"]].mean().reset_index()
    )
    if means.empty:
        return nothing_to_draw("No classifier has been scored.", title)
    methods = [method for method in areas["method"] if (means["method"] == method).any()]
    panels = small_multiples(
        len(methods), columns=_COLUMNS, size=(2.9, 2.7), margin=(0.8, 1.3), sharey=True, sharex=True
    )
    for axes, method in zip(panels.axes, methods, strict=True):
        for other, points in means.groupby("method", sort=False):
            if other != method:
                axes.plot(
                    100 * points["many"],
                    100 * points["few"],
                    "o-",
                    color=SOFT,
                    alpha=0.35,
                    linewidth=0.8,
                    markersize=3,
                    zorder=1,
                )
        points = means[means["method"] == method]
        look: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "markersize": 4, "linewidth": 1.5}
        axes.plot(100 * points["many"], 100 * points["few"], **look)
        chosen = points.loc[[points["chosen"].idxmax()]]
        axes.plot(
            100 * chosen["many"], 100 * chosen["few"], "o", markersize=9, markerfacecolor="none", color=COLOURS[3]
        )
        area = float(areas.loc[areas["method"] == method, "mean"].iloc[0])
        axes.set_title(f"{short(method, 26)}: {area:.3f}", fontsize=10)
    panels.label("many classes (%)", "few classes (%)")
    legend = [
        key("values of the knob", color=COLOURS[0], marker="o", markersize=4),
        key("chosen by validation", color=COLOURS[3], linestyle="", marker="o", markersize=9, markerfacecolor="none"),
        key("other methods", marker="o", markersize=3, color=SOFT, alpha=0.5),
    ]
    note = "Means over repeats. The number is the share of the unit square below and left of some point; 1 is perfect."
    return finished(panels.figure, title, legend=legend, note=note)


def _curve(rows: pd.DataFrame, confidence: float, interval: Interval) -> pd.DataFrame:
    """images, mean, low and high of groups of classes with the same rank by images, over repeats."""
    from vision_studies.statistics.intervals import summary

    ordered = rows.sort_values(["repeat", "train_images"], ascending=[True, False], kind="stable")
    rank = ordered.groupby("repeat").cumcount()
    number = int(rank.max()) + 1
    group = rank if number <= _MOST_POINTS else rank * _MOST_POINTS // number
    by_repeat = (
        ordered.assign(group=group).groupby(["group", "repeat"])[["train_images", "accuracy"]].mean().reset_index()
    )
    points = []
    for _, values in by_repeat.groupby("group"):
        found = summary(values["accuracy"].to_numpy(), confidence=confidence, interval=interval, fractions=True)
        images = float(values["train_images"].mean())
        points.append({"images": images, "mean": found.mean, "low": found.low, "high": found.high})
    return pd.DataFrame(points)


def _band(axes: Axes, curve: pd.DataFrame, colour: str) -> None:
    axes.plot(curve["images"], 100 * curve["mean"], color=colour, marker="o", markersize=4, linewidth=1.5)
    if np.isfinite(curve["low"]).all():
        axes.fill_between(
            curve["images"], 100 * curve["low"], 100 * curve["high"], color=colour, alpha=0.18, linewidth=0
        )
