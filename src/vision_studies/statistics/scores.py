"""What each image adds to a metric, seed by seed, so that every metric is a mean whose variance is known.

Accuracy, log loss and Brier score are means over images. Balanced accuracy, macro F1 and calibration error are functions of
means; near their value they are the mean of what each image adds (the influence function, or infinitesimal jackknife: Efron
1982, chapter 6). Calibration error is too high on few images, as a mean of absolute values is; by how much is said beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from vision_studies.statistics.evidence import Evidence

Name = Literal["accuracy", "balanced_accuracy", "macro_f1", "calibration_error", "log_loss", "brier"]

BINS = 15
_SMALLEST_PROBABILITY = 1e-12  # as `calibration.log_loss` has it


@dataclass(frozen=True)
class ClassGroup:
    """Accuracy on the images of some classes, such as the rare ones.

    Attributes:
        name: of the group.
        classes: which it has.
    """

    name: str
    classes: tuple[int, ...]


Metric = Name | ClassGroup

HIGHEST: dict[str, float] = {"calibration_error": 1.0, "log_loss": np.inf, "brier": 2.0}
"""The upper end of a metric's range where it is not 1; every lower end is 0."""


@dataclass(frozen=True)
class Scores:
    """What images add to a metric.

    Attributes:
        each: float32 [S, N'], whose mean over images is the metric of each seed; N' images count.
        bias: how much too high the metric of this many images is on average, where that is not 0.
    """

    each: np.ndarray
    bias: float = 0.0


def scores(evidence: Evidence, metric: Metric) -> Scores | str:
    """What the images add, or why it cannot be said.

    A class without a test image has no accuracy and does not count in balanced accuracy and macro F1.
    """
    if not len(evidence.images):
        return "no predictions are kept"
    if isinstance(metric, ClassGroup):
        member = np.isin(evidence.labels, metric.classes)
        if not member.any():
            return f"no test image is of the classes of '{metric.name}'"
        return _equal(evidence.correct[:, member])
    if metric in _OF_PROBABILITIES and evidence.probabilities is None:
        return "no probabilities are kept"
    if metric == "macro_f1" and evidence.predicted is None:
        return "no predicted classes are kept"
    return _SCORES[metric](evidence)


def top(metric: Metric) -> float:
    """The upper end of the metric's range."""
    return 1.0 if isinstance(metric, ClassGroup) else HIGHEST.get(metric, 1.0)


def _equal(each: np.ndarray) -> Scores:
    return Scores(np.asarray(each, dtype=np.float32))


def _accuracy(evidence: Evidence) -> Scores:
    return _equal(evidence.correct)


def _log_loss(evidence: Evidence) -> Scores:
    return _equal(-np.log(_of_right_class(evidence)))


def _brier(evidence: Evidence) -> Scores:
    probabilities = _probabilities(evidence)
    squares = np.einsum("snc,snc->sn", probabilities, probabilities, dtype=np.float64)
    return _equal(squares - 2 * _of_right_class(evidence) + 1)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """How many images of equal weight each one [N] stands for in a mean over classes; their mean is 1.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.scores import class_weights
        >>> class_weights(np.array([0, 0, 0, 1])).round(2).tolist()
        [0.67, 0.67, 0.67, 2.0]
    """
    present, member, images = np.unique(labels, return_inverse=True, return_counts=True)
    weights: np.ndarray = len(labels) / (len(present) * images[member])
    return weights


def _balanced_accuracy(evidence: Evidence) -> Scores:
    present, member, images = np.unique(evidence.labels, return_inverse=True, return_counts=True)
    weight = len(evidence.labels) / (len(present) * images[member])
    right = _by_class(evidence.correct, member, len(present)) / images  # [S, classes]
    residual = (evidence.correct - right[:, member]) * weight * _few(images)[member]
    return Scores((right.mean(axis=1)[:, None] + residual).astype(np.float32))


def _macro_f1(evidence: Evidence) -> Scores:
    if evidence.predicted is None:  # `scores` has asked
        raise ValueError("macro F1 needs predicted classes")
    present, member, images = np.unique(evidence.labels, return_inverse=True, return_counts=True)
    count = len(present)
    place = np.full(max(evidence.classes, int(evidence.predicted.max()) + 1), count)
    place[present] = np.arange(count)  # a class without test images is counted in none of them
    given = place[evidence.predicted]
    right = _by_class(evidence.correct, member, count)
    times = np.stack([np.bincount(row, minlength=count + 1)[:count] for row in given])
    both = images + times
    f1 = 2 * right / both
    padded, over = np.hstack([f1, np.zeros((len(f1), 1))]), np.hstack([1 / both, np.zeros((len(f1), 1))])
    rows = np.arange(len(f1))[:, None]
    # F1 of a class is 2 TP / (images + predictions): a ratio of counts, and linear in what each image adds near its value.
    added = (
        2 * evidence.correct * over[:, member]
        - f1[:, member] * over[:, member]
        - padded[rows, given] * over[rows, given]
    )
    residual = added * len(evidence.labels) / count * _few(images)[member]
    return Scores((f1.mean(axis=1)[:, None] + residual).astype(np.float32))


def _calibration_error(evidence: Evidence) -> Scores:
    confidence = _probabilities(evidence).max(axis=2).astype(np.float64)
    member = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    each, biases = np.empty(confidence.shape, dtype=np.float32), []
    for row, (bins, gap) in enumerate(zip(member, evidence.correct - confidence, strict=True)):
        images = np.bincount(bins, minlength=BINS)
        mean = np.bincount(bins, weights=gap, minlength=BINS) / np.maximum(images, 1)
        each[row] = np.sign(mean)[bins] * gap  # whose mean is the weighted mean of the bins' gaps
        squares = np.bincount(bins, weights=np.square(gap), minlength=BINS) / np.maximum(images, 1)
        error = np.sqrt(squares / np.maximum(images, 1))
        biases.append(float((images * _excess(mean, error)).sum() / len(bins)))
    return Scores(each, float(np.mean(biases)))


def _excess(mean: np.ndarray, error: np.ndarray) -> np.ndarray:
    """How much the absolute value of a mean with this standard error is too high on average (that of a folded normal)."""
    true = np.sqrt(np.maximum(np.square(mean) - np.square(error), 0))
    ratio = np.divide(true, error, out=np.zeros_like(true), where=error > 0)
    folded = error * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + true * (1 - 2 * special.ndtr(-ratio))
    return np.maximum(folded - true, 0)


def _of_right_class(evidence: Evidence) -> np.ndarray:
    """Probability of the right class, float64 [S, N], never 0."""
    right = np.take_along_axis(_probabilities(evidence), evidence.labels[None, :, None], axis=2)[:, :, 0]
    return np.maximum(right.astype(np.float64), _SMALLEST_PROBABILITY)


def _probabilities(evidence: Evidence) -> np.ndarray:
    if evidence.probabilities is None:  # `scores` has asked
        raise ValueError("the metric needs probabilities")
    return evidence.probabilities


def _by_class(correct: np.ndarray, member: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([np.bincount(member, weights=row, minlength=classes) for row in correct])


def _few(images: np.ndarray) -> np.ndarray:
    """Residuals from a mean of n images are too small by this, as in a variance with n - 1."""
    return np.sqrt(images / np.maximum(images - 1, 1))


_SCORES: dict[str, Callable[[Evidence], Scores]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "calibration_error": _calibration_error,
    "log_loss": _log_loss,
    "brier": _brier,
}
_OF_PROBABILITIES = ("calibration_error", "log_loss", "brier")
