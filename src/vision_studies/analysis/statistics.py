"""Means with intervals, and comparisons paired by seed and corrected for their number.

A run of a study has a seed, and runs of two variants with one seed share data order and initial draw. Comparing them in
pairs takes out what the seed does to both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from vision_studies.errors import DataError, ParameterError

Interval = Literal["t", "bootstrap"]
"""t: Student's interval of the mean. bootstrap: bias-corrected and accelerated (Efron 1987); too narrow below ten values."""

Test = Literal["t", "wilcoxon"]
"""t: Student's paired t. wilcoxon: the signed-rank test (Wilcoxon 1945), exact for up to 50 pairs without ties."""

TEST_METRICS = MappingProxyType({"test_accuracy": True, "test_loss": False, "test_calibration_error": True})
"""Columns of the results table that are compared, and whether their values are fractions."""

_BOOTSTRAP_SAMPLES = 9999
_DECIMALS = 12  # 0.96 - 0.95 and 0.97 - 0.96 must tie; binary fractions would tell them apart


@dataclass(frozen=True)
class Summary:
    """A sample in five numbers; what cannot be computed is NaN.

    Attributes:
        n: how many values there are.
        mean: their mean.
        standard_deviation: of the sample (n - 1 in the denominator).
        low: lower end of the interval of the mean.
        high: upper end.
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
        difference: mean difference.
        low: lower end of its interval.
        high: upper end.
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


def summary(values: ArrayLike, *, confidence: float = 0.95, interval: Interval = "t") -> Summary:
    """Mean, spread and interval of a sample; missing values do not count.

    Args:
        values: numbers [N].
        confidence: of the interval, between 0 and 1.
        interval: kind of the interval. The bootstrap draws with a fixed seed, so that equal values give equal intervals.
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    if len(sample) == 0:
        return Summary(0, np.nan, np.nan, np.nan, np.nan)
    mean = float(sample.mean())
    if len(sample) == 1:
        return Summary(1, mean, np.nan, np.nan, np.nan)
    if np.ptp(sample) == 0:
        return Summary(len(sample), mean, 0.0, mean, mean)
    if interval == "bootstrap":
        drawn = stats.bootstrap(
            (sample,),
            np.mean,
            confidence_level=confidence,
            n_resamples=_BOOTSTRAP_SAMPLES,
            method="BCa",
            rng=np.random.default_rng(0),
        )
        low, high = drawn.confidence_interval
    else:
        low, high = stats.t.interval(confidence, len(sample) - 1, loc=mean, scale=stats.sem(sample))
    return Summary(len(sample), mean, float(sample.std(ddof=1)), float(low), float(high))


