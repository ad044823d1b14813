"""Accuracy of classes against their distance to their neighbours, and against the number of their training images."""

from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.panels import finished, key, nothing_to_draw, small_multiples
from vision_studies.figures.style import DASHED, INK, SOFT, short, styled
from vision_studies.figures.ticks import decades, logarithmic
from vision_studies.pipelines.alphanet.plots.style import (
    CLASS_SPLITS,
    class_means,
    experiments_in,
    improved,
    split_handles,
    split_look,
    splits_in,
)

_CLEAR = 4  # experiments of a classifier; of more the bands would hide each other
_CLEAR_DOTS = 120  # classes of all experiments of a classifier; of more the dots would
_FEW_CLASSES = 60
_BAND = 0.16
_BAND_FROM = 8  # classes of a split; the bands of fewer would fill the panel
_LABELS = {
    "accuracy": ("Test accuracy with AlphaNet", "accuracy (%)"),
    "baseline_accuracy": ("Test accuracy of the baseline", "accuracy (%)"),
    "gain": ("Change in test accuracy", "change (points)"),
}


@styled
def accuracy_against_distance(
    class_accuracies: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    value: Literal["accuracy", "baseline_accuracy", "gain"],
    confidence: float = 0.95,
) -> Figure:
    """Every class against its mean distance to its neighbours, with a fitted line for each split: a panel an experiment.

    Baselines have no panel. With "baseline_accuracy", experiments on one classifier with the same distances share a panel.

    Args:
        class_accuracies: one row a run and class: classifier, experiment, baseline, repeat, label, name, split, train_images,
            accuracy, baseline_accuracy, neighbour_distance; averaged over repeats.
        lines: from `analysis.long_tail.distance_lines`: experiment, split, x, fitted, low, high, r; of the same value.
        value: what is drawn.
        confidence: of the bands.
    """
    what, label = _LABELS[value]
    title = f"{what} against distance to the neighbours"
    means = class_means(improved(class_accuracies)).dropna(subset=["neighbour_distance", value])
    names = _distinct(means) if value == "baseline_accuracy" else {name: name for name in experiments_in(means)}
    if not names:
        return nothing_to_draw("No class has a known distance to its neighbours.", title)
    panels = small_multiples(len(names), columns=3, size=(4.4, 3.6), margin=(0.6, 1.5), sharey=True)
    for axes, (experiment, name) in zip(panels.axes, names.items(), strict=True):
        if value == "gain":
            axes.axhline(0, color=SOFT, linewidth=0.8)
        _distances(axes, means[means["experiment"] == experiment], lines[lines["experiment"] == experiment], value)
        axes.set_title(short(name, 40), fontsize=11, pad=24)
    _limits(panels.axes, means[value], lines)
    panels.label("mean distance to the neighbours", label)
    handles = split_handles([split for split in CLASS_SPLITS if split in splits_in(means)], "-", 1.5)
    note = (
        "Points: classes, mean of their repeats. "
        f"Lines: least squares within a split, with {100 * confidence:g} % band of the mean; dashed and without a band "
    )
    note += f"where it has fewer than {_BAND_FROM} classes, which show little. r: Pearson's."
    return finished(panels.figure, title, legend=handles, note=note)


@styled
def accuracy_against_images(lines: pd.DataFrame, class_accuracies: pd.DataFrame, *, confidence: float = 0.95) -> Figure:
    """Fitted accuracy against training images on a logarithmic axis: a panel a classifier, a line an experiment.

    Of up to four experiments of a classifier all have bands, of more only the baseline; likewise dots, one a class, where they
    are not too many.

    Args:
        lines: from `analysis.long_tail.image_lines`: classifier, experiment, baseline, x, fitted, low, high, r.
        class_accuracies: as for `accuracy_against_distance`; classes without a training image are left out.
        confidence: of the bands.
    """
    title = "Test accuracy against training images of a class"
    means = class_means(class_accuracies)
    means = means[means["train_images"] > 0].dropna(subset=["accuracy"])
    groups = [(str(name), own) for name, own in means.groupby("classifier", sort=False)]
    if not groups:
        return nothing_to_draw("No class has training images and a known accuracy.", title)
    most = int(means.groupby("classifier")["experiment"].nunique().max())
    height = max(3.6, 0.8 + 0.21 * most)
    panels = small_multiples(len(groups), columns=2, size=(7.2, height), margin=(0.6, 1.2), sharey=True)
    for axes, (classifier, rows) in zip(panels.axes, groups, strict=True):
        _images(axes, rows, lines[lines["classifier"] == classifier])
        axes.set_title(short(classifier, 40), fontsize=11)
    _limits(panels.axes, means["accuracy"], lines)
    panels.label("training images", "accuracy (%)")
    note = f"Lines: least squares over the logarithm of the images, with {100 * confidence:g} % band of the mean. "
    note += "Points: classes, mean of their repeats; r: Pearson's, with the logarithm."
    return finished(panels.figure, title, note=note)


