"""What a trained classifier gets right and wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from vision_studies.figures.dark import ON_COLOUR
from vision_studies.figures.marks import bare, colour_scale, picture
from vision_studies.figures.panels import finished, single, small_multiples
from vision_studies.figures.style import COLOURS, INK, NO_DATA, RIGHT, SOFT, WRONG, figure, short, styled

_MOST_WRITTEN_CLASSES = 20
_LISTED_CONFUSIONS = 15
_GRID_COLUMNS = 4


@styled
def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str]) -> Figure:
    """How often each class is taken for which: colours are shares of the true class, by their square root.

    Up to 20 classes each cell tells its images and their share of the row; of more classes a list beside the matrix names
    the most frequent confusions.

    Args:
        labels: int [N], true classes.
        predictions: int [N].
        class_names: one name a label.
    """
    classes = len(class_names)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predictions), 1)
    images = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, images, out=np.full(counts.shape, np.nan), where=images > 0)
    title = f"Confusion matrix: {np.trace(counts):,} of {counts.sum():,} images are right"
    if counts.sum():
        title += f" ({100 * np.trace(counts) / counts.sum():.1f} %)"
    if classes <= _MOST_WRITTEN_CLASSES:
        side = max(4.5, 2.2 + 0.72 * classes)
        fig, axes = single(side + 1.2, side)
        _matrix(axes, shares, class_names, font_size=9.5)
        for row, column in np.argwhere(counts):
            share = shares[row, column]
            text = f"{counts[row, column]:,}\n{_percent(share)}"
            colour = "white" if share > 0.35 else INK
            axes.text(
                column, row, text, ha="center", va="center", color=colour, fontsize=8.5, linespacing=1.05, gid=ON_COLOUR
            )
    else:
        side = min(13.0, 4.5 + 0.09 * classes)
        fig = figure(side + 4, side)
        axes, beside = fig.subplots(1, 2, width_ratios=(side, 2.6))
        # A row is about 0.8 * side / classes inches high, and an inch has 72 points.
        _matrix(axes, shares, class_names, font_size=min(9.0, 0.72 * 0.8 * side * 72 / classes))
        _list_confusions(beside, counts, shares, class_names)
    return finished(fig, title)


@styled
def reliability_diagram(table: pd.DataFrame, calibration_error: float) -> Figure:
    """Accuracy against confidence (DeGroot and Fienberg 1983) above the number of images in each bin.

    Args:
        table: one row a bin: low, high (edges of confidence), images, confidence (mean), accuracy (missing where empty).
        calibration_error: expected calibration error, a fraction.
    """
    fig = figure(7, 7)
    upper, lower = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1.15))
    filled = table[table["images"] > 0]
    width = 0.94 * (filled["high"] - filled["low"])
    centre = (filled["low"] + filled["high"]) / 2
    upper.plot([0, 100], [0, 100], color=SOFT, linestyle="--", label="perfect calibration", zorder=3)
    upper.bar(100 * centre, 100 * filled["accuracy"], 100 * width, color=COLOURS[5], label="accuracy of the bin")
    dots = {"color": COLOURS[0], "markeredgecolor": "white", "markersize": 7, "zorder": 4}
    upper.plot(100 * filled["confidence"], 100 * filled["accuracy"], "o", label="at the bin's mean confidence", **dots)
    upper.set(ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 103))
    upper.legend(loc="upper left")
    bars = lower.bar(100 * centre, filled["images"], 100 * width, color=COLOURS[0])
    lower.bar_label(bars, labels=[f"{count:,}" for count in filled["images"]], fontsize=8, padding=2)
    lower.set(xlabel="confidence (%)", ylabel="images", yscale="symlog")
    lower.set_ylim(0, 6 * max(1, filled["images"].max() if len(filled) else 1))  # room for the numbers
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lower.minorticks_off()
    return finished(fig, f"Reliability: expected calibration error {100 * calibration_error:.2f} points")


@styled
def prediction_grid(
    images: np.ndarray,
    table: pd.DataFrame,
    class_names: Sequence[str],
    accuracy: float,
    *,
    selection: str = "drawn at random",
    split: str = "test",
    top: int = 3,
) -> Figure:
    """Images, each with its most probable classes as bars beside it; nothing covers an image.

    Args:
        images: uint8 [K, H, W, C].
        table: K rows: label, prediction and a column `probability_<label>` a class.
        class_names: one name a label.
        accuracy: share of right predictions among all images of the `split`; the heading sets the errors shown against it.
        selection: how the images were chosen, for the heading: a reader takes what is shown for the usual case.
        top: how many classes to show an image.
    """
    probabilities = table.filter(like="probability_").to_numpy()
    labels, predictions = table["label"].to_numpy(), table["prediction"].to_numpy()
    columns = min(_GRID_COLUMNS, max(1, len(images)))
    # An image and its bars are two panels, side by side.
    panels = small_multiples(
        2 * columns * max(1, -(-len(images) // columns)),
        columns=2 * columns,
        size=(1.8, 1.95),
        margin=(0, 1.1),
        width_ratios=(1, 1.1) * columns,
    )
    for axes in panels.axes:
        axes.set_axis_off()
    for index, (image, image_axes, bar_axes) in enumerate(
        zip(images, panels.axes[::2], panels.axes[1::2], strict=False)
    ):
        right = labels[index] == predictions[index]
        colour, word = (RIGHT, "correct") if right else (WRONG, "wrong")
        picture(image_axes, image, colour=colour, linewidth=2.5)
        name = short(class_names[labels[index]])
        image_axes.set_title(f"{name}\n{word}", fontsize=10, color=colour, pad=4, loc="center")
        best = np.argsort(-probabilities[index], kind="stable")[: min(top, len(class_names))]
        _confidences(bar_axes, probabilities[index][best], best, labels[index], class_names)
    wrong = int((labels != predictions).sum())
    title = f"{_images(len(images), f'{split} ')} {selection}: {wrong} wrong here, {100 * (1 - accuracy):.1f} % of all"
    small_print = "Above each image its true class; beside it the most probable classes, the true one in blue."
    return finished(panels.figure, title, small_print=small_print)


def _matrix(axes: Axes, shares: np.ndarray, class_names: Sequence[str], *, font_size: float) -> None:
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    bare(axes)  # grey shows where a class has no images
    axes.set(xlabel="predicted class", ylabel="true class")
    positions, names = range(len(class_names)), [short(name) for name in class_names]
    axes.set_xticks(positions, names, fontsize=font_size)
    if max(map(len, names)) > 3:
        axes.tick_params(axis="x", labelrotation=45 if len(names) <= 40 else 90)
        for label in axes.get_xticklabels() if len(names) <= 40 else []:
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(positions, names, fontsize=font_size)
    axes.tick_params(length=0 if len(names) > _MOST_WRITTEN_CLASSES else 3, pad=2)
    scale: dict[str, Any] = {"shrink": 0.8, "aspect": 30, "ticks": [0, 0.05, 0.2, 0.5, 1]}
    percents = FuncFormatter(lambda value, _: f"{100 * value:.0f} %")
    colour_scale(axes, image, format=percents, label="share of the true class", **scale)


def _list_confusions(axes: Axes, counts: np.ndarray, shares: np.ndarray, class_names: Sequence[str]) -> None:
    axes.set_axis_off()
    axes.set_title("Most frequent confusions", fontsize=11)
    errors = counts * ~np.eye(len(counts), dtype=bool)
    worst = np.argsort(-errors, axis=None, kind="stable")[:_LISTED_CONFUSIONS]
    lines = [
        f"{short(class_names[row])} taken for {short(class_names[column])}\n"
        f"    {_images(counts[row, column])}, {_percent(shares[row, column])}"
        for row, column in zip(*np.unravel_index(worst, errors.shape), strict=True)
        if errors[row, column]
    ]
    text = "\n".join(lines) or "none"
    axes.text(0, 1, text, transform=axes.transAxes, va="top", fontsize=9.5, linespacing=1.5)


def _confidences(
    axes: Axes, probabilities: np.ndarray, best: np.ndarray, label: int, class_names: Sequence[str]
) -> None:
    rows = np.arange(len(best))
    axes.barh(rows, np.ones(len(best)), height=0.22, color=NO_DATA)
    axes.barh(rows, probabilities, height=0.22, color=[RIGHT if k == label else SOFT for k in best])
    for row, k, probability in zip(rows, best, probabilities, strict=True):
        axes.text(0, row - 0.18, short(class_names[k], 14), ha="left", va="bottom", fontsize=9)
        axes.text(1, row - 0.18, _percent(probability), ha="right", va="bottom", fontsize=9)
    axes.set(xlim=(0, 1), ylim=(len(best) - 0.6, -0.75))


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.0095 else 1}f} %"


def _images(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{'image' if count == 1 else 'images'}"
