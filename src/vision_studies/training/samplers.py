"""Which images an epoch is made of, where classes are of uneven size."""

from dataclasses import dataclass

import numpy as np
import torch

from vision_studies.config.losses import SamplerName, class_shares
from vision_studies.training.runtime import derived_seed


def drawn_images(labels: np.ndarray, shares: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Positions int64 [count] of images with labels [N]: each is drawn as a class, by its share, then as an image of it.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.training.samplers import drawn_images
        >>> drawn = drawn_images(np.array([0, 0, 0, 2]), np.array([0.5, 0, 0.5]), 1000, np.random.default_rng(0))
        >>> round(float((drawn == 3).mean()), 1)  # the one image of class 2
        0.5
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=len(shares))
    starts = np.cumsum(sizes) - sizes
    classes = np.minimum(np.searchsorted(np.cumsum(shares), generator.random(count), side="right"), len(shares) - 1)
    classes = np.where(sizes[classes] > 0, classes, np.flatnonzero(sizes)[-1])  # beyond the last by rounding
    places: np.ndarray = order[starts[classes] + generator.integers(sizes[classes])]
    return places


def balanced_draws(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Positions int64 [count] of images with labels [N], each drawn as a class that has images, then as an image of it."""
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    classes = generator.integers(len(sizes), size=count)
    return order[starts[classes] + generator.integers(sizes[classes])]


@dataclass(frozen=True)
class EpochDraw:
    """Images of every epoch of a training, with replacement: as many as there are.

    Attributes:
        labels: int64 [N].
        num_classes: how many there are, those without an image among them.
        sampler: how likely each class is.
        epochs: of the training, from whose first to whose last the shares may move.
        seed: of the draws.
    """

    labels: np.ndarray
    num_classes: int
    sampler: SamplerName
    epochs: int
    seed: int

    def __call__(self, epoch: int) -> torch.Tensor:
        """Positions int64 [N] of an epoch, counted from 0."""
        counts = np.bincount(self.labels, minlength=self.num_classes)
        shares = class_shares(counts, self.sampler, epoch / max(self.epochs - 1, 1))
        generator = np.random.default_rng(derived_seed(self.seed, epoch))
        return torch.from_numpy(drawn_images(self.labels, shares, len(self.labels), generator))
