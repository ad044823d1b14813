"""Accuracy over cut and share of images, as a map whose cells can be read one by one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Heatmap

from vision_studies.figures.interactive_style import (
    InteractiveFigure,
    categories,
    cells,
    colour_scale,
    figure,
    need_columns,
    view,
)
from vision_studies.pipelines.transfer_cuts.plots import cut_name, mean_limits, percents, share_name
from vision_studies.pipelines.transfer_cuts.settings import BASELINE_CUT, cut_label, percentage

_SEQUENTIAL = "Viridis"  # can be told apart by colour-blind readers, and in grey


def accuracy_map(accuracies: pd.DataFrame, labels: Mapping[str, str]) -> InteractiveFigure | None:
    """Mean test accuracy over cut and share of the training images, as a map a mode; all have one scale of colours.

    Args:
        accuracies: one row a run: mode, cut (-1: the baseline), fraction, test_accuracy (fraction); optionally images.
        labels: mode -> what readers call it; rows of other modes but the baseline's are left out.

    Returns:
        None where no mode has an accuracy.

    Raises:
        DataError: a column is missing.
    """
    need_columns(accuracies, ("mode", "cut", "fraction", "test_accuracy"), "accuracies")
    scored = accuracies.dropna(subset=["test_accuracy"])
    modes = [mode for mode in labels if (scored["mode"] == mode).any()]
    if not modes:
        return None
    shown = scored[scored["mode"].isin(modes) | (scored["cut"] == BASELINE_CUT)]
    low, high = mean_limits(shown)
    traces: list[Any] = []
    views = []
    for mode in modes:
        table = scored[(scored["mode"] == mode) | (scored["cut"] == BASELINE_CUT)]
        traces.append(_accuracy_map(table))
        views.append(view(labels[mode]))
    for number, trace in enumerate(traces):
        trace.update(visible=number == 0, meta={"view": number})
    chart = figure(
        traces,
        height=480,
        views=views,
        views_label="Mode",
        xaxis=categories("cut: convolutions that are taken over"),
        yaxis=categories("share of the training images"),
        coloraxis=colour_scale(_SEQUENTIAL, "accuracy (%)", cmin=low, cmax=high),
    )
    caption = "Mean test accuracy over repeats. Point at a cell for its spread."
    return InteractiveFigure("Accuracy over cut and share of images", caption, chart)


def _accuracy_map(table: pd.DataFrame) -> Heatmap:
    means, deviations, counts = (percents(table, which) for which in ("mean", "std", "count"))

    def described(fraction: float, cut: int) -> str:
        name, mean = f"{cut_name(cut)}, {share_name(table, fraction)}", means.at[fraction, cut]
        if np.isnan(mean):
            return f"{name}<br>not run"
        runs, deviation = int(counts.at[fraction, cut]), deviations.at[fraction, cut]
        spread = f" ± {deviation:.2f}" if runs > 1 else ""
        return f"{name}<br>{mean:.2f}{spread} %<br>{runs} run{'s' if runs > 1 else ''}"

    return cells(
        z=[[None if np.isnan(mean) else mean for mean in row] for row in means.to_numpy()],
        x=[cut_label(cut) for cut in means],
        y=[percentage(fraction) for fraction in means.index],
        text=[["–" if np.isnan(mean) else f"{mean:.1f}" for mean in row] for row in means.to_numpy()],
        customdata=[[described(fraction, cut) for cut in means] for fraction in means.index],
    )
