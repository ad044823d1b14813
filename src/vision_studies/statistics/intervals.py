"""Means with intervals, differences of pairs with their tests, and Holm's correction.

A run of a study has a seed, and runs of two variants with one seed share data order and initial draw. Comparing them in
pairs takes out what the seed does to both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

from vision_studies.errors import DataError
from vision_studies.statistics.interval_kinds import Interval

Test = Literal["t", "wilcoxon"]
"""t: Student's paired t. wilcoxon: the signed-rank test (Wilcoxon 1945), exact for up to 50 pairs without ties."""

_BOOTSTRAP_SAMPLES = 9999
_DECIMALS = 12  # 0.96 - 0.95 and 0.97 - 0.96 must tie; binary fractions would tell them apart


@dataclass(frozen=True)
class Summary:
    """A sample of n values in five numbers; what cannot be computed is NaN.

    The standard deviation is that of the sample (n - 1 in the denominator); low and high are the ends of the mean's interval.
    """

    n: int
    mean: float
    standard_deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """Values of one variant minus those of another, seed by seed; what cannot be computed is NaN.

    Attributes:
        pairs: seeds that both have.
        difference: mean difference; low and high are the ends of its interval.
        p: two-sided p of the test.
        smallest_p: the smallest p that so many pairs can give, whatever their values.
        cohens_d: mean difference over the standard deviation of the differences (Cohen's d_z).
        rank_biserial: share of signed ranks in favour minus share against, -1 to 1 (Kerby 2014).
    """

    pairs: int
    difference: float
    low: float
    high: float
    p: float
    smallest_p: float
    cohens_d: float
    rank_biserial: float


