"""What comparisons of cuts say: plain sentences for a report, and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.classifiers.transferability import SCORES
from vision_studies.pipelines.transfer_cuts.rankings import best_cuts, describe, rank_cuts
from vision_studies.pipelines.transfer_cuts.settings import BASELINE_CUT, cut_label, percentage
from vision_studies.reports.formatting import MISSING, is_missing, number, points, significant, spread
from vision_studies.reports.table import Table

_CHOICES = {
    "validation": "chosen by mean validation accuracy",
    "test": "chosen by mean test accuracy, which flatters it (no validation accuracy is known)",
}
_ACCURACIES_NOTE = (
    "Mean ± standard deviation over repeats. Bold: highest mean test accuracy of a share. "
    "*: differs significantly from the baseline (signed ranks, corrected for the number of pairs)."
)
_SCORES_NOTE = (
    "Weighted tau of Kendall between a score, which is known before anything is trained, and test accuracy over the cuts that "
    "keep a layer: mean and interval over repeats. Lost: test accuracy of the best cut less that of the cut with the highest "
    "score. Seconds: of one repeat, all cuts, without the one pass over the images that gives their features."
)
_EXPERIMENTS_NOTE = (
    "Mean ± standard deviation of the test accuracy over repeats. "
    "Higher: the mode that is significantly better (signed ranks, corrected for the number of cuts)."
)

_Row = Mapping[Any, Any]
BoldRow = tuple[dict[str, str], str | None]
"""A row of a table, and its column that is bold."""


def sentences(table: pd.DataFrame, comparisons: pd.DataFrame, *, confidence: float = 0.95) -> list[str]:
    """What is known of each fraction: how the chosen cut differs from the baseline, and which cuts no other beats.

    The cut that is reported was chosen by validation accuracy, and its test accuracy is what the sentence gives; where
    validation accuracies are missing, as in published files, the sentence says that it was chosen by test.

    Args:
        table: the accuracies of one mode and the baseline; see `rankings`.
    """
    description = describe(table, confidence=confidence)
    ranks = rank_cuts(table, comparisons)
    images = description.groupby("fraction")["images"].max()
    written = []
    for fraction, cut, chosen_by in best_cuts(description).itertuples(index=False):
        pairs = comparisons[comparisons["fraction"] == fraction]
        share = percentage(fraction)
        count = "" if np.isnan(images[fraction]) else f" ({images[fraction]:,.0f})"
        where = f"At {share} of the images{count}"
        against = pairs[(pairs["first"] == cut) & (pairs["second"] == BASELINE_CUT)].to_dict("records")
        if against:
            written.append(_difference(where, f"cut {cut}, {_CHOICES[chosen_by]},", against[0], confidence))
        else:
            written.append(f"{where} there is no baseline to compare with.")
        if not len(pairs):
            continue
        if not pairs["can_be_significant"].any():
            written.append(f"At {share} no difference can be significant: {_bound(pairs)}.")
            continue
        cells = ranks[ranks["fraction"] == fraction]
        unbeaten = cells[cells["rank"] == 1]["cut"].tolist()
        than = "than another" if len(unbeaten) == len(cells) else f"in test accuracy than {_names(unbeaten)}"
        written.append(f"At {share} no cut is significantly better {than}.")
    return written


def experiment_sentences(compared: pd.DataFrame) -> list[str]:
    """At which cuts one mode is better than another, by `rankings.compare_experiments`: a sentence for each fraction."""
    written = []
    for fraction, pairs in compared.groupby("fraction"):
        first, second = pairs["first"].iloc[0], pairs["second"].iloc[0]
        where = f"At {percentage(fraction)}"
        cuts = pairs.groupby("verdict")["cut"].agg(list)
        sides = [f"{side} at {_names(cuts[side])}" for side in ("higher", "lower") if side in cuts]
        rest = len(cuts.get("no difference", []))
        if not pairs["can_be_significant"].any():
            written.append(f"{where} no difference between {first} and {second} can be significant: {_bound(pairs)}.")
        elif not sides:
            written.append(f"{where} of the images {first} and {second} cannot be told apart at any cut.")
        else:
            end = f"; at {rest} other cut{'s' * (rest > 1)} they cannot be told apart" if rest else ""
            written.append(
                f"{where} of the images the test accuracy of {first} is significantly {' and '.join(sides)} "
                f"than that of {second}{end}."
            )
    return written


def accuracies(description: pd.DataFrame, comparisons: pd.DataFrame, title: str, label: str) -> Table:
    """Every fraction and cut of a mode, against the baseline.

    Args:
        description: from `rankings.describe`, of one mode and the baseline.
        comparisons: from `rankings.compare_pairs`.
    """
    against = comparisons[comparisons["second"] == BASELINE_CUT]
    differences = {(row["fraction"], row["first"]): row for row in against.to_dict("records")}
    best = description.groupby("fraction")["mean"].max()
    rows: list[BoldRow] = []
    for cell in description.sort_values(["fraction", "cut"]).to_dict("records"):
        pair: _Row = differences.get((cell["fraction"], cell["cut"]), {})
        row = {
            "Images": share_and_images(cell["fraction"], cell.get("images")),
            "Cut": cut_label(cell["cut"]),
            "Repeats": number(cell["n"]),
            "Train (%)": spread(100 * cell["train_mean"], None),
            "Test (%)": _test(cell),
            "Minus baseline (points)": points(pair.get("difference")) + "*" * bool(pair.get("significant")),
            "Corrected p": significant(pair.get("p_holm")),
        }
        rows.append((row, "Test (%)" if cell["mean"] == best[cell["fraction"]] else None))
    return grouped(rows, title, label, _ACCURACIES_NOTE)


def experiments(
    first_description: pd.DataFrame, second_description: pd.DataFrame, compared: pd.DataFrame, title: str, label: str
) -> Table:
    """Two modes at every fraction and cut that both have, and which of them is higher.

    Args:
        first_description: from `rankings.describe`, of the first mode.
    """
    first, second = (
        {(row["fraction"], row["cut"]): row for row in table.to_dict("records")}
        for table in (first_description, second_description)
    )
    rows: list[BoldRow] = []
    for pair in compared.sort_values(["fraction", "cut"]).to_dict("records"):
        cell = (pair["fraction"], pair["cut"])
        higher = {"higher": pair["first"], "lower": pair["second"]}.get(pair["verdict"])
        row = {
            "Images": share_and_images(pair["fraction"], first[cell].get("images")),
            "Cut": cut_label(pair["cut"]),
            f"{pair['first']} (%)": _test(first[cell]),
            f"{pair['second']} (%)": _test(second[cell]),
            "Difference (points)": points(pair["difference"]),
            "Corrected p": significant(pair["p_holm"]),
            "Higher": (higher or MISSING) if pair["can_be_significant"] else f"needs {pair['repeats_needed']} repeats",
        }
        rows.append((row, f"{higher} (%)" if higher else None))
    return grouped(rows, title, label, _EXPERIMENTS_NOTE)


def _difference(where: str, name: str, pair: _Row, confidence: float) -> str:
    if not pair["pairs"]:
        return f"{where} {name} shares no repeat with the baseline and cannot be compared with it."
    difference, repeats = pair["difference"], f"{pair['pairs']} repeat{'s' * (pair['pairs'] != 1)}"
    if np.isnan(pair["p"]):
        interval = f"{repeats}, which shows no spread"
    else:
        low, high = (f"{100 * pair[end]:+.2f}" for end in ("difference_low", "difference_high"))
        # Of signed ranks and of means: where they say unlike things, ranks decide.
        ends = (
            "" if np.isnan(pair["difference_low"]) else f"corrected {100 * confidence:g} % interval {low} to {high}; "
        )
        interval = f"{repeats}; {ends}corrected p = {pair['p_holm']:.2g}"
    side, other = ("above", "below") if difference > 0 else ("below", "above")
    size = f"is {100 * abs(difference):.2f} points {side} the baseline" if difference else "equals the baseline"
    if pair["significant"]:
        leans = difference * pair["rank_biserial"] <= 0
        verdict = "significant" + f", but most of the signed ranks are {other}" * leans
    else:
        verdict = "not significant" if pair["can_be_significant"] else "too few repeats to be significant"
    return f"{where}, {name} {size} in test accuracy ({interval}): {verdict}."


def _bound(comparisons: pd.DataFrame) -> str:
    """What so few repeats leave of the corrected p, and how many more would do."""
    repeats, least = comparisons["pairs"].max(), comparisons["smallest_p_holm"].min()
    needed = f"at least {comparisons['repeats_needed'].max()} are needed"
    if np.isnan(least):
        return f"no two of them share two repeats, and {needed}"
    return f"{repeats} repeats leave the corrected p at {'1' if least >= 1 else f'{least:.2g} or more'}, and {needed}"


def _names(cuts: Sequence[int]) -> str:
    """Cuts in words: "the baseline and cuts 3, 4 and 5"."""
    numbers = [str(cut) for cut in sorted(cuts) if cut != BASELINE_CUT]
    parts = ["the baseline"] if BASELINE_CUT in cuts else []
    if numbers:
        listed = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
        parts.append(f"cut{'s' * (len(numbers) > 1)} {listed}")
    return " and ".join(parts)


def score_ranks(ranked: pd.DataFrame, title: str, label: str) -> Table:
    """How well scores rank the cuts; the highest mean tau of a share is bold.

    Args:
        ranked: from `scores.rank_scores`, of one mode.
    """
    rows: list[BoldRow] = []
    best = ranked.groupby("fraction")["tau"].max()
    ordered = ranked.sort_values(["fraction", "tau"], ascending=[True, False], kind="stable")
    for ranking in ordered.to_dict("records"):
        interval = MISSING if is_missing(ranking["low"]) else f"{ranking['low']:.2f} to {ranking['high']:.2f}"
        row = {
            "Images": percentage(ranking["fraction"]),
            "Score": SCORES[ranking["score"]].title,
            "Repeats": number(ranking["n"]),
            "Weighted tau": MISSING if is_missing(ranking["tau"]) else f"{ranking['tau']:.2f}",
            "Interval": interval,
            "Lost by its choice (points)": f"{100 * ranking['regret']:.1f}",
            "Seconds": f"{ranking['seconds']:.2f}",
        }
        rows.append((row, "Weighted tau" if ranking["tau"] == best[ranking["fraction"]] else None))
    return grouped(rows, title, label, _SCORES_NOTE)


def grouped(bold_rows: Sequence[BoldRow], title: str, label: str, note: str) -> Table:
    """A table in which the share of the images, the column "Images", is written in the first of its rows alone."""
    rows = [row for row, _ in bold_rows]
    bold = [(index, column) for index, (_, column) in enumerate(bold_rows) if column]
    shares = [row["Images"] for row in rows]
    begins = [index for index, share in enumerate(shares) if index == 0 or share != shares[index - 1]]
    shown = [row if index in begins else row | {"Images": ""} for index, row in enumerate(rows)]
    align = "ll" + "r" * (len(rows[0]) - 2) if rows else ""
    return Table(shown, title, label=label, note=note, align=align, begins=begins, bold=bold)


def share_and_images(fraction: float, images: Any) -> str:
    """A share of the images as the column "Images" has it, with their number where it is known."""
    share = percentage(fraction)
    return share if is_missing(images) else f"{share} ({number(images)})"


def _test(cell: _Row) -> str:
    return spread(100 * cell["mean"], 100 * cell["standard_deviation"])
