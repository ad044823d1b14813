"""What AlphaNet gains for classes with few images, what the others pay for it, and both in plain sentences.

The tables are those of the pipeline; fractions are between 0 and 1. `accuracies` has one row a run and split: classifier,
experiment, baseline, rho, neighbours, distance, repeat, split ("few", "medium", "many" or "overall"), top_1 and top_5.
`class_accuracies` has one row a run and class: classifier, experiment, baseline, repeat, label, name, split, train_images,
accuracy, baseline_accuracy and neighbour_distance. A gain is the accuracy minus that of the classifier AlphaNet started from.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vision_studies.errors import DataError
from vision_studies.statistics.interval_kinds import Interval

Metric = Literal["top_1", "top_5"]
"""Column of `accuracies`: share of the images whose class has the highest score, or one of the five highest."""

Value = Literal["accuracy", "baseline_accuracy", "gain"]
"""What is fitted class by class."""

SPLITS = ("overall", "few", "medium", "many")

_SETTING = ("classifier", "experiment", "baseline", "rho", "neighbours", "distance")
_GAINS = (
    *("classifier", "experiment", "rho", "neighbours", "distance", "split", "n", "mean", "low", "high"),
    *("p", "p_corrected", "can_be_significant", "baseline_repeats"),
)
_CLASS = ["classifier", "experiment", "baseline", "label", "name", "split", "train_images"]
_FITTED = ("x", "fitted", "low", "high", "r", "p")
_POINTS_OF_A_LINE = 60  # its band is curved
_BOOTSTRAP_LINES = 2000
_FEWEST = 3  # points: two always lie on a line
_DECIMALS = 12  # binary fractions differ in the last digits where decimal ones do not
METRIC_NAMES = {
    "top_1": "top-1 accuracy",
    "top_5": "top-5 accuracy",
    "adjusted": "accuracy with neighbours counted as right",
}
_OTHERS = {"medium": "the medium classes", "many": "the many classes", "overall": "all classes together"}
_FEW = {
    "down": "the test {metric} of the few classes falls by {size:.2f} points ({numbers}).",
    "up": "the test {metric} of the few classes rises by {size:.2f} points ({numbers}).",
    "unchanged": "the test {metric} of the few classes stays as it is ({numbers}).",
    "unknown": "one cannot tell whether the test {metric} of the few classes changes: {change:+.2f} points ({numbers}).",
}
_CLAUSES = {
    "down": "it lowers {}",
    "up": "it raises {}",
    "unchanged": "it does not change {}",
    "unknown": "one cannot tell whether {} change",
}
_VERDICTS = {
    "down": "So it is a trade: what the few classes gain is paid for with more mistakes overall.",
    "up": "So the few classes gain, and the overall accuracy rises with them.",
    "unchanged": "So the few classes gain, at no cost overall.",
    "unknown": "So the few classes gain; whether that changes the overall accuracy cannot be told.",
}
_ENDINGS = {
    "down": "falls with {}",
    "up": "rises with {}",
    "unchanged": "stays as it is with {}",
    "unknown": "may change or not with {}",
}

_Row = dict[Any, Any]
_Settings = dict[str, dict[str, _Row]]
"""Rows of gains by experiment and split."""


def summarise(
    accuracies: pd.DataFrame,
    *,
    metric: str = "top_1",
    gain: bool = False,
    confidence: float = 0.95,
    interval: Interval = "t",
) -> pd.DataFrame:
    """Mean and spread over the repeats of every experiment and split.

    Args:
        accuracies: one row a run and split; missing values of the metric do not count.
        metric: the column that is summed up.
        gain: whether to sum up gains in place of accuracies. A baseline with one repeat serves all repeats of AlphaNet on
            its classifier; otherwise each is compared with its own repeat. Baselines themselves are left out.
        confidence: of the interval of the mean, between 0 and 1.
        interval: its kind.

    Returns:
        One row an experiment (in the order of the table) and split (in that of `SPLITS`): classifier, experiment, baseline,
        rho, neighbours, distance, split, n, mean, deviation (n - 1 in the denominator), low and high (cut off at 0 and 1
        unless of gains). What so few repeats cannot give is NaN.

    Raises:
        DataError: a run stands in the table twice; or a classifier has no baseline, or more than one, and gains are wanted.
    """
    from vision_studies.statistics.intervals import summary

    cells = _cells(accuracies, metric)
    if gain:
        cells = ((row, values - opposite) for row, values, opposite, _ in _pairs(accuracies, metric))
    rows = []
    for row, values in cells:
        sample = values.to_numpy(dtype=float).round(_DECIMALS)
        described = summary(sample, confidence=confidence, interval=interval, fractions=not gain)
        numbers = {"n": described.n, "mean": described.mean, "deviation": described.standard_deviation}
        rows.append({**row, **numbers, "low": described.low, "high": described.high})
    return pd.DataFrame(rows, columns=[*_SETTING, "split", "n", "mean", "deviation", "low", "high"])


def paired_gains(accuracies: pd.DataFrame, confidence: float = 0.95, *, metric: Metric = "top_1") -> pd.DataFrame:
    """Gain of every experiment and split with a paired t test; p and interval are corrected after Holm over all rows.

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
    from vision_studies.statistics.intervals import corrected_comparisons

    pairs = list(_pairs(accuracies, metric))
    found = corrected_comparisons([(values, opposite) for _, values, opposite, _ in pairs], confidence=confidence)
    rows = []
    for (row, _, _, repeats), (compared, p) in zip(pairs, found, strict=True):
        numbers = {"n": compared.pairs, "mean": compared.difference, "low": compared.low, "high": compared.high}
        rows.append({**row, **numbers, "p": compared.p, "p_corrected": p, "baseline_repeats": repeats})
    gains = pd.DataFrame(rows, columns=list(_GAINS))
    return gains.assign(can_be_significant=gains["p"].notna())