def _distinct(means: pd.DataFrame) -> dict[str, str]:
    """One experiment for each classifier and set of distances, and what its panel is called."""
    found: dict[tuple[str, tuple[float, ...]], str] = {}
    for experiment, own in means.groupby("experiment", sort=False):
        distances = own.sort_values("label")["neighbour_distance"].round(9)
        found.setdefault((str(own["classifier"].iloc[0]), tuple(distances)), str(experiment))
    classifiers = [classifier for classifier, _ in found]
    return {
        experiment: classifier if classifiers.count(classifier) == 1 else f"{classifier}, neighbours of {experiment}"
        for (classifier, _), experiment in found.items()
    }


def _distances(axes: Axes, means: pd.DataFrame, lines: pd.DataFrame, value: str) -> None:
    handles = []
    few = len(means) <= _FEW_CLASSES
    dots: dict[str, Any] = {
        "markersize": 5.0 if few else 3.0 if len(means) <= 2000 else 2.0,
        "alpha": 0.9 if few else 0.35,
    }
    for split in CLASS_SPLITS:
        rows, line = means[means["split"] == split], lines[lines["split"] == split]
        if not len(rows):
            continue
        look = split_look(split)
        axes.plot(rows["neighbour_distance"], 100 * rows[value], linestyle="", markeredgewidth=0, **dots, **look)
        banded = len(rows) >= _BAND_FROM
        r = _line(axes, line, banded=banded, color=look["color"], linestyle="-" if banded else DASHED)
        handles.append(key(f"{split}: r = {r}", color=look["color"], linewidth=2))
    axes.xaxis.set_tick_params(labelbottom=True)
    narrow: dict[str, Any] = {"handlelength": 1, "columnspacing": 1, "borderpad": 0, "handletextpad": 0.5}
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8.5, borderaxespad=0.4, **narrow
    )


def _images(axes: Axes, means: pd.DataFrame, lines: pd.DataFrame) -> None:
    experiments = experiments_in(means)
    baselines = set(means.loc[means["baseline"].astype(bool), "experiment"])
    looks = _looks([name for name in experiments if name not in baselines])
    banded = set(experiments) if len(experiments) <= _CLEAR else baselines
    dotted = set(experiments) if len(means) <= _CLEAR_DOTS or len(experiments) <= 2 else baselines
    handles: list[Any] = []
    for experiment in experiments:
        look = looks.get(experiment, {"color": INK, "linestyle": DASHED})
        rows, line = means[means["experiment"] == experiment], lines[lines["experiment"] == experiment]
        if experiment in dotted:
            few = len(rows) <= _FEW_CLASSES
            dots: dict[str, Any] = {
                "markersize": 5 if few else 2.5,
                "alpha": 0.7 if few else 0.22,
                "markeredgewidth": 0,
            }
            axes.plot(rows["train_images"], 100 * rows["accuracy"], "o", color=look["color"], **dots)
        r = _line(axes, line, banded=experiment in banded, **look)
        handles.append(key(f"{short(experiment, 30)} (r = {r})", linewidth=2, **look))
    images = means["train_images"].to_numpy()
    logarithmic(axes.xaxis, decades(images))
    axes.xaxis.set_tick_params(labelbottom=True)
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)


def _line(axes: Axes, line: pd.DataFrame, *, banded: bool, **look: Any) -> str:
    """A fitted line and its band, where there is one; its correlation as text."""
    if not len(line):
        return "–"
    if banded:
        ends = (100 * line["low"], 100 * line["high"])
        axes.fill_between(line["x"], *ends, color=look["color"], alpha=_BAND, linewidth=0)
    axes.plot(line["x"], 100 * line["fitted"], linewidth=2, zorder=3, **look)
    return _correlation(line["r"].iloc[0])


def _looks(experiments: list[str]) -> dict[str, dict[str, Any]]:
    """Shades from dark to light in the order of the experiments; none is the colour of a split."""
    shades = mpl.colormaps["viridis"](np.linspace(0.08, 0.82, max(2, len(experiments))))
    return {name: {"color": tuple(shade)} for name, shade in zip(experiments, shades, strict=False)}


def _limits(grid: list[Axes], values: pd.Series, lines: pd.DataFrame) -> None:
    """A vertical axis from the lowest to the highest class or line: the band of three classes may reach far beyond."""
    shown = 100 * np.concatenate([values.to_numpy(dtype=float), lines["fitted"].to_numpy(dtype=float)])
    shown = shown[np.isfinite(shown)]
    margin = max(0.06 * float(np.ptp(shown)), 1.0)
    grid[0].set_ylim(shown.min() - margin, shown.max() + margin)


def _correlation(r: float) -> str:
    if np.isnan(r):
        return "–"
    rounded = round(r, 2)
    return f"{rounded:.2f}".replace("-", "−") if rounded else "0.00"
