"""What AlphaNet changes class by class, and how many training images the classes have."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vision_studies.figures.panels import Panels, finished, key, nothing_to_draw, small_multiples
from vision_studies.figures.style import COLOURS, DASHED, DOTTED, FAINT, INK, SOFT, short, styled
from vision_studies.figures.ticks import decades, logarithmic
from vision_studies.pipelines.alphanet.plots.style import (
    CLASS_SPLITS,
    SPLIT_COLOURS,
    class_means,
    experiments_in,
    improved,
    points,
    splits_in,
)

_NAMED = {1: 40, 2: 20}  # so many classes have room for their names, by the panels that stand side by side
_UPRIGHT_NAMES = 14  # more names stand steeper
_ONE_BELOW_ANOTHER = 8  # more experiments stand in two columns
_LEAST_SHARE = 0.16  # of the axis, for the heading of a split with few classes
_GAP = 0.015  # of the axis, between splits
_BASELINE, _ALPHANET = SOFT, COLOURS[3]  # no colour of a split
_NO_EXPERIMENT = "There is no experiment beside the baselines."


@styled
def class_gain_bars(class_accuracies: pd.DataFrame) -> Figure:
    """Mean change in accuracy of every class, sorted within its split: a row an experiment, baselines left out.

    The line of a split, and the number above it, is the mean of its classes; the dashed line the mean of all classes.

    Args:
        class_accuracies: one row a run and class: classifier, experiment, baseline, repeat, label, name, split, train_images,
            accuracy, baseline_accuracy; averaged over repeats.
    """
    title = "Change in test accuracy of every class"
    means = class_means(improved(class_accuracies))
    if means.empty:
        return nothing_to_draw(_NO_EXPERIMENT, title)
    named, panels = _panels(means, heights=(2.9, 2.3), above=1.4)
    for axes, experiment in zip(panels.axes, experiments_in(means), strict=True):
        rows = means[means["experiment"] == experiment]
        _gains(axes, rows, named=named)
        axes.set_title(f"{short(experiment, 46)}: overall {points(rows['gain'].mean())}", fontsize=11, pad=24)
    panels.label("", "change (points)")
    note = "Above each split: how many classes it has, and their mean change in points. Each class is the mean of its repeats."
    handles = [
        *_split_patches(means),
        key("mean of the split's classes", color=INK, linewidth=1.6),
        key("mean of all classes", color=INK, linestyle=DASHED, linewidth=1.2),
    ]
    return finished(panels.figure, title, legend=handles, note=note)


@styled
def accuracy_and_images(class_accuracies: pd.DataFrame) -> Figure:
    """Accuracy of every class with the baseline and with AlphaNet, classes ordered by training images: a row an experiment.

    Few classes are drawn one by one; of many there are dots, and lines of their running mean within a split.

    Args:
        class_accuracies: as for `class_gain_bars`.
    """
    title = "Test accuracy and training images of every class"
    means = class_means(improved(class_accuracies))
    if means.empty:
        return nothing_to_draw(_NO_EXPERIMENT, title)
    named, panels = _panels(means, heights=(3.3, 2.8), above=1.7)
    window = 1
    for number, (axes, experiment) in enumerate(zip(panels.axes, experiments_in(means), strict=True)):
        rows = means[means["experiment"] == experiment].sort_values(
            ["train_images", "label"], ascending=[False, True], kind="stable"
        )
        window = 1 if named else max(2, len(rows) // 25)
        _images(axes, rows["train_images"].to_numpy(dtype=float), labelled=panels.ends_row(number))
        if named:
            _pairs(axes, rows)
        else:
            _smoothed(axes, rows, window)
        splits = rows["split"].tolist()
        for start, end in _stretches(splits):  # a strip along the lower edge
            axes.axvspan(start - 0.5, end - 0.5, ymax=0.035, color=SPLIT_COLOURS[splits[start]], linewidth=0)
        axes.set(xlim=(-0.6, len(rows) - 0.4), ylim=(-6, 104))
        axes.set_title(short(experiment, 46), fontsize=11)
    panels.label("" if named else "classes, most training images first", "accuracy (%)")
    marker: dict[str, Any] = {} if window > 1 else {"marker": "o", "linestyle": "", "markersize": 6}
    handles = [
        key("baseline", color=_BASELINE, linewidth=2, **marker),
        key("AlphaNet", color=_ALPHANET, linewidth=2, **marker),
        key("training images", color=SOFT, linewidth=1.4, linestyle=DOTTED),
        *_split_patches(means),
    ]
    note = "Strip below: the split of each class."
    if window > 1:
        note += f" Dots: classes, mean of their repeats. Lines: running mean of {window} classes of a split."
    return finished(panels.figure, title, legend=handles, note=note)


def _panels(means: pd.DataFrame, *, heights: tuple[float, float], above: float) -> tuple[bool, Panels]:
    """Whether classes are named, and a panel an experiment, of the first height if they are."""
    experiments = len(experiments_in(means))
    columns = 1 if experiments <= _ONE_BELOW_ANOTHER else 2
    named = int(means.groupby("experiment")["label"].nunique().max()) <= _NAMED[columns]
    width, height = 10.5 if columns == 1 else 7, heights[0] if named else heights[1]
    return named, small_multiples(experiments, columns=columns, size=(width, height), margin=(0.6, above), sharey=True)


def _split_patches(means: pd.DataFrame) -> list[Patch]:
    return [Patch(color=SPLIT_COLOURS[split], label=split) for split in CLASS_SPLITS if split in splits_in(means)]


def _gains(axes: Axes, rows: pd.DataFrame, *, named: bool) -> None:
    """Bars of one experiment, its splits side by side."""
    known = rows.dropna(subset=["gain"]).sort_values("gain", ascending=False, kind="stable")
    groups = {split: known[known["split"] == split] for split in CLASS_SPLITS}
    groups = {split: classes for split, classes in groups.items() if len(classes)}
    ticks: dict[float, str] = {}
    sections = _sections([len(classes) for classes in groups.values()])
    for (split, classes), (start, end) in zip(groups.items(), sections, strict=True):
        gains, colour = 100 * classes["gain"].to_numpy(dtype=float), SPLIT_COLOURS[split]
        edges = np.linspace(start, end, len(gains) + 1)
        look: dict[str, Any] = {"color": colour, "alpha": 0.75, "linewidth": 0}
        if named:
            centres = (edges[1:] + edges[:-1]) / 2
            axes.bar(centres, gains, width=0.82 * (end - start) / len(gains), **look)
            ticks |= dict(zip(centres.tolist(), classes["name"], strict=True))
        else:  # one shape for all: thousands of bars are slow, and hairlines between them swallow their colour
            axes.stairs(gains, edges, fill=True, **look)
        axes.plot([start, end], [gains.mean()] * 2, color=INK, linewidth=1.6, zorder=3)
        text, middle = f"{split} ({len(gains):,}): {points(gains.mean() / 100)}", ((start + end) / 2, 1)
        above: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        axes.annotate(text, middle, (0, 4), fontsize=9.5, color=colour, **above)
    axes.axhline(0, color=SOFT, linewidth=0.8)
    if len(known):
        axes.axhline(100 * known["gain"].mean(), color=INK, linestyle=DASHED, linewidth=1.2, zorder=3)
    axes.set_xlim(-0.005, 1.005)
    _name_classes(axes, ticks)


def _sections(counts: list[int]) -> list[tuple[float, float]]:
    """Parts of an axis from 0 to 1 for so many classes; one with few classes is widened to hold its heading."""
    shares = np.maximum(np.array(counts) / max(sum(counts), 1), _LEAST_SHARE)
    widths = shares / shares.sum() * (1 - _GAP * (len(counts) - 1)) if counts else shares
    ends = np.cumsum(widths + _GAP) - _GAP
    return [(float(end - width), float(end)) for end, width in zip(ends, widths, strict=True)]


def _pairs(axes: Axes, rows: pd.DataFrame) -> None:
    """Both accuracies of a class one above the other, joined by a line."""
    places = np.arange(len(rows))
    before, after = (100 * rows[column].to_numpy(dtype=float) for column in ("baseline_accuracy", "accuracy"))
    axes.vlines(places, before, after, color=_ALPHANET, linewidth=2.2, alpha=0.55)
    axes.plot(places, before, "o", color=_BASELINE, markersize=6, zorder=3)
    axes.plot(places, after, "o", color=_ALPHANET, markersize=6, zorder=3)
    _name_classes(axes, dict(zip(places.tolist(), rows["name"], strict=True)))


def _smoothed(axes: Axes, rows: pd.DataFrame, window: int) -> None:
    """Dots of classes with a running mean, which is that of fewer classes at the ends of a split."""
    places = np.arange(len(rows))
    for column, colour in (("baseline_accuracy", _BASELINE), ("accuracy", _ALPHANET)):
        values = 100 * rows[column].to_numpy(dtype=float)
        axes.plot(places, values, ".", color=colour, markersize=3.5, alpha=0.4, markeredgewidth=0)
        # Across the edge of a split a running mean would blur the very step that is of interest.
        for start, end in _stretches(rows["split"].tolist()):
            smooth = pd.Series(values[start:end]).rolling(window, center=True, min_periods=1).mean()
            axes.plot(places[start:end], smooth, color=colour, linewidth=2, zorder=3)
    axes.set_xticks([])


def _images(axes: Axes, images: np.ndarray, *, labelled: bool) -> None:
    """The number of training images on a second, logarithmic axis; a class without any leaves a gap."""
    second = axes.twinx()
    known = np.where(images > 0, images, np.nan)
    second.plot(np.arange(len(images)), known, color=SOFT, linewidth=1.4, linestyle=DOTTED)
    logarithmic(second.yaxis, decades(images))
    second.grid(visible=False)
    second.spines["right"].set(visible=True, color=FAINT)
    if labelled:
        second.set_ylabel("training images")


def _stretches(splits: list[str]) -> list[tuple[int, int]]:
    """Start and end of every stretch of classes of one split."""
    starts = [place for place, split in enumerate(splits) if place == 0 or split != splits[place - 1]]
    return list(zip(starts, [*starts[1:], len(splits)], strict=True))


def _name_classes(axes: Axes, names: dict[float, str]) -> None:
    labels = [short(name, 16) for name in names.values()]
    turned = 35 if len(labels) <= _UPRIGHT_NAMES else 60
    axes.set_xticks(list(names), labels, fontsize=9, rotation=turned, rotation_mode="anchor", ha="right")
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
