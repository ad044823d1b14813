"""What AlphaNet gains for classes with few images, and what the others pay for it.

The tables are those of the pipeline; fractions are between 0 and 1. `accuracies` has one row a run and split: classifier,
experiment, baseline, rho, neighbours, distance, repeat, split ("few", "medium", "many" or "overall"), top_1 and top_5.
`class_accuracies` has one row a run and class: classifier, experiment, baseline, repeat, label, name, split, train_images,
accuracy, baseline_accuracy and neighbour_distance. A gain is the accuracy minus that of the classifier AlphaNet started from.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from vision_studies.errors import DataError
from vision_studies.statistics.intervals import holm, paired_comparison, summary

Metric = Literal["top_1", "top_5"]
"""Column of `accuracies`: share of the images whose class has the highest score, or one of the five highest."""

Value = Literal["accuracy", "baseline_accuracy", "gain"]
"""What is fitted class by class."""

SPLITS = ("overall", "few", "medium", "many")

_SETTING = ("classifier", "experiment", "baseline", "rho", "neighbours", "distance")
_SUMMARY = (*_SETTING, "split", "n", "mean", "deviation", "low", "high")
_GAINS = (
    *("classifier", "experiment", "rho", "neighbours", "distance", "split", "n", "mean", "low", "high"),
    *("p", "p_corrected", "can_be_significant", "baseline_repeats"),
)
_CLASS = ("classifier", "experiment", "baseline", "label", "name", "split", "train_images")
_FITTED = ("x", "fitted", "low", "high")
_PLACES = 60  # at which a fitted line is given: its band is curved
_FEWEST = 3  # points: two always lie on a line
_DECIMALS = 12  # binary fractions differ in the last digits where decimal ones do not


def summarise(
    accuracies: pd.DataFrame, *, metric: Metric = "top_1", gain: bool = False, confidence: float = 0.95
) -> pd.DataFrame:
    """Mean and spread over the repeats of every experiment and split.

    Args:
        accuracies: one row a run and split; missing values of the metric do not count.
        metric: the column that is summed up.
        gain: whether to sum up gains in place of accuracies. A baseline with one repeat serves all repeats of AlphaNet on
            its classifier; otherwise each is compared with its own repeat. Baselines themselves are left out.
        confidence: of the interval of the mean, between 0 and 1.

    Returns:
        One row an experiment (in the order of the table) and split (in that of `SPLITS`): classifier, experiment, baseline,
        rho, neighbours, distance, split, n, mean, deviation (n - 1 in the denominator), low and high (Student's interval;
        cut off at 0 and 1 unless of gains). What so few repeats cannot give is NaN.

    Raises:
        DataError: a run stands in the table twice; or a classifier has no baseline, or more than one, and gains are wanted.
    """
    baselines = _baselines(accuracies, metric) if gain else {}
    rows = []
    for setting, split, own in _cells(accuracies, metric):
        if gain and setting["baseline"]:
            continue
        values = own - _opposite(baselines, setting, split, own) if gain else own
        described = summary(values.to_numpy(dtype=float).round(_DECIMALS), confidence=confidence)
        low, high = (end if gain else float(np.clip(end, 0, 1)) for end in (described.low, described.high))
        numbers = {"n": described.n, "mean": described.mean, "deviation": described.standard_deviation}
        rows.append({**setting, "split": split, **numbers, "low": low, "high": high})
    return pd.DataFrame(rows, columns=list(_SUMMARY))


def paired_gains(accuracies: pd.DataFrame, confidence: float = 0.95, *, metric: Metric = "top_1") -> pd.DataFrame:
    """Gain of every experiment and split with a paired t test, corrected after Holm over all rows.

    Args:
        accuracies: one row a run and split.
        confidence: of the intervals, between 0 and 1.
        metric: the column that is compared.

    Returns:
        One row an experiment and split, in the order of `summarise`: classifier, experiment, rho, neighbours, distance,
        split, n (repeats compared), mean, low, high, p, p_corrected, can_be_significant (false where the test has no value,
        as with one repeat) and baseline_repeats. Where the baseline has one repeat, which serves all, the test is a
        one-sample test of the gains.

    Raises:
        DataError: a run stands in the table twice, or a classifier has no baseline or more than one.
    """
    baselines = _baselines(accuracies, metric)
    rows = []
    for setting, split, own in _cells(accuracies, metric):
        if setting["baseline"]:
            continue
        found = paired_comparison(own, _opposite(baselines, setting, split, own), confidence=confidence)
        numbers = {"n": found.pairs, "mean": found.difference, "low": found.low, "high": found.high, "p": found.p}
        rows.append(
            {**setting, "split": split, **numbers, "baseline_repeats": len(baselines[setting["classifier"], split])}
        )
    corrected = holm([row["p"] for row in rows])
    for row, p_corrected in zip(rows, corrected, strict=True):
        row |= {"p_corrected": p_corrected, "can_be_significant": not np.isnan(row["p"])}
    return pd.DataFrame(rows, columns=list(_GAINS))


def class_means(class_accuracies: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of every class averaged over the repeats of an experiment.

    Returns:
        One row an experiment and class, in the order of the table: classifier, experiment, baseline, label, name, split,
        train_images, accuracy, baseline_accuracy, neighbour_distance and gain.
    """
    averaged = ["accuracy", "baseline_accuracy", "neighbour_distance"]
    means = class_accuracies.groupby(list(_CLASS), sort=False, dropna=False)[averaged].mean().reset_index()
    return means.assign(gain=means["accuracy"] - means["baseline_accuracy"])


