"""Accuracy of few, medium and many classes and what AlphaNet changes of it, by split and class by class.

Tables of classes have one row a run and class: classifier, experiment, baseline, repeat, label, name, split, train_images,
accuracy, baseline_accuracy and, for distances, neighbour_distance. They are averaged over repeats. Tables of splits are those
of `long_tail.summarise`, tables of lines those of `long_tail.distance_lines` and `long_tail.image_lines`.
"""

from collections.abc import Iterable
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vision_studies.figures.marks import decades, logarithmic, names, values_run
from vision_studies.figures.panels import Panels, finished, key, nothing_to_draw, side_by_side, single, small_multiples
from vision_studies.figures.style import COLOURS, DASHED, DOTTED, FAINT, INK, SOFT, short, styled
from vision_studies.pipelines.alphanet.long_tail import METRIC_NAMES, Value, class_means
from vision_studies.statistics.interval_kinds import INTERVAL_NAMES, Interval

SPLIT_COLOURS = {"overall": INK, "few": COLOURS[1], "medium": COLOURS[2], "many": COLOURS[0]}
"""One colour a split in every figure, from the palette for colour-blind readers; in the order splits are drawn."""

# Markers are for figures that are printed without colour.
_LOOKS: dict[str, dict[str, Any]] = {
    split: {"color": SPLIT_COLOURS[split], "marker": marker}
    for split, marker in zip(SPLIT_COLOURS, "Dos^", strict=True)
}

_UPRIGHT = 6  # so many experiments have room for their names below an axis
_STRIPE = "#f4f6f8"
_SETTINGS = {
    "rho": "rho (base images for each image of the few classes)",
    "neighbours": "neighbours of a few class (k)",
}
_SHORT = {"rho": "rho", "neighbours": "k", "distance": "distance"}

_NAMED = {1: 40, 2: 20}  # so many classes have room for their names, by the panels that stand side by side
_UPRIGHT_NAMES = 14  # more names stand steeper
_ONE_BELOW_ANOTHER = 8  # more experiments stand in two columns
_LEAST_SHARE = 0.16  # of the axis, for the heading of a split with few classes
_GAP = 0.015  # of the axis, between splits
_STRIP = 0.035  # of the height of a panel
_BELOW_STRIP = 11  # points
_BASELINE, _ALPHANET = SOFT, COLOURS[3]  # no colour of a split
_NO_EXPERIMENT = "There is no experiment beside the baselines."

_CLEAR = 4  # experiments of a classifier; of more the bands would hide each other
_CLEAR_DOTS = 120  # classes of all experiments of a classifier; of more the dots would
_FEW_CLASSES = 60
_BAND = 0.16
_BAND_FROM = 8  # classes of a split; the bands of fewer would fill the panel
_VALUES = {
    "accuracy": ("Test accuracy with AlphaNet", "accuracy (%)"),
    "baseline_accuracy": ("Test accuracy of the baseline", "accuracy (%)"),
    "gain": ("Change in test accuracy", "change (points)"),
}


@styled
def split_points(
    summary: pd.DataFrame,
    *,
    gain: bool,
    metric: str = "top_1",
    confidence: float = 0.95,
    interval: Interval = "t",
) -> Figure:
    """Mean and interval of every experiment and split: a group an experiment, a colour a split.

    Args:
        summary: classifier, experiment, baseline, split, n, mean, low, high.
        gain: whether it holds gains.
        metric: which accuracy it holds.
        confidence: of the intervals.
        interval: their kind.
    """
    title, label = _wording(gain, metric, "of each experiment")
    summary = summary.dropna(subset=["mean"])
    if summary.empty:
        return nothing_to_draw("No experiment has a value for this metric.", title)
    experiments, splits = list(summary["experiment"].drop_duplicates()), _splits_in(summary)
    upright = len(experiments) <= _UPRIGHT
    size = (max(7.0, 2 + 1.6 * len(experiments)), 5.4) if upright else (9, 2.2 + 0.4 * len(experiments))
    figure, axes = single(*size)
    _groups(axes, experiments, summary, upright=upright)
    if gain:
        (axes.axhline if upright else axes.axvline)(0, color=INK, linewidth=1.2)
    for split, shift in zip(splits, side_by_side(len(splits), 0.19), strict=True):
        rows = summary[summary["split"] == split]
        _points(axes, rows["experiment"].map(experiments.index).to_numpy(dtype=float) + shift, rows, upright=upright)
    (axes.set_ylabel if upright else axes.set_xlabel)(label)
    handles = _split_keys(splits)
    if summary["baseline"].any():
        handles.append(key("hollow: baseline", color=SOFT, linestyle="", marker="o", markerfacecolor="white"))
    return finished(figure, title, legend=handles, note=_interval_note(summary, confidence, interval))


