"""Accuracy against what it costs, of all variants of all studies."""

from typing import Any

import pandas as pd
from plotly.graph_objects import Scatter

from vision_studies.figures.interactive_style import (
    SYMBOLS,
    InteractiveFigure,
    escaped,
    figure,
    need_columns,
    numbers,
    view,
)
from vision_studies.figures.style import colour

MOST_POINTS = 1_500

# Column -> name of the view, label of the axis, how it is told of a variant.
_COSTS = {
    "parameters": ("Parameters", "parameters", "{:,.0f} parameters"),
    "macs": ("Operations", "multiply-accumulate operations for an image", "{:,.0f} operations an image"),
    "seconds": ("Training time", "training time of a run (seconds)", "{:,.4g} s training"),
}


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
    need_columns(variants, ("study", "pipeline", "data", "variant", "accuracy"), "variants")
    known = variants.dropna(subset=["accuracy"])
    paid = known[[name for name in _COSTS if name in known]].astype(float) > 0
    costs = [name for name in paid if paid[name].any()]
    if not costs:
        return None
    known = known[paid.any(axis=1)]
    shown = known.nlargest(MOST_POINTS, "accuracy") if len(known) > MOST_POINTS else known
    pipelines, sets = list(dict.fromkeys(known["pipeline"])), list(dict.fromkeys(known["data"]))
    traces = [
        _points(rows, costs, colour(pipelines.index(pipeline)), SYMBOLS[sets.index(data) % len(SYMBOLS)])
        for (pipeline, data), rows in shown.groupby(["pipeline", "data"], sort=False)
    ]
    drawn = figure(
        traces,
        height=480,
        views=[view(_COSTS[name][0], xaxis__title__text=_COSTS[name][1]) for name in costs],
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


def _points(rows: pd.DataFrame, costs: list[str], colour_of_pipeline: str, symbol: str) -> Scatter:
    x, *others = [numbers(rows[name].astype(float).where(lambda cost: cost > 0)) for name in costs]
    first = rows.iloc[0]
    return Scatter(
        x=x,
        y=numbers(100 * rows["accuracy"]),
        error_y=_error_bars(rows),
        mode="markers",
        marker={"color": colour_of_pipeline, "symbol": symbol, "size": 10, "opacity": 0.85},
        text=[_said(row) for row in rows.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
        meta={
            "group": str(first["pipeline"]),
            "label": str(first["data"]),
            "views": [{"x": other} for other in others],
        },
    )


def _error_bars(rows: pd.DataFrame) -> dict[str, Any] | None:
    if not {"low", "high"} <= set(rows.columns) or rows["low"].isna().all():
        return None
    above, below = rows["high"].astype(float) - rows["accuracy"], rows["accuracy"] - rows["low"].astype(float)
    ends = {"array": numbers(100 * above.fillna(0)), "arrayminus": numbers(100 * below.fillna(0))}
    return {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, **ends}


def _said(row: dict[Any, Any]) -> str:
    known = {name for name, value in row.items() if not pd.isna(value)}
    interval = f" ({100 * row['low']:.2f} to {100 * row['high']:.2f})" if {"low", "high"} <= known else ""
    runs = f", {row['n']:.0f} run{'' if row['n'] == 1 else 's'}" if "n" in known else ""
    lines = [
        f"<b>{escaped(row['variant'], 60)}</b>",
        f"{escaped(row['pipeline'])}, {escaped(row['data'])}",
        f"study {escaped(row['study'], 60)}",
        f"accuracy {100 * row['accuracy']:.2f} %{interval}{runs}",
        *(write.format(row[name]) for name, (_, _, write) in _COSTS.items() if name in known),
    ]
    return "<br>".join(lines)