def correlation(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Pearson's r and its two-sided p; both NaN for fewer than three points or where one side is constant.

    Args:
        x: numbers [N]; pairs that are not finite do not count.
        y: numbers [N].
    """
    first, second = _finite(x, y)
    if len(first) < _FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan, np.nan
    found = stats.linregress(first, second)
    return float(found.rvalue), float(found.pvalue)


def fitted_line(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Least-squares line with the t-based interval of the mean response.

    Args:
        x: numbers [N]; pairs that are not finite do not count.
        y: numbers [N].
        confidence: of the band, between 0 and 1.

    Returns:
        Columns x (from the lowest to the highest), fitted, low and high. No rows for fewer than three points or a constant x.
    """
    first, second = _finite(x, y)
    if len(first) < _FEWEST or np.ptp(first) == 0:
        return pd.DataFrame(columns=list(_FITTED), dtype=float)
    line = stats.linregress(first, second)
    residuals = second - (line.intercept + line.slope * first)
    free = len(first) - 2
    variance = float(residuals @ residuals) / free
    places = np.linspace(first.min(), first.max(), _PLACES)
    leverage = 1 / len(first) + (places - first.mean()) ** 2 / ((first - first.mean()) ** 2).sum()
    reach = stats.t.ppf((1 + confidence) / 2, free) * np.sqrt(variance * leverage)
    fitted = line.intercept + line.slope * places
    return pd.DataFrame({"x": places, "fitted": fitted, "low": fitted - reach, "high": fitted + reach})


def distance_lines(class_accuracies: pd.DataFrame, *, value: Value, confidence: float = 0.95) -> pd.DataFrame:
    """Accuracy of a class against its mean distance to its neighbours: a line an experiment and split, baselines left out.

    Args:
        class_accuracies: one row a run and class; averaged over repeats first.
        value: what is fitted.
        confidence: of the band, between 0 and 1.

    Returns:
        Columns classifier, experiment, split, x (distance), fitted, low, high, r (Pearson) and p; 60 rows a line, and none
        where no line can be fitted.
    """
    means = class_means(class_accuracies[~class_accuracies["baseline"].astype(bool)])
    keys = ["classifier", "experiment", "split"]
    return _lines(means, keys, "neighbour_distance", value, confidence)


def image_lines(class_accuracies: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Accuracy of a class against the logarithm of its training images: a line an experiment, the baselines among them.

    Args:
        class_accuracies: one row a run and class; averaged over repeats first. Classes without an image do not count.
        confidence: of the band, between 0 and 1.

    Returns:
        Columns classifier, experiment, baseline, x (images), fitted, low, high, r (Pearson, of the logarithm) and p; 60 rows
        a line, and none where no line can be fitted.
    """
    means = class_means(class_accuracies)
    images = means["train_images"].astype(float)
    means["logarithm"] = np.log10(images.where(images > 0))
    lines = _lines(means, ["classifier", "experiment", "baseline"], "logarithm", "accuracy", confidence)
    return lines.assign(x=10 ** lines["x"])


def _lines(means: pd.DataFrame, keys: list[str], x: str, y: str, confidence: float) -> pd.DataFrame:
    tables = []
    for names, own in means.groupby(keys, sort=False):
        line = fitted_line(own[x], own[y], confidence)
        r, p = correlation(own[x], own[y])
        tables.append(line.assign(**dict(zip(keys, names, strict=True)), r=r, p=p))
    columns = [*keys, *_FITTED, "r", "p"]
    filled = [table[columns] for table in tables if len(table)]
    if not filled:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys([*_FITTED, "r", "p"], float))
    return pd.concat(filled, ignore_index=True)


def _finite(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = np.isfinite(first) & np.isfinite(second)
    return first[known], second[known]


def _cells(accuracies: pd.DataFrame, metric: Metric) -> Iterator[tuple[dict[str, Any], str, pd.Series]]:
    """Setting, split and values by repeat of every experiment."""
    for (classifier, experiment), own in accuracies.groupby(["classifier", "experiment"], sort=False):
        setting = own[list(_SETTING)].iloc[0].to_dict() | {"baseline": bool(own["baseline"].iloc[0])}
        for split in SPLITS:
            rows = own[own["split"] == split]
            if not len(rows):
                continue
            if rows["repeat"].duplicated().any():
                raise DataError(
                    f"The experiment '{experiment}' of the classifier '{classifier}' has two rows of the split '{split}' "
                    "with one repeat; give every setting a name and every run a repeat of its own."
                )
            yield setting, split, rows.set_index("repeat")[metric].astype(float).sort_index()


def _baselines(accuracies: pd.DataFrame, metric: Metric) -> dict[tuple[str, str], pd.Series]:
    """Values of the baselines by repeat; keys are classifier and split."""
    found: dict[tuple[str, str], pd.Series] = {}
    for setting, split, own in _cells(accuracies[accuracies["baseline"].astype(bool)], metric):
        key = (setting["classifier"], split)
        if key in found:
            raise DataError(
                f"The classifier '{key[0]}' has more than one baseline; leave one, as gains are measured from it."
            )
        found[key] = own
    return found


def _opposite(
    baselines: dict[tuple[str, str], pd.Series], setting: dict[str, Any], split: str, own: pd.Series
) -> pd.Series:
    """What the repeats of an experiment are compared with, by repeat."""
    key = (setting["classifier"], split)
    if key not in baselines:
        raise DataError(
            f"The classifier '{key[0]}' has no baseline for the split '{split}', from which a gain could be measured; "
            "evaluate the classifier itself, too."
        )
    known = baselines[key]
    return pd.Series(known.iloc[0], index=own.index) if len(known) == 1 else known
