"""Means with intervals, and paired comparisons corrected for their number."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

Interval = Literal["t", "bootstrap"]
Test = Literal["wilcoxon", "t"]

_BOOTSTRAP_SAMPLES = 9999
_LEVEL = 0.05


def mean_interval(values: Sequence[float], confidence: float, kind: Interval) -> tuple[float, float]:
    """Interval of the mean: Student's t, or a BCa bootstrap (Efron 1987) with a fixed seed.

    Returns:
        Lower and upper end; both NaN for fewer than two values, and the mean itself where all values are equal.
    """
    sample = np.asarray(values, dtype=float)
    if len(sample) < 2:
        return float("nan"), float("nan")
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    if kind == "bootstrap":
        result = stats.bootstrap(
            (sample,),
            np.mean,
            confidence_level=confidence,
            n_resamples=_BOOTSTRAP_SAMPLES,
            rng=np.random.default_rng(0),
        )
        return float(result.confidence_interval.low), float(result.confidence_interval.high)
    low, high = stats.t.interval(confidence, len(sample) - 1, loc=sample.mean(), scale=stats.sem(sample))
    return float(low), float(high)


def paired_p_value(differences: Sequence[float], test: Test) -> float:
    """Two-sided p of paired differences; NaN for fewer than two, 1 where all are 0."""
    sample = np.asarray(differences, dtype=float)
    if len(sample) < 2:
        return float("nan")
    if np.all(sample == 0):
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(sample, method="exact" if np.all(sample != 0) else "auto").pvalue)
    if np.ptp(sample) == 0:
        return 0.0  # the same difference every time: the t statistic has no bound
    return float(stats.ttest_1samp(sample, 0).pvalue)


def smallest_p_value(n: int, test: Test) -> float:
    """Smallest two-sided p that n pairs can reach: 2 / 2**n for the signed-rank test, 0 for Student's t with n > 1."""
    if n < 2:
        return 1.0
    return 2.0 ** (1 - n) if test == "wilcoxon" else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979), in their own order; NaN stays NaN and does not count."""
    adjusted = np.full(len(p_values), np.nan)
    given = [index for index, value in enumerate(p_values) if not np.isnan(value)]
    highest = 0.0
    for rank, index in enumerate(sorted(given, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, p_values[index] * (len(given) - rank)))
        adjusted[index] = highest
    return adjusted.tolist()


def compare_variants(
    table: pd.DataFrame, *, baseline: str, confidence: float, interval: Interval, test: Test
) -> pd.DataFrame:
    """Sum up every variant and compare it with the baseline, paired by seed.

    Args:
        table: columns variant, seed, value; one row a run.
        baseline: the variant that the others are compared with.
        confidence: confidence of the intervals.
        interval: kind of the intervals.
        test: paired test.

    Returns:
        One row a variant, in the order of the table: variant, n, mean, standard_deviation (of the sample), low, high;
        and against the baseline pairs, difference, difference_low, difference_high, p, p_holm, effect_size (Cohen's d of
        the paired differences) and conclusion (a sentence).
    """
    wide = table.pivot(index="seed", columns="variant", values="value")
    rows = []
    for variant in table["variant"].drop_duplicates():
        values = wide[variant].dropna()
        low, high = mean_interval(values.tolist(), confidence, interval)
        row = {
            "variant": variant,
            "n": len(values),
            "mean": values.mean(),
            "standard_deviation": values.std(ddof=1),
            "low": low,
            "high": high,
        }
        if variant != baseline:
            difference = (wide[variant] - wide[baseline]).dropna()
            low, high = mean_interval(difference.tolist(), confidence, interval)
            spread = difference.std(ddof=1)
            row |= {
                "pairs": len(difference),
                "difference": difference.mean(),
                "difference_low": low,
                "difference_high": high,
                "p": paired_p_value(difference.tolist(), test),
                "effect_size": difference.mean() / spread if spread > 0 else float("nan"),
            }
        rows.append(row)
    columns = [
        *("variant", "n", "mean", "standard_deviation", "low", "high"),
        *("pairs", "difference", "difference_low", "difference_high", "p", "effect_size"),
    ]
    result = pd.DataFrame(rows, columns=columns)
    result["p_holm"] = holm(result["p"].tolist())
    comparisons = int(result["p"].notna().sum())
    result["conclusion"] = [
        _conclusion(row, baseline, test, comparisons) if row["variant"] != baseline else None
        for row in result.to_dict("records")
    ]
    return result


def _conclusion(row: dict, baseline: str, test: Test, comparisons: int) -> str:
    name = f"'{row['variant']}' against '{baseline}'"
    pairs = int(row["pairs"])
    if pairs < 2:
        return f"{name}: cannot tell, {pairs} pair of runs shows no spread."
    points = f"{row['difference'] * 100:+.2f} points over {pairs} seeds"
    if smallest_p_value(pairs, test) * comparisons > _LEVEL:
        return f"{name}: {points}; {pairs} pairs cannot be significant in a signed-rank test."
    if row["p_holm"] < _LEVEL:
        return f"{name}: {points}, a difference that chance hardly explains (corrected p = {row['p_holm']:.3g})."
    return f"{name}: {points}, which chance may explain (corrected p = {row['p_holm']:.2g})."
