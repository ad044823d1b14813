"""Subsets of the images of the new classes: as many of each class, or any images."""

import numpy as np
import torch

from vision_studies.data.subsets import balanced_subset


def draw_subset(labels: np.ndarray, fraction: float, seed: int, *, balanced: bool) -> list[np.ndarray]:
    """Places in `labels` for each class; the subsets of one seed are nested across fractions.

    Args:
        labels: int64 [N], from 0 to the number of classes less one.
        fraction: share of all images.
        seed: seed of the draw.
        balanced: as many of each class, by `balanced_subset`; otherwise `any_images`, class by class.
    """
    if balanced:
        return balanced_subset(labels, fraction, seed)
    places = any_images(len(labels), fraction, seed)
    return [places[labels[places] == label] for label in range(int(labels.max()) + 1)]


def any_images(count: int, fraction: float, seed: int) -> np.ndarray:
    """Places of a share of so many images, drawn whatever their class, in the order in which they were drawn."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    return order[: int(count * fraction)]
