"""Differences over folds or repeated splits, whose training images overlap: the corrected resampled test.

Folds share most of their training images, so that their differences vary less than those of independent studies would: a
t-test that takes them as independent finds too much. Nadeau and Bengio (2003) add the share of test to training images to the
variance; Bouckaert and Frank (2004) use it for repeated cross-validation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from vision_studies.errors import ParameterError


@dataclass(frozen=True)
class Resampled:
    """A mean over folds or splits with what is known of it; what cannot be computed is NaN.

    Attributes:
        folds: how many values there are.
        value: their mean.
        low: lower end of its interval.
        high: upper end.
        p: two-sided, of no difference; from the same variance as the interval.
    """

    folds: int
    value: float
    low: float
    high: float
    p: float


def correction_of_folds(folds: int, *, train: float, test: float) -> float:
    """The variance of the mean of so many folds, over that of one, with so many training and test images.

    Examples:
        >>> from vision_studies.statistics.resampled import correction_of_folds
        >>> correction_of_folds(5, train=80, test=20)
        0.45
    """
    return 1 / folds + test / train


def corrected_resampled(values: ArrayLike, *, train: int, test: int, confidence: float = 0.95) -> Resampled:
    """The mean of differences (or of accuracies) of folds or splits, with corrected variance.

    Args:
        values: one a fold or split [J]; missing ones do not count. Several seeds of one fold are averaged first.
        train: training images of a fold.
        test: test images of a fold.
        confidence: of the interval, between 0 and 1.

    Raises:
        ParameterError: there are no training or no test images.

    Examples:
        >>> from vision_studies.statistics.resampled import corrected_resampled
        >>> found = corrected_resampled([0.02, 0.01, 0.03, 0.02, 0.02], train=80, test=20)
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3), round(found.p, 3)
        (0.02, 0.007, 0.033, 0.014)
    """
    if train < 1 or test < 1:
        raise ParameterError(f"Folds need training and test images, and have {train} and {test}.")
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    folds = len(sample)
    value = float(sample.mean()) if folds else np.nan
    if folds < 2:
        return Resampled(folds, value, np.nan, np.nan, np.nan)
    error = float(np.sqrt(correction_of_folds(folds, train=train, test=test) * sample.var(ddof=1)))
    half = float(special.stdtrit(folds - 1, (1 + confidence) / 2)) * error
    statistic = -abs(value) / error if error > 0 else -np.inf if value else 0.0
    p = float(2 * special.stdtr(folds - 1, statistic))
    return Resampled(folds, value, value - half, value + half, p)
