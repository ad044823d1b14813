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
    known = variants.dropna(subset=["accuracy"])
    paid = known[[name for name in _COSTS if name in known]].astype(float) > 0
    known = known[paid.any(axis=1)]
    if known.empty:
        return None
    costs = [name for name in paid if paid[name].any()]
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
    x = [numbers(rows[name].astype(float).where(rows[name].astype(float) > 0)) for name in costs]
    first = rows.iloc[0]
    return Scatter(
        x=x[0],
        y=numbers(100 * rows["accuracy"]),
        error_y=_error_bars(rows),
        mode="markers",
        marker={"color": colour_of_pipeline, "symbol": symbol, "size": 10, "opacity": 0.85},
        text=[_said(row) for row in rows.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
        meta={"group": str(first["pipeline"]), "label": str(first["data"]), "views": [{"x": other} for other in x[1:]]},
    )


def _error_bars(rows: pd.DataFrame) -> dict[str, Any] | None:
    if not {"low", "high"} <= set(rows.columns) or rows["low"].isna().all():
        return None
    above, below = rows["high"].astype(float) - rows["accuracy"], rows["accuracy"] - rows["low"].astype(float)
    ends = {"array": numbers(100 * above.fillna(0)), "arrayminus": numbers(100 * below.fillna(0))}
    return {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, **ends}


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
