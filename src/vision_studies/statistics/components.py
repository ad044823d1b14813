"""What varies: the parts that seeds, images and both together have in the variance of a mean.

A run of seed s scores image i with y[s, i] = mean + seed + image + rest, three independent draws (the crossed random effects
of Cornfield and Tukey 1956). Another seed and other images would give another mean; its variance is
    seed / S + image / N + rest / (S N).
The three are estimated by the mean squares of a two-way table (Searle, Casella and McCulloch 1992, chapter 4).

Few seeds say little of how much seeds vary. With the seeds alone half the interval would be Student's quantile t of S - 1
degrees of freedom times the standard error, with the images alone the normal quantile z. In between it is
    (w t + (1 - w) z) * standard error,
as of Cochran and Cox (1950) for two means of unlike variance, with the seeds' share of the variance to the power 5/4 as w: the
power 1 covers too much, up to 97.8 % where 95 % are asked for; that of Satterthwaite's degrees of freedom too little, down to
87 % with two seeds (docs/intervals.md has the table). An interval is never narrower than with seeds that do not vary.

Of a cross-validation the part of the images is larger, and what folds differ by counts as seeds do (`between_folds`): together
with them where each seed has folds of its own, else whichever is more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from vision_studies.statistics.between_folds import OVERLAP, BetweenFolds, between_folds
from vision_studies.statistics.evidence import Evidence

_POWER = 1.25
_MOST, _BISECTIONS = 80.0, 45  # p is no less than exp(-80)


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of scores y [S, N]; with one seed `rest` is 0 and `image` is the variance over images.

    Attributes:
        seed: expected rest + N * seed component; NaN with one seed.
        image: expected rest + S * image component; NaN with one image.
        rest: the interaction of both.
        seeds: S.
        images: N; 0 where only means of seeds are known, and `seed` is then their variance.
        folds: what those of a cross-validation add; None where there is one test split.
    """

    seed: float
    image: float
    rest: float
    seeds: int
    images: int
    folds: BetweenFolds | None = None


@dataclass(frozen=True)
class Spread:
    """Variance of the mean in three parts, for any number of means at once: arrays [V].

    Attributes:
        seed: what the spread of the seeds' means alone says, on `degrees` degrees of freedom; the rest is in it.
        rest: no less than this stands behind `seed`.
        image: what images add.
        degrees: seeds - 1, or those of folds; 0 where neither counts.
    """

    seed: np.ndarray
    rest: np.ndarray
    image: np.ndarray
    degrees: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """The estimate of the whole variance [V]."""
        return np.maximum(self.seed, self.rest) + self.image


def mean_squares(scores: np.ndarray, folds: np.ndarray | None = None) -> MeanSquares:
    """The two-way analysis of variance of scores [S, N], S and N at least 1; `folds` [S, N] are those of a cross-validation."""
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
        folds=None if folds is None else between_folds(scores, folds),
    )


def seed_squares(values: np.ndarray) -> MeanSquares:
    """The same where only the mean of each seed is known: values [S], S at least 1."""
    seeds = len(values)
    return MeanSquares(float(values.var(ddof=1)) if seeds > 1 else np.nan, np.nan, 0.0, seeds, 0)


def of_share(squares: MeanSquares, share: float) -> MeanSquares:
    """The same spread of the mean, told of the share of the images that it is of."""
    parts = {name: share * getattr(squares, name) for name in ("seed", "image", "rest")}
    return replace(squares, **parts, images=round(share * squares.images))


def with_added(squares: MeanSquares, mean: float, extremes: tuple[float, float]) -> tuple[MeanSquares, float]:
    """Mean squares and mean of scores with half an image more at each of the two extremes, the same for all seeds.

    Without it a few images that are all alike would be taken for certainty.
    """
    images, whole = squares.images, squares.images + 1
    centre = (images * mean + sum(extremes) / 2) / whole
    within = np.nan_to_num(squares.image) / squares.seeds * (images - 1)
    between = within + images * (mean - centre) ** 2 + sum((extreme - centre) ** 2 for extreme in extremes) / 2
    return replace(squares, seed=squares.seed * images / whole, image=squares.seeds * between / whole), centre


