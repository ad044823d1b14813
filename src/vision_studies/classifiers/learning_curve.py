"""What more images would give: a power law through accuracies at several sizes, with an interval.

Source: Hestness et al. 2017, Deep Learning Scaling is Predictable, Empirically; Figueroa et al. 2012, Predicting Sample Size
Required for Classification Performance, for the form `a - b * n ** -c`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision_studies.classifiers.family import Family, Hyperparameters
from vision_studies.errors import DataError

_EXPONENTS = np.geomspace(0.05, 2.0, 60)
_DRAWS = 400
_LEAST_SIZES = 3


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Accuracy `ceiling - gain * n ** -exponent` of n images to learn from, and curves of resampled measurements.

    Attributes:
        sizes: int64 [S], images learnt from, ascending.
        accuracies: float64 [R, S], of each repetition.
        ceiling: at most 1.
        gain: not negative.
        exponent: 0.05 to 2.
        draws: float64 [B, 3], ceiling, gain and exponent of bootstrap draws.
    """

    sizes: np.ndarray
    accuracies: np.ndarray
    ceiling: float
    gain: float
    exponent: float
    draws: np.ndarray

    def at(self, size: float, confidence: float = 0.95) -> tuple[float, float, float]:
        """Accuracy expected of `size` images, and the ends of its interval, all from 0 to 1.

        The interval covers the mean over draws of the images that are learnt from.
        """
        expected = self.ceiling - self.gain * size**-self.exponent
        drawn = self.draws[:, 0] - self.draws[:, 1] * size ** -self.draws[:, 2]
        tails = ((1 - confidence) / 2, (1 + confidence) / 2)
        low, high = np.quantile(drawn, tails)
        return tuple(float(value) for value in np.clip((expected, min(low, expected), max(high, expected)), 0, 1))  # type: ignore[return-value]


def fit_learning_curve(sizes: Sequence[int] | np.ndarray, accuracies: np.ndarray, *, seed: int = 0) -> LearningCurve:
    """A power law by least squares, each size weighing as its mean is sure.

    The exponent is looked for among 60 values, and with each of them the rest is linear. The bootstrap draws repetitions, all
    sizes of one together, since those of one repetition learn from subsets of each other.

    Args:
        sizes: images learnt from [S], ascending, three at least.
        accuracies: float [R, S].
        seed: of the bootstrap.

    Raises:
        DataError: there are fewer than three sizes, or arrays do not fit.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.learning_curve import fit_learning_curve
        >>> sizes = [50, 100, 200, 400]
        >>> accuracies = 0.9 - 2.0 * np.array(sizes) ** -0.5 + np.random.default_rng(0).normal(0, 0.01, (10, 4))
        >>> value, low, high = fit_learning_curve(sizes, accuracies).at(800)
        >>> low < 0.9 - 2.0 * 800 ** -0.5 < high
        True
    """
    numbers, values = np.asarray(sizes), np.asarray(accuracies, dtype=float)
    if len(numbers) < _LEAST_SIZES or values.ndim != 2 or values.shape[1] != len(numbers) or not len(values):
        raise DataError(
            f"A learning curve needs accuracies of {_LEAST_SIZES} sizes at least, [repetitions, sizes], and those of "
            f"{len(numbers)} sizes with shape {list(values.shape)} were given."
        )
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.ones(len(numbers))
    weights = 1 / np.maximum(spread, 1e-3) ** 2
    random = np.random.default_rng(seed)
    picked = random.integers(len(values), size=(_DRAWS, len(values)))
    means = np.concatenate([values.mean(axis=0)[None], values[picked].mean(axis=1)])
    fitted = _power_laws(numbers.astype(float), means, weights)
    ceiling, gain, exponent = fitted[0].tolist()
    return LearningCurve(numbers, values, ceiling, gain, exponent, fitted[1:])


