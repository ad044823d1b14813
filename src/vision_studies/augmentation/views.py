"""Several views of one image at test time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vision_studies.augmentation.geometry import random_crop


def views_of(images: Tensor, views: int, padding: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Views of a batch: the images, the images mirrored, then crops of reflect-padded images, mirrored every other time.

    The first n views are the same whatever the number of views asked for. Every image has crops of its own.

    Args:
        images: normalised [B, C, H, W].
        views: how many.
        padding: pixels that a crop may be shifted by, to each side.
        generator: where the shifts come from, on the host.
    """
    for view in range(views):
        shifted = images if view < 2 else random_crop(images, generator, padding, "reflect")
        yield shifted.flip(3) if view % 2 else shifted


def average_probabilities(logits: Tensor) -> Tensor:
    """Mean class probabilities [B, classes] of the views' logits [views, B, classes].

    Probabilities are averaged, not logits: each view then has one vote, however large its logits (Lakshminarayanan et al.
    2017, where the views are networks).

    Examples:
        >>> import torch
        >>> from vision_studies.augmentation.views import average_probabilities
        >>> logits = torch.tensor([[[0.0, 0.0]], [[100.0, 0.0]]])  # two views of one image: undecided, and sure
        >>> average_probabilities(logits).tolist()
        [[0.75, 0.25]]
    """
    return logits.float().softmax(dim=2).mean(dim=0)
