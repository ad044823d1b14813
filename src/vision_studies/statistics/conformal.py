"""Sets of classes that hold the right one as often as was asked for (split conformal prediction; Vovk et al. 2005).

Each class of an image has a score of how ill it fits; the set holds the classes whose score is not above a threshold, which is
the score that enough of the right classes of calibration images, which the classifier has not learnt from, do not exceed. Of a
new image like these the set then holds the right class with the probability asked for at least, whatever the classifier is and
however few images there are: on average over draws of both, not for each class or image by itself.
"""

import math
from typing import Literal

import numpy as np

from vision_studies.errors import DataError

SetKind = Literal["smallest", "adaptive"]
"""`smallest`: a class fits ill by what its probability lacks to 1, which gives the smallest sets on average (Sadinle, Lei and
Wasserman 2019). `adaptive`: by the probability of all classes before it and its own, which gives hard images larger sets and
easy ones smaller, so that coverage varies less among images (Romano, Sesia and Candès 2020, without their random part)."""

SET_KINDS: tuple[SetKind, ...] = ("smallest", "adaptive")


def nonconformity(probabilities: np.ndarray, kind: SetKind) -> np.ndarray:
    """How ill each class fits each image, float64 [N, classes], 0 to 1.

    Args:
        probabilities: [N, classes], rows sum to 1.
        kind: of the score.
    """
    exact = probabilities.astype(np.float64)
    if kind == "smallest":
        return 1 - exact
    order = np.argsort(-exact, axis=1, kind="stable")
    summed = np.cumsum(np.take_along_axis(exact, order, axis=1), axis=1)
    scores = np.empty_like(exact)
    np.put_along_axis(scores, order, summed, axis=1)
    return scores


def true_scores(probabilities: np.ndarray, labels: np.ndarray, kind: SetKind) -> np.ndarray:
    """Scores of the right classes of calibration images, float64 [N], ascending.

    Args:
        probabilities: [N, classes], of images that the classifier has not learnt from.
        labels: int [N].
        kind: of the score.
    """
    return np.sort(nonconformity(probabilities, kind)[np.arange(len(labels)), labels])


def score_threshold(scores: np.ndarray, coverage: float) -> float:
    """The highest score that a class in a set may have.

    Args:
        scores: of calibration images, ascending, float64 [N].
        coverage: share of the sets that are to hold the right class, above 0 and below 1.

    Raises:
        DataError: the images are too few for the coverage; the highest that can be had is N / (N + 1).

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.conformal import prediction_sets, score_threshold, true_scores
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
        >>> threshold = score_threshold(true_scores(probabilities, np.array([0, 1, 1, 0]), "smallest"), 0.8)
        >>> round(threshold, 2)
        0.6
        >>> prediction_sets(np.array([[0.95, 0.05], [0.55, 0.45]]), "smallest", threshold).tolist()
        [[True, False], [True, True]]
    """
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))
    if rank > len(scores):
        most = 100 * len(scores) / (len(scores) + 1)
        raise DataError(
            f"{len(scores)} validation images are too few for sets that hold the right class of {100 * coverage:g} % of the "
            f"images; {math.floor(10 * most) / 10:g} % is the most they can promise."
        )
    return float(scores[rank - 1])


def prediction_sets(probabilities: np.ndarray, kind: SetKind, threshold: float) -> np.ndarray:
    """Which classes are in the set of each image, bool [N, classes]; the most probable one always is.

    Args:
        probabilities: [N, classes], rows sum to 1.
        kind: of the score.
        threshold: as `score_threshold` gives it.
    """
    inside = nonconformity(probabilities, kind) <= threshold
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside
