"""Accuracy against what it costs, of all variants of all studies."""

from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Scatter

from vision_studies.plots.interactive_style import (
    COLOURS,
    SYMBOLS,
    InteractiveFigure,
    escaped,
    figure,
    need_columns,
    view,
)

MOST_POINTS = 1_500

# Column -> name of the view, label of the axis.
_COSTS = {
    "parameters": ("Parameters", "parameters"),
    "macs": ("Operations", "multiply-accumulate operations for an image"),
    "seconds": ("Training time", "training time of a run (seconds)"),
}
_NEEDED = ("study", "pipeline", "data", "variant", "accuracy")


def accuracy_against_cost(variants: pd.DataFrame) -> InteractiveFigure | None:
    """Test accuracy against parameters, multiply-accumulate operations or training time, on a logarithmic axis.

    Pipelines have colours, data sets have signs; each pair can be switched on and off.

    Args:
        variants: one row a variant: study, pipeline, data (name of the data set), variant, accuracy (mean, a fraction) and
            at least one of parameters, macs, seconds (missing or zero: not shown in that view). Optionally low and high,
            the ends of the accuracy's interval, and n, how many runs it is the mean of.

    Returns:
        None where no variant has an accuracy and a cost.

    Raises:
        DataError: a column is missing.
    """
    need_columns(variants, _NEEDED, "variants")
    costs = [name for name in _COSTS if name in variants and (variants[name].astype(float) > 0).any()]
    known = variants.dropna(subset=["accuracy"])
    known = known[(known[costs].astype(float) > 0).any(axis=1)] if costs else known.head(0)
    costs = [name for name in costs if (known[name].astype(float) > 0).any()]
    if known.empty:
        return None
    shown = known.nlargest(MOST_POINTS, "accuracy") if len(known) > MOST_POINTS else known
    pipelines, sets = list(dict.fromkeys(known["pipeline"])), list(dict.fromkeys(known["data"]))
    traces = [
        _points(own, costs, pipelines.index(pipeline), sets.index(data))
        for (pipeline, data), own in shown.groupby(["pipeline", "data"], sort=False)
    ]
    views = [view(_COSTS[name][0], xaxis__title__text=_COSTS[name][1]) for name in costs]
    drawn = figure(
        traces,
        height=480,
        views=views,
        views_label="Against",
        wide=True,
        switches_label="Pipelines and data sets",
        hovermode="closest",
        xaxis={"type": "log", "title": {"text": _COSTS[costs[0]][1]}, "dtick": 1, "exponentformat": "SI"},
        yaxis={"title": {"text": "test accuracy (%)"}, "automargin": True},
    )
    caption = (
        "A point is a variant: the mean over its runs, and its interval where it has one. Point at it for its values."
    )
    if len(shown) < len(known):
        caption += f" The {len(shown):,} most accurate of {len(known):,} variants are shown."
    return InteractiveFigure("Accuracy and cost", caption, drawn)


def _points(own: pd.DataFrame, costs: list[str], pipeline: int, data: int) -> Scatter:
    x = [np.where(own[name].astype(float) > 0, own[name].astype(float), np.nan).tolist() for name in costs]
    accuracy = 100 * own["accuracy"].astype(float)
    first = own.iloc[0]
    return Scatter(
        x=x[0],
        y=accuracy.tolist(),
        error_y=_error_bars(own, accuracy),
        mode="markers",
        marker={
            "color": COLOURS[pipeline % len(COLOURS)],
            "symbol": SYMBOLS[data % len(SYMBOLS)],
            "size": 10,
            "opacity": 0.85,
        },
        text=[_said(row) for row in own.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
        meta={
            "group": str(first["pipeline"]),
            "label": str(first["data"]),
            "views": [{"x": other} for other in x[1:]],
        },
    )


def _error_bars(own: pd.DataFrame, accuracy: pd.Series) -> dict[str, Any] | None:
    if not {"low", "high"} <= set(own.columns) or own["low"].isna().all():
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": (100 * own["high"].astype(float) - accuracy).fillna(0).tolist(),
        "arrayminus": (accuracy - 100 * own["low"].astype(float)).fillna(0).tolist(),
        "thickness": 1.2,
        "width": 3,
    }


def _said(row: dict[Any, Any]) -> str:
    lines = [f"<b>{escaped(row['variant'], 60)}</b>", f"{escaped(row['pipeline'])}, {escaped(row['data'])}"]
    lines.append(f"study {escaped(row['study'], 60)}")
    interval = ""
    if not pd.isna(row.get("low")) and not pd.isna(row.get("high")):
        interval = f" ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
    runs = "" if pd.isna(row.get("n")) else f", {row['n']:.0f} run{'' if row['n'] == 1 else 's'}"
    lines.append(f"accuracy {100 * row['accuracy']:.2f} %{interval}{runs}")
    for name, unit in (("parameters", "parameters"), ("macs", "operations an image"), ("seconds", "s training")):
        if not pd.isna(row.get(name)):
            lines.append(f"{row[name]:,.4g} {unit}" if name == "seconds" else f"{row[name]:,.0f} {unit}")
    return "<br>".join(lines)