@styled
def split_lines(
    summary: pd.DataFrame,
    *,
    over: Literal["rho", "neighbours"],
    gain: bool,
    metric: str = "top_1",
    confidence: float = 0.95,
    interval: Interval = "t",
) -> Figure:
    """Means with intervals against a setting of AlphaNet: a panel a classifier and what else varies, a line a split.

    Args:
        summary: classifier, baseline, rho, neighbours, distance, split, n, mean, low, high.
        over: the setting. Where the other settings vary, each of their values has a panel.
        gain: whether it holds gains. Otherwise the baseline of each classifier is drawn as dashed lines.
        metric: which accuracy it holds.
        confidence: of the intervals.
        interval: their kind.
    """
    title, label = _wording(gain, metric, f"against {_SETTINGS[over].split(' (')[0]}")
    summary = summary.dropna(subset=["mean"])
    baselines = summary[summary["baseline"].astype(bool)]
    settings = _improved(summary).dropna(subset=[over])
    if settings.empty:
        return nothing_to_draw(f"No experiment has a value of {_SHORT[over]}.", title)
    others = ("distance", "neighbours" if over == "rho" else "rho")
    keys = ["classifier", *(name for name in others if settings[name].nunique(dropna=False) > 1)]
    groups = list(settings.groupby(keys, sort=False, dropna=False))
    # So many that rows come out even where they can.
    columns = 2 if len(groups) in (2, 4) else 4 if len(groups) % 4 == 0 else 3
    panels = small_multiples(len(groups), columns=columns, size=(3.9, 3.2), margin=(0.6, 1.9), sharey=True)
    splits = _splits_in(settings)
    for axes, (values, rows) in zip(panels.axes, groups, strict=True):
        if gain:
            axes.axhline(0, color=INK, linewidth=1.2)
        else:
            for row in baselines[baselines["classifier"] == values[0]].to_dict("records"):
                axes.axhline(100 * row["mean"], color=SPLIT_COLOURS[row["split"]], linestyle=DASHED, linewidth=1.2)
        _lines(axes, rows, over, splits)
        axes.set_title(_panel_title(keys, values), fontsize=11)
    several = len(groups) > 1 and over == "rho"  # a narrow panel has no room to explain rho
    panels.label("rho" if several else _SETTINGS[over], label)
    handles = _split_keys(splits, "-")
    if not gain and len(baselines):
        handles.append(key("baseline", color=SOFT, linestyle=DASHED))
    explained = "rho: sampled images of base classes for each image of the few classes. " if several else ""
    return finished(
        panels.figure, title, legend=handles, note=explained + _interval_note(settings, confidence, interval)
    )


