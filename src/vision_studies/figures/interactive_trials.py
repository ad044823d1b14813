"""Every trial of a search as a line through its hyperparameters: parallel coordinates.

Each hyperparameter is a row with an axis of its own, so that their names and values have room on a narrow screen, too.
Drawn as lines in one pair of axes: Plotly's own parallel coordinates evaluate text as a script, which the page forbids.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from plotly.colors import sample_colorscale
from plotly.graph_objects import Scatter

from vision_studies.errors import ParameterError
from vision_studies.figures.interactive_style import (
    InteractiveFigure,
    colour_scale,
    escaped,
    figure,
    hover,
    need_columns,
    view,
)
from vision_studies.figures.style import short

MOST_TRIALS = 150
_OUTCOME = ["group", "trial", "objective"]  # columns beside the hyperparameters
_INK = "#000000"  # of the best trial; the page turns it white in the dark
# Blue is good: both ends can be seen on white and on black, and by colour-blind readers.
_COLOURS = ("#0072B2", "#8d8d8d", "#E69F00")
_TICKS = 4
_TICK = {"symbol": "line-ns-open", "size": 7, "color": "#8d8d8d"}
_WIDE = 20.0  # values over more than such a factor may have been drawn on a logarithmic scale
_CROWDED = 20  # so many trials are drawn faintly, so that their crossings show


def search_trials(results: pd.DataFrame) -> pd.DataFrame:
    """The trials of `mlp_transfer`'s search as `parallel_coordinates` wants them.

    Args:
        results: rows of the results table, one a trial: variant, trial, configuration, validation_loss.

    Raises:
        DataError: a column is missing.
        ParameterError: a hyperparameter is called `group`, `trial` or `objective`.
    """
    need_columns(results, ("variant", "trial", "configuration", "validation_loss"), "trials")
    prefix, trials = "hyperparameters.", []
    for row in results.to_dict("records"):
        settings = json.loads(row["configuration"]).items()
        hyperparameters = {key.removeprefix(prefix): value for key, value in settings if key.startswith(prefix)}
        trials.append((hyperparameters, row["variant"], row["trial"], row["validation_loss"]))
    return _trial_table(trials)


def optuna_trials(trials: Mapping[str, Any]) -> pd.DataFrame:
    """The trials of `stacking`'s search (`stacking.trials`) as `parallel_coordinates` wants them.

    Args:
        trials: variant -> {"trials": [{"number", "value" (missing where it was ended), "params"}]}.

    Raises:
        ParameterError: a hyperparameter is called `group`, `trial` or `objective`.
    """
    return _trial_table(
        (trial["params"], variant, trial["number"], trial.get("value"))
        for variant, search in trials.items()
        for trial in search["trials"]
    )


def _trial_table(trials: Iterable[tuple[dict[str, Any], Any, Any, Any]]) -> pd.DataFrame:
    """Hyperparameters, group, number and objective of each trial, as one row."""
    rows = []
    for hyperparameters, *outcome in trials:
        if taken := hyperparameters.keys() & set(_OUTCOME):
            raise ParameterError(f"A hyperparameter cannot be called '{min(taken)}'; give it another name.")
        rows.append(hyperparameters | dict(zip(_OUTCOME, outcome, strict=True)))
    return pd.DataFrame(rows, columns=None if rows else _OUTCOME)


def parallel_coordinates(trials: pd.DataFrame, *, objective: str, lower_is_better: bool) -> InteractiveFigure | None:
    """Each trial as a line, coloured by what it reached; the best is black and thick. Groups are shown one at a time.

    Args:
        trials: trial (number), objective (missing where a trial was ended early or diverged: it is left out) and optionally
            group (such as the architecture). Every other column is a hyperparameter (numbers, or anything else as names),
            in their order from top to bottom; those with one value only are left out.
        objective: what `objective` is, with its unit.
        lower_is_better: whether the best trial is the one with the lowest objective.

    Returns:
        None where fewer than two trials of a group have an objective, or no hyperparameter has two values.

    Raises:
        DataError: a column is missing.
    """
    need_columns(trials, ("trial", "objective"), "trials")
    complete = trials.replace([np.inf, -np.inf], np.nan).dropna(subset=["objective"])
    varied = [name for name in complete if name not in _OUTCOME and complete[name].astype(str).nunique() > 1]
    groups = {
        str(name): rows.sort_values("objective", ascending=lower_is_better, kind="stable")
        for name, rows in (complete.groupby("group", sort=False) if "group" in complete else [("all", complete)])
        if len(rows) > 1
    }
    if not groups or not varied:
        return None
    axes = {name: _axis_of(complete[name], name) for name in varied}
    axes["objective"] = _axis_of(complete["objective"].astype(float), objective)
    x, y = zip(*((x, y) for y, axis in enumerate(axes.values()) for x, _ in axis.ticks), strict=True)
    traces = [Scatter(x=x, y=y, mode="markers", marker=_TICK, hoverinfo="skip")]
    views = []
    for number, (name, rows) in enumerate(groups.items()):
        shown = rows.head(MOST_TRIALS)
        ends = (float(shown["objective"].min()), float(shown["objective"].max()))
        views.append(view(name, coloraxis__cmin=ends[0], coloraxis__cmax=ends[1]))
        # The best is drawn last, over the others.
        for rank, row in reversed(list(enumerate(shown.to_dict("records")))):
            reached = _scaled(float(row["objective"]), *ends)
            line = _line(row, axes, reached if lower_is_better else 1 - reached, best=rank == 0)
            line.opacity = 0.5 if rank and len(shown) > _CROWDED else 1
            traces.append(line.update(visible=number == 0, meta={"view": number}))
    # An unseen point, for the scale of colours that lines do not have.
    unseen = {"color": [0], "coloraxis": "coloraxis"}
    traces.append(Scatter(x=[None], y=[None], mode="markers", marker=unseen, hoverinfo="skip"))
    colours = list(zip((0, 0.5, 1), _COLOURS if lower_is_better else _COLOURS[::-1], strict=True))
    scale = colour_scale(colours, escaped(objective), y=1.0)
    bare = {"showticklabels": False, "showline": False, "ticks": "", "zeroline": False, "fixedrange": True}
    fig = figure(
        traces,
        height=140 + 64 * len(axes),
        views=views,
        views_label="Search of",
        hovermode="closest",
        annotations=[label for y, axis in enumerate(axes.values()) for label in _labels(y, axis)],
        xaxis={"range": [-0.03, 1.03], "visible": False, "fixedrange": True},
        yaxis={"range": [len(axes) - 0.5, -0.62], "tickvals": list(range(len(axes))), **bare},
        coloraxis=scale | {key.split(".")[1]: value for key, value in views[0]["layout"].items()},
    )
    fig.update_layout(margin={"l": 16, "r": 16, "b": 16, "t": 60})
    return InteractiveFigure("Hyperparameters of every trial", _caption(trials, complete, groups), fig)


class _Axis(NamedTuple):
    """A hyperparameter, where its values lie between 0 and 1, and which of them are named."""

    name: str
    position: Callable[[Any], float]
    ticks: list[tuple[float, str]]


def _axis_of(values: pd.Series, name: str) -> _Axis:
    values = values.dropna()
    if not pd.api.types.is_numeric_dtype(values.infer_objects()) or values.map(type).eq(bool).any():
        options = sorted({str(value) for value in values})
        positions = {option: number / max(1, len(options) - 1) for number, option in enumerate(options)}
        labels = [(x, short(option, max(4, 40 // len(options)))) for option, x in positions.items()]
        return _Axis(name, lambda value: positions[str(value)], labels)
    low, high = float(values.min()), float(values.max())
    even, decades = (partial(_scaled, low=low, high=high, logarithmic=which) for which in (False, True))
    # The middle of values that were drawn on a logarithmic scale lies nearer to the middle of that scale.
    middle = float(values.median())
    if low > 0 and high / low > _WIDE and abs(decades(middle) - 0.5) < abs(even(middle) - 0.5):
        position, ticks = decades, _logarithmic_ticks(low, high)
    else:
        locator = MaxNLocator(_TICKS, integer=bool((values == values.round()).all()))
        position, ticks = even, [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high] or [low]
    return _Axis(name, position, [(position(tick), f"{tick:.4g}") for tick in ticks])


def _scaled(value: float, low: float, high: float, *, logarithmic: bool = False) -> float:
    if logarithmic:
        value, low, high = np.log10([value, low, high])
    return float((value - low) / (high - low)) if high > low else 0.5


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    decades = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    if len(decades) >= 2:
        return [float(10**decade) for decade in decades[:: -(-len(decades) // _TICKS)]]
    steps = [factor * 10**decade for decade in (*(decades - 1), *decades) for factor in (1, 2, 5)]
    return [step for step in steps if low <= step <= high]


def _labels(y: int, axis: _Axis) -> list[dict[str, Any]]:
    """Name of an axis above its line, and values below; the page paints its ground behind them, over the lines."""
    common = {"showarrow": False, "borderpad": 1}
    name = {"text": f"<b>{escaped(axis.name, 40)}</b>", "x": 0, "xref": "paper", "xanchor": "left"}
    labels: list[dict[str, Any]] = [common | name | {"y": y - 0.07, "yanchor": "bottom"}]
    for x, text in axis.ticks:
        # Labels at the ends would be cut off in the middle.
        anchor = "left" if x < 0.05 else "right" if x > 0.95 else "center"
        labels.append(common | {"text": escaped(text), "x": x, "xanchor": anchor, "y": y + 0.07, "yanchor": "top"})
    return labels


def _line(row: Mapping[Any, Any], axes: Mapping[str, _Axis], shade: float, *, best: bool) -> Scatter:
    lines = [f"trial {row['trial']:.0f}{' (best)' if best else ''}"]
    lines += [f"{escaped(axis.name)}: {_text(row[column])}" for column, axis in axes.items()]
    return Scatter(
        x=[None if pd.isna(row[column]) else axis.position(row[column]) for column, axis in axes.items()],
        y=list(range(len(axes))),
        mode="lines+markers",
        line={"color": _INK if best else sample_colorscale(_COLOURS, [shade])[0], "width": 3.5 if best else 1.3},
        marker={"size": 7 if best else 4},
        connectgaps=True,
        hovertemplate=hover("<br>".join(lines)),
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.4g}"
    return escaped(value, 40)


def _caption(trials: pd.DataFrame, complete: pd.DataFrame, groups: Mapping[str, pd.DataFrame]) -> str:
    text = (
        "Every line is a trial, coloured by what it reached; the thick one is the best. Point at a line for its values."
    )
    if ended := len(trials) - len(complete):
        text += f" {ended} of {len(trials)} trials without a result are not shown."
    if any(len(rows) > MOST_TRIALS for rows in groups.values()):
        text += f" Of more than {MOST_TRIALS} trials, the best {MOST_TRIALS} are drawn."
    return text
