"""Which cut of a pretrained network is best, and what the number of repeats allows to say about it.

A cut is the number of convolutions that are taken over from a pretrained network; cut -1 is the baseline, a network trained
from scratch. Runs of one repeat share their training images and initial draws, so cuts are compared repeat by repeat. The
table of accuracies has one row a run: mode, cut, fraction (of the training images, above 0 and up to 1), repeat,
train_accuracy, test_accuracy and, where they are known, validation_accuracy and images (how many the fraction is).
Baseline rows (mode "baseline") belong to every mode. `confidence` is that of intervals, between 0 and 1; one minus it is the
level of significance.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations, count
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, BASELINE_CUT, mode_label
from vision_studies.statistics.interval_kinds import Interval
from vision_studies.statistics.intervals import corrected_comparisons, holm, summary

_COLUMNS = ("mode", "cut", "fraction", "repeat", "train_accuracy", "test_accuracy")
_DESCRIBED = (
    *("mode", "fraction", "cut", "n", "mean", "median", "max", "standard_deviation", "low", "high"),
    *("train_mean", "train_median", "train_max", "validation_mean", "images"),
)
_COMPARED = (
    *("pairs", "difference", "difference_low", "difference_high", "p", "p_holm", "smallest_p", "smallest_p_holm"),
    *("rank_biserial", "significant", "can_be_significant", "repeats_needed"),
)


def only_mode(table: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Rows of one mode with the baseline rows, which belong to it, too. Raises ParameterError where the table has no row of the
    mode.
    """
    if not (table["mode"] == mode).any():
        raise ParameterError(f"No run has the mode '{mode}'; the modes of the table are {sorted(set(table['mode']))}.")
    return table[table["mode"].isin([mode, BASELINE])]


def describe(table: pd.DataFrame, *, confidence: float = 0.95, interval: Interval = "t") -> pd.DataFrame:
    """Test accuracy of every cell in numbers, of any number of modes.

    Returns:
        One row a mode, fraction and cut, in this order: mode, fraction, cut, n, mean, median, max, standard_deviation
        (n - 1 in the denominator), low, high (of the interval of the mean, cut off at 0 and 1), train_mean, train_median,
        train_max, validation_mean (missing where a run has no validation accuracy) and images (missing where the table has
        none).

    Raises:
        DataError: a column is missing, or a cell has two runs of one repeat.
    """
    _check(table)
    table = table.reindex(columns=[*_COLUMNS, "validation_accuracy", "images"])
    rows = []
    for (mode, fraction, cut), runs in table.groupby(["mode", "fraction", "cut"]):
        accuracies = runs["test_accuracy"].dropna()
        cell = {"mode": mode, "fraction": fraction, "cut": int(cut)}
        cell |= asdict(summary(accuracies, confidence=confidence, interval=interval, fractions=True))
        for prefix, values in (("", accuracies), ("train_", runs["train_accuracy"])):
            cell |= {f"{prefix}{name}": values.agg(name) for name in ("mean", "median", "max")}
        cell |= {"validation_mean": runs["validation_accuracy"].mean(skipna=False), "images": runs["images"].max()}
        rows.append(cell)
    return pd.DataFrame(rows, columns=list(_DESCRIBED))


