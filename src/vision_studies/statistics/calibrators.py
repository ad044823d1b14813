"""What makes probabilities of those that a classifier says, so that they can be trusted as far as held-out images tell.

All are fitted to what was said of images that the network has not learnt from, and are used on others:
    temperature: all logits are divided by one number (Guo et al. 2017, "On Calibration of Modern Neural Networks");
    vector: each class's logit has a factor and a summand of its own (Guo et al. 2017, vector scaling);
    isotonic: each class's probability becomes the share that a rising step function finds, and those of an image are divided by
        their sum (Zadrozny and Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates").
Logits are the logarithms of the probabilities, so that kept predictions are enough; a temperature is the same by both.

None says what cannot be known: where every image is right, how sure a network may be when it is wrong is unknown, and the
temperature is not below 1; factors and summands of `vector` are drawn towards 1 and 0 as by a normal prior of variance 1, which
fades as images come; `isotonic` gives no class less, or more, than one image more of any class would leave it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vision_studies.predictions import CalibratorName
from vision_studies.statistics.calibration import fitted_temperature

SMALLEST = 2.0**-25
"""Probabilities below it count as it: the half of the least that half precision, in which predictions are kept, can say."""

_SLOPE = 1e-6  # of the probability itself, which tells apart what a step function makes alike (Zhang et al. 2020)


class Calibrator(Protocol):
    """Calibrated probabilities float64 [N, classes] of probabilities [N, classes]."""

    def __call__(self, probabilities: np.ndarray, /) -> np.ndarray:
        """Rows sum to 1."""
        ...


@dataclass(frozen=True, eq=False)
class Scaling:
    """`softmax(scale * log(probabilities) + shift)`; both float64 [classes]."""

    scale: np.ndarray
    shift: np.ndarray

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """See `Calibrator`."""
        from scipy.special import softmax

        calibrated: np.ndarray = softmax(self.scale * _logits(probabilities) + self.shift, axis=1)
        return calibrated


@dataclass(frozen=True, eq=False)
class Steps:
    """A rising function of each class's probability: its knots and what it is there, float64, a pair a class."""

    knots: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """See `Calibrator`."""
        columns = zip(probabilities.T.astype(np.float64), self.knots, strict=True)
        shares = np.stack([np.interp(column, at, share) for column, (at, share) in columns], axis=1)
        shares = (1 - _SLOPE) * shares + _SLOPE * probabilities
        return shares / shares.sum(axis=1, keepdims=True)


def fit_calibrator(name: CalibratorName, probabilities: np.ndarray, labels: np.ndarray) -> Calibrator:
    """What calibrates a classifier, from held-out images.

    Args:
        name: of the kind.
        probabilities: as the classifier says, [N, classes], N at least 1.
        labels: int [N].

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.calibrators import fit_calibrator
        >>> sure = np.tile([0.98, 0.02], (100, 1))  # and right of three in four
        >>> for name in ("temperature", "vector", "isotonic"):
        ...     calibrated = fit_calibrator(name, sure, np.repeat([0, 1], [75, 25]))
        ...     print(name, calibrated(sure)[0].round(2).tolist())
        temperature [0.75, 0.25]
        vector [0.75, 0.25]
        isotonic [0.75, 0.25]
    """
    return _FITS[name](probabilities, labels)


def _temperature(probabilities: np.ndarray, labels: np.ndarray) -> Calibrator:
    classes = probabilities.shape[1]
    found = safe_temperature(_logits(probabilities), labels)
    return Scaling(np.full(classes, 1 / found), np.zeros(classes))


def safe_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest log loss, of logits [N, classes] and labels int [N]; not below 1 where every image is
    right: the lowest would then be as good as 0, and no mistake would be held possible.
    """
    found = fitted_temperature(logits, labels)
    return max(1.0, found) if (logits.argmax(axis=1) == labels).all() else found


def _vector(probabilities: np.ndarray, labels: np.ndarray) -> Calibrator:
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    logits = _logits(probabilities)
    images, classes = logits.shape
    right = (np.arange(images), labels)

    def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean log loss with the prior's part, and its gradient."""
        scale, shift = numbers[:classes], numbers[classes:]
        scaled = scale * logits + shift
        whole = logsumexp(scaled, axis=1)
        residual = np.exp(scaled - whole[:, None])
        residual[right] -= 1
        away = numbers - start
        gradient = np.concatenate([(residual * logits).sum(axis=0), residual.sum(axis=0)])
        return (whole - scaled[right]).mean() + (away @ away) / (2 * images), (gradient + away) / images

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6}).x
    return Scaling(found[:classes], found[classes:])


def _isotonic(probabilities: np.ndarray, labels: np.ndarray) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    images, classes = probabilities.shape
    least = 1 / (classes * (images + 1))
    knots = []
    for label, column in enumerate(probabilities.T.astype(np.float64)):
        steps = IsotonicRegression(y_min=least, y_max=1 - (classes - 1) * least, out_of_bounds="clip")
        steps.fit(column, labels == label)
        knots.append((steps.X_thresholds_, steps.y_thresholds_))
    return Steps(tuple(knots))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    logits: np.ndarray = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))
    return logits


_FITS: dict[CalibratorName, Callable[[np.ndarray, np.ndarray], Calibrator]] = {
    "temperature": _temperature,
    "vector": _vector,
    "isotonic": _isotonic,
}
