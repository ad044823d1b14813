"""What each image adds to a metric, seed by seed, so that every metric is a mean whose variance is known.

Accuracy, log loss and Brier score are means over images. Balanced accuracy, macro F1 and calibration error are functions of
means; near their value they are the mean of what each image adds (the influence function, or infinitesimal jackknife: Efron
1982, chapter 6). Calibration error is too high on few images, as a mean of absolute values is; by how much is said beside it.
So it is with what a classifier gives that may leave images without an answer, those of which it is the least sure: accuracy of
the others (El-Yaniv and Wiener 2010), and the area under the curve of risk over coverage (Geifman, Uziel and El-Yaniv 2019).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import special

from vision_studies.statistics.calibration import sweep_bins
from vision_studies.statistics.evidence import Evidence

Name = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "calibration_error",
    "sweep_calibration_error",
    "log_loss",
    "brier",
    "aurc",
]
"""`sweep_calibration_error` has bins as `calibration.sweep_calibration_error`; `aurc` is the mean share of mistakes among the
images of which a classifier is surest, over how many these are."""

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


@dataclass(frozen=True)
class SelectiveAccuracy:
    """Accuracy on the share of the images of which a classifier is surest, `coverage`, above 0 and up to 1."""

    coverage: float

    def __str__(self) -> str:
        return f"accuracy at {100 * self.coverage:g} % coverage"


Metric = Name | ClassGroup | SelectiveAccuracy

HIGHEST: dict[str, float] = {"calibration_error": 1.0, "log_loss": np.inf, "brier": 2.0}
"""The upper end of a metric's range where it is not 1; every lower end is 0."""


@dataclass(frozen=True)
class Scores:
    """What images add to a metric.

    Attributes:
        each: float32 [S, N'], whose mean over images is the metric of each seed; N' images count.
        bias: how much too high the metric of this many images is on average, where that is not 0.
        share: of the images that the metric is of.
    """

    each: np.ndarray
    bias: float = 0.0
    share: float = 1.0


def scores(evidence: Evidence, metric: Metric) -> Scores | str:
    """What the images add, or why it cannot be said.

    A class without a test image has no accuracy and does not count in balanced accuracy and macro F1.
    """
    if not len(evidence.images):
        return "no predictions are kept"
    if isinstance(metric, ClassGroup):
        return _of_group(evidence, metric)
    if (not isinstance(metric, str) or metric in _OF_PROBABILITIES) and evidence.probabilities is None:
        return "no probabilities are kept"
    if isinstance(metric, SelectiveAccuracy):
        return _selective(evidence, metric.coverage)
    if metric == "macro_f1" and evidence.predicted is None:
        return "no predicted classes are kept"
    return _SCORES[metric](evidence)


def top(metric: Metric) -> float:
    """The upper end of the metric's range."""
    return HIGHEST.get(metric, 1.0) if isinstance(metric, str) else 1.0


def _equal(each: np.ndarray) -> Scores:
    return Scores(np.asarray(each, dtype=np.float32))


def _of_group(evidence: Evidence, group: ClassGroup) -> Scores | str:
    member = np.isin(evidence.labels, group.classes)
    if not member.any():
        return f"no test image is of the classes of '{group.name}'"
    return _equal(evidence.correct[:, member])


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


def _calibration_error(evidence: Evidence, *, sweeps: bool = False) -> Scores:
    confidence = _probabilities(evidence).max(axis=2).astype(np.float64)
    each, biases = np.empty(confidence.shape, dtype=np.float32), []
    for row, (sure, correct) in enumerate(zip(confidence, evidence.correct, strict=True)):
        gap = correct - sure
        bins = sweep_bins(sure, correct) if sweeps else np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
        images = np.bincount(bins)
        mean = np.bincount(bins, weights=gap) / np.maximum(images, 1)
        each[row] = np.sign(mean)[bins] * gap  # whose mean is the weighted mean of the bins' gaps
        squares = np.bincount(bins, weights=np.square(gap)) / np.maximum(images, 1)
        error = np.sqrt(squares / np.maximum(images, 1))
        biases.append(float((images * _excess(mean, error)).sum() / len(bins)))
    return Scores(each, float(np.mean(biases)))


def _selective(evidence: Evidence, coverage: float) -> Scores:
    """With the images of a coverage c counted by a (1, or 0; those of one confidence alike), accuracy is mean(a * right) / c.
    An image that is added moves the limit, too, at which a share r is right: (a * (right - r) - mean) / c is what it adds.
    """
    images = len(evidence.images)
    answered = max(1, round(coverage * images))
    share, near = answered / images, int(np.ceil(np.sqrt(images)))
    each = np.empty(evidence.correct.shape, dtype=np.float32)
    for row, (ranked, correct) in enumerate(zip(_ranked(evidence), evidence.correct, strict=True)):
        taken = np.clip((answered - ranked.first) / ranked.alike, 0, 1)
        at_limit = correct[ranked.order[max(0, answered - near) : answered + near]].mean()
        added = taken * (correct - at_limit) / share
        each[row] = (taken * correct).mean() / share + added - added.mean()
    return Scores(each, share=share)


def _aurc(evidence: Evidence) -> Scores:
    """The mean over k of the mistakes among the k surest images: of one of rank j the sum of 1 / k from j on counts, on average
    over images of one confidence. An image that is added moves those that are less sure down by one.
    """
    images = len(evidence.images)
    places = np.arange(1, images + 1)
    weights = np.cumsum(1 / places[::-1])[::-1]
    each = np.empty(evidence.correct.shape, dtype=np.float32)
    for row, (ranked, correct) in enumerate(zip(_ranked(evidence), evidence.correct, strict=True)):
        wrong = 1.0 - correct
        weight, mistakes = ranked.averaged(weights[ranked.place]), ranked.averaged(wrong)
        below = ranked.averaged(np.cumsum((mistakes[ranked.order] / places)[::-1])[::-1][ranked.place])
        each[row] = wrong * weight - below + below.mean()
    return Scores(each)


@dataclass(frozen=True)
class _Ranked:
    """Images by confidence, the surest first.

    Attributes:
        order: int64 [N], positions of the images in this order.
        place: int64 [N], where each image stands in it.
        first: int64 [N], where the first image of its confidence stands.
        alike: int64 [N], how many have its confidence.
    """

    order: np.ndarray
    place: np.ndarray
    first: np.ndarray
    alike: np.ndarray

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """Of each image the mean over those of its confidence, [N]."""
        mean: np.ndarray = np.bincount(self.first, weights=values, minlength=len(values))[self.first] / self.alike
        return mean


def _ranked(evidence: Evidence) -> Iterator[_Ranked]:
    for confidence in _probabilities(evidence).max(axis=2):
        order = np.argsort(-confidence, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first = np.searchsorted(-confidence[order], -confidence)
        yield _Ranked(order, place, first, np.bincount(first, minlength=len(order))[first])


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
    "sweep_calibration_error": partial(_calibration_error, sweeps=True),
    "log_loss": _log_loss,
    "brier": _brier,
    "aurc": _aurc,
}
_OF_PROBABILITIES = ("calibration_error", "sweep_calibration_error", "log_loss", "brier", "aurc")
