"""Variants of a study against each other."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.plots.style import COLOURS, INK, SOFT, figure, footnote, short, styled

_SPREAD = 0.16  # how far from its row the dots of a variant lie at most, in rows


@styled
def comparison_figure(results: pd.DataFrame, comparison: pd.DataFrame, *, metric: str = "test_accuracy") -> Figure:
    """Every run as a dot, with mean and interval of each variant and, beside them, of its differences to the baseline.

    Args:
        results: one row a run: variant, seed and the metric, a fraction.
        comparison: from `analysis.statistics.compare_variants`: variant, n, mean, low, high, difference,
            difference_low, difference_high (missing for the baseline), confidence.
        metric: the column of `results` that was compared.
    """
    rows = comparison.astype(dict.fromkeys(_NUMBERS, float)).to_dict("records")
    values = {name: own.set_index("seed")[metric].dropna() for name, own in results.groupby("variant")}
    compared = [row for row in rows if not np.isnan(row["difference"])]
    drawn = figure(12 if compared else 9, 1.7 + 0.62 * max(1, len(rows)))
    confidence = f"{100 * rows[0]['confidence']:g} % interval" if rows else "interval"
    name = metric.replace("_", " ")
    if compared:
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
        _differences(right, rows, values, name)
    else:
        left = drawn.subplots()
    for place, row in enumerate(rows):
        colour = COLOURS[place % len(COLOURS)]
        _dots(left, 100 * values[row["variant"]].to_numpy(), place, colour)
        _mean(left, 100 * row["mean"], 100 * row["low"], 100 * row["high"], place, colour)
    left.set_yticks(range(len(rows)), [f"{short(row['variant'], 30)}\nn = {row['n']:.0f}" for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel(f"{name} (%)")
    left.set_title(f"{name.capitalize()} of each variant")
    left.margins(x=0.08)
    note = f"Dots: single runs. Diamond and bar: mean and {confidence}."
    if any(row["n"] < 2 for row in rows):
        note += " One run has no interval."
    footnote(drawn, note)
    return drawn


_NUMBERS = ("n", "mean", "low", "high", "difference", "difference_low", "difference_high", "confidence")


def _differences(axes: Axes, rows: list[dict], values: dict[str, pd.Series], name: str) -> None:
    baseline = next(row["variant"] for row in rows if np.isnan(row["difference"]))
    axes.axvline(0, color=SOFT, linewidth=1.2)
    for place, row in enumerate(rows):
        colour = COLOURS[place % len(COLOURS)]
        if row["variant"] == baseline:
            axes.annotate(
                "baseline", (0, place), xytext=(6, 0), textcoords="offset points", va="center", color=SOFT, fontsize=9
            )
            continue
        # Aligned by seed: a seed that only one of the two has gives NaN, and drops out.
        differences = (values[row["variant"]] - values[baseline]).dropna()
        _dots(axes, 100 * differences.to_numpy(), place, colour)
        _mean(axes, 100 * row["difference"], 100 * row["difference_low"], 100 * row["difference_high"], place, colour)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    axes.set_xlabel(f"difference in {name}, seed by seed (points)")
    axes.set_title(f"Minus '{short(baseline)}'")


def _dots(axes: Axes, values: np.ndarray, place: int, colour: str) -> None:
    offsets = np.linspace(-_SPREAD, _SPREAD, len(values)) if len(values) > 1 else np.zeros(len(values))
    axes.plot(values, place + offsets, "o", color=colour, alpha=0.5, markersize=6, markeredgewidth=0, zorder=3)


def _mean(axes: Axes, mean: float, low: float, high: float, place: int, colour: str) -> None:
    if not np.isnan(low):
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], color=INK, capsize=5, elinewidth=1.8, zorder=4)
    axes.plot(mean, place, "D", color=colour, markersize=8, markeredgecolor="white", zorder=5)
