"""What varies: the parts that seeds, images and both together have in the variance of a mean.

A run of seed s scores image i with y[s, i] = mean + seed + image + rest, three independent draws (the crossed random effects
of Cornfield and Tukey 1956). Another seed and other images would give another mean; its variance is
    seed / S + image / N + rest / (S N).
The three are estimated by the mean squares of a two-way table (Searle, Casella and McCulloch 1992, chapter 4).

Few seeds say little of how much seeds vary, so that their part is not taken as known: it is drawn from its fiducial
distribution, the estimate times (S - 1) over a chi-squared variable of S - 1 degrees of freedom, and is no less than what
the rest alone makes of it (generalised confidence intervals: Weerahandi 1993; Hannig, Iyer and Patterson 2006). With the
seeds alone this is Student's interval, with the images alone the normal one, and it lies between them otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from vision_studies.statistics.evidence import Evidence

_NODES = 64
_BISECTIONS = 48


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of scores y [S, N]; with one seed `rest` is 0 and `image` is the variance over images.

    Attributes:
        seed: expected rest + N * seed component; NaN with one seed.
        image: expected rest + S * image component; NaN with one image.
        rest: the interaction of both.
        seeds: S.
        images: N; 0 where only means of seeds are known, and `seed` is then their variance.
    """

    seed: float
    image: float
    rest: float
    seeds: int
    images: int


@dataclass(frozen=True)
class Spread:
    """Variance of the mean in three parts, for any number of means at once: arrays [V].

    Attributes:
        seed: what the spread of the seeds' means alone says, on `degrees` degrees of freedom; the rest is in it.
        rest: no less than this stands behind `seed`.
        image: what images add.
        degrees: seeds - 1; 0 where seeds do not count.
    """

    seed: np.ndarray
    rest: np.ndarray
    image: np.ndarray
    degrees: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """The estimate of the whole variance [V]."""
        return np.maximum(self.seed, self.rest) + self.image


def mean_squares(scores: np.ndarray) -> MeanSquares:
    """The two-way analysis of variance of scores [S, N], S and N at least 1."""
    seeds, images = scores.shape
    by_seed, by_image = scores.mean(axis=1, dtype=np.float64), scores.mean(axis=0, dtype=np.float64)
    centred = np.asarray(scores - by_seed.mean(), dtype=np.float32)
    whole = float(np.vdot(centred, centred))
    seed, image = images * _squares(by_seed), seeds * _squares(by_image)
    rest = max(0.0, whole - seed - image)
    degrees = (seeds - 1) * (images - 1)
    return MeanSquares(
        seed=seed / (seeds - 1) if seeds > 1 else np.nan,
        image=image / (images - 1) if images > 1 else np.nan,
        rest=rest / degrees if degrees else 0.0,
        seeds=seeds,
        images=images,
    )


def seed_squares(values: np.ndarray) -> MeanSquares:
    """The same where only the mean of each seed is known: values [S], S at least 1."""
    seeds = len(values)
    return MeanSquares(float(values.var(ddof=1)) if seeds > 1 else np.nan, np.nan, 0.0, seeds, 0)


def components(squares: MeanSquares) -> tuple[float, float, float]:
    """Variances of seed, image and rest, none below 0; those that cannot be told apart are within the rest."""
    if squares.images == 0:
        return squares.seed, 0.0, 0.0
    if squares.seeds == 1:
        return 0.0, squares.image, 0.0
    seed, image = max(0.0, squares.seed - squares.rest), max(0.0, np.nan_to_num(squares.image) - squares.rest)
    return seed / squares.images, image / squares.seeds, squares.rest


def spread(parts: Sequence[tuple[float, float, float]], seeds: np.ndarray, images: np.ndarray) -> Spread:
    """Spread of means over so many seeds [V] and images [V] (0: seeds alone) with these components."""
    seed, image, rest = np.array(parts, dtype=np.float64).reshape(-1, 3).T
    with_images = np.maximum(images, 1)
    floor = rest / (seeds * with_images)
    return Spread(seed / seeds + floor, floor, image / with_images, np.asarray(seeds) - 1)


def spread_of(squares: Sequence[MeanSquares]) -> Spread:
    """Spread of means whose mean squares these are."""
    rows = []
    for own in squares:
        cells = own.seeds * max(own.images, 1)
        image = max(0.0, np.nan_to_num(own.image) - own.rest) / cells
        # Of one seed, or of a single image, the other direction says all that can be known.
        seed = np.nan_to_num(own.seed) / cells
        rows.append((seed, own.rest / cells, image, own.seeds - 1))
    seed, rest, image, degrees = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return Spread(seed, rest, image, degrees.astype(int))


