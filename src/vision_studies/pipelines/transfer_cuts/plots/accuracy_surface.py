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
from vision_studies.pipelines.transfer_cuts.plots.cut_axes import (
    BASELINE,
    cut_name,
    cut_tick,
    cuts_of,
    fractions_of,
    percent_of,
    percentage,
    share_name,
)

_SEQUENTIAL = "Viridis"  # can be told apart by colour-blind readers, and in grey


def accuracy_surface(accuracies: pd.DataFrame, labels: Mapping[str, str]) -> InteractiveFigure | None:
    """Mean test accuracy over cut and share of the training images: as a map, and as a surface in three dimensions.

    Args:
        accuracies: one row a run: mode, cut (-1: the baseline), fraction, test_accuracy (fraction); optionally images.
        labels: mode -> what readers call it; rows of other modes but the baseline's are left out.

    Returns:
        None where no mode has an accuracy.

    Raises:
        DataError: a column is missing.
    """
    need_columns(accuracies, ("mode", "cut", "fraction", "test_accuracy"), "accuracies")
    known = accuracies.dropna(subset=["test_accuracy"])
    tables = {mode: known[(known["mode"] == mode) | (known["cut"] == BASELINE)] for mode in labels}
    tables = {mode: table for mode, table in tables.items() if (table["mode"] == mode).any()}
    if not tables:
        return None
    traces: list[Any] = []
    views = []
    for mode, table in tables.items():
        of_mode = f", {labels[mode]}" if len(tables) > 1 else ""
        traces.append(_accuracy_map(table))
        views.append(view(f"Map{of_mode}", xaxis__visible=True, yaxis__visible=True))
        if (surface := _accuracy_surface(table)) is not None:
            traces.append(surface)
            views.append(view(f"Surface{of_mode} (3D)", webgl=True, xaxis__visible=False, yaxis__visible=False))
    for place, trace in enumerate(traces):
        trace.update(visible=place == 0, meta={"view": place})
    drawn = figure(
        traces,
        height=480,
        views=views,
        views_label="Show",
        xaxis=categories("cut: convolutions that are taken over"),
        yaxis=categories("share of the training images"),
        coloraxis=colour_scale(_SEQUENTIAL, "accuracy (%)"),
        scene=_scene(known),
    )
    caption = (
        "Mean test accuracy over repeats. Point at a cell for its spread; drag the surface to turn it. It is straight "
        "between the means, and leaves out the baseline."
    )
    return InteractiveFigure("Accuracy over cut and share of images", caption, drawn)


def _accuracy_map(table: pd.DataFrame) -> Heatmap:
    cuts, fractions = cuts_of(table), fractions_of(table)
    runs = [[percent_of(table, fraction, cut) for cut in cuts] for fraction in fractions]
    return cells(
        z=[[_mean(values) for values in row] for row in runs],
        x=[cut_tick(cut) for cut in cuts],
        y=[percentage(fraction) for fraction in fractions],
        text=[[f"{values.mean():.1f}" if len(values) else "–" for values in row] for row in runs],
        customdata=[
            [
                f"{_cell_name(table, fraction, cut)}<br>{_described(values)}"
                for cut, values in zip(cuts, row, strict=True)
            ]
            for fraction, row in zip(fractions, runs, strict=True)
        ],
    )


def _mean(values: np.ndarray) -> float | None:
    return values.mean() if len(values) else None


def _cell_name(table: pd.DataFrame, fraction: float, cut: int) -> str:
    return f"{cut_name(cut)}, {share_name(table, fraction)}"


def _described(values: np.ndarray) -> str:
    if not len(values):
        return "not run"
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread} %<br>{len(values)} run{'s' if len(values) > 1 else ''}"


def _accuracy_surface(table: pd.DataFrame) -> Surface | None:
    own = table[table["cut"] != BASELINE]
    cuts, fractions = cuts_of(own), fractions_of(own)
    if min(len(cuts), len(fractions)) < 2:
        return None  # a surface needs two of each
    return Surface(
        z=[[_mean(percent_of(own, fraction, cut)) for cut in cuts] for fraction in fractions],
        x=cuts,
        y=np.log10(fractions).tolist(),
        customdata=[[_cell_name(own, fraction, cut) for cut in cuts] for fraction in fractions],
        coloraxis="coloraxis",
        hovertemplate="%{customdata}<br>%{z:.2f} %<extra></extra>",
    )


def _scene(known: pd.DataFrame) -> dict[str, Any]:
    own = known[known["cut"] != BASELINE]
    cuts, fractions = cuts_of(own), fractions_of(own)
    return {
        "xaxis": {"title": {"text": "cut"}, "tickvals": cuts},
        "yaxis": {
            "title": {"text": "share"},
            "tickvals": np.log10(fractions).tolist(),
            "ticktext": [percentage(fraction) for fraction in fractions],
        },
        "zaxis": {"title": {"text": "accuracy (%)"}},
        "camera": {"eye": {"x": 1.55, "y": -1.55, "z": 0.85}, "center": {"x": 0, "y": 0, "z": -0.15}},
        "aspectratio": {"x": 1.1, "y": 1.2, "z": 0.8},
    }