def paired_comparison(
    first: pd.Series, second: pd.Series, *, confidence: float = 0.95, interval: Interval = "t", test: Test = "t"
) -> PairedComparison:
    """Compare two variants, `first` minus `second`, on the seeds that both have.

    Args:
        first: values, with the seeds as index.
        second: likewise.
        confidence: of the interval, between 0 and 1.
        interval: kind of the interval of the mean difference.
        test: kind of the test.

    Raises:
        DataError: a seed occurs twice in one of them.
    """
    for values in (first, second):
        if not values.index.is_unique:
            repeated = sorted(values.index[values.index.duplicated()].unique())
            raise DataError(f"The seeds {repeated} occur more than once in a variant, so its runs cannot be paired.")
    # Aligned by seed: a seed that only one of the two has gives NaN, and drops out.
    differences = (first - second).dropna().to_numpy(dtype=float).round(_DECIMALS)
    described = summary(differences, confidence=confidence, interval=interval)
    varies = described.n > 1 and described.standard_deviation > 0
    return PairedComparison(
        pairs=described.n,
        difference=round(described.mean, _DECIMALS),
        low=described.low,
        high=described.high,
        p=_p_value(differences, test),
        smallest_p=_smallest_p(differences, test),
        cohens_d=described.mean / described.standard_deviation if varies else np.nan,
        rank_biserial=_rank_biserial(differences),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979), in the order given; NaN stays NaN and does not count."""
    adjusted = np.full(len(p_values), np.nan)
    given = [index for index, value in enumerate(p_values) if not np.isnan(value)]
    highest = 0.0
    for rank, index in enumerate(sorted(given, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, p_values[index] * (len(given) - rank)))
        adjusted[index] = highest
    return adjusted.tolist()


def compare_variants(
    table: pd.DataFrame,
    *,
    baseline: str,
    confidence: float = 0.95,
    interval: Interval = "t",
    test: Test = "t",
    fractions: bool = True,
) -> pd.DataFrame:
    """Sum up every variant, and compare it with the baseline on the seeds that both have.

    Args:
        table: columns variant, seed, value; one row a run. Missing values do not count.
        baseline: the variant that the others are compared with.
        confidence: of the intervals; one minus it is the level of significance.
        interval: kind of the intervals.
        test: kind of the paired test.
        fractions: whether the values are fractions: their intervals end at 0 and 1, and the sentences speak of percentage
            points.

    Returns:
        One row a variant, in the order of the table. Its own: variant, n, mean, standard_deviation, low, high. Against
        the baseline, missing in the baseline's own row: pairs, difference, difference_low, difference_high, p, p_holm,
        smallest_p, cohens_d, rank_biserial and sentence. How it was made, the same in every row: confidence, interval, test.

    Raises:
        ParameterError: the baseline is not in the table.
        DataError: a variant has two runs with one seed.
    """
    variants = list(table["variant"].drop_duplicates())
    if variants and baseline not in variants:
        raise ParameterError(f"The baseline '{baseline}' is none of the variants with results; they are {variants}.")
    values = {name: rows.set_index("seed")["value"].dropna() for name, rows in table.groupby("variant", sort=False)}
    own = [asdict(summary(values[name], confidence=confidence, interval=interval)) for name in variants]
    if fractions:  # Student's interval does not know that a fraction ends at 0 and 1
        for described in own:
            described["low"], described["high"] = np.clip((described["low"], described["high"]), 0, 1)
    compared = {
        name: paired_comparison(values[name], values[baseline], confidence=confidence, interval=interval, test=test)
        for name in variants
        if name != baseline
    }
    corrected = dict(zip(compared, holm([comparison.p for comparison in compared.values()]), strict=True))
    rows = []
    for name, described in zip(variants, own, strict=True):
        row = {"variant": name, **described}
        if name in compared:
            against = asdict(compared[name])
            row |= {"difference_low": against.pop("low"), "difference_high": against.pop("high"), **against}
            row["p_holm"] = corrected[name]
            row["sentence"] = _sentence(name, baseline, compared, corrected[name], confidence, fractions)
        rows.append(row)
    result = pd.DataFrame(rows, columns=list(_COLUMNS))
    return result.assign(confidence=confidence, interval=interval, test=test)


def compare_metrics(
    results: pd.DataFrame,
    *,
    confidence: float = 0.95,
    interval: Interval = "t",
    test: Test = "t",
    metrics: Mapping[str, bool] = TEST_METRICS,
) -> pd.DataFrame:
    """`compare_variants` for every pipeline, condition and metric of a results table, one below the other.

    Args:
        results: rows of the results table: pipeline, variant, seed and the metrics, and condition where variants are not all
            compared with each other. The first variant of a pipeline and condition that has a value is the baseline there.
        confidence: of the intervals.
        interval: kind of the intervals.
        test: kind of the paired test.
        metrics: column -> whether its values are fractions.

    Returns:
        The columns of `compare_variants` after the columns pipeline and metric.
    """
    compared = []
    conditions = results["condition"].fillna("") if "condition" in results else pd.Series("", index=results.index)
    for (pipeline, _), own in results.groupby(["pipeline", conditions], sort=False):
        for metric, fractions in metrics.items():
            table = own[["variant", "seed"]].assign(value=own[metric].astype(float)).dropna(subset=["value"])
            found = compare_variants(
                table,
                baseline=str(table["variant"].iloc[0]) if len(table) else "",
                confidence=confidence,
                interval=interval,
                test=test,
                fractions=fractions,
            )
            found.insert(0, "metric", metric)
            found.insert(0, "pipeline", pipeline)
            compared.append(found)
    filled = [table for table in compared if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["pipeline", "metric", *_COLUMNS])


_COLUMNS = (
    *("variant", "n", "mean", "standard_deviation", "low", "high"),
    *("pairs", "difference", "difference_low", "difference_high", "p", "p_holm", "smallest_p"),
    *("cohens_d", "rank_biserial", "sentence"),
)


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
    return float(stats.ttest_1samp(differences, 0).pvalue)


def _smallest_p(differences: np.ndarray, test: Test) -> float:
    """All signs alike is the most extreme of 2 ** n outcomes of the signed-rank test; Student's p has no lower bound."""
    if len(differences) < 2:
        return np.nan
    return min(1.0, 2.0 ** (1 - np.count_nonzero(differences))) if test == "wilcoxon" else 0.0


