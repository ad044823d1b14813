"""What a trained classifier gets right and wrong."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.plots.style import COLOURS, RIGHT, WRONG, figure, style

_MOST_WRITTEN_CLASSES = 20
_GRID_COLUMNS = 4


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str]) -> Figure:
    """How often each class is taken for which; colours are shares of the true class, numbers are images.

    Args:
        labels: int [N].
        predictions: int [N].
        class_names: one name a label. Numbers are left out for more than 20 classes.
    """
    classes = len(class_names)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    written = classes <= _MOST_WRITTEN_CLASSES
    side = 2.5 + (0.62 * classes if written else 0.085 * classes)
    with style():
        drawn = figure(max(side + 1, 5), max(side, 4.2))
        axes = drawn.subplots()
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.grid(visible=False)
        axes.set(xlabel="Predicted", ylabel="True")
        accuracy = np.trace(counts) / max(counts.sum(), 1)
        axes.set_title(f"Confusion matrix: {100 * accuracy:.1f} % of {counts.sum():,} test images right")
        step = 1 if written else max(1, classes // 20)
        axes.set_xticks(
            range(0, classes, step), list(class_names)[::step], rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(0, classes, step), list(class_names)[::step])
        if written:
            for row, column in np.argwhere(counts):
                colour = "white" if shares[row, column] > 0.5 else "#222222"
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
        bar = drawn.colorbar(shown, ax=axes, shrink=0.8, format=lambda value, _: f"{100 * value:.0f} %")
        bar.set_label("Share of the true class")
        bar.outline.set_visible(False)
        return drawn


def reliability_diagram(table: pd.DataFrame, calibration_error: float) -> Figure:
    """Accuracy against confidence, with the number of images in each bin below.

    Args:
        table: from `analysis.calibration.reliability_table`.
        calibration_error: expected calibration error, a fraction.
    """
    with style():
        drawn = figure(6, 6.4)
        upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        filled = table[table["images"] > 0]
        width = table["high"] - table["low"]
        centre = (table["low"] + table["high"]) / 2
        upper.plot([0, 1], [0, 1], color="#555555", linestyle="--", label="perfect calibration")
        upper.bar(
            centre[filled.index], filled["accuracy"], width[filled.index] * 0.92, color=COLOURS[5], label="accuracy"
        )
        upper.plot(
            filled["confidence"], filled["accuracy"], "o", color=COLOURS[0], markersize=5, label="mean of the bin"
        )
        upper.set(ylabel="Accuracy", xlim=(0, 1), ylim=(0, 1.02))
        upper.set_title(f"Reliability: calibration error {100 * calibration_error:.1f} points")
        upper.legend(loc="upper left")
        lower.bar(centre, table["images"], width * 0.92, color=COLOURS[0])
        lower.set_yscale("symlog", linthresh=1)
        lower.set(xlabel="Confidence", ylabel="Images")
        return drawn


def prediction_grid(images: np.ndarray, table: pd.DataFrame, class_names: Sequence[str], accuracy: float) -> Figure:
    """Images with their most probable classes beside them; nothing covers an image.

    Args:
        images: uint8 [K, H, W, C].
        table: K rows: label, prediction and a column `probability_<label>` a class.
        class_names: one name a label.
        accuracy: share of right predictions among all test images, for the title.
    """
    probabilities = table.filter(like="probability_").to_numpy()
    top = min(3, len(class_names))
    rows = -(-len(images) // _GRID_COLUMNS)
    with style():
        drawn = figure(14, 0.9 + 2.1 * rows)
        grid = drawn.subplots(rows, 2 * _GRID_COLUMNS, width_ratios=(1, 1.15) * _GRID_COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for index, (image, label, prediction) in enumerate(
            zip(images, table["label"], table["prediction"], strict=True)
        ):
            row, column = divmod(index, _GRID_COLUMNS)
            picture, bars = grid[row, 2 * column], grid[row, 2 * column + 1]
            right = label == prediction
            picture.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            verdict = "right" if right else "wrong"
            picture.set_title(f"{class_names[label]}: {verdict}", fontsize=10, color=RIGHT if right else WRONG)
            best = np.argsort(-probabilities[index])[:top]
            colours = [RIGHT if k == label else "#bbbbbb" for k in best]
            bars.barh(np.arange(top) + 0.25, probabilities[index][best], height=0.3, color=colours)
            for position, k in enumerate(best):
                text = f"{class_names[k]}  {100 * probabilities[index][k]:.0f} %"
                bars.text(0, position + 0.05, text, va="bottom", ha="left", fontsize=9)
            bars.set(xlim=(0, 1), ylim=(top - 0.4, -0.4))
        drawn.suptitle(
            f"Test images drawn at random, with the true class above ({100 * accuracy:.1f} % of all are right)",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        return drawn