def compare_pairs(table: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Every two cuts of a fraction of one mode against each other, the baseline among them.

    Wilcoxon's signed-rank test over shared repeats, corrected after Holm for the number of pairs of a fraction.

    Returns:
        One row a fraction and pair of cuts: fraction, first and second (the cuts, the first the deeper one), pairs (shared
        repeats), difference (mean of first minus second) with difference_low and difference_high (corrected like p_holm, and
        missing where signed ranks, which p is of, say otherwise than means), p, p_holm, smallest_p
        and smallest_p_holm (the least that so many repeats can give, whatever their values), rank_biserial, significant,
        can_be_significant and repeats_needed (with fewer no pair of the fraction can be significant). A p that cannot be
        computed is missing, and does not count among the pairs.

    Raises:
        DataError: a column is missing, or a cell has two runs of one repeat.
        ParameterError: the table has more than one mode beside the baseline.
    """
    _mode_of(table)
    values = _values(table)
    pairs = [
        ({"fraction": fraction, "first": first, "second": second}, values[fraction, first], values[fraction, second])
        for (fraction, second), (other, first) in combinations(values, 2)
        if fraction == other
    ]
    return _compare(pairs, ["fraction", "first", "second"], confidence)


def rank_cuts(table: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Rank of every cut of one mode, by what `compare_pairs` says: 1 plus how many are significantly better at its fraction.

    No cut's rank depends on the order in which they are compared, and cuts that cannot be told apart may share a rank.

    Returns:
        One row a fraction and cut: fraction, cut, n, mean, median, rank, can_be_significant (whether so many repeats can
        set the cut apart from any other) and repeats_needed (missing where there is nothing to compare).
    """
    # The test is one of signed ranks, so these decide who is better: a mean may lean on a single repeat.
    first_wins = comparisons["rank_biserial"] > 0
    beaten = comparisons.assign(cut=comparisons["second"].where(first_wins, comparisons["first"]))
    losses = Counter(_cells(beaten[comparisons["significant"].astype(bool)], "cut"))
    testable = comparisons[comparisons["can_be_significant"].astype(bool)]
    apart = {*_cells(testable, "first"), *_cells(testable, "second")}
    ranked = describe(table)[["fraction", "cut", "n", "mean", "median"]]
    ranked = ranked.sort_values(["fraction", "cut"], ignore_index=True)
    cells = _cells(ranked, "cut")
    return ranked.assign(
        rank=[1 + losses[cell] for cell in cells],
        can_be_significant=[cell in apart for cell in cells],
        repeats_needed=ranked["fraction"].map(comparisons.groupby("fraction")["repeats_needed"].first()),
    )


def repeats_needed(pairs: int, confidence: float) -> int:
    """The fewest repeats with which one of so many compared pairs can be significant after Holm's correction.

    All signs alike, the most extreme outcome of Wilcoxon's signed-rank test, has p = 2 ** (1 - n).

    Examples:
        >>> from vision_studies.pipelines.transfer_cuts.rankings import repeats_needed
        >>> repeats_needed(1, 0.95), repeats_needed(28, 0.95)  # two cuts, and every two of eight
        (6, 11)
    """
    return next(n for n in count(2) if pairs * 2.0 ** (1 - n) < 1 - confidence)


def best_cuts(description: pd.DataFrame) -> pd.DataFrame:
    """The cut of each fraction that one would choose by what `describe` says of one mode, the baseline aside.

    Returns:
        One row a fraction that has cuts: fraction, cut and chosen_by: "validation", or "test" where the validation
        accuracy of a cut is not known. A choice by test flatters what it chose. Of equals the shallowest is chosen.
    """
    rows = []
    for fraction, cells in description[description["cut"] != BASELINE_CUT].groupby("fraction"):
        chosen_by = "validation" if cells["validation_mean"].notna().all() else "test"
        values = cells.sort_values("cut").set_index("cut")["validation_mean" if chosen_by == "validation" else "mean"]
        if values.notna().any():
            rows.append({"fraction": fraction, "cut": int(values.idxmax()), "chosen_by": chosen_by})
    return pd.DataFrame(rows, columns=["fraction", "cut", "chosen_by"])


def compare_experiments(
    first_table: pd.DataFrame,
    second_table: pd.DataFrame,
    *,
    labels: tuple[str, str] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One mode against another at the same cut and fraction, as in `compare_pairs`; corrected over the cuts of a fraction.

    The baseline is left out: the modes share it.

    Args:
        first_table: the accuracies of one mode.
        second_table: those of another, measured on the same test images.
        labels: what the two are called; short labels of their modes if missing.

    Returns:
        One row a fraction and cut that both have: fraction, cut, first and second (labels of the modes), the columns of
        `compare_pairs` from pairs on, and verdict ("higher", "lower" or "no difference", said of the first).

    Raises:
        DataError: a column is missing, a cell has two runs of one repeat, or no cut and fraction are in both tables.
        ParameterError: a table has more than one mode beside the baseline, or the two are called alike.
    """
    modes = [mode_label(_mode_of(table)) for table in (first_table, second_table)]
    first_label, second_label = labels or modes
    if first_label == second_label:
        raise ParameterError(f"Both experiments are called '{first_label}'; tell them apart with labels.")
    first, second = (_values(table[table["cut"] != BASELINE_CUT]) for table in (first_table, second_table))
    shared = [cell for cell in first if cell in second]
    if not shared:
        raise DataError(
            f"No cut and fraction have runs of both {first_label} and {second_label}; run both with the same cuts."
        )
    called = {"first": first_label, "second": second_label}
    pairs = [({"fraction": cell[0], "cut": cell[1], **called}, first[cell], second[cell]) for cell in shared]
    compared = _compare(pairs, ["fraction", "cut", *called], confidence)
    compared.insert(compared.columns.get_loc("p_holm"), "rank_biserial", compared.pop("rank_biserial"))
    verdicts = np.where(compared["rank_biserial"] > 0, "higher", "lower")
    return compared.assign(verdict=np.where(compared["significant"], verdicts, "no difference"))


def _check(table: pd.DataFrame) -> None:
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise DataError(f"The table of accuracies lacks the columns {missing}.")
    identity = ["mode", "cut", "fraction", "repeat"]
    repeated = table[table.duplicated(identity)]
    if len(repeated):
        run = ", ".join(f"{name} {value}" for name, value in repeated[identity].iloc[0].items())
        raise DataError(f"The table of accuracies has more than one run with {run}; a repeat must stand in it once.")


def _mode_of(table: pd.DataFrame) -> str:
    """The one mode of a table, which is checked."""
    _check(table)
    modes = sorted(set(table["mode"]) - {BASELINE})
    if len(modes) > 1:
        raise ParameterError(
            f"Cuts are compared within one mode, but the table has {modes}; choose one with only_mode()."
        )
    return modes[0] if modes else BASELINE


def _cells(table: pd.DataFrame, cut: str) -> list[tuple[float, int]]:
    """Fraction and cut of each row, of which the column `cut` has the cut."""
    return list(zip(table["fraction"], table[cut], strict=True))


def _values(table: pd.DataFrame) -> dict[tuple[float, int], pd.Series]:
    """Test accuracy of each fraction and cut by repeat; sorted: the order of the rows changes not even the last digit."""
    cells = table.set_index("repeat").groupby(["fraction", "cut"])["test_accuracy"]
    return {(fraction, int(cut)): values.dropna().sort_index() for (fraction, cut), values in cells}


def _compare(
    pairs: Sequence[tuple[dict[str, Any], pd.Series, pd.Series]], names: Sequence[str], confidence: float
) -> pd.DataFrame:
    """A row a pair: what it is called, by `names`, and how the two differ; those of a fraction are corrected together."""
    fractions: dict[float, list[int]] = {}
    for place, (called, *_) in enumerate(pairs):
        fractions.setdefault(called["fraction"], []).append(place)
    rows: list[dict[str, Any]] = [{}] * len(pairs)
    for places in fractions.values():
        found = corrected_comparisons([pairs[place][1:] for place in places], confidence=confidence, test="wilcoxon")
        for place, (comparison, p) in zip(places, found, strict=True):
            # All signs alike is the most extreme of 2 ** n outcomes. Corrected all together these are the lower bounds of
            # the corrected p, as no corrected p falls when another p rises.
            smallest = min(1.0, 2.0 ** (1 - comparison.pairs)) if comparison.pairs > 1 else np.nan
            ends = {"difference_low": comparison.low, "difference_high": comparison.high, "p_holm": p}
            rows[place] = pairs[place][0] | asdict(comparison) | ends | {"smallest_p": smallest}
    compared = pd.DataFrame(rows, columns=[*names, *_COMPARED])
    if rows:
        by_fraction = compared.groupby("fraction")["smallest_p"]
        least = by_fraction.transform(lambda values: pd.Series(holm([*values]), values.index))
        compared["smallest_p_holm"] = least
        compared["significant"] = compared["p_holm"] < 1 - confidence
        compared["can_be_significant"] = compared["smallest_p_holm"] < 1 - confidence
        corrected = by_fraction.transform("count")  # for so many pairs; where none has a p yet, for all that would
        number = corrected.where(corrected > 0, by_fraction.transform("size"))
        compared["repeats_needed"] = [repeats_needed(pairs, confidence) for pairs in number]
    return compared
