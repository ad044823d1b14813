"""Accuracy over cut and share of images, as a map whose cells can be read one by one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Heatmap, Surface

from vision_studies.figures.interactive_style import (
    InteractiveFigure,
    categories,
    cells,
    colour_scale,
    figure,
    need_columns,
    view,
)
from vision_studies.pipelines.transfer_cuts.plots import cut_name, fractions_of, mean_limits, percents, share_name
from vision_studies.pipelines.transfer_cuts.settings import BASELINE_CUT, cut_label, percentage

_SEQUENTIAL = "Viridis"  # can be told apart by colour-blind readers, and in grey


def accuracy_surface(accuracies: pd.DataFrame, labels: Mapping[str, str]) -> InteractiveFigure | None:
    """Mean test accuracy over cut and share of the training images: as a map, and as a surface in three dimensions.

    Colours and heights have one scale for all modes.

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
        of_mode = f", {labels[mode]}" if len(modes) > 1 else ""
        traces.append(_accuracy_map(table))
        views.append(view(f"Map{of_mode}", xaxis__visible=True, yaxis__visible=True))
        if (surface := _accuracy_surface(table)) is not None:
            traces.append(surface)
            views.append(view(f"Surface{of_mode} (3D)", webgl=True, xaxis__visible=False, yaxis__visible=False))
    for number, trace in enumerate(traces):
        trace.update(visible=number == 0, meta={"view": number})
    chart = figure(
        traces,
        height=480,
        views=views,
        views_label="Show",
        xaxis=categories("cut: convolutions that are taken over"),
        yaxis=categories("share of the training images"),
        coloraxis=colour_scale(_SEQUENTIAL, "accuracy (%)", cmin=low, cmax=high),
        scene=_scene(shown, (low, high)),
    )
    caption = (
        "Mean test accuracy over repeats. Point at a cell for its spread; drag the surface to turn it. It is straight "
        "between the means, and leaves out the baseline."
    )
    return InteractiveFigure("Accuracy over cut and share of images", caption, chart)


def _accuracy_map(table: pd.DataFrame) -> Heatmap:
    means, deviations, counts = (percents(table, which) for which in ("mean", "std", "count"))

    def described(fraction: float, cut: int) -> str:
        name, mean = _cell_name(table, fraction, cut), means.at[fraction, cut]
        if np.isnan(mean):
            return f"{name}<br>not run"
        runs, deviation = int(counts.at[fraction, cut]), deviations.at[fraction, cut]
        spread = f" ± {deviation:.2f}" if runs > 1 else ""
        return f"{name}<br>{mean:.2f}{spread} %<br>{runs} run{'s' if runs > 1 else ''}"

    return cells(
        z=_heights(means),
        x=[cut_label(cut) for cut in means],
        y=[percentage(fraction) for fraction in means.index],
        text=[["–" if np.isnan(mean) else f"{mean:.1f}" for mean in row] for row in means.to_numpy()],
        customdata=[[described(fraction, cut) for cut in means] for fraction in means.index],
    )


def _accuracy_surface(table: pd.DataFrame) -> Surface | None:
    transferred = table[table["cut"] != BASELINE_CUT]
    means = percents(transferred)
    if min(means.shape) < 2:
        return None  # a surface needs two of each
    return Surface(
        z=_heights(means),
        x=means.columns.tolist(),
        y=np.log10(means.index).tolist(),
        customdata=[[_cell_name(transferred, fraction, cut) for cut in means] for fraction in means.index],
        coloraxis="coloraxis",
        hovertemplate="%{customdata}<br>%{z:.2f} %<extra></extra>",
    )


def _heights(means: pd.DataFrame) -> list[list[float | None]]:
    return [[None if np.isnan(mean) else mean for mean in row] for row in means.to_numpy()]


def _cell_name(table: pd.DataFrame, fraction: float, cut: int) -> str:
    return f"{cut_name(cut)}, {share_name(table, fraction)}"


def _scene(scored: pd.DataFrame, heights: tuple[float, float]) -> dict[str, Any]:
    transferred = scored[scored["cut"] != BASELINE_CUT]
    fractions = fractions_of(transferred)
    return {
        "xaxis": {"title": {"text": "cut"}, "tickvals": sorted(transferred["cut"].astype(int).unique().tolist())},
        "yaxis": {
            "title": {"text": "share"},
            "tickvals": np.log10(fractions).tolist(),
            "ticktext": [percentage(fraction) for fraction in fractions],
        },
        "zaxis": {"title": {"text": "accuracy (%)"}, "range": list(heights)},
        "camera": {"eye": {"x": 1.55, "y": -1.55, "z": 0.85}, "center": {"x": 0, "y": 0, "z": -0.15}},
        "aspectratio": {"x": 1.1, "y": 1.2, "z": 0.8},
    }
