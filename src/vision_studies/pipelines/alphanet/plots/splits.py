"""Accuracy, or what AlphaNet changes of it, of few, medium and many classes and overall, with intervals over repeats."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.panels import (
    finished,
    key,
    marker_key,
    nothing_to_draw,
    side_by_side,
    single,
    small_multiples,
)
from vision_studies.figures.style import DASHED, INK, SOFT, short, styled
from vision_studies.figures.ticks import names as named
from vision_studies.figures.ticks import values_run
from vision_studies.pipelines.alphanet.plots.style import (
    METRIC_LABELS,
    SPLIT_COLOURS,
    improved,
    split_handles,
    split_look,
    splits_in,
)

_UPRIGHT = 6  # so many experiments have room for their names below an axis
_STRIPE = "#f4f6f8"
_AXES = {"rho": "rho (base images for each image of the few classes)", "neighbours": "neighbours of a few class (k)"}
_SHORT = {"rho": "rho", "neighbours": "k", "distance": "distance"}


@styled
def split_points(
    summary: pd.DataFrame, *, gain: bool, metric: Literal["top_1", "top_5"] = "top_1", confidence: float = 0.95
) -> Figure:
    """Mean and interval of every experiment and split: a group an experiment, a colour a split.

    Args:
        summary: from `analysis.long_tail.summarise`: experiment, baseline, split, n, mean, low, high.
        gain: whether it holds gains.
        metric: which accuracy it holds.
        confidence: of the intervals.
    """
    title = _title(gain, metric, "of each experiment")
    known = summary.dropna(subset=["mean"])
    if not len(known):
        return nothing_to_draw("No experiment has a value for this metric.", title)
    experiments, splits = list(known["experiment"].drop_duplicates()), splits_in(known)
    upright = len(experiments) <= _UPRIGHT
    size = (max(7.0, 2 + 1.6 * len(experiments)), 5.4) if upright else (9, 2.2 + 0.4 * len(experiments))
    drawn, axes = single(*size)
    _groups(axes, experiments, known, upright=upright)
    if gain:
        (axes.axhline if upright else axes.axvline)(0, color=INK, linewidth=1.2)
    for split, shift in zip(splits, side_by_side(len(splits), 0.19), strict=True):
        rows = known[known["split"] == split]
        at = rows["experiment"].map(experiments.index).to_numpy(dtype=float) + shift
        _points(axes, at, rows, split, upright=upright)
    (axes.set_ylabel if upright else axes.set_xlabel)(_label(gain, metric))
    handles = split_handles(splits)
    if known["baseline"].any():
        handles.append(marker_key("hollow: baseline", color=SOFT, marker="o", markerfacecolor="white"))
    return finished(drawn, title, legend=handles, note=_note(known, confidence))


@styled
def split_lines(
    summary: pd.DataFrame,
    *,
    over: Literal["rho", "neighbours"],
    gain: bool,
    metric: Literal["top_1", "top_5"] = "top_1",
    confidence: float = 0.95,
) -> Figure:
    """Means with intervals against a setting of AlphaNet: a panel a classifier and what else varies, a line a split.

    Args:
        summary: from `analysis.long_tail.summarise`: classifier, baseline, rho, neighbours, distance,
            split, n, mean, low, high.
        over: the setting. Where the other settings vary, each of their values has a panel.
        gain: whether it holds gains. Otherwise the baseline of each classifier is drawn as dashed lines.
        metric: which accuracy it holds.
        confidence: of the intervals.
    """
    title = _title(gain, metric, f"against {_AXES[over].split(' (')[0]}")
    known = summary.dropna(subset=["mean"])
    baselines = known[known["baseline"].astype(bool)]
    settings = improved(known).dropna(subset=[over])
    if not len(settings):
        return nothing_to_draw(f"No experiment has a value of {_SHORT[over]}.", title)
    other = "neighbours" if over == "rho" else "rho"
    keys = ["classifier", *(key for key in ("distance", other) if settings[key].nunique(dropna=False) > 1)]
    groups = list(settings.groupby(keys, sort=False, dropna=False))
    panels = small_multiples(
        len(groups),
        # So many that rows come out even where they can.
        columns=2 if len(groups) in (2, 4) else 4 if len(groups) % 4 == 0 else 3,
        size=(3.9, 3.2),
        margin=(0.6, 1.9),
        sharey=True,
    )
    splits = splits_in(settings)
    for axes, (names, rows) in zip(panels.axes, groups, strict=True):
        if gain:
            axes.axhline(0, color=INK, linewidth=1.2)
        else:
            for row in baselines[baselines["classifier"] == names[0]].to_dict("records"):
                axes.axhline(100 * row["mean"], color=SPLIT_COLOURS[row["split"]], linestyle=DASHED, linewidth=1.2)
        _lines(axes, rows, over, splits)
        axes.set_title(_panel_title(keys, names), fontsize=11)
    several = len(groups) > 1 and over == "rho"  # a narrow panel has no room to explain rho
    panels.label("rho" if several else _AXES[over], _label(gain, metric))
    handles = split_handles(splits, "-")
    if not gain and len(baselines):
        handles.append(key("baseline", color=SOFT, linestyle=DASHED))
    note = _note(settings, confidence)
    if several:
        note = f"rho: sampled images of base classes for each image of the few classes. {note}"
    return finished(panels.figure, title, legend=handles, note=note)


def _points(axes: Axes, at: np.ndarray, rows: pd.DataFrame, split: str, *, upright: bool) -> None:
    """Means with their intervals; those of a baseline are hollow."""
    means, colour = 100 * rows["mean"].to_numpy(dtype=float), SPLIT_COLOURS[split]
    below, above = _reach(rows)
    (axes.vlines if upright else axes.hlines)(at, means - below, means + above, color=colour, linewidth=1.6)
    look: dict[str, Any] = {"linestyle": "", "markersize": 5.5, "markeredgecolor": colour, "zorder": 3}
    hollow = rows["baseline"].to_numpy(dtype=bool)
    for which, face in ((~hollow, colour), (hollow, "white")):
        x, y = (at[which], means[which]) if upright else (means[which], at[which])
        axes.plot(x, y, markerfacecolor=face, **look, **split_look(split))


def _groups(axes: Axes, experiments: list[str], known: pd.DataFrame, *, upright: bool) -> None:
    """Names of the experiments on their axis, every other with a stripe, and a line where the classifier changes."""
    classifiers = known.drop_duplicates("experiment")["classifier"].tolist()
    stripe, line = (axes.axvspan, axes.axvline) if upright else (axes.axhspan, axes.axhline)
    for place in range(1, len(experiments), 2):
        stripe(place - 0.5, place + 0.5, color=_STRIPE, linewidth=0, zorder=0)
    for place in range(1, len(experiments)):
        if classifiers[place] != classifiers[place - 1]:
            line(place - 0.5, color=SOFT, linewidth=1)
    if upright:
        named(axes, "x", [",\n".join(short(part, 20) for part in name.split(", ")) for name in experiments])
    else:
        named(axes, "y", [short(name, 40) for name in experiments])
    axes.tick_params(axis="x" if upright else "y", length=0)


def _lines(axes: Axes, rows: pd.DataFrame, over: str, splits: list[str]) -> None:
    values = sorted(float(value) for value in rows[over].unique())
    logarithmic = over == "rho" and values[0] > 0 and values[-1] >= 8 * values[0]
    reach = np.log10(values[-1] / values[0]) if logarithmic else (values[-1] - values[0]) or 1.0
    bars: dict[str, Any] = {"linewidth": 1.6, "markersize": 5, "elinewidth": 1.3, "capsize": 2, "zorder": 3}
    # Side by side, or error bars of one setting would hide each other.
    for split, apart in zip(splits, side_by_side(len(splits), 0.008 * reach), strict=True):
        own = rows[rows["split"] == split].sort_values(over)
        at = own[over].to_numpy(dtype=float)
        at = at * 10**apart if logarithmic else at + apart
        axes.errorbar(at, 100 * own["mean"], yerr=np.array(_reach(own)), **bars, **split_look(split))
    if len(values) == 1:
        axes.set_xlim(values[0] - 0.1, values[0] + 0.1)
    values_run(axes.xaxis, values, [f"{value:g}" for value in values], 0.1, log=logarithmic)
    axes.xaxis.set_tick_params(labelbottom=True)


def _reach(own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """How far intervals reach below and above their means, in points; 0 where there is none."""
    means = own["mean"].to_numpy(dtype=float)
    below, above = (means - own["low"].to_numpy(dtype=float), own["high"].to_numpy(dtype=float) - means)
    return 100 * np.nan_to_num(below).clip(0), 100 * np.nan_to_num(above).clip(0)


def _panel_title(keys: list[str], names: tuple) -> str:
    parts = [short(names[0], 24)]
    for column, name in zip(keys[1:], names[1:], strict=True):
        missing = name is None or name != name  # noqa: PLR0124 - NaN is the one value that differs from itself
        parts.append(f"{_SHORT[column]} {'unknown' if missing else name if column == 'distance' else f'{name:g}'}")
    return ", ".join(parts)


def _title(gain: bool, metric: str, what: str) -> str:
    kind = "Change in" if gain else "Test"
    return f"{kind} {METRIC_LABELS[metric]} accuracy {what}"


def _label(gain: bool, metric: str) -> str:
    return f"change in {METRIC_LABELS[metric]} accuracy (points)" if gain else f"{METRIC_LABELS[metric]} accuracy (%)"


def _note(known: pd.DataFrame, confidence: float) -> str:
    if known["n"].max() < 2:
        return "One repeat each: no intervals."
    note = f"Bars: {100 * confidence:g} % interval of the mean over repeats (Student's t)"
    return f"{note}; points without a bar have one repeat." if known["n"].min() < 2 else f"{note}."