def components(squares: MeanSquares) -> tuple[float, float, float]:
    """Variances of seed, image and rest, none below 0; those that cannot be told apart are within the rest."""
    if squares.images == 0:
        return squares.seed, 0.0, 0.0
    if squares.seeds == 1:
        return 0.0, squares.image, 0.0
    seed, image = max(0.0, squares.seed - squares.rest), max(0.0, np.nan_to_num(squares.image) - squares.rest)
    return seed / squares.images, image / squares.seeds, squares.rest


def spread_of(squares: Sequence[MeanSquares]) -> Spread:
    """Spread of means whose mean squares these are."""
    rows = []
    for own in squares:
        cells = own.seeds * max(own.images, 1)
        image = max(0.0, np.nan_to_num(own.image) - own.rest) / cells
        # Of one seed, or of a single image, the other direction says all that can be known.
        rows.append(_with_folds(own, own.seeds, np.nan_to_num(own.seed) / cells, own.rest / cells, image))
    return _spread(rows)


def spread_at(squares: Sequence[MeanSquares], seeds: np.ndarray, images: np.ndarray) -> Spread:
    """Spread of means over so many seeds [V] and images [V] (0: seeds alone) that vary as these mean squares say."""
    rows = []
    for own, of_seeds, of_images in zip(squares, seeds.tolist(), np.maximum(images, 1).tolist(), strict=True):
        seed, image, rest = components(own)
        floor = rest / (of_seeds * of_images)
        rows.append(_with_folds(own, of_seeds, seed / of_seeds + floor, floor, image / of_images))
    return _spread(rows)


def _with_folds(
    own: MeanSquares, seeds: int, seed: float, rest: float, image: float
) -> tuple[float, float, float, int]:
    """A row of `Spread` over so many seeds, from its parts without folds."""
    folds = own.folds
    if folds is None:
        return seed, rest, image, seeds - 1
    if folds.divisions < own.seeds:  # the seeds have the same folds: more of them do not make these differ less
        beyond = rest + folds.excess
        return (
            (beyond, rest, OVERLAP * image, folds.degrees)
            if beyond > seed
            else (seed, rest, OVERLAP * image, seeds - 1)
        )
    of_folds = folds.degrees * seeds // own.seeds
    degrees = of_folds + seeds - 1
    beyond = (of_folds * folds.excess * own.seeds / seeds + (seeds - 1) * (seed - rest)) / max(degrees, 1)
    return rest + max(0.0, beyond), rest, OVERLAP * image, degrees


def _spread(rows: Sequence[tuple[float, float, float, int]]) -> Spread:
    seed, rest, image, degrees = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return Spread(seed, rest, image, degrees.astype(int))


def half_width(level: float | np.ndarray, spread: Spread) -> np.ndarray:
    """Half the width [V] of intervals that cover all but `level` (between 0 and 1; one, or [V])."""
    half = np.asarray(level, dtype=np.float64) / 2
    return reach(-special.stdtrit(np.maximum(spread.degrees, 1), half), -special.ndtri(half), spread)


def reach(student: np.ndarray, normal: np.ndarray, spread: Spread) -> np.ndarray:
    """Half the width of intervals, from the quantiles of Student's and of the normal distribution; all [V] or [draws, V]."""
    counts = spread.degrees > 0
    seed, rest = np.where(counts, spread.seed, 0.0), np.where(counts, spread.rest, 0.0)
    variance = seed + spread.image
    share = np.divide(seed, variance, out=np.zeros_like(variance), where=variance > 0) ** _POWER
    between = (share * student + (1 - share) * normal) * np.sqrt(variance)
    return np.maximum(between, normal * np.sqrt(rest + spread.image))


def tail(distance: np.ndarray, spread: Spread) -> np.ndarray:
    """Two-sided p [V] of means that lie so far [V] from what is supposed: the level of the interval that ends there."""
    distance = np.abs(distance)
    low, high = np.zeros(distance.shape), np.full(distance.shape, _MOST)  # of -log(p)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = half_width(np.exp(-middle), spread) < distance
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.exp(-(low + high) / 2)


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


def _squares(values: np.ndarray) -> float:
    return float(np.square(values - values.mean()).sum())
