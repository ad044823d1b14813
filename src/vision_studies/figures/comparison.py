"""Variants of a study against each other."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.marks import spread
from vision_studies.figures.panels import finished, single, small_multiples
from vision_studies.figures.style import INK, SOFT, colour, numbered, short, styled

_SPREAD = 0.16  # how far from its row the dots of a variant lie at most, in rows
_NUMBERS = ("n", "mean", "low", "high", "difference", "difference_low", "difference_high", "confidence")


@styled
def comparison_figure(results: pd.DataFrame, comparison: pd.DataFrame, *, metric: str = "test_accuracy") -> Figure:
    """Every run as a dot, with mean and interval of each variant and, beside them, of its differences to the baseline.

    Args:
        results: one row a run: variant, seed and the metric, a fraction.
        comparison: from `statistics.comparisons.compare_variants`: variant, n, mean, low, high, difference,
            difference_low, difference_high (missing for the baseline), confidence.
        metric: the column of `results` that was compared.
    """
    rows = comparison.astype(dict.fromkeys(_NUMBERS, float)).to_dict("records")
    values = {name: runs.set_index("seed")[metric].dropna() for name, runs in results.groupby("variant")}
    colours = {name: colour(number) for name, number in numbered(results["variant"]).items()}
    height = 1.7 + 0.62 * max(1, len(rows))
    confidence = f"{100 * rows[0]['confidence']:g} % interval" if rows else "interval"
    name = metric.replace("_", " ")
    if any(not np.isnan(row["difference"]) for row in rows):
        sharing: dict[str, Any] = {"sharey": True, "width_ratios": (1.25, 1)}
        panels = small_multiples(2, columns=2, size=(6, height), margin=(0, 0), **sharing)
        figure, (left, right) = panels.figure, panels.axes
        _differences(right, rows, values, colours, name)
    else:
        figure, left = single(9, height)
    for y, row in enumerate(rows):
        _row(left, y, colours[row["variant"]], values[row["variant"]], row["mean"], row["low"], row["high"])
    left.set_yticks(range(len(rows)), [f"{short(row['variant'], 30)}\nn = {row['n']:.0f}" for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel(f"{name} (%)")
    left.set_title(f"{name.capitalize()} of each variant")
    left.margins(x=0.08)
    figure.set_label(f"{name}: {'; '.join(map(_described, rows))}")
    note = f"Dots: single runs. Diamond and bar: mean and {confidence}."
    if any(row["n"] < 2 for row in rows):
        note += " One run has no interval."
    return finished(figure, small_print=note)


def _described(row: dict[Any, Any]) -> str:
    reach = "" if np.isnan(row["low"]) else f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    difference = "" if np.isnan(row["difference"]) else f", {100 * row['difference']:+.1f} points against the baseline"
    return f"{short(row['variant'], 30)} {100 * row['mean']:.1f} %{reach}{difference}"


def _differences(
    axes: Axes, rows: list[dict], values: dict[str, pd.Series], colours: dict[str, str], name: str
) -> None:
    baseline = next(row["variant"] for row in rows if np.isnan(row["difference"]))
    axes.axvline(0, color=SOFT, linewidth=1.2)
    for y, row in enumerate(rows):
        if row["variant"] == baseline:
            look: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "fontsize": 9}
            axes.annotate("baseline", (0, y), color=SOFT, **look)
            continue
        # Aligned by seed: a seed that only one of the two has gives NaN, and drops out.
        differences = (values[row["variant"]] - values[baseline]).dropna()
        ends = row["difference_low"], row["difference_high"]
        _row(axes, y, colours[row["variant"]], differences, row["difference"], *ends)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    axes.set_xlabel(f"difference in {name}, seed by seed (points)")
    axes.set_title(f"Minus '{short(baseline)}'")


def _row(axes: Axes, y: int, hue: str, runs: pd.Series, mean: float, low: float, high: float) -> None:
    """Fractions in percent: runs as dots, their mean as a diamond, and its interval where it has one."""
    dots = y + spread(len(runs), _SPREAD)
    axes.plot(100 * runs, dots, "o", color=hue, alpha=0.5, markersize=6, markeredgewidth=0, zorder=3)
    if not np.isnan(low):
        reach = [[100 * (mean - low)], [100 * (high - mean)]]
        axes.errorbar(100 * mean, y, xerr=reach, color=INK, capsize=5, elinewidth=1.8, zorder=4)
    axes.plot(100 * mean, y, "D", color=hue, markersize=8, markeredgecolor="white", zorder=5)
