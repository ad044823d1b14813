"""Base classes nearest to each few class, by the mean features of classes."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import ParameterError


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of some classes.

    Attributes:
        classes: int64 [M], labels whose neighbours these are.
        labels: int64 [M, k], by increasing distance.
        distances: float64 [M, k].
    """

    classes: np.ndarray
    labels: np.ndarray
    distances: np.ndarray

    @property
    def number(self) -> int:
        """Neighbours of each class."""
        return int(self.labels.shape[1])


def few_neighbours(means: np.ndarray, splits: ClassSplits, number: int, distance: str, seed: int = 0) -> Neighbours:
    """The base classes nearest to each few class, by their mean training features, float [classes, d].

    Distances are euclidean, cosine (1 - cosine of the angle) or random (drawn anew by every seed, as a control).

    Raises:
        ParameterError: there are fewer base classes than neighbours.
    """
    if number > len(splits.base):
        raise ParameterError(
            f"alphanet.neighbours asks for {number}, but of {splits.num_classes} classes {len(splits.base)} "
            f"{'is a base class' if len(splits.base) == 1 else 'are base classes'}; lower it, or make "
            "fewer classes few with alphanet.splits.few_below."
        )
    if distance == "random":
        distances = np.random.default_rng(seed).random((len(splits.few), len(splits.base)))
        return _nearest(distances, splits.few, splits.base, number)
    return nearest(means, splits.few, splits.base, number, distance)


def nearest(means: np.ndarray, classes: np.ndarray, among: np.ndarray, number: int, distance: str) -> Neighbours:
    """The classes of `among` nearest to each of `classes`, none to itself; fewer than `number` where there are fewer.

    Both are labels, int64 [M] and [A]. Distances, euclidean or cosine, are those between the `means` of all classes, float
    [classes, d].
    """
    distances = cdist(means[classes].astype(np.float64), means[among].astype(np.float64), metric=distance)
    distances[classes[:, None] == among[None, :]] = np.inf
    return _nearest(distances, classes, among, min(number, len(among) - bool(np.isin(classes, among).any())))


def _nearest(distances: np.ndarray, classes: np.ndarray, among: np.ndarray, number: int) -> Neighbours:
    order = np.argsort(distances, axis=1, kind="stable")[:, :number]  # stable: of equals the lower label comes first
    return Neighbours(classes, among[order], np.take_along_axis(distances, order, axis=1))
