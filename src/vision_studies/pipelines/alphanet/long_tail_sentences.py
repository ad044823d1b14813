"""What the gains of AlphaNet say, in plain sentences for a report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.pipelines.alphanet.long_tail import Metric

_METRICS = {"top_1": "top-1 accuracy", "top_5": "top-5 accuracy"}
_OTHERS = {"medium": "the medium classes", "many": "the many classes", "overall": "all classes together"}
_VERBS = {"up": "rises", "down": "falls"}
_CLAUSES = {
    "down": "it lowers {}",
    "up": "it raises {}",
    "unchanged": "it does not change {}",
    "unknown": "one cannot tell whether {}",
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

_Settings = dict[str, dict[str, dict]]
"""Rows of gains by experiment and split."""


def gain_sentences(gains: pd.DataFrame, *, confidence: float = 0.95, metric: Metric = "top_1") -> list[str]:
    """By how much the few classes of each classifier rise at best, and what that costs.

    A rise or fall is said of a split where the interval of its mean gain excludes 0 and the corrected p is below one minus
    the confidence; elsewhere, and of a single repeat, the sentences say that it cannot be told. The best setting is chosen by
    what is reported of it, and the sentence says so.

    Args:
        gains: what `long_tail.paired_gains` found.
        confidence: the one it was found with.
        metric: likewise.

    Returns:
        For each classifier: the setting that raises the few classes most, what it does to the other splits and overall, and
        what this amounts to; where there are several settings, how many of them make the same trade, and which of those that
        help the few classes is best overall. Last, what repeats of one baseline cannot tell.
    """
    written: list[str] = []
    for classifier, own in gains.groupby("classifier", sort=False):
        settings = {
            str(name): {row["split"]: row | {"side": _side(row, confidence)} for row in rows.to_dict("records")}
            for name, rows in own[own["n"] > 0].groupby("experiment", sort=False)
        }
        settings = {name: rows for name, rows in settings.items() if "few" in rows and "overall" in rows}
        if settings:
            written += _classifier(str(classifier), settings, confidence, _METRICS[metric])
        else:
            written.append(f"On {classifier} no gain of the few classes is known.")
    once = [str(name) for name, own in gains.groupby("classifier", sort=False) if (own["baseline_repeats"] == 1).all()]
    if once and (gains["n"] > 1).any():
        written.append(
            f"The baseline of {_listed(once)} was trained once: the intervals cover repeats of AlphaNet on it, and not what "
            "training the baseline again would change."
        )
    return written


def _classifier(classifier: str, settings: _Settings, confidence: float, metric: str) -> list[str]:
    best = max(settings, key=lambda name: settings[name]["few"]["mean"])
    few = settings[best]["few"]
    start = f"With '{best}'"
    if len(settings) > 1:
        start = (
            f"Of {len(settings)} settings on {classifier}, '{best}' has the highest mean for the few classes (chosen by "
            "these very test images, which flatters it): with it"
        )
    numbers = _numbers(few, confidence)
    if few["side"] in _VERBS:
        amount = f"{_VERBS[few['side']]} by {100 * abs(few['mean']):.2f} points ({numbers})"
        written = [f"{start} the test {metric} of the few classes {amount}."]
    elif few["side"] == "unchanged":
        written = [f"{start} the test {metric} of the few classes stays as it is ({numbers})."]
    else:
        change = f"{100 * few['mean']:+.2f} points ({numbers})"
        written = [f"{start} one cannot tell whether the test {metric} of the few classes changes: {change}."]
    written.append(_others(settings[best], confidence))
    if few["side"] == "up":
        written.append(_VERDICTS[settings[best]["overall"]["side"]])
    if len(settings) > 1:
        written += _all_settings(classifier, settings, best, confidence)
    return written


def _others(rows: dict[str, dict], confidence: float) -> str:
    """What a setting does to the splits that it does not set out to help."""
    parts: dict[str, list[str]] = {"down": [], "up": [], "unchanged": [], "unknown": []}
    for split, called in _OTHERS.items():
        if split in rows:
            row = rows[split]
            amount = "" if row["side"] == "unchanged" else f" ({_change(row, confidence)})"
            parts[row["side"]].append(called + amount)
    said = [
        f"{_CLAUSES[side].format(_listed(names))}{' change' * (side == 'unknown')}"
        for side, names in parts.items()
        if names
    ]
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _all_settings(classifier: str, settings: _Settings, best: str, confidence: float) -> list[str]:
    helped = {name: rows for name, rows in settings.items() if rows["few"]["side"] == "up"}
    if not helped:
        return [f"None of the {len(settings)} settings on {classifier} can be told to raise the few classes."]
    sides = [rows["overall"]["side"] for rows in helped.values()]
    ends = [ending.format(sides.count(side)) for side, ending in _ENDINGS.items() if side in sides]
    counted = f"all {len(settings)}" if len(helped) == len(settings) else f"{len(helped)} of {len(settings)}"
    written = [
        f"On {classifier} {counted} settings raise the few classes; the overall accuracy {_listed(ends)} of them."
    ]
    kindest = max(helped, key=lambda name: helped[name]["overall"]["mean"])
    if kindest != best:
        few, overall = helped[kindest]["few"], helped[kindest]["overall"]
        written.append(
            f"Of these, '{kindest}' has the highest mean overall (chosen by the test images, too): few classes "
            f"{_change(few, confidence)}, overall {_change(overall, confidence)}."
        )
    return written


def _side(row: dict[Any, Any], confidence: float) -> str:
    """Which way a split goes: "up", "down", "unchanged" (by nothing in every repeat) or "unknown"."""
    if row["low"] == row["high"] == 0:
        return "unchanged"
    if row["can_be_significant"] and not row["p_corrected"] < 1 - confidence:
        return "unknown"
    if row["low"] > 0:
        return "up"
    return "down" if row["high"] < 0 else "unknown"


def _change(row: dict[str, Any], confidence: float) -> str:
    """A mean gain with its interval."""
    if np.isnan(row["low"]) or row["low"] == row["high"]:
        return f"{100 * row['mean']:+.2f} points"
    low, high = (f"{100 * row[end]:+.2f}" for end in ("low", "high"))
    doubted = row["side"] == "unknown" and (row["low"] > 0 or row["high"] < 0)
    doubt = f", but corrected p = {row['p_corrected']:.2g}" if doubted else ""
    return f"{100 * row['mean']:+.2f} points, {100 * confidence:g} % interval {low} to {high}{doubt}"


def _numbers(row: dict[str, Any], confidence: float) -> str:
    if row["n"] == 1:
        return "one repeat, which shows no spread"
    if row["low"] == row["high"]:
        return f"the same in each of {row['n']} repeats"
    low, high = (f"{100 * row[end]:+.2f}" for end in ("low", "high"))
    return (
        f"{row['n']} repeats; {100 * confidence:g} % interval {low} to {high}; corrected p = {row['p_corrected']:.2g}"
    )


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]
