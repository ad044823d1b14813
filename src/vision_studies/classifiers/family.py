"""What a family of classifiers on fixed features is, and what has been fitted by one.

Features are arrays float32 [N, D], labels int64 [N] from 0 to C - 1. A family fits all its hyperparameters on all folds in one
piece of work; nothing here knows images, backbones or studies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import nn

from vision_studies.errors import DataError

Hyperparameters = Mapping[str, Any]
"""Names and values of what a family is told: numbers and strings."""

ABSENT = -1e4
"""Logit of a class that had no image to learn from: its probability is exactly 0 in float32."""

SMALLEST = 1e-30
"""A probability below this counts as this where its logarithm is taken."""


class Fitted(Protocol):
    """A classifier on features."""

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features float32 [N, D]."""
        ...

    def module(self) -> nn.Module:
        """Features [N, D] -> logits [N, C], whose softmax are the probabilities; can be exported."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """All that `fitted_from` needs to make the classifier again, by name."""
        ...


class Family(Protocol):
    """A way to fit classifiers, with what may be chosen about it.

    Attributes:
        name: of the family, as in parameters.
        title: for people.
        source: where the method comes from.
    """

    name: str
    title: str
    source: str

    def grid(self, n: int, d: int, c: int) -> list[dict[str, Any]]:
        """Hyperparameters worth trying for n images of d features and c classes, from simple to complex; at least one."""
        ...

    def fold_probabilities(
        self,
        x: np.ndarray,
        y: np.ndarray,
        train: np.ndarray,
        classes: int,
        grid: Sequence[Hyperparameters] | None = None,
    ) -> np.ndarray:
        """Probabilities of all images by a classifier of each hyperparameters and fold.

        Args:
            x: float32 [N, D].
            y: int64 [N], from 0 to classes - 1.
            train: bool [F, N], the images from which the classifiers of a fold learn.
            classes: C. One without an image in a fold's training part has the probability 0 there.
            grid: G hyperparameters; those of `grid` for the images of the largest fold where it is None.

        Returns:
            float32 [G, F, N, C]: also of the images that were learnt from, for which they mean little.

        Raises:
            DataError: features are not finite, there are fewer than two classes, or a fold learns from no image.
        """
        ...

    def fit(self, x: np.ndarray, y: np.ndarray, hyperparameters: Hyperparameters, classes: int) -> Fitted:
        """A classifier from all images.

        Raises:
            DataError: as for `fold_probabilities`.
        """
        ...


def check_features(x: np.ndarray, y: np.ndarray, train: np.ndarray, classes: int) -> None:
    """Refuse what no classifier can learn from.

    Raises:
        DataError: in one sentence.
    """
    if x.ndim != 2 or y.shape != x.shape[:1] or train.ndim != 2 or train.shape[1:] != y.shape:
        raise DataError(
            f"Features {list(x.shape)}, labels {list(y.shape)} and folds {list(train.shape)} do not fit together; "
            "[N, D], [N] and [F, N] are wanted."
        )
    if classes < 2:
        raise DataError(f"There is {classes} class, and a classifier tells at least two apart; add images of another.")
    if len(y) and (y.min() < 0 or y.max() >= classes):
        raise DataError(f"Labels go from {y.min()} to {y.max()}, and those from 0 to {classes - 1} are wanted.")
    empty = np.flatnonzero(~train.any(axis=1))
    if len(empty):
        raise DataError(f"Fold {empty[0]} has no image to learn from; take fewer folds or more images.")
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise DataError(f"The features of image {row} are not finite numbers; compute them again, in float32.")


def largest_part(train: np.ndarray) -> int:
    """Images of the largest training part of bool [F, N]."""
    return int(train.sum(axis=1).max())