@styled
def class_gain_bars(class_accuracies: pd.DataFrame) -> Figure:
    """Mean change in accuracy of every class, sorted within its split: a row an experiment, baselines left out.

    The line of a split, and the number above it, is the mean of its classes; the dashed line the mean of all classes.
    """
    title = "Change in test accuracy of every class"
    means = class_means(_improved(class_accuracies))
    if means.empty:
        return nothing_to_draw(_NO_EXPERIMENT, title)
    named, panels = _experiment_rows(means, heights=(2.9, 2.3), above=1.4)
    for axes, (experiment, rows) in zip(panels.axes, means.groupby("experiment", sort=False), strict=True):
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
    """
    title = "Test accuracy and training images of every class"
    means = class_means(_improved(class_accuracies))
    if means.empty:
        return nothing_to_draw(_NO_EXPERIMENT, title)
    named, panels = _experiment_rows(means, heights=(3.3, 2.8), above=1.7)
    ordered = means.sort_values(["train_images", "label"], ascending=[False, True], kind="stable")
    window = 1
    for number, (axes, experiment) in enumerate(zip(panels.axes, means["experiment"].unique(), strict=True)):
        rows = ordered[ordered["experiment"] == experiment]
        window = 1 if named else max(2, len(rows) // 25)
        _images(axes, rows["train_images"].to_numpy(dtype=float), labelled=panels.ends_row(number))
        _accuracies(axes, rows, window)
        if named:
            _name_classes(axes, dict(enumerate(rows["name"])))
        splits = rows["split"].tolist()
        strip: dict[str, Any] = {"ymin": -_STRIP, "ymax": 0, "linewidth": 0, "clip_on": False}
        for start, end in _stretches(splits):
            axes.axvspan(start - 0.5, end - 0.5, color=SPLIT_COLOURS[splits[start]], **strip)
        axes.set(xlim=(-0.6, len(rows) - 0.4), ylim=(0, 100))
        axes.tick_params(axis="x", pad=_BELOW_STRIP)
        axes.xaxis.labelpad = _BELOW_STRIP
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


@styled
def accuracy_against_distance(
    class_accuracies: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    value: Value,
    confidence: float = 0.95,
    interval: Interval = "t",
) -> Figure:
    """Every class against its mean distance to its neighbours, with a fitted line for each split: a panel an experiment.

    Baselines have no panel. With "baseline_accuracy", experiments on one classifier with the same distances share a panel.

    Args:
        class_accuracies: one row a run and class.
        lines: experiment, split, x, fitted, low, high, r; of the same value.
        value: what is drawn.
        confidence: of the bands.
        interval: their kind.
    """
    what, label = _VALUES[value]
    title = f"{what} against distance to the neighbours"
    means = class_means(_improved(class_accuracies)).dropna(subset=["neighbour_distance", value])
    experiments = means["experiment"].unique()
    titles = _distinct(means) if value == "baseline_accuracy" else dict(zip(experiments, experiments, strict=True))
    if not titles:
        return nothing_to_draw("No class has a known distance to its neighbours.", title)
    panels = small_multiples(len(titles), columns=3, size=(4.4, 3.6), margin=(0.6, 1.5), sharey=True)
    for axes, (experiment, name) in zip(panels.axes, titles.items(), strict=True):
        if value == "gain":
            axes.axhline(0, color=SOFT, linewidth=0.8)
        _distances(axes, means[means["experiment"] == experiment], lines[lines["experiment"] == experiment], value)
        axes.set_title(short(name, 40), fontsize=11, pad=24)
    _limits(panels.axes, means[value], lines)
    panels.label("mean distance to the neighbours", label)
    note = (
        "Points: classes, mean of their repeats. "
        f"Lines: least squares within a split, with {_band(confidence, interval)}; dashed and without a band "
        f"where it has fewer than {_BAND_FROM} classes, which show little. r: Pearson's."
    )
    return finished(panels.figure, title, legend=_split_keys(_splits_in(means), "-", 1.5), note=note)


@styled
def accuracy_against_images(
    lines: pd.DataFrame, class_accuracies: pd.DataFrame, *, confidence: float = 0.95, interval: Interval = "t"
) -> Figure:
    """Fitted accuracy against training images on a logarithmic axis: a panel a classifier, a line an experiment.

    Of up to four experiments of a classifier all have bands, of more only the baseline; likewise dots, one a class, where they
    are not too many.

    Args:
        lines: classifier, experiment, baseline, x, fitted, low, high, r.
        class_accuracies: one row a run and class; classes without a training image are left out.
        confidence: of the bands.
        interval: their kind.
    """
    title = "Test accuracy against training images of a class"
    means = class_means(class_accuracies[class_accuracies["train_images"] > 0]).dropna(subset=["accuracy"])
    groups = means.groupby("classifier", sort=False)
    if not len(groups):
        return nothing_to_draw("No class has training images and a known accuracy.", title)
    height = max(3.6, 0.8 + 0.21 * int(groups["experiment"].nunique().max()))
    panels = small_multiples(len(groups), columns=2, size=(7.2, height), margin=(0.6, 1.2), sharey=True)
    for axes, (classifier, rows) in zip(panels.axes, groups, strict=True):
        _against_images(axes, rows, lines[lines["classifier"] == classifier])
        axes.set_title(short(classifier, 40), fontsize=11)
    _limits(panels.axes, means["accuracy"], lines)
    panels.label("training images", "accuracy (%)")
    note = f"Lines: least squares over the logarithm of the images, with {_band(confidence, interval)}. "
    note += "Points: classes, mean of their repeats; r: Pearson's, with the logarithm."
    return finished(panels.figure, title, note=note)


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign and one decimal; a dash where it is missing."""
    return _signed(100 * value, 1, "+")


