"""What AlphaNet changes class by class, and how many training images the classes have."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vision_studies.plots.alphanet_style import (
    CLASS_SPLITS,
    SPLIT_COLOURS,
    class_means,
    experiments_in,
    legend_below,
    nothing_to_draw,
    outer_labels,
    panels,
    points,
)
from vision_studies.plots.style import COLOURS, FAINT, INK, SOFT, heading, short, styled

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
    means = class_means(class_accuracies[~class_accuracies["baseline"].astype(bool)])
    experiments = experiments_in(means)
    if not experiments:
        return nothing_to_draw(title, _NO_EXPERIMENT)
    named, columns = _layout(means, len(experiments))
    drawn, grid = panels(
        len(experiments), columns=columns, width=10.5 if columns == 1 else 7, height=2.9 if named else 2.3
    )
    for axes, experiment in zip(grid, experiments, strict=True):
        own = means[means["experiment"] == experiment]
        _gains(axes, own, named=named)
        axes.set_title(f"{short(experiment, 46)}: overall {points(own['gain'].mean())}", fontsize=11, pad=24)
    outer_labels(grid, columns, x="", y="change (points)")
    heading(drawn, title)
    note = "Above each split: how many classes it has, and their mean change in points. Each class is the mean of its repeats."
    handles = [
        *(Patch(color=SPLIT_COLOURS[split], label=split) for split in CLASS_SPLITS if (means["split"] == split).any()),
        Line2D([], [], color=INK, linewidth=1.6, label="mean of the split's classes"),
        Line2D([], [], color=INK, linestyle=(0, (4, 2)), linewidth=1.2, label="mean of all classes"),
    ]
    legend_below(drawn, handles, note)
    return drawn


@styled
def accuracy_and_images(class_accuracies: pd.DataFrame) -> Figure:
    """Accuracy of every class with the baseline and with AlphaNet, classes ordered by training images: a row an experiment.

    Few classes are drawn one by one; of many there are dots, and lines of their running mean within a split.

    Args:
        class_accuracies: as for `class_gain_bars`.
    """
    title = "Test accuracy and training images of every class"
    means = class_means(class_accuracies[~class_accuracies["baseline"].astype(bool)])
    experiments = experiments_in(means)
    if not experiments:
        return nothing_to_draw(title, _NO_EXPERIMENT)
    named, columns = _layout(means, len(experiments))
    drawn, grid = panels(
        len(experiments), columns=columns, width=10.5 if columns == 1 else 7, height=3.3 if named else 2.8, room=1.7
    )
    window = 1
    for place, (axes, experiment) in enumerate(zip(grid, experiments, strict=True)):
        own = means[means["experiment"] == experiment].sort_values(
            ["train_images", "label"], ascending=[False, True], kind="stable"
        )
        window = 1 if named else max(2, len(own) // 25)
        _images(axes, own["train_images"].to_numpy(dtype=float), labelled=_is_last(place, columns, len(grid)))
        if named:
            _pairs(axes, own)
        else:
            _smoothed(axes, own, window)
        _strip(axes, own["split"].tolist())
        axes.set_xlim(-0.6, len(own) - 0.4)
        axes.set_ylim(-6, 104)
        axes.set_title(short(experiment, 46), fontsize=11)
    outer_labels(grid, columns, x="" if named else "classes, most training images first", y="accuracy (%)")
    heading(drawn, title)
    splits = [split for split in CLASS_SPLITS if (means["split"] == split).any()]
    marker: dict[str, Any] = {} if window > 1 else {"marker": "o", "linestyle": "", "markersize": 6}
    handles = [
        Line2D([], [], color=_BASELINE, linewidth=2, label="baseline", **marker),
        Line2D([], [], color=_ALPHANET, linewidth=2, label="AlphaNet", **marker),
        Line2D([], [], color=SOFT, linewidth=1.4, linestyle=(0, (1, 1)), label="training images"),
        *(Patch(color=SPLIT_COLOURS[split], label=split) for split in splits),
    ]
    note = "Strip below: the split of each class."
    if window > 1:
        note += f" Dots: classes, mean of their repeats. Lines: running mean of {window} classes of a split."
    legend_below(drawn, handles, note)
    return drawn


def _layout(means: pd.DataFrame, experiments: int) -> tuple[bool, int]:
    """Whether classes are named, and how many panels stand side by side."""
    columns = 1 if experiments <= _ONE_BELOW_ANOTHER else 2
    return int(means.groupby("experiment")["label"].nunique().max()) <= _NAMED[columns], columns


def _gains(axes: Axes, own: pd.DataFrame, *, named: bool) -> None:
    """Bars of one experiment, its splits side by side."""
    known = own.dropna(subset=["gain"])
    groups = [(split, known[known["split"] == split].sort_values("gain", ascending=False)) for split in CLASS_SPLITS]
    groups = [(split, rows) for split, rows in groups if len(rows)]
    ticks: dict[float, str] = {}
    for (split, rows), (start, end) in zip(groups, _sections([len(rows) for _, rows in groups]), strict=True):
        gains, colour = 100 * rows["gain"].to_numpy(dtype=float), SPLIT_COLOURS[split]
        edges = np.linspace(start, end, len(gains) + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        if named:
            axes.bar(centres, gains, width=0.82 * (end - start) / len(gains), color=colour, alpha=0.75, linewidth=0)
            ticks |= dict(zip(centres.tolist(), [short(name, 16) for name in rows["name"]], strict=True))
        else:  # one shape for all: thousands of bars are slow, and hairlines between them swallow their colour
            axes.stairs(gains, edges, fill=True, color=colour, alpha=0.75, linewidth=0)
        axes.plot([start, end], [gains.mean()] * 2, color=INK, linewidth=1.6, zorder=3)
        axes.annotate(
            f"{split} ({len(gains):,}): {points(gains.mean() / 100)}",
            ((start + end) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=9.5,
            color=colour,
        )
    axes.axhline(0, color=SOFT, linewidth=0.8)
    if len(known):
        axes.axhline(100 * known["gain"].mean(), color=INK, linestyle=(0, (4, 2)), linewidth=1.2, zorder=3)
    axes.set_xlim(-0.005, 1.005)
    axes.grid(visible=False, axis="x")
    _named_ticks(axes, ticks)


def _sections(counts: list[int]) -> list[tuple[float, float]]:
    """Parts of an axis from 0 to 1 for so many classes; one with few classes is widened to hold its heading."""
    shares = np.maximum(np.array(counts) / max(sum(counts), 1), _LEAST_SHARE)
    widths = shares / shares.sum() * (1 - _GAP * (len(counts) - 1)) if counts else shares
    ends = np.cumsum(widths + _GAP) - _GAP
    return [(float(end - width), float(end)) for end, width in zip(ends, widths, strict=True)]


def _pairs(axes: Axes, own: pd.DataFrame) -> None:
    """Both accuracies of a class one above the other, joined by a line."""
    places = np.arange(len(own))
    before, after = (100 * own[column].to_numpy(dtype=float) for column in ("baseline_accuracy", "accuracy"))
    axes.vlines(places, before, after, color=_ALPHANET, linewidth=2.2, alpha=0.55)
    axes.plot(places, before, "o", color=_BASELINE, markersize=6, zorder=3)
    axes.plot(places, after, "o", color=_ALPHANET, markersize=6, zorder=3)
    axes.grid(visible=False, axis="x")
    _named_ticks(axes, dict(zip(places.tolist(), [short(name, 16) for name in own["name"]], strict=True)))


def _smoothed(axes: Axes, own: pd.DataFrame, window: int) -> None:
    """Dots of classes with a running mean, which is that of fewer classes at the ends of a split."""
    places = np.arange(len(own))
    for column, colour in (("baseline_accuracy", _BASELINE), ("accuracy", _ALPHANET)):
        values = 100 * own[column].to_numpy(dtype=float)
        axes.plot(places, values, ".", color=colour, markersize=3.5, alpha=0.4, markeredgewidth=0)
        # Across the edge of a split a running mean would blur the very step that is of interest.
        for start, end in _runs(own["split"].tolist()):
            smooth = pd.Series(values[start:end]).rolling(window, center=True, min_periods=1).mean()
            axes.plot(places[start:end], smooth, color=colour, linewidth=2, zorder=3)
    axes.set_xticks([])


def _images(axes: Axes, images: np.ndarray, *, labelled: bool) -> None:
    """The number of training images on a second, logarithmic axis; a class without any leaves a gap."""
    second = axes.twinx()
    known = np.where(images > 0, images, np.nan)
    second.plot(
        np.arange(len(images)),
        known,
        color=SOFT,
        linewidth=1.4,
        linestyle=(0, (1, 1)),
    )
    second.set_yscale("log")
    second.yaxis.set_major_locator(LogLocator(subs=(1,) if images.max() > 100 * max(images.min(), 1) else (1, 2, 5)))
    second.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    second.yaxis.set_minor_formatter(NullFormatter())
    second.grid(visible=False)
    second.spines["right"].set_visible(True)
    second.spines["right"].set_color(FAINT)
    if labelled:
        second.set_ylabel("training images")


def _strip(axes: Axes, splits: list[str]) -> None:
    """A strip along the lower edge in the colours of the splits."""
    for start, end in _runs(splits):
        axes.axvspan(start - 0.5, end - 0.5, ymax=0.035, color=SPLIT_COLOURS[splits[start]], linewidth=0)


def _runs(splits: list[str]) -> list[tuple[int, int]]:
    """Start and end of every stretch of classes of one split."""
    starts = [place for place, split in enumerate(splits) if place == 0 or split != splits[place - 1]]
    return list(zip(starts, [*starts[1:], len(splits)], strict=True))


def _named_ticks(axes: Axes, names: dict[float, str]) -> None:
    turned: dict[str, Any] = {"rotation": 35 if len(names) <= _UPRIGHT_NAMES else 60, "rotation_mode": "anchor"}
    axes.set_xticks(list(names), list(names.values()), ha="right", fontsize=9, **turned)
    axes.tick_params(axis="x", length=0)


def _is_last(place: int, columns: int, count: int) -> bool:
    """Whether a panel is the last one of its row."""
    return place % columns == columns - 1 or place == count - 1
