"""The picture of a data card."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.plots.style import COLOURS, figure, style

_SHOWN_CLASSES = 20


def data_card_figure(
    card: dict[str, Any], images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]
) -> Figure:
    """Images of each class beside the number of images in each split.

    Args:
        card: from `data.data_card.data_card`.
        images: uint8 [K, H, W, C], some of each class.
        labels: int [K].
        class_names: one name a label. Of more than 20 classes the first 20 are shown.
    """
    shown = range(min(len(class_names), _SHOWN_CLASSES))
    with style():
        drawn = figure(12, 1.6 + 0.5 * len(shown))
        left, right = drawn.subplots(1, 2, width_ratios=(1.1, 1))
        _samples(left, images, labels, [class_names[label] for label in shown])
        _counts(right, card["counts"], len(shown))
        more = f" (the first {len(shown)} of {len(class_names)} classes)" if len(shown) < len(class_names) else ""
        size = " x ".join(map(str, card["image_shape"]))
        duplicates = sum(card["duplicates"][pair]["images"] for pair in card["duplicates"] if " and " in pair)
        drawn.suptitle(
            f"{card['name']}: {card['images']:,} images of {size}{more}, {duplicates} duplicates across splits",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        return drawn


def _samples(axes: Axes, images: np.ndarray, labels: np.ndarray, names: list[str]) -> None:
    per_class = max(int((labels == label).sum()) for label in range(len(names)))
    height, width, channels = images.shape[1:]
    gap = max(1, height // 16)
    sheet = np.full((len(names) * (height + gap), per_class * (width + gap), channels), 255, np.uint8)
    for row in range(len(names)):
        for column, image in enumerate(images[labels == row]):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = image
    axes.imshow(sheet.squeeze(), cmap="gray", vmin=0, vmax=255, aspect="auto" if height != width else "equal")
    axes.set_yticks([row * (height + gap) + height / 2 for row in range(len(names))], names)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("Training images")


def _counts(axes: Axes, counts: dict[str, list[int]], shown: int) -> None:
    left = np.zeros(shown)
    for (split, values), colour in zip(counts.items(), COLOURS, strict=False):
        axes.barh(
            np.arange(shown), values[:shown], left=left, color=colour, label=f"{split} ({sum(values):,})", height=0.75
        )
        left += values[:shown]
    axes.set_ylim(shown - 0.5, -0.5)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Images")
    axes.set_title("Images per class and split", pad=24)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.2, handlelength=1.2)