def _signed(value: float, decimals: int, sign: Literal["", "+"] = "") -> str:
    """A number with a true minus; nought has no sign."""
    if np.isnan(value):
        return "–"
    rounded = round(value, decimals) or 0.0
    return f"{rounded:{sign if rounded else ''}.{decimals}f}".replace("-", "−")


def _improved(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of experiments, without those of baselines."""
    return table[~table["baseline"].astype(bool)]


def _splits_in(table: pd.DataFrame) -> list[str]:
    """Splits of a table in the order they are drawn."""
    return [split for split in SPLIT_COLOURS if (table["split"] == split).any()]


def _split_keys(splits: Iterable[str], linestyle: str = "", linewidth: float = 1.8) -> list[Line2D]:
    """What a legend shows for splits that are drawn as points or lines."""
    look: dict[str, Any] = {"markersize": 6, "linestyle": linestyle, "linewidth": linewidth}
    return [key(split, **look, **_LOOKS[split]) for split in splits]


def _split_patches(means: pd.DataFrame) -> list[Patch]:
    return [Patch(color=SPLIT_COLOURS[split], label=split) for split in _splits_in(means)]


def _wording(gain: bool, metric: str, what: str) -> tuple[str, str]:
    """A figure's title and what its axis is called."""
    name = METRIC_NAMES.get(metric, f"{metric.replace('_', '-')} accuracy")
    if gain:
        return f"Change in {name} {what}", f"change in {name} (points)"
    return f"Test {name} {what}", f"{name} (%)"


def _band(confidence: float, interval: Interval) -> str:
    return f"{100 * confidence:g} % band of the mean{' (bootstrap)' if interval == 'bootstrap' else ''}"


def _interval_note(summary: pd.DataFrame, confidence: float, interval: Interval) -> str:
    if summary["n"].max() < 2:
        return "One repeat each: no intervals."
    note = f"Bars: {100 * confidence:g} % interval of the mean over repeats ({INTERVAL_NAMES[interval]})"
    return f"{note}; points without a bar have one repeat." if summary["n"].min() < 2 else f"{note}."


def _groups(axes: Axes, experiments: list[str], summary: pd.DataFrame, *, upright: bool) -> None:
    """Names of the experiments on their axis, every other with a stripe, and a line where the classifier changes."""
    classifiers = summary.drop_duplicates("experiment")["classifier"].tolist()
    stripe, line = (axes.axvspan, axes.axvline) if upright else (axes.axhspan, axes.axhline)
    for number in range(1, len(experiments)):
        if number % 2:
            stripe(number - 0.5, number + 0.5, color=_STRIPE, linewidth=0, zorder=0)
        if classifiers[number] != classifiers[number - 1]:
            line(number - 0.5, color=SOFT, linewidth=1)
    if upright:
        names(axes, "x", [",\n".join(short(part, 20) for part in name.split(", ")) for name in experiments])
    else:
        names(axes, "y", [short(name, 40) for name in experiments])
    axes.tick_params(axis="x" if upright else "y", length=0)


def _points(axes: Axes, at: np.ndarray, rows: pd.DataFrame, *, upright: bool) -> None:
    """Means of a split with their intervals; those of a baseline are hollow."""
    look = dict(_LOOKS[rows["split"].iloc[0]])
    means, (below, above) = 100 * rows["mean"].to_numpy(dtype=float), _reach(rows)
    (axes.vlines if upright else axes.hlines)(at, means - below, means + above, color=look["color"], linewidth=1.6)
    look |= {"linestyle": "", "markersize": 5.5, "markeredgecolor": look["color"], "zorder": 3}
    hollow = rows["baseline"].to_numpy(dtype=bool)
    for which, face in ((~hollow, look["color"]), (hollow, "white")):
        x, y = (at[which], means[which]) if upright else (means[which], at[which])
        axes.plot(x, y, markerfacecolor=face, **look)


def _lines(axes: Axes, rows: pd.DataFrame, over: str, splits: list[str]) -> None:
    values = sorted(float(value) for value in rows[over].unique())
    log = over == "rho" and values[0] > 0 and values[-1] >= 8 * values[0]
    reach = np.log10(values[-1] / values[0]) if log else (values[-1] - values[0]) or 1.0
    bars: dict[str, Any] = {"linewidth": 1.6, "markersize": 5, "elinewidth": 1.3, "capsize": 2, "zorder": 3}
    # Side by side, or error bars of one setting would hide each other.
    for split, apart in zip(splits, side_by_side(len(splits), 0.008 * reach), strict=True):
        of_split = rows[rows["split"] == split].sort_values(over)
        at = of_split[over].to_numpy(dtype=float)
        at = at * 10**apart if log else at + apart
        axes.errorbar(at, 100 * of_split["mean"], yerr=_reach(of_split), **bars, **_LOOKS[split])
    if len(values) == 1:
        axes.set_xlim(values[0] - 0.1, values[0] + 0.1)
    values_run(axes.xaxis, values, [f"{value:g}" for value in values], 0.1, log=log)
    axes.xaxis.set_tick_params(labelbottom=True)


def _reach(rows: pd.DataFrame) -> np.ndarray:
    """[2, N]: how far intervals reach below and above their means, in points; 0 where there is none."""
    low, mean, high = rows[["low", "mean", "high"]].to_numpy(dtype=float).T
    return 100 * np.nan_to_num([mean - low, high - mean]).clip(0)


def _panel_title(keys: list[str], values: tuple) -> str:
    parts = [short(values[0], 24)]
    for column, value in zip(keys[1:], values[1:], strict=True):
        written = "unknown" if pd.isna(value) else value if column == "distance" else f"{value:g}"
        parts.append(f"{_SHORT[column]} {written}")
    return ", ".join(parts)


def _experiment_rows(means: pd.DataFrame, *, heights: tuple[float, float], above: float) -> tuple[bool, Panels]:
    """Whether classes are named, and a panel an experiment, of the first height if they are."""
    classes = means.groupby("experiment")["label"].nunique()
    columns = 1 if len(classes) <= _ONE_BELOW_ANOTHER else 2
    named = int(classes.max()) <= _NAMED[columns]
    size = 10.5 if columns == 1 else 7, heights[0] if named else heights[1]
    return named, small_multiples(len(classes), columns=columns, size=size, margin=(0.6, above), sharey=True)


def _gains(axes: Axes, rows: pd.DataFrame, *, named: bool) -> None:
    """Bars of one experiment, its splits side by side."""
    rows = rows.dropna(subset=["gain"]).sort_values("gain", ascending=False, kind="stable")
    groups = {split: rows[rows["split"] == split] for split in _splits_in(rows)}
    ticks: dict[float, str] = {}
    # Parts of an axis from 0 to 1; one with few classes is widened to hold its heading.
    shares = np.maximum([len(classes) / len(rows) for classes in groups.values()], _LEAST_SHARE)
    widths = shares / shares.sum() * (1 - _GAP * (len(groups) - 1))
    ends = np.cumsum(widths + _GAP) - _GAP
    for (split, classes), start, end in zip(groups.items(), ends - widths, ends, strict=True):
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
    if len(rows):
        axes.axhline(100 * rows["gain"].mean(), color=INK, linestyle=DASHED, linewidth=1.2, zorder=3)
    axes.set_xlim(-0.005, 1.005)
    _name_classes(axes, ticks)


def _accuracies(axes: Axes, rows: pd.DataFrame, window: int) -> None:
    """Both accuracies of a class: large dots joined by a line or, with a window, small ones and their running means."""
    before, after = (100 * rows[column].to_numpy(dtype=float) for column in ("baseline_accuracy", "accuracy"))
    if window == 1:
        axes.vlines(range(len(rows)), before, after, color=_ALPHANET, linewidth=2.2, alpha=0.55)
    else:
        axes.set_xticks([])
    dots: dict[str, Any] = {"marker": "o", "markersize": 6, "zorder": 3}
    if window > 1:
        dots = {"marker": ".", "markersize": 3.5, "alpha": 0.4, "markeredgewidth": 0}
    for values, colour in ((before, _BASELINE), (after, _ALPHANET)):
        axes.plot(values, linestyle="", color=colour, **dots)
        # Across the edge of a split a running mean would blur the very step that is of interest.
        for start, end in _stretches(rows["split"].tolist()) if window > 1 else ():
            smooth = pd.Series(values[start:end]).rolling(window, center=True, min_periods=1).mean()
            axes.plot(range(start, end), smooth, color=colour, linewidth=2, zorder=3)


def _images(axes: Axes, images: np.ndarray, *, labelled: bool) -> None:
    """The number of training images on a second, logarithmic axis; a class without any leaves a gap."""
    second = axes.twinx()
    second.plot(np.where(images > 0, images, np.nan), color=SOFT, linewidth=1.4, linestyle=DOTTED)
    logarithmic(second.yaxis, decades(images))
    second.grid(visible=False)
    second.spines["right"].set(visible=True, color=FAINT)
    if labelled:
        second.set_ylabel("training images")


def _stretches(splits: list[str]) -> list[tuple[int, int]]:
    """Start and end of every stretch of classes of one split."""
    starts = [number for number, split in enumerate(splits) if number == 0 or split != splits[number - 1]]
    return list(zip(starts, [*starts[1:], len(splits)], strict=True))


def _name_classes(axes: Axes, classes: dict[float, str]) -> None:
    labels = [short(name, 16) for name in classes.values()]
    turned = 35 if len(labels) <= _UPRIGHT_NAMES else 60
    axes.set_xticks(list(classes), labels, fontsize=9, rotation=turned, rotation_mode="anchor", ha="right")
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")


def _distinct(means: pd.DataFrame) -> dict[str, str]:
    """One experiment for each classifier and set of distances, and what its panel is called."""
    first: dict[tuple[str, tuple[float, ...]], str] = {}
    for experiment, rows in means.groupby("experiment", sort=False):
        distances = rows.sort_values("label")["neighbour_distance"].round(9)
        first.setdefault((str(rows["classifier"].iloc[0]), tuple(distances)), str(experiment))
    classifiers = [classifier for classifier, _ in first]
    return {
        experiment: classifier if classifiers.count(classifier) == 1 else f"{classifier}, neighbours of {experiment}"
        for (classifier, _), experiment in first.items()
    }


def _distances(axes: Axes, means: pd.DataFrame, lines: pd.DataFrame, value: Value) -> None:
    handles = []
    dots = _dots(means, 5.0, 3.0 if len(means) <= 2000 else 2.0, (0.9, 0.35))
    for split in _splits_in(means):
        rows, line = means[means["split"] == split], lines[lines["split"] == split]
        look = _LOOKS[split]
        axes.plot(rows["neighbour_distance"], 100 * rows[value], **dots, **look)
        banded = len(rows) >= _BAND_FROM
        r = _line(axes, line, banded=banded, color=look["color"], linestyle="-" if banded else DASHED)
        handles.append(key(f"{split}: r = {r}", color=look["color"], linewidth=2))
    axes.xaxis.set_tick_params(labelbottom=True)
    narrow: dict[str, Any] = {"handlelength": 1, "columnspacing": 1, "borderpad": 0, "handletextpad": 0.5}
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3, "borderaxespad": 0.4}
    axes.legend(handles=handles, fontsize=8.5, **above, **narrow)


