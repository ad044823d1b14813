"""Variants of a study summed up and compared, with what follows from it in sentences."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.errors import ParameterError
from vision_studies.statistics.intervals import (
    Interval,
    PairedComparison,
    Test,
    corrected_comparisons,
    holm,
    summary,
)
from vision_studies.statistics.metrics import COMPARED, Metric


def compare_variants(
    table: pd.DataFrame,
    *,
    baseline: str,
    confidence: float = 0.95,
    interval: Interval = "t",
    test: Test = "t",
    fractions: bool = True,
    positive: bool = False,
) -> pd.DataFrame:
    """Sum up every variant, and compare it with the baseline on the seeds that both have.

    Args:
        table: columns variant, seed, value; one row a run. Missing values do not count.
        baseline: the variant that the others are compared with.
        confidence: of the intervals; one minus it is the level of significance. Intervals of differences are corrected like
            their p: one excludes 0 exactly where the other is significant (`corrected_comparisons`).
        interval: kind of the intervals.
        test: kind of the paired test.
        fractions: whether the values are fractions: their intervals end at 0 and 1, and the sentences speak of percentage
            points.
        positive: whether the values are never below 0, as losses are.

    Returns:
        One row a variant, in the order of the table. Its own: variant, n, mean, standard_deviation, low, high. Against
        the baseline, missing in the baseline's own row: pairs, difference, difference_low, difference_high, p, p_holm,
        smallest_p, cohens_d, rank_biserial and sentence. How it was made, the same in every row: confidence, interval, test.

    Raises:
        ParameterError: the baseline is not in the table.
        DataError: a variant has two runs with one seed.

    Examples:
        >>> import pandas as pd
        >>> from vision_studies.statistics.comparisons import compare_variants
        >>> table = pd.DataFrame({"variant": ["plain"] * 3 + ["wide"] * 3, "seed": [0, 1, 2] * 2})
        >>> table["value"] = [0.80, 0.82, 0.81, 0.90, 0.92, 0.92]
        >>> compared = compare_variants(table, baseline="plain").set_index("variant")
        >>> compared["difference"].round(3).to_dict(), compared.loc["wide", "sentence"].split(" (")[0]
        ({'plain': nan, 'wide': 0.103}, "'wide' is 10.33 points above 'plain'")
    """
    variants = list(table["variant"].drop_duplicates())
    if variants and baseline not in variants:
        raise ParameterError(f"The baseline '{baseline}' is none of the variants with results; they are {variants}.")
    # By seed at once: of hundreds of variants, an index for each takes most of the time.
    by_seed = table.set_index("seed")["value"].dropna()
    known = table["variant"].to_numpy()[table["value"].notna().to_numpy()]
    values = dict.fromkeys(variants, by_seed.iloc[:0]) | dict(list(by_seed.groupby(known, sort=False)))
    others = [name for name in variants if name != baseline]
    pairs = [(values[name], values[baseline]) for name in others]
    found = corrected_comparisons(pairs, confidence=confidence, interval=interval, test=test)
    compared = dict(zip(others, (comparison for comparison, _ in found), strict=True))
    corrected = dict(zip(others, (p for _, p in found), strict=True))
    rows = []
    for name in variants:
        described = summary(
            values[name], confidence=confidence, interval=interval, fractions=fractions, positive=positive
        )
        row = {"variant": name, **asdict(described)}
        if name in compared:
            against = asdict(compared[name])
            row |= {"difference_low": against.pop("low"), "difference_high": against.pop("high"), **against}
            row["p_holm"] = corrected[name]
            row["sentence"] = _sentence(name, baseline, compared, corrected[name], confidence, fractions)
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS).assign(confidence=confidence, interval=interval, test=test)


def compare_metrics(
    results: pd.DataFrame,
    *,
    confidence: float = 0.95,
    interval: Interval = "t",
    test: Test = "t",
    metrics: Sequence[Metric] = COMPARED,
) -> pd.DataFrame:
    """`compare_variants` for every pipeline, condition and metric of a results table, one below the other.

    Args:
        results: rows of the results table: pipeline, variant, seed and the metrics, and condition where variants are not all
            compared with each other. The first variant of a pipeline and condition that has a value is the baseline there.
        confidence: as for `compare_variants`, like interval and test.
        metrics: what is compared.

    Returns:
        The columns of `compare_variants` after the columns pipeline and metric.
    """
    compared = []
    conditions = results["condition"].fillna("") if "condition" in results else pd.Series("", index=results.index)
    for (pipeline, _), runs in results.groupby(["pipeline", conditions], sort=False):
        for metric in metrics:
            table = runs[["variant", "seed"]].assign(value=runs[metric.column].astype(float)).dropna(subset=["value"])
            if table.empty:
                continue
            options: dict[str, Any] = {"confidence": confidence, "interval": interval, "test": test}
            baseline, fractions = str(table["variant"].iloc[0]), metric.is_fraction
            rows = compare_variants(table, baseline=baseline, fractions=fractions, positive=not fractions, **options)
            rows.insert(0, "metric", metric.column)
            rows.insert(0, "pipeline", pipeline)
            compared.append(rows)
    return (
        pd.concat(compared, ignore_index=True) if compared else pd.DataFrame(columns=["pipeline", "metric", *_COLUMNS])
    )


_COLUMNS = [
    *("variant", "n", "mean", "standard_deviation", "low", "high"),
    *("pairs", "difference", "difference_low", "difference_high", "p", "p_holm", "smallest_p"),
    *("cohens_d", "rank_biserial", "sentence"),
]


def _sentence(
    name: str, baseline: str, compared: dict[str, PairedComparison], p_holm: float, confidence: float, fractions: bool
) -> str:
    comparison = compared[name]
    distance = _amount(abs(comparison.difference), fractions)
    side = "above" if comparison.difference > 0 else "below"
    result = f"'{name}' is {distance} {side} '{baseline}'" if comparison.difference else f"'{name}' equals '{baseline}'"
    seeds = f"{comparison.pairs} shared seeds"
    if comparison.pairs == 0:
        sentence = f"Cannot tell '{name}' from '{baseline}': no seed was run with both."
    elif comparison.pairs == 1:
        sentence = f"{result} on the one seed that both have; one pair shows no spread and cannot be significant."
    elif comparison.low == comparison.high == 0:
        sentence = f"{result} on each of {seeds}."
    elif np.isnan(comparison.p):
        sentence = f"{result} on each of {seeds}; differences without any spread leave Student's test without a value."
    else:
        low, high = (_amount(end, fractions, sign="+") for end in (comparison.low, comparison.high))
        several = sum(not np.isnan(values.p) for values in compared.values()) > 1
        corrected = "corrected p" if several else "p"
        interval = (
            f"{seeds}; {'corrected ' * several}{100 * confidence:g} % interval {low.removesuffix(' points')} to {high}"
        )
        if np.isnan(comparison.low):
            interval = seeds  # of ranks, or of means drawn again: the interval asks for something else than the test
        # What Holm would make of this comparison at its most extreme, with the others as they are.
        extreme = [comparison.smallest_p, *(values.p for other, values in compared.items() if other != name)]
        attainable = holm(extreme)[0]
        if attainable > 1 - confidence:
            sentence = (
                f"{result} ({interval}); it cannot be significant: "
                f"so few pairs leave the {corrected} at {attainable:.2g} or more."
            )
        elif p_holm < 1 - confidence:
            sentence = f"{result} ({interval}; {corrected} = {p_holm:.2g}): significant."
        else:
            difference = _amount(comparison.difference, fractions, sign="+")
            sentence = (
                f"Cannot tell '{name}' from '{baseline}': difference {difference} "
                f"({interval}; {corrected} = {p_holm:.2g})."
            )
    return sentence


def _amount(value: float, fractions: bool, *, sign: str = "") -> str:
    return f"{100 * value:{sign}.2f} points" if fractions else f"{value:{sign}.4g}"