def summary(
    values: ArrayLike,
    *,
    confidence: float = 0.95,
    interval: Interval = "t",
    fractions: bool = False,
    positive: bool = False,
) -> Summary:
    """Mean, spread and interval of a sample; missing values do not count.

    Args:
        values: numbers [N].
        confidence: of the interval, between 0 and 1.
        interval: kind of the interval. The bootstrap draws with a fixed seed, so that equal values give equal intervals.
        fractions: end the interval at 0 and 1, which Student's does not know.
        positive: end it at 0 below, as of a loss.

    Examples:
        >>> from vision_studies.statistics.intervals import summary
        >>> accuracies = summary([0.90, 0.92, 0.94])
        >>> accuracies.n, round(accuracies.mean, 3), round(accuracies.low, 3), round(accuracies.high, 3)
        (3, 0.92, 0.87, 0.97)
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    if len(sample) == 0:
        return Summary(0, np.nan, np.nan, np.nan, np.nan)
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return Summary(1, mean, np.nan, np.nan, np.nan)
    if np.ptp(sample) == 0:
        return Summary(n, mean, 0.0, mean, mean)
    if interval == "bootstrap":
        drawing = {"n_resamples": _BOOTSTRAP_SAMPLES, "method": "BCa", "rng": np.random.default_rng(0)}
        low, high = stats.bootstrap((sample,), np.mean, confidence_level=confidence, **drawing).confidence_interval
    else:
        # The distribution's own function: scipy's interval checks its arguments for longer than it computes.
        half = special.stdtrit(n - 1, (1 + confidence) / 2) * _standard_error(sample)
        low, high = mean - half, mean + half
    if fractions:
        low, high = np.clip((low, high), 0, 1)
    elif positive:
        low = max(0.0, low)
    return Summary(n, mean, float(sample.std(ddof=1)), float(low), float(high))


def paired_comparison(
    first: pd.Series, second: pd.Series, *, confidence: float = 0.95, interval: Interval = "t", test: Test = "t"
) -> PairedComparison:
    """Compare two variants, `first` minus `second` (values with their seeds as index), on the seeds that both have.

    The interval of the mean difference is of this kind and confidence (between 0 and 1).

    Raises:
        DataError: a seed occurs twice in one of them.

    Examples:
        >>> import pandas as pd
        >>> from vision_studies.statistics.intervals import paired_comparison
        >>> wide = pd.Series({0: 0.91, 1: 0.95, 2: 0.93})  # accuracies by seed
        >>> narrow = pd.Series({0: 0.89, 1: 0.92, 2: 0.92, 3: 0.99})
        >>> compared = paired_comparison(wide, narrow)
        >>> compared.pairs, round(compared.difference, 3), round(compared.p, 3)
        (3, 0.02, 0.074)
    """
    differences = _differences(first, second)
    return _comparison(differences, confidence, interval, test, _p_value(differences, test))


def corrected_comparisons(
    pairs: Sequence[tuple[pd.Series, pd.Series]],
    *,
    confidence: float = 0.95,
    interval: Interval = "t",
    test: Test = "t",
) -> list[tuple[PairedComparison, float]]:
    """`paired_comparison` of several pairs with Holm's correction: each with its interval at its own level, and corrected p.

    An interval excludes 0 exactly where the corrected p is below 1 - confidence. By Student's interval and test that follows
    from the levels (`holm_levels`); an interval of another kind than the test, as a bootstrap or Student's beside signed
    ranks, asks for something else, and is NaN where it says otherwise than p.

    Raises:
        DataError: a seed occurs twice in one of a pair.

    Examples:
        >>> import pandas as pd
        >>> from vision_studies.statistics.intervals import corrected_comparisons
        >>> plain = pd.Series([0.80, 0.82, 0.81])
        >>> pairs = [(plain + [0.10, 0.10, 0.11], plain), (plain + [0.01, 0.02, 0.04], plain)]
        >>> [(round(pair.low, 3), round(p, 4)) for pair, p in corrected_comparisons(pairs)]
        [(0.083, 0.0021), (-0.015, 0.1181)]
    """
    differences = [_differences(first, second) for first, second in pairs]
    p_values = [_p_value(own, test) for own in differences]
    found = []
    for own, p, corrected, level in zip(
        differences, p_values, holm(p_values), holm_levels(p_values, 1 - confidence), strict=True
    ):
        comparison = _comparison(own, 1 - level, interval, test, p)
        excludes = comparison.low > 0 or comparison.high < 0
        if not np.isnan(p) and excludes != (corrected < 1 - confidence):
            comparison = replace(comparison, low=np.nan, high=np.nan)
        found.append((comparison, corrected))
    return found


def _differences(first: pd.Series, second: pd.Series) -> np.ndarray:
    """First minus second on the seeds that both have."""
    for values in (first, second):
        if not values.index.is_unique:
            repeated = sorted(values.index[values.index.duplicated()].unique())
            raise DataError(f"The seeds {repeated} occur more than once in a variant, so its runs cannot be paired.")
    if not first.index.equals(second.index):  # a seed that only one of the two has drops out
        first, second = first.align(second, join="inner")
    differences = first.to_numpy(dtype=float) - second.to_numpy(dtype=float)
    return differences[~np.isnan(differences)].round(_DECIMALS)


def _comparison(
    differences: np.ndarray, confidence: float, interval: Interval, test: Test, p: float
) -> PairedComparison:
    described = summary(differences, confidence=confidence, interval=interval)
    varies = described.n > 1 and described.standard_deviation > 0
    unequal = np.count_nonzero(differences)
    return PairedComparison(
        pairs=described.n,
        difference=round(described.mean, _DECIMALS),
        low=described.low,
        high=described.high,
        p=p,
        # Signs that are all alike are the most extreme of 2 ** n outcomes; Student's p has no lower bound.
        smallest_p=np.nan if described.n < 2 else min(1.0, 2.0 ** (1 - unequal)) if test == "wilcoxon" else 0.0,
        cohens_d=described.mean / described.standard_deviation if varies else np.nan,
        rank_biserial=_rank_biserial(differences),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979), in the order given; NaN stays NaN and does not count.

    Examples:
        >>> from vision_studies.statistics.intervals import holm
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    values = np.array(p_values, dtype=float)
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]  # NaN comes last
    corrected = np.minimum(1, values[order] * np.arange(len(order), 0, -1))
    values[order] = np.maximum.accumulate(corrected)
    return values.tolist()


def holm_levels(p_values: Sequence[float], level: float) -> list[float]:
    """Levels of intervals that agree with Holm's correction: one excludes 0 exactly where the corrected p is at most `level`.

    An effect that is told has the level at which Holm tests it; the others have that of the first that is not (Serlin 1993).
    NaN does not count, and has the level itself.

    Examples:
        >>> from vision_studies.statistics.intervals import holm_levels
        >>> [round(level, 4) for level in holm_levels([0.01, 0.04, 0.03], 0.05)]
        [0.0167, 0.025, 0.025]
    """
    values = np.array(p_values, dtype=float)
    levels = np.full(len(values), level)
    count = int(np.count_nonzero(~np.isnan(values)))
    step = 0
    for place in np.argsort(values, kind="stable")[:count]:
        levels[place] = level / (count - step)
        if step < count - 1 and values[place] <= levels[place]:
            step += 1
    return levels.tolist()


def _p_value(differences: np.ndarray, test: Test) -> float:
    """Two-sided p; NaN where the test has no value, 1 where no pair differs."""
    if len(differences) < 2:
        return np.nan
    if not differences.any():
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(differences[differences != 0]).pvalue)
    if np.ptp(differences) == 0:
        return np.nan  # the same difference every time: t would be infinite, and p nought, from as few as two pairs
    t = differences.mean() / _standard_error(differences)
    return float(2 * special.stdtr(len(differences) - 1, -abs(t)))


def _rank_biserial(differences: np.ndarray) -> float:
    unequal = differences[differences != 0]
    if len(unequal) == 0:
        return np.nan
    ranks = stats.rankdata(np.abs(unequal))
    return float((ranks * np.sign(unequal)).sum() / ranks.sum())


def _standard_error(sample: np.ndarray) -> float:
    return float(sample.std(ddof=1) / np.sqrt(len(sample)))