def tail(distance: np.ndarray, spread: Spread) -> np.ndarray:
    """Two-sided p [V] of means that lie so far [V] from what is supposed; 1 where both are 0."""
    variance, weight = _drawn_variances(spread)
    return _tail(np.abs(distance), variance, weight)


def half_width(level: float | np.ndarray, spread: Spread) -> np.ndarray:
    """The distance [V] whose two-sided p is `level` (between 0 and 1, one or [V])."""
    variance, weight = _drawn_variances(spread)
    level = np.broadcast_to(np.asarray(level, dtype=np.float64), spread.seed.shape)
    known = np.sqrt(np.where(spread.degrees > 0, spread.rest, 0.0) + spread.image)
    degrees = np.maximum(spread.degrees, 1)
    # Between the variance's lower end as though known, and both parts at half the level each (Bonferroni).
    low = special.ndtri(1 - level / 2) * known * 0.999
    high = special.stdtrit(degrees, 1 - level / 4) * np.sqrt(spread.seed) + special.ndtri(1 - level / 4) * known
    high = np.maximum(high * 1.001, low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        inside = _tail(middle, variance, weight) > level
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return (low + high) / 2


def variance_components(evidence: Sequence[Evidence]) -> pd.DataFrame:
    """How much of what accuracy varies by comes from seeds, from images and from both together.

    Returns:
        One row a variant: variant, seeds, images, the standard deviations seed, image and rest (fractions; of one run on one
        image), and seed_share, image_share and rest_share: their parts in the variance of the mean. A part that cannot be
        told is NaN: that of seeds with one seed, that of images where predictions are not kept; with one seed `image` holds
        the rest, too.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.components import variance_components
        >>> from vision_studies.statistics.evidence import Evidence
        >>> right = np.array([[True, True, False, True], [True, False, False, True]])
        >>> plain = Evidence.of_images("plain", [0, 1], np.arange(4), np.zeros(4, int), correct=right)
        >>> variance_components([plain]).round(2).loc[0, ["seeds", "images", "image", "rest"]].tolist()
        [2.0, 4.0, 0.41, 0.35]
    """
    rows = []
    for own in evidence:
        squares = mean_squares(own.correct) if len(own.images) else seed_squares(own.values[~np.isnan(own.values)])
        seed, image, rest = components(squares)
        parts = np.array([seed / squares.seeds, image / max(squares.images, 1), 0.0])
        parts[2] = rest / (squares.seeds * max(squares.images, 1))
        known = np.array([squares.seeds > 1, squares.images > 1, squares.seeds > 1 and squares.images > 1])
        whole = parts.sum()
        shares = np.where(known, parts / whole, np.nan) if whole > 0 else np.full(3, np.nan)
        deviations = np.where(known, np.sqrt([seed, image, rest]), np.nan)
        rows.append([own.name, squares.seeds, squares.images, *deviations, *shares])
    names = ["seed", "image", "rest"]
    return pd.DataFrame(rows, columns=["variant", "seeds", "images", *names, *(f"{name}_share" for name in names)])


def _drawn_variances(spread: Spread) -> tuple[np.ndarray, np.ndarray]:
    """Variances [V, K] of the mean that are possible, and their weights [V, K], which sum to 1."""
    degrees = np.maximum(spread.degrees, 1)[:, None].astype(np.float64)
    # A trapezoid over the logarithm of chi-squared, whose density is smooth: exact to many digits, also far in the tail.
    ends = 2 * special.gammaincinv(degrees / 2, 1e-12), 2 * special.gammainccinv(degrees / 2, 1e-12)
    logarithm = np.log(ends[0]) + (np.log(ends[1]) - np.log(ends[0])) * np.linspace(0, 1, _NODES)
    weight = np.exp(degrees / 2 * (logarithm - np.log(degrees)) - (np.exp(logarithm) - degrees) / 2)
    weight /= weight.sum(axis=1, keepdims=True)
    drawn = spread.seed[:, None] * degrees * np.exp(-logarithm)
    drawn = np.where(spread.degrees[:, None] > 0, np.maximum(drawn, spread.rest[:, None]), 0.0)
    return drawn + spread.image[:, None], weight


def _tail(distance: np.ndarray, variance: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = distance[:, None] / np.sqrt(variance)
    ratio = np.where(np.isnan(ratio), 0.0, ratio)  # 0 / 0: nothing varies and nothing differs
    return np.minimum(1.0, (2 * special.ndtr(-ratio) * weight).sum(axis=1))


def _squares(values: np.ndarray) -> float:
    return float(np.square(values - values.mean()).sum())
