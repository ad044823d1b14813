"""The picture of a data card."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.marks import names as named
from vision_studies.figures.marks import pixels
from vision_studies.figures.style import COLOURS, INK, SOFT, figure, footnote, heading, short, styled

_MOST_NAMED_CLASSES = 20
_SPLIT_COLOURS = (COLOURS[0], COLOURS[4], COLOURS[2])
_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
_CHANNEL_COLOURS = {"grey": SOFT, "red": "#c0392b", "green": "#2e8b57", "blue": "#2c6fbb"}


@styled
def data_card_figure(
    card: dict[str, Any], sample_images: np.ndarray, sample_labels: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Images per class and split beside samples of each class, and the statistics of the channels below.

    Args:
        card: from `data.data_card.data_card`: name, images, image_shape, counts (split -> images a class), channel_mean,
            channel_standard_deviation (0 to 1), duplicates (pair of splits -> images), long_tail (images_left_out,
            largest_class, smallest_class; may be missing or None).
        sample_images: uint8 [K, H, W, C], some of each class; of more than 20 classes the first 20 are shown.
        sample_labels: int [K].
        class_names: one name a label.
    """
    shown = min(len(class_names), _MOST_NAMED_CLASSES)
    channels = len(card["channel_mean"])
    body, foot = max(2.4, 0.46 * shown), 0.85 + 0.3 * channels
    card_figure = figure(12, body + foot + 1.5)
    grid = card_figure.add_gridspec(2, 2, width_ratios=(1.3, 1), height_ratios=(body, foot))
    samples = card_figure.add_subplot(grid[0, 1])
    if len(class_names) <= _MOST_NAMED_CLASSES:
        _counts_by_name(card_figure.add_subplot(grid[0, 0]), card["counts"], class_names)
        names, title = [""] * shown, "Training images"
    else:
        _counts_by_number(card_figure.add_subplot(grid[0, 0]), card["counts"], len(class_names))
        names, title = [short(name) for name in class_names[:shown]], f"Training images of the first {shown} classes"
    _samples(samples, sample_images, sample_labels, names)
    samples.set_title(title)
    _channel_statistics(card_figure.add_subplot(grid[1, 0]), card)
    _duplicates(card_figure.add_subplot(grid[1, 1]), card["duplicates"])
    height, width, _ = card["image_shape"]
    colours = "grey" if channels == 1 else "colour"
    tail = card.get("long_tail")
    images = f"{card['images'] - tail['images_left_out']:,} of {card['images']:,}" if tail else f"{card['images']:,}"
    size = f"{width} × {height} pixels, {len(class_names)} classes"
    heading(card_figure, f"{card['name']}: {images} {colours} images of {size}")
    origin = "the source's own" if card.get("own_test_split") else "carved from the source's images"
    footnote(card_figure, f"Test split: {origin}. Channel statistics: training split.{_tail_sentence(tail)}")
    return card_figure


def _tail_sentence(tail: dict[str, int] | None) -> str:
    if not tail:
        return ""
    return (
        f" Long tail: {tail['largest_class']:,} to {tail['smallest_class']:,} training images a class; "
        f"{tail['images_left_out']:,} images in no split."
    )


def _counts_by_name(axes: Axes, counts: dict[str, list[int]], class_names: Sequence[str]) -> None:
    positions, left = np.arange(len(class_names)), np.zeros(len(class_names))
    for (split, values), colour in zip(counts.items(), _SPLIT_COLOURS, strict=True):
        axes.barh(positions, values, left=left, color=colour, height=0.72, label=f"{split} ({sum(values):,})")
        left += values
    for position, total in zip(positions, left, strict=True):
        beside: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{total:,.0f}", (total, position), fontsize=9, **beside)
    named(axes, "y", [short(name) for name in class_names])
    axes.margins(x=0.12)
    _legend_above(axes)


def _counts_by_number(axes: Axes, counts: dict[str, list[int]], classes: int) -> None:
    bottom = np.zeros(classes)
    for (split, values), colour in zip(counts.items(), _SPLIT_COLOURS, strict=True):
        axes.bar(np.arange(classes), values, bottom=bottom, color=colour, width=1.0, label=f"{split} ({sum(values):,})")
        bottom += values
    axes.set(xlabel="class number", ylabel="images", xlim=(-0.5, classes - 0.5))
    axes.grid(visible=False, axis="x")
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    axes.set_title("Images per class and split", pad=28)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0.2, handlelength=1.2)


def _samples(axes: Axes, images: np.ndarray, labels: np.ndarray, names: list[str]) -> None:
    height, width, channels = images.shape[1:]
    per_class = max(1, *(int((labels == label).sum()) for label in range(len(names))))
    gap = max(1, height // 16)
    sheet = np.full((len(names) * (height + gap) - gap, per_class * (width + gap) - gap, channels), 255, np.uint8)
    for row in range(len(names)):
        for column, image in enumerate(images[labels == row]):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = image
    axes.set_anchor("NW")  # a narrow sheet leaves room for its title on the right
    pixels(axes, sheet)
    axes.set_yticks([row * (height + gap) + height / 2 for row in range(len(names))], names)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _channel_statistics(axes: Axes, card: dict[str, Any]) -> None:
    means, deviations = card["channel_mean"], card["channel_standard_deviation"]
    names = _CHANNELS.get(len(means), tuple(f"channel {number}" for number in range(len(means))))
    for row, (name, mean, deviation) in enumerate(zip(names, means, deviations, strict=True)):
        bar: dict[str, Any] = {"color": _CHANNEL_COLOURS.get(name, SOFT), "capsize": 5, "elinewidth": 2}
        axes.errorbar(mean, row, xerr=deviation, fmt="o", markersize=8, **bar)
        axes.text(1.03, row, f"{mean:.4f} ± {deviation:.4f}", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), title="Channels")
    axes.set_xlabel("mean ± standard deviation of the pixels (0 black, 1 full)")


def _duplicates(axes: Axes, duplicates: dict[str, Any]) -> None:
    axes.set_axis_off()
    axes.set_title("Images that occur twice, byte for byte")
    lines = [f"{pair}: {duplicate['images']:,}" for pair, duplicate in duplicates.items()]
    axes.text(0, 0.95, "\n".join(lines), transform=axes.transAxes, va="top", linespacing=1.6)