def promised_at_largest(curve: LearningCurve, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """What a curve through all sizes but the largest promises there: accuracy and the ends of its interval, all from 0 to 1.

    Raises:
        DataError: there are fewer than four sizes.
    """
    if len(curve.sizes) <= _LEAST_SIZES:
        raise DataError(
            f"A learning curve is checked by its largest size, for which {_LEAST_SIZES + 1} sizes are needed, and there are "
            f"{len(curve.sizes)}."
        )
    before = fit_learning_curve(curve.sizes[:-1], curve.accuracies[:, :-1])
    return before.at(float(curve.sizes[-1]), confidence)


def subsets(y: np.ndarray, folds: np.ndarray, sizes: Sequence[int], seed: int) -> np.ndarray:
    """Training parts bool [K, S, N]: of each of K folds, images of the others, each size a part of the next.

    Every size has its share of each class, and one image of each class at least while there are as many.

    Args:
        y: int64 [N].
        folds: int64 [N], from 0 to K - 1.
        sizes: ascending; none may be larger than what the smallest training part has.
        seed: of the draw.

    Raises:
        DataError: a size is larger than that.
    """
    random = np.random.default_rng(seed)
    parts = np.zeros((int(folds.max()) + 1, len(sizes), len(y)), dtype=bool)
    for fold in range(len(parts)):
        rows = random.permutation(np.flatnonzero(folds != fold))
        if max(sizes) > len(rows):
            raise DataError(f"{max(sizes)} images are asked for, and fold {fold} learns from {len(rows)}; take fewer.")
        # The place of an image among those of its class, as a share of the class: sorted by it, classes alternate.
        place = np.empty(len(rows))
        for label in np.unique(y[rows]):
            members = np.flatnonzero(y[rows] == label)
            place[members] = (np.arange(len(members)) + random.uniform(0, 1)) / len(members)
            place[members[0]] -= 1
        order = rows[np.argsort(place, kind="stable")]
        for number, size in enumerate(sizes):
            parts[fold, number, order[:size]] = True
    return parts


def measured_learning_curve(
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    classes: int,
    hyperparameters: Hyperparameters,
    *,
    sizes: Sequence[int],
    seed: int,
) -> LearningCurve:
    """The learning curve of a family, from parts of each fold's images, scored on what the fold leaves out.

    All folds and sizes are one piece of work.

    Args:
        family: of classifiers.
        x: float32 [N, D].
        y: int64 [N].
        folds: int64 [N], from 0 to K - 1; each is a repetition.
        classes: C.
        hyperparameters: for all sizes.
        sizes: images learnt from, ascending.
        seed: of the draw.

    Raises:
        DataError: as for `subsets`, `fit_learning_curve` and `Family.fold_probabilities`.
    """
    parts = subsets(y, folds, sizes, seed)
    count, several = parts.shape[:2]
    said = family.fold_probabilities(x, y, parts.reshape(count * several, len(y)), classes, [hyperparameters])[0]
    right = (said.argmax(axis=2) == y).reshape(count, several, len(y))
    accuracies = np.stack([right[fold][:, folds == fold].mean(axis=1) for fold in range(count)])
    return fit_learning_curve(sizes, accuracies, seed=seed)


def _power_laws(sizes: np.ndarray, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ceiling, gain and exponent [B, 3] of the weighted least squares through each row of means [B, S]."""
    terms = sizes[None] ** -_EXPONENTS[:, None]  # [E, S]
    share = weights / weights.sum()
    centre = terms @ share
    about = terms - centre[:, None]
    middle = means @ share
    falls = ((means - middle[:, None]) * share) @ about.T / (np.square(about) @ share)  # [B, E]: minus the gains
    gains = np.maximum(-falls, 0)
    ceilings = middle[:, None] + gains * centre
    # No accuracy is above 1: where the ceiling would be, the line through 1 is the best that is left.
    beyond = ceilings > 1
    through_one = ((1 - means) * share) @ terms.T / (np.square(terms) @ share)
    gains, ceilings = np.where(beyond, through_one, gains), np.where(beyond, 1.0, ceilings)
    residuals = means[:, None] - ceilings[:, :, None] + gains[:, :, None] * terms
    best = (np.square(residuals) @ share).argmin(axis=1)
    rows = np.arange(len(means))
    return np.stack([ceilings[rows, best], gains[rows, best], _EXPONENTS[best]], axis=1)