def _against_images(axes: Axes, means: pd.DataFrame, lines: pd.DataFrame) -> None:
    experiments = list(means["experiment"].unique())
    baselines = set(means.loc[means["baseline"].astype(bool), "experiment"])
    # Shades from dark to light in the order of the experiments; none is the colour of a split.
    others = [name for name in experiments if name not in baselines]
    shades = mpl.colormaps["viridis"](np.linspace(0.08, 0.82, max(2, len(others))))
    looks: dict[str, dict[str, Any]] = {
        name: {"color": tuple(shade)} for name, shade in zip(others, shades, strict=False)
    }
    banded = set(experiments) if len(experiments) <= _CLEAR else baselines
    dotted = set(experiments) if len(means) <= _CLEAR_DOTS or len(experiments) <= 2 else baselines
    handles = []
    for experiment in experiments:
        look = looks.get(experiment, {"color": INK, "linestyle": DASHED})
        rows, line = means[means["experiment"] == experiment], lines[lines["experiment"] == experiment]
        if experiment in dotted:
            dots = _dots(rows, 5, 2.5, (0.7, 0.22))
            axes.plot(rows["train_images"], 100 * rows["accuracy"], marker="o", color=look["color"], **dots)
        r = _line(axes, line, banded=experiment in banded, **look)
        handles.append(key(f"{short(experiment, 30)} (r = {r})", linewidth=2, **look))
    logarithmic(axes.xaxis, decades(means["train_images"].to_numpy()))
    axes.xaxis.set_tick_params(labelbottom=True)
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)


