"""What `choose` says besides its verdict, in sentences."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.pipelines.choose.candidates import COLOURS, COMBINED, FROM_NOTHING, merits

_NAMED = 3


def conclude(results: pd.DataFrame, label_errors: pd.DataFrame, learning_curve: pd.DataFrame) -> list[str]:
    """Sentences on what pretraining gives, on more images, and on labels."""
    return [
        *_pretraining(results),
        *_more_images(learning_curve),
        *_labels(label_errors),
        *_never_right(label_errors),
    ]


def _pretraining(results: pd.DataFrame) -> list[str]:
    scored = results.dropna(subset=["validation_accuracy", "test_accuracy"])
    if scored.empty:
        return []
    configurations = dict(zip(scored["run_fingerprint"], map(json.loads, scored["configuration"]), strict=True))
    pretrained = scored["run_fingerprint"].map(lambda name: _is_pretrained(name, configurations)).astype(bool)
    if not pretrained.any():
        return [
            "No pretrained network was tried, for its weights are not here or it would not have ended in time; on most images "
            "it would have been far better."
        ]
    if pretrained.all():
        return []
    from_nothing = scored["run_fingerprint"].map(lambda name: configurations[name]["kind"] == FROM_NOTHING)
    apart = ~pretrained & (from_nothing if from_nothing.any() else True)
    over = "training from nothing" if from_nothing.any() else "what needs no network"
    best, without = (_best(scored[chosen]) for chosen in (pretrained, apart))
    gain = 100 * (best["test_accuracy"] - without["test_accuracy"])
    return [
        f"Pretrained features give {gain:+.1f} points over {over}: {_share(best['test_accuracy'])} with {best['variant']}, "
        f"{_share(without['test_accuracy'])} with {without['variant']}."
    ]


def _is_pretrained(name: str, configurations: Mapping[str, Any]) -> bool:
    """Whether a run, or a member of it, has a pretrained network in it."""
    own = configurations.get(name)
    if own is None:
        return False
    if own["kind"] in COMBINED:
        return any(_is_pretrained(member, configurations) for member in own["members"])
    return any(part["source"] != COLOURS for part in own["features"])


def _best(rows: pd.DataFrame) -> pd.Series:
    """Means over seeds of the variant that validation would choose."""
    own = rows.assign(merit=merits(rows))
    means = own.groupby("variant", sort=False)[["merit", "test_accuracy"]].mean().reset_index()
    return means.loc[means["merit"].idxmax()]


def _more_images(curve: pd.DataFrame) -> list[str]:
    measured, fitted, checked = (curve[curve["kind"] == kind] for kind in ("measured", "fitted", "checked"))
    further = fitted[fitted["images"] > measured["images"].max() * 1.99] if len(measured) else fitted.iloc[:0]
    if further.empty:
        return []
    row, most = further.iloc[0], measured.loc[measured["images"].idxmax()]
    return [
        f"Twice as many images would give about {_with_interval(row)}, by a power law through {len(measured)} sizes; with "
        f"{most['images']:,.0f} to learn from it is {_share(most['accuracy'])}.",
        *(_checked(promised, most) for _, promised in checked.iterrows()),
    ]


def _checked(promised: pd.Series, measured: pd.Series) -> str:
    """Whether the power law through the smaller sizes has kept its promise for the largest."""
    kept = promised["low"] <= measured["high"] and measured["low"] <= promised["high"]
    return (
        f"The power law {'holds' if kept else 'does not hold, so do not count on it'}: through the smaller sizes it promises "
        f"{_with_interval(promised)} with {measured['images']:,.0f}, and {_with_interval(measured)} was measured."
    )


def _with_interval(row: pd.Series) -> str:
    interval = "" if np.isnan(row["low"]) else f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    return f"{_share(row['accuracy'])}{interval}"


def _labels(label_errors: pd.DataFrame) -> list[str]:
    likely = label_errors[label_errors["kind"] == "label"]
    if likely.empty:
        return ["No label looks wrong."]
    named = "; ".join(
        f"{row.file} is labelled '{row.label}' and looks like '{row.suggested}'"
        for row in likely.head(_NAMED).rename(columns={"name": "file"}).itertuples()
    )
    number = len(likely)
    return [
        f"{number:,} label{'s are' if number > 1 else ' is'} worth a look, for the chosen candidate, which has not seen the "
        f"image{'s' if number > 1 else ''}, is far surer of another class: {named}."
    ]


def _never_right(label_errors: pd.DataFrame) -> list[str]:
    number = int((label_errors["kind"] == "hard").sum())
    if not number:
        return []
    return [f"{number:,} further image{'s' * (number > 1)} no candidate gets right; the figure shows the hardest."]


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
