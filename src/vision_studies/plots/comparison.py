"""Variants against each other."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vision_studies.plots.style import COLOURS, figure, style


def comparison_figure(results: pd.DataFrame, comparison: pd.DataFrame) -> Figure:
    """Test accuracy of every run, with mean and interval of each variant.

    Args:
        results: columns variant, seed, test_accuracy (fraction).
        comparison: from `analysis.statistics.compare_variants`, of test accuracy.
    """
    with style():
        drawn = figure(9, 1.8 + 0.75 * len(comparison))
        axes = drawn.subplots()
        labels = []
        for position, row in enumerate(comparison.to_dict("records")):
            values = 100 * results.loc[results["variant"] == row["variant"], "test_accuracy"].dropna().to_numpy()
            spread = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(len(values))
            colour = COLOURS[position % len(COLOURS)]
            if not np.isnan(row["low"]):
                interval = [[100 * (row["mean"] - row["low"])], [100 * (row["high"] - row["mean"])]]
                axes.errorbar(
                    100 * row["mean"], position, xerr=interval, color=colour, capsize=5, elinewidth=2, zorder=2
                )
            axes.plot(values, position + spread, "o", color=colour, alpha=0.55, markersize=6, zorder=3)
            axes.plot(100 * row["mean"], position, "D", color=colour, markersize=8, markeredgecolor="white", zorder=4)
            labels.append(f"{row['variant']}\nn = {int(row['n'])}")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("Test accuracy (percent): single runs, mean and interval")
        axes.set_title("Variants compared")
        return drawn
