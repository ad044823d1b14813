"""Accuracy, or what AlphaNet changes of it, of few, medium and many classes and overall, with intervals over repeats."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from vision_studies.plots.alphanet_style import (
    METRIC_LABELS,
    SPLIT_COLOURS,
    SPLIT_MARKERS,
    legend_below,
    nothing_to_draw,
    outer_labels,
    panels,
    split_handles,
    splits_in,
)
from vision_studies.plots.cut_axes import named_fractions
from vision_studies.plots.style import INK, SOFT, figure, heading, short, styled

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
        return nothing_to_draw(title, "No experiment has a value for this metric.")
    experiments, splits = list(known["experiment"].drop_duplicates()), splits_in(known)
    upright = len(experiments) <= _UPRIGHT
    drawn = figure(max(7.0, 2 + 1.6 * len(experiments)), 5.4) if upright else figure(9, 2.2 + 0.4 * len(experiments))
    axes = drawn.subplots()
    _groups(axes, experiments, known, upright=upright)
    if gain:
        (axes.axhline if upright else axes.axvline)(0, color=INK, linewidth=1.2)
    places = {name: place for place, name in enumerate(experiments)}
    for order, split in enumerate(splits):
        own = known[known["split"] == split]
        shift = (order - (len(splits) - 1) / 2) * 0.19
        at = own["experiment"].map(places).to_numpy(dtype=float) + shift
        _points(axes, at, own, split, upright=upright)
    (axes.set_ylabel if upright else axes.set_xlabel)(_label(gain, metric))
    heading(drawn, title)
    handles: list[Line2D] = split_handles(splits)
    if known["baseline"].any():
        handles.append(
            Line2D([], [], color=SOFT, marker="o", markerfacecolor="white", linestyle="", label="hollow: baseline")
        )
    legend_below(drawn, handles, _note(known, confidence))
    return drawn


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
    settings = known[~known["baseline"].astype(bool)].dropna(subset=[over])
    if not len(settings):
        return nothing_to_draw(title, f"No experiment has a value of {_SHORT[over]}.")
    other = "neighbours" if over == "rho" else "rho"
    keys = ["classifier", *(key for key in ("distance", other) if settings[key].nunique(dropna=False) > 1)]
    groups = list(settings.groupby(keys, sort=False, dropna=False))
    columns = _columns(len(groups))
    drawn, grid = panels(len(groups), columns=columns, width=3.9, height=3.2, room=1.9)
    splits = splits_in(settings)
    for axes, (names, own) in zip(grid, groups, strict=True):
        if gain:
            axes.axhline(0, color=INK, linewidth=1.2)
        elif len(baselines):
            _baselines(axes, baselines[baselines["classifier"] == names[0]])
        _lines(axes, own, over, splits)
        axes.set_title(_panel_title(keys, names), fontsize=11)
    outer_labels(grid, columns, x=_AXES[over] if columns < 2 or over != "rho" else "rho", y=_label(gain, metric))
    heading(drawn, title)
    handles = split_handles(splits, linestyle="-")
    if not gain and len(baselines):
        handles.append(Line2D([], [], color=SOFT, linestyle=(0, (4, 2)), label="baseline"))
    note = _note(settings, confidence)
    if columns > 1 and over == "rho":
        note = f"rho: sampled images of base classes for each image of the few classes. {note}"
    legend_below(drawn, handles, note)
    return drawn


def _points(axes: Axes, at: np.ndarray, own: pd.DataFrame, split: str, *, upright: bool) -> None:
    """Means with their intervals; those of a baseline are hollow."""
    means, colour = 100 * own["mean"].to_numpy(dtype=float), SPLIT_COLOURS[split]
    below, above = _reach(own)
    ends = (means - below, means + above)
    (axes.vlines if upright else axes.hlines)(at, *ends, color=colour, linewidth=1.6)
    hollow = own["baseline"].to_numpy(dtype=bool)
    for kept, face in ((~hollow, colour), (hollow, "white")):
        x, y = (at[kept], means[kept]) if upright else (means[kept], at[kept])
        axes.plot(
            x,
            y,
            color=colour,
            linestyle="",
            marker=SPLIT_MARKERS[split],
            markersize=5.5,
            markerfacecolor=face,
            markeredgecolor=colour,
            zorder=3,
        )


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
        broken = [",\n".join(short(part, 20) for part in name.split(", ")) for name in experiments]
        axes.set_xticks(range(len(broken)), broken)
        axes.set_xlim(-0.5, len(broken) - 0.5)
        axes.grid(visible=False, axis="x")
        axes.tick_params(axis="x", length=0)
    else:
        axes.set_yticks(range(len(experiments)), [short(name, 40) for name in experiments])
        axes.set_ylim(len(experiments) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)


def _lines(axes: Axes, own: pd.DataFrame, over: str, splits: list[str]) -> None:
    values = sorted(float(value) for value in own[over].unique())
    logarithmic = over == "rho" and values[0] > 0 and values[-1] >= 8 * values[0]
    reach = np.log10(values[-1] / values[0]) if logarithmic else (values[-1] - values[0]) or 1.0
    for order, split in enumerate(splits):
        rows = own[own["split"] == split].sort_values(over)
        apart = (order - (len(splits) - 1) / 2) * 0.008 * reach  # or error bars of one setting would hide each other
        at = rows[over].to_numpy(dtype=float)
        at = at * 10**apart if logarithmic else at + apart
        look: dict[str, Any] = {"color": SPLIT_COLOURS[split], "marker": SPLIT_MARKERS[split]}
        reaches = np.array(_reach(rows))
        axes.errorbar(
            at,
            100 * rows["mean"],
            yerr=reaches,
            linewidth=1.6,
            markersize=5,
            elinewidth=1.3,
            capsize=2,
            zorder=3,
            **look,
        )
    if len(values) == 1:
        axes.set_xlim(values[0] - 0.1, values[0] + 0.1)
    _ticks(axes, values, logarithmic=logarithmic)


def _ticks(axes: Axes, values: list[float], *, logarithmic: bool) -> None:
    """A tick at every value that was run, and a name where there is room for one."""
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    positions = values if logarithmic else [10 ** (value / (values[-1] or 1.0)) for value in values]
    named = named_fractions(positions, 0.1)
    shown = [value for value, has_room in zip(values, named, strict=True) if has_room]
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.set_xticks([value for value in values if value not in shown], minor=True)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_tick_params(labelbottom=True)


def _baselines(axes: Axes, own: pd.DataFrame) -> None:
    for row in own.to_dict("records"):
        axes.axhline(100 * row["mean"], color=SPLIT_COLOURS[row["split"]], linestyle=(0, (4, 2)), linewidth=1.2)


def _reach(own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """How far intervals reach below and above their means, in points; 0 where there is none."""
    means = own["mean"].to_numpy(dtype=float)
    below, above = (means - own["low"].to_numpy(dtype=float), own["high"].to_numpy(dtype=float) - means)
    return 100 * np.nan_to_num(below).clip(0), 100 * np.nan_to_num(above).clip(0)


def _columns(count: int) -> int:
    """So many that rows come out even where they can."""
    if count in (2, 4):
        return 2
    return 4 if count % 4 == 0 else 3


def _panel_title(keys: list[str], names: tuple) -> str:
    parts = [short(names[0], 24)]
    for key, name in zip(keys[1:], names[1:], strict=True):
        missing = name is None or name != name  # noqa: PLR0124 - NaN is the one value that differs from itself
        parts.append(f"{_SHORT[key]} {'unknown' if missing else name if key == 'distance' else f'{name:g}'}")
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