def first_tail(class_accuracies: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first repeat, where repeats have other rare classes; all rows where they share a tail.

    What is told of single classes (who wins, what is borrowed) is told of one tail.
    """
    tails = class_accuracies.groupby("label")[["split", "train_images"]].nunique(dropna=False)
    if (tails <= 1).all(axis=None):
        return class_accuracies
    return class_accuracies[class_accuracies["repeat"] == class_accuracies["repeat"].min()]


def class_means(class_accuracies: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of every class averaged over the repeats of an experiment.

    Returns:
        One row an experiment and class, in the order of the table: classifier, experiment, baseline, label, name, split,
        train_images, accuracy, baseline_accuracy, neighbour_distance and gain.
    """
    averaged = ["accuracy", "baseline_accuracy", "neighbour_distance"]
    means = class_accuracies.groupby(_CLASS, sort=False, dropna=False)[averaged].mean().reset_index()
    return means.assign(gain=means["accuracy"] - means["baseline_accuracy"])


def fitted_line(x: ArrayLike, y: ArrayLike, confidence: float = 0.95, interval: Interval = "t") -> pd.DataFrame:
    """Least-squares line with the interval of the mean response, and how closely the points follow it.

    Args:
        x: numbers [N]; pairs that are not finite do not count.
        y: numbers [N].
        confidence: of the band, between 0 and 1.
        interval: t: by Student's distribution; bootstrap: percentiles of the lines through points drawn again, with a fixed
            seed.

    Returns:
        Columns x (from the lowest to the highest), fitted, low, high, and in every row Pearson's r and its two-sided p, both
        NaN for a constant y. No rows for fewer than three points or a constant x.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    finite = np.isfinite(first) & np.isfinite(second)
    first, second = first[finite], second[finite]
    if len(first) < _FEWEST or np.ptp(first) == 0:
        return pd.DataFrame(columns=list(_FITTED), dtype=float)
    from scipy import stats

    line = stats.linregress(first, second)
    at = np.linspace(first.min(), first.max(), _POINTS_OF_A_LINE)
    squares = ((first - first.mean()) ** 2).sum()
    # The variance of the mean response is that of the slope, times these squares.
    error = line.stderr * np.sqrt(squares / len(first) + (at - first.mean()) ** 2)
    reach = stats.t.ppf((1 + confidence) / 2, len(first) - 2) * error
    fitted = line.intercept + line.slope * at
    low, high = fitted - reach, fitted + reach
    if interval == "bootstrap":
        low, high = _bootstrapped(first, second, at, confidence)
    r, p = (line.rvalue, line.pvalue) if np.ptp(second) else (np.nan, np.nan)
    return pd.DataFrame({"x": at, "fitted": fitted, "low": low, "high": high, "r": r, "p": p})


def _bootstrapped(x: np.ndarray, y: np.ndarray, at: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the band at these places: percentiles of the lines through points that are drawn with replacement."""
    drawn = np.random.default_rng(0).integers(0, len(x), (_BOOTSTRAP_LINES, len(x)))
    first, second = x[drawn], y[drawn]
    apart = first - first.mean(axis=1, keepdims=True)
    squares = (apart**2).sum(axis=1)
    possible = squares > 0  # one point again and again has no line
    slopes = (apart * second).sum(axis=1)[possible] / squares[possible]
    middles = first.mean(axis=1)[possible], second.mean(axis=1)[possible]
    lines = middles[1][:, None] + slopes[:, None] * (at - middles[0][:, None])
    low, high = np.quantile(lines, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def distance_lines(
    class_accuracies: pd.DataFrame, *, value: Value, confidence: float = 0.95, interval: Interval = "t"
) -> pd.DataFrame:
    """Accuracy of a class against its mean distance to its neighbours: a line an experiment and split, baselines left out.

    Args:
        class_accuracies: one row a run and class; averaged over repeats first.
        value: what is fitted.
        confidence: of the band, between 0 and 1.
        interval: its kind; see `fitted_line`.

    Returns:
        Columns classifier, experiment, split, x (distance), fitted, low, high, r (Pearson) and p; 60 rows a line, and none
        where no line can be fitted.
    """
    means = class_means(class_accuracies[~class_accuracies["baseline"].astype(bool)])
    keys = ["classifier", "experiment", "split"]
    return _lines(means, keys, "neighbour_distance", value, confidence, interval)


def image_lines(class_accuracies: pd.DataFrame, *, confidence: float = 0.95, interval: Interval = "t") -> pd.DataFrame:
    """Accuracy of a class against the logarithm of its training images: a line an experiment, the baselines among them.

    Args:
        class_accuracies: one row a run and class; averaged over repeats first. Classes without an image do not count.
        confidence: of the band, between 0 and 1.
        interval: its kind; see `fitted_line`.

    Returns:
        Columns classifier, experiment, baseline, x (images), fitted, low, high, r (Pearson, of the logarithm) and p; 60 rows
        a line, and none where no line can be fitted.
    """
    means = class_means(class_accuracies)
    images = means["train_images"].astype(float)
    means["logarithm"] = np.log10(images.where(images > 0))
    lines = _lines(means, ["classifier", "experiment", "baseline"], "logarithm", "accuracy", confidence, interval)
    return lines.assign(x=10 ** lines["x"])


def gain_sentences(gains: pd.DataFrame, *, confidence: float = 0.95, metric: Metric = "top_1") -> list[str]:
    """By how much the few classes of each classifier rise at best, and what that costs.

    A rise or fall is said of a split where the interval of its mean gain excludes 0 and the corrected p is below one minus
    the confidence; elsewhere, and of a single repeat, the sentences say that it cannot be told. The best setting is chosen by
    what is reported of it, and the sentence says so.

    Args:
        gains: what `paired_gains` found.
        confidence: the one it was found with.
        metric: likewise.

    Returns:
        For each classifier: the setting that raises the few classes most, what it does to the other splits and overall, and
        what this amounts to; where there are several settings, how many of them make the same trade, and which of those that
        help the few classes is best overall. Last, what repeats of one baseline cannot tell.
    """
    sentences: list[str] = []
    for classifier, of_classifier in gains.groupby("classifier", sort=False):
        settings = {
            str(name): {row["split"]: row | {"side": _side(row)} for row in rows.to_dict("records")}
            for name, rows in of_classifier[of_classifier["n"] > 0].groupby("experiment", sort=False)
        }
        settings = {name: rows for name, rows in settings.items() if "few" in rows and "overall" in rows}
        if settings:
            sentences += _of_classifier(str(classifier), settings, confidence, METRIC_NAMES[metric])
        else:
            sentences.append(f"On {classifier} no gain of the few classes is known.")
    trained_once = (gains["baseline_repeats"] == 1).groupby(gains["classifier"], sort=False).all()
    if trained_once.any() and (gains["n"] > 1).any():
        once = _listed([str(name) for name in trained_once.index[trained_once]])
        sentences.append(
            f"The baseline of {once} was trained once: the intervals cover repeats of AlphaNet on it, and not what "
            "training the baseline again would change."
        )
    return sentences


def _lines(means: pd.DataFrame, keys: list[str], x: str, y: str, confidence: float, interval: Interval) -> pd.DataFrame:
    columns = [*keys, *_FITTED]
    tables = [pd.DataFrame(columns=columns).astype(dict.fromkeys(_FITTED, float))]
    for values, rows in means.groupby(keys, sort=False):
        line = fitted_line(rows[x], rows[y], confidence, interval)
        tables.append(line.assign(**dict(zip(keys, values, strict=True)))[columns])
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _cells(accuracies: pd.DataFrame, metric: str) -> Iterator[tuple[_Row, pd.Series]]:
    """Setting with split, and values by repeat, of every experiment."""
    for (classifier, experiment), rows in accuracies.groupby(["classifier", "experiment"], sort=False):
        setting = rows[list(_SETTING)].iloc[0].to_dict() | {"baseline": bool(rows["baseline"].iloc[0])}
        for split in SPLITS:
            of_split = rows[rows["split"] == split].set_index("repeat")[metric].astype(float).sort_index()
            if not of_split.index.is_unique:
                raise DataError(
                    f"The experiment '{experiment}' of the classifier '{classifier}' has two rows of the split '{split}' "
                    "with one repeat; give every setting a name and every run a repeat of its own."
                )
            if len(of_split):
                yield {**setting, "split": split}, of_split


def _pairs(accuracies: pd.DataFrame, metric: str) -> Iterator[tuple[_Row, pd.Series, pd.Series, int]]:
    """Of every experiment but baselines, what `_cells` gives, the baseline's values by repeat, and how many it has itself."""
    baselines: dict[tuple[str, str], pd.Series] = {}
    is_baseline = accuracies["baseline"].astype(bool)
    for row, values in _cells(accuracies[is_baseline], metric):
        if (row["classifier"], row["split"]) in baselines:
            raise DataError(
                f"The classifier '{row['classifier']}' has more than one baseline; leave one, as gains are measured from it."
            )
        baselines[row["classifier"], row["split"]] = values
    for row, values in _cells(accuracies[~is_baseline], metric):
        if (row["classifier"], row["split"]) not in baselines:
            raise DataError(
                f"The classifier '{row['classifier']}' has no baseline for the split '{row['split']}', from which a gain "
                "could be measured; evaluate the classifier itself, too."
            )
        opposite = baselines[row["classifier"], row["split"]]
        repeats = len(opposite)
        yield row, values, pd.Series(opposite.iloc[0], values.index) if repeats == 1 else opposite, repeats


def _of_classifier(classifier: str, settings: _Settings, confidence: float, metric: str) -> list[str]:
    best = max(settings, key=lambda name: settings[name]["few"]["mean"])
    few = settings[best]["few"]
    start = f"With '{best}'"
    if len(settings) > 1:
        start = (
            f"Of {len(settings)} settings on {classifier}, '{best}' has the highest mean for the few classes (chosen by "
            "these very test images, which flatters it): with it"
        )
    change, numbers = 100 * few["mean"], _numbers(few, confidence)
    outcome = _FEW[few["side"]].format(metric=metric, size=abs(change), change=change, numbers=numbers)
    sentences = [f"{start} {outcome}", _others(settings[best], confidence)]
    if few["side"] == "up":
        sentences.append(_VERDICTS[settings[best]["overall"]["side"]])
    if len(settings) > 1:
        sentences += _all_settings(classifier, settings, best, confidence)
    return sentences


def _others(rows: dict[str, _Row], confidence: float) -> str:
    """What a setting does to the splits that it does not set out to help."""
    sides: dict[str, list[str]] = {side: [] for side in _CLAUSES}
    for split, name in _OTHERS.items():
        if split in rows:
            row = rows[split]
            amount = "" if row["side"] == "unchanged" else f" ({_change(row, confidence)})"
            sides[row["side"]].append(name + amount)
    text = "; ".join(_CLAUSES[side].format(_listed(names)) for side, names in sides.items() if names)
    return f"{text[0].upper()}{text[1:]}."


def _all_settings(classifier: str, settings: _Settings, best: str, confidence: float) -> list[str]:
    helped = {name: rows for name, rows in settings.items() if rows["few"]["side"] == "up"}
    if not helped:
        return [f"None of the {len(settings)} settings on {classifier} can be told to raise the few classes."]
    sides = [rows["overall"]["side"] for rows in helped.values()]
    ends = _listed([ending.format(sides.count(side)) for side, ending in _ENDINGS.items() if side in sides])
    counted = f"all {len(settings)}" if len(helped) == len(settings) else f"{len(helped)} of {len(settings)}"
    sentences = [f"On {classifier} {counted} settings raise the few classes; the overall accuracy {ends} of them."]
    kindest = max(helped, key=lambda name: helped[name]["overall"]["mean"])
    if kindest != best:
        few, overall = (_change(helped[kindest][split], confidence) for split in ("few", "overall"))
        sentences.append(
            f"Of these, '{kindest}' has the highest mean overall (chosen by the test images, too): few classes {few}, "
            f"overall {overall}."
        )
    return sentences


def _side(row: _Row) -> str:
    """Which way a split goes: "up", "down", "unchanged" (by nothing in every repeat) or "unknown"."""
    if row["low"] == row["high"] == 0:
        return "unchanged"
    return "up" if row["low"] > 0 else "down" if row["high"] < 0 else "unknown"


def _change(row: _Row, confidence: float) -> str:
    """A mean gain with its interval."""
    change = f"{100 * row['mean']:+.2f} points"
    if np.isnan(row["low"]) or row["low"] == row["high"]:
        return change
    return f"{change}, {_interval(row, confidence)}"


def _numbers(row: _Row, confidence: float) -> str:
    if row["n"] == 1:
        return "one repeat, which shows no spread"
    if row["low"] == row["high"]:
        return f"the same in each of {row['n']} repeats"
    return f"{row['n']} repeats; {_interval(row, confidence)}; corrected p = {row['p_corrected']:.2g}"


def _interval(row: _Row, confidence: float) -> str:
    return f"corrected {100 * confidence:g} % interval {100 * row['low']:+.2f} to {100 * row['high']:+.2f}"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]
