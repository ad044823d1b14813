"""Averages and stacks of what several classifiers say, learnt from images that none of them has learnt from.

An average is chosen greedily: the one that is best so far is joined by the classifier that betters it most, which may be one
that it has already, and the best of all these averages is taken. What is bettered is the log loss, as accuracies of few images
tie. Source: Caruana, Niculescu-Mizil, Crew and Ksikes 2004, Ensemble Selection from Libraries of Models. A stack is a logistic
regression with a strong penalty on the logarithms of what the members of such an average say. Source: Wolpert 1992, Stacked
Generalization; Ting and Witten 1999, Issues in Stacked Generalization.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision_studies.classifiers.family import SMALLEST, Fitted, Hyperparameters
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.classifiers.nested import Nested, Score, refitted, tempered
from vision_studies.classifiers.registry import FAMILIES
from vision_studies.errors import DataError

LEAST_SAID = 1e-3
"""A probability below this counts as this for a stack."""

_PENALTIES: tuple[Hyperparameters, ...] = ({"C": 1e-4}, {"C": 1e-3}, {"C": 1e-2})  # of stacks, the strongest first
_ROUNDS = 50
_LEAST_GAIN = 1e-4  # of the log loss, in nats, for which one more classifier is worth its cost


@dataclass(frozen=True, eq=False)
class Averaged:
    """What nested cross-validation tells of the average.

    Attributes:
        probabilities: float32 [N, C], of each image by classifiers, hyperparameters and weights that do not know it; NaN where
            the image is in no outer fold.
        weights: float64 [O, M], of the members in each outer fold; their sum is 1.
    """

    probabilities: np.ndarray
    weights: np.ndarray


def greedy_weights(
    probabilities: np.ndarray, y: np.ndarray, *, rounds: int = _ROUNDS, is_balanced: bool = False
) -> np.ndarray:
    """Weights float64 [M] of the average, multiples of one over its size, that are found greedily.

    Args:
        probabilities: float [M, N, C], of members that have not learnt from the images.
        y: int64 [N].
        rounds: how often a member is added.
        is_balanced: every class weighs alike.

    Raises:
        DataError: there is no member or no image.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.averaging import greedy_weights
        >>> y = np.array([0, 0, 1, 1])
        >>> first = np.array([[0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.1, 0.9]])  # wrong once
        >>> second = np.array([[0.3, 0.7], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])  # wrong once, elsewhere
        >>> third = np.full((4, 2), 0.5)
        >>> greedy_weights(np.stack([first, second, third]), y).tolist()
        [0.5, 0.5, 0.0]
    """
    members, images = probabilities.shape[:2]
    if not members or not images:
        raise DataError(
            f"There are {members} classifiers and {images} images, and an average needs one of each at least."
        )
    # The log loss of an average needs the right class's probability alone.
    right = np.maximum(probabilities[:, np.arange(images), y].astype(np.float64), SMALLEST)
    shares = 1 / np.bincount(y)[y] if is_balanced else np.ones(images)
    shares *= images / shares.sum()
    total, counts = np.zeros(images), np.zeros(members)
    best, best_loss = counts, np.inf
    for size in range(1, rounds + 1):
        losses = -(np.log((total + right) / size) * shares).mean(axis=1).round(12)
        place = int(losses.argmin())
        total, counts = total + right[place], counts + np.eye(members)[place]
        if losses[place] < best_loss - _LEAST_GAIN:
            best, best_loss = counts, float(losses[place])
    weights: np.ndarray = best / best.sum()
    return weights


def said_of(probabilities: np.ndarray) -> np.ndarray:
    """What a stack learns from: logarithms float32 [N, M * C] of what members say, [M, N, C]."""
    logarithms = np.log(np.maximum(probabilities, LEAST_SAID)).astype(np.float32)
    return np.concatenate([*logarithms], axis=1)


def fitted_stack(
    probabilities: np.ndarray, y: np.ndarray, folds: np.ndarray, score: Score = "accuracy"
) -> LinearClassifier:
    """A logistic regression on `said_of` several members.

    Args:
        probabilities: float [M, N, C], of members that have not learnt from the images.
        y: int64 [N].
        folds: int64 [N], from 0 on, by which its penalty is chosen.
        score: what it is chosen by; where it is `balanced_accuracy`, every class weighs alike as well.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.averaging import fitted_stack, said_of
        >>> y = np.arange(40) % 2
        >>> liar = np.where(np.eye(2)[y] > 0, 0.1, 0.9)  # who is always wrong is worth as much as who is always right
        >>> stack = fitted_stack(liar[None], y, np.arange(40) // 2 % 4)
        >>> bool((stack.probabilities(said_of(liar[None])).argmax(axis=1) == y).all())
        True
    """
    family = FAMILIES["balanced_logistic" if score == "balanced_accuracy" else "logistic"]
    x, classes = said_of(probabilities), probabilities.shape[2]
    fitted = refitted(family, x, y, folds, classes, score=score, grid=_PENALTIES).fitted
    return LinearClassifier(**fitted.tensors())


def nested_average(members: Sequence[Nested], y: np.ndarray, outer: np.ndarray) -> Averaged:
    """The average within nested cross-validation: each outer fold weighs the members by its inner folds.

    Args:
        members: of the same images and folds.
        y: int64 [N].
        outer: int64 [N], outer fold of each image; -1 for one that is never predicted.

    Raises:
        DataError: there is no member.
    """
    if not members:
        raise DataError("There is no classifier, and an average needs one at least.")
    probabilities = np.full_like(members[0].probabilities, np.nan)
    weights = np.empty((len(members[0].inside), len(members)))
    for fold in range(len(weights)):
        rows = np.flatnonzero(outer != fold)
        weights[fold] = greedy_weights(np.stack([member.inside[fold, rows] for member in members]), y[rows])
        asked = np.flatnonzero(outer == fold)
        said = np.stack([member.probabilities[asked] for member in members])
        probabilities[asked] = np.tensordot(weights[fold], said, axes=1)
    return Averaged(probabilities, weights)


@dataclass(frozen=True, eq=False)
class Part:
    """A member of an average.

    Attributes:
        fitted: the classifier.
        start: of its features among all columns.
        stop: likewise, where they end.
        temperature: that its logits are divided by.
        weight: in the average.
    """

    fitted: Fitted
    start: int
    stop: int
    temperature: float
    weight: float


@dataclass(frozen=True, eq=False)
class AverageClassifier:
    """Weighted mean of classifiers' probabilities, each at its temperature and on its own columns of the features."""

    parts: Sequence[Part]

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features [N, D]."""
        said = [
            part.weight * tempered(part.fitted.probabilities(x[:, part.start : part.stop]), part.temperature)
            for part in self.parts
        ]
        found: np.ndarray = np.stack(said).sum(axis=0, dtype=np.float32)
        return found