def _rank_biserial(differences: np.ndarray) -> float:
    unequal = differences[differences != 0]
    if len(unequal) == 0:
        return np.nan
    ranks = stats.rankdata(np.abs(unequal))
    return float((ranks * np.sign(unequal)).sum() / ranks.sum())


def _sentence(
    name: str,
    baseline: str,
    compared: dict[str, PairedComparison],
    p_holm: float,
    confidence: float,
    fractions: bool,
) -> str:
    comparison = compared[name]
    distance = _amount(abs(comparison.difference), fractions)
    side = "above" if comparison.difference > 0 else "below"
    found = f"'{name}' is {distance} {side} '{baseline}'" if comparison.difference else f"'{name}' equals '{baseline}'"
    seeds = f"{comparison.pairs} shared seeds"
    if comparison.pairs == 0:
        sentence = f"Cannot tell '{name}' from '{baseline}': no seed was run with both."
    elif comparison.pairs == 1:
        sentence = f"{found} on the one seed that both have; one pair shows no spread and cannot be significant."
    elif comparison.low == comparison.high == 0:
        sentence = f"{found} on each of {seeds}."
    elif np.isnan(comparison.p):
        sentence = f"{found} on each of {seeds}; differences without any spread leave Student's test without a value."
    else:
        low, high = (_amount(end, fractions, sign="+") for end in (comparison.low, comparison.high))
        interval = f"{100 * confidence:g} % interval {low.removesuffix(' points')} to {high}"
        p_values = {other: values.p for other, values in compared.items()}
        corrected = "corrected p" if np.count_nonzero(~np.isnan(list(p_values.values()))) > 1 else "p"
        # What Holm would make of this comparison at its most extreme, with the others as they are.
        extreme = p_values | {name: comparison.smallest_p}
        attainable = dict(zip(extreme, holm(list(extreme.values())), strict=True))[name]
        if attainable > 1 - confidence:
            sentence = (
                f"{found} on {seeds} ({interval}); it cannot be significant: "
                f"so few pairs leave the {corrected} at {attainable:.2g} or more."
            )
        elif p_holm < 1 - confidence:
            sentence = f"{found} ({seeds}; {interval}; {corrected} = {p_holm:.2g}): significant."
        else:
            difference = _amount(comparison.difference, fractions, sign="+")
            sentence = (
                f"Cannot tell '{name}' from '{baseline}': difference {difference} "
                f"({seeds}; {interval}; {corrected} = {p_holm:.2g})."
            )
    return sentence


def _amount(value: float, fractions: bool, *, sign: str = "") -> str:
    return f"{100 * value:{sign}.2f} points" if fractions else f"{value:{sign}.4g}"
