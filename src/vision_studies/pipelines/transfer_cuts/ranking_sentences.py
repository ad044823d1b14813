"""What comparisons of cuts say, in plain sentences for a report."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vision_studies.pipelines.transfer_cuts.rankings import BASELINE_CUT, best_cuts, describe, rank_cuts

_CHOICES = {
    "validation": "chosen by mean validation accuracy",
    "test": "chosen by mean test accuracy, which flatters it (no validation accuracy is known)",
}


def sentences(table: pd.DataFrame, comparisons: pd.DataFrame, *, confidence: float = 0.95) -> list[str]:
    """What is known of each fraction: how the chosen cut differs from the baseline, and which cuts no other beats.

    The cut that is reported was chosen by validation accuracy, and its test accuracy is what the sentence gives; where
    validation accuracies are missing, as in published files, the sentence says that it was chosen by test.

    Args:
        table: the accuracies of one mode and the baseline; see `analysis.rankings`.
        comparisons: what `compare_pairs` found in them.
        confidence: the one they were compared with.
    """
    description = describe(table, confidence=confidence)
    ranks = rank_cuts(table, comparisons)
    images = description.groupby("fraction")["images"].max()
    written = []
    for chosen in best_cuts(description).to_dict("records"):
        fraction = chosen["fraction"]
        own = comparisons[comparisons["fraction"] == fraction]
        where = f"At {_share(fraction)} of the images{_count(images[fraction])}"
        against = own[(own["first"] == chosen["cut"]) & (own["second"] == BASELINE_CUT)].to_dict("records")
        name = f"cut {chosen['cut']}, {_CHOICES[chosen['chosen_by']]},"
        if against:
            written.append(_difference(where, name, dict(against[0]), confidence))
        else:
            written.append(f"{where} there is no baseline to compare with.")
        if len(own) and not own["can_be_significant"].any():
            written.append(f"At {_share(fraction)} no difference can be significant: {_bound(own)}.")
        elif len(own):
            written.append(_unbeaten(fraction, ranks[ranks["fraction"] == fraction]))
    return written


def experiment_sentences(compared: pd.DataFrame) -> list[str]:
    """At which cuts one mode is better than another, a sentence for each fraction.

    Args:
        compared: what `compare_experiments` found.
    """
    written = []
    for fraction, own in compared.groupby("fraction"):
        first, second = own["first"].iloc[0], own["second"].iloc[0]
        where = f"At {_share(float(str(fraction)))}"
        cuts = {verdict: rows["cut"].tolist() for verdict, rows in own.groupby("verdict")}
        higher, lower = cuts.get("higher", []), cuts.get("lower", [])
        rest = len(cuts.get("no difference", []))
        if not own["can_be_significant"].any():
            written.append(f"{where} no difference between {first} and {second} can be significant: {_bound(own)}.")
            continue
        if not higher and not lower:
            written.append(f"{where} of the images {first} and {second} cannot be told apart at any cut.")
            continue
        sides = [
            f"{side} at {_names(own_cuts)}" for side, own_cuts in (("higher", higher), ("lower", lower)) if own_cuts
        ]
        end = f"; at {rest} other cut{'s' * (rest > 1)} they cannot be told apart" if rest else ""
        written.append(
            f"{where} of the images the test accuracy of {first} is significantly {' and '.join(sides)} "
            f"than that of {second}{end}."
        )
    return written


def _difference(where: str, name: str, pair: dict, confidence: float) -> str:
    if not pair["pairs"]:
        return f"{where} {name} shares no repeat with the baseline and cannot be compared with it."
    difference, repeats = pair["difference"], f"{pair['pairs']} repeat{'s' * (pair['pairs'] != 1)}"
    if np.isnan(pair["difference_low"]):
        spread = f"{repeats}, which shows no spread"
    else:
        low, high = (f"{100 * pair[end]:+.2f}" for end in ("difference_low", "difference_high"))
        spread = f"{repeats}; {100 * confidence:g} % interval {low} to {high}; corrected p = {pair['p_holm']:.2g}"
    side = "above" if difference > 0 else "below"
    found = f"is {100 * abs(difference):.2f} points {side} the baseline" if difference else "equals the baseline"
    if pair["significant"]:
        verdict = ": significant"
        if difference * pair["rank_biserial"] <= 0:
            verdict += f", but most of the signed ranks are {'below' if side == 'above' else 'above'}"
    else:
        verdict = ": not significant" if pair["can_be_significant"] else ": too few repeats to be significant"
    return f"{where}, {name} {found} in test accuracy ({spread}){verdict}."


def _unbeaten(fraction: float, ranks: pd.DataFrame) -> str:
    first = ranks[ranks["rank"] == 1]["cut"].tolist()
    if len(first) == len(ranks):
        return f"At {_share(fraction)} no cut is significantly better than another."
    return f"At {_share(fraction)} no cut is significantly better in test accuracy than {_names(first)}."


def _bound(comparisons: pd.DataFrame) -> str:
    """What so few repeats leave of the corrected p."""
    repeats, least = comparisons["pairs"].max(), comparisons["smallest_p_holm"].min()
    if np.isnan(least):
        return "no two of them share two repeats"
    leave = f"{repeats} repeats leave the corrected p at"
    return f"{leave} 1" if least >= 1 else f"{leave} {least:.2g} or more"


def _share(fraction: float) -> str:
    return f"{100 * fraction:g} %"


def _count(images: float) -> str:
    return "" if np.isnan(images) else f" ({images:,.0f})"


def _names(cuts: Sequence[int]) -> str:
    """Cuts in words: "the baseline and cuts 3, 4 and 5"."""
    numbers = [str(cut) for cut in sorted(cuts) if cut != BASELINE_CUT]
    parts = ["the baseline"] if BASELINE_CUT in cuts else []
    if numbers:
        listed = ", ".join(numbers[:-1]) + f" and {numbers[-1]}" if len(numbers) > 1 else numbers[0]
        parts.append(f"cut{'s' * (len(numbers) > 1)} {listed}")
    return " and ".join(parts)