def _dots(rows: pd.DataFrame, large: float, small: float, opacity: tuple[float, float]) -> dict[str, Any]:
    """Large dots of few classes, small and lighter ones of many."""
    few = len(rows) <= _FEW_CLASSES
    size, alpha = (large, opacity[0]) if few else (small, opacity[1])
    return {"linestyle": "", "markersize": size, "alpha": alpha, "markeredgewidth": 0}


def _line(axes: Axes, line: pd.DataFrame, *, banded: bool, **look: Any) -> str:
    """A fitted line and its band, where there is one; its correlation as text."""
    if line.empty:
        return "–"
    if banded:
        ends = (100 * line["low"], 100 * line["high"])
        axes.fill_between(line["x"], *ends, color=look["color"], alpha=_BAND, linewidth=0)
    axes.plot(line["x"], 100 * line["fitted"], linewidth=2, zorder=3, **look)
    return _signed(line["r"].iloc[0], 2)


def _limits(panels: list[Axes], values: pd.Series, lines: pd.DataFrame) -> None:
    """A vertical axis from the lowest to the highest class or line: the band of three classes may reach far beyond."""
    shown = 100 * np.concatenate([values.to_numpy(dtype=float), lines["fitted"].to_numpy(dtype=float)])
    shown = shown[np.isfinite(shown)]
    margin = max(0.06 * float(np.ptp(shown)), 1.0)
    panels[0].set_ylim(shown.min() - margin, shown.max() + margin)
