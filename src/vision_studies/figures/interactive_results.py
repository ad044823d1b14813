"""Results of any pipeline to look into: learning curves of many runs, and accuracy against cost; each can be switched off."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from plotly.graph_objects import Scatter

from vision_studies.figures.interactive_style import (
    DASHES,
    SYMBOLS,
    InteractiveFigure,
    escaped,
    figure,
    hover,
    need_columns,
    numbers,
    view,
)
from vision_studies.figures.marks import top_without_blow_up
from vision_studies.figures.style import COLOURS, colour, numbered

MOST_RUNS = 60
MOST_POINTS = 200  # of a run
MOST_VARIANTS = 1_500
_SIZE, _RING, _MOST_RINGS = (
    10,
    7,
    4,
)  # pixels of a point, by which each ring around it is larger, rings that are told apart

# Column -> name, label of its axis, factor.
_METRICS = {
    "validation_accuracy": ("Validation accuracy", "validation accuracy (%)", 100.0),
    "validation_loss": ("Validation loss", "validation loss (nats per image)", 1.0),
    "train_loss": ("Training loss", "training loss (nats per image)", 1.0),
    "learning_rate": ("Learning rate", "learning rate", 1.0),
}
# Column -> name of the view, label of the axis, how a variant's value is written.
_COSTS = {
    "parameters": ("Parameters", "parameters", "{:,.0f} parameters"),
    "macs": ("Operations", "multiply-accumulate operations for an image", "{:,.0f} operations an image"),
    "seconds": ("Training time", "training time of a run (seconds)", "{:,.4g} s training"),
}
_MARKED = 12  # curves of so few points show them


class _Run(NamedTuple):
    """A run: its variant, its name within it, and where its epochs stand in the table of all of them."""

    variant: str
    label: str
    rows: slice

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)


_Columns = Mapping[str, np.ndarray]
"""Columns of the table of epochs."""


def learning_curves(histories: pd.DataFrame) -> InteractiveFigure | None:
    """Validation accuracy and loss, training loss and learning rate by epoch, one of them at a time.

    Runs of a variant share colour and line. Of many runs, as many seeds are shown as fit for every variant; of long
    ones, epochs at equal distances.

    Args:
        histories: one row an epoch: epoch, run (a name of its own for each) and at least one of train_loss,
            validation_loss, validation_accuracy (fraction), learning_rate; missing values are left out. Optionally
            variant, and seed.

    Returns:
        None where no run has a value.

    Raises:
        DataError: `epoch` or `run` is missing.
    """
    need_columns(histories, ("epoch", "run"), "histories")
    histories = histories.replace([np.inf, -np.inf], np.nan)
    metrics = [name for name in _METRICS if name in histories and histories[name].notna().any()]
    if not metrics:
        return None
    histories = histories.dropna(subset=metrics, how="all")
    # Sorted once, and looked at as arrays: of thousands of runs, a table for each takes longer than all the rest.
    histories = histories.iloc[np.lexsort((histories["epoch"], pd.factorize(histories["run"])[0]))]
    columns = {name: histories[name].to_numpy(dtype=float) for name in metrics} | {
        "epoch": histories["epoch"].to_numpy()
    }
    runs = _runs(histories)
    chosen = _chosen(runs)
    variants = list(dict.fromkeys(run.variant for run in runs))
    numbers_of = numbered(variants)
    traces = [_curve(numbers_of[run.variant], run, columns, metrics) for run in chosen]
    views = [view(_METRICS[name][0], **_axis(name, [columns[name][run.rows] for run in chosen])) for name in metrics]
    # Of few epochs Plotly names halves, which would be shown as whole numbers twice.
    every_epoch = {"dtick": 1} if histories["epoch"].max() <= _MARKED else {}
    fig = figure(
        traces,
        height=440,
        views=views,
        views_label="Metric",
        wide=True,
        switches_label="Runs",
        hovermode="closest",
        xaxis={"title": {"text": "epoch"}, "tickformat": "d", "rangemode": "tozero"} | every_epoch,
        yaxis={"automargin": True},
    )
    fig.update_layout({key.replace(".", "_"): value for key, value in views[0]["layout"].items()})
    return InteractiveFigure("Learning curves, run by run", _caption(runs, chosen, variants), fig)


def _runs(histories: pd.DataFrame) -> list[_Run]:
    """Of a table in which the epochs of each run stand together, in its order."""
    names = histories["run"].to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]])) if len(names) else np.zeros(0, int)
    variants = (histories["variant"] if "variant" in histories else histories["run"]).to_numpy()
    runs = []
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(names)], strict=False):
        name, variant = str(names[start]), str(variants[start])
        # The name of a run is mostly its variant's and its seed's.
        runs.append(_Run(variant, name.removeprefix(variant).lstrip(", ") or name, slice(start, stop)))
    return runs


def _chosen(runs: list[_Run]) -> list[_Run]:
    """As many rounds of one run of each variant as fit; of too many variants for one round, the first."""
    variants = pd.Series([run.variant for run in runs])
    rounds = variants.groupby(variants).cumcount()
    fitting = int((rounds.value_counts().sort_index().cumsum() <= MOST_RUNS).sum())
    return [run for run, number in zip(runs, rounds, strict=True) if number < max(1, fitting)][:MOST_RUNS]


def _curve(number: int, run: _Run, columns: _Columns, metrics: list[str]) -> dict[str, Any]:
    """A trace as the figure takes it: a `Scatter` would be checked here, and once more there."""
    first, *others = [_points(columns["epoch"][run.rows], columns[metric][run.rows], metric) for metric in metrics]
    # Epochs are named again only where they are others than those of the first metric.
    views = [{"y": one["y"]} if np.array_equal(one["x"], first["x"]) else one for one in others]
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return dict(
        type="scatter",
        **first,
        mode="lines+markers" if len(run) <= _MARKED else "lines",
        line={"color": colour(number), "dash": dash, "width": 1.8},
        marker={"size": 5},
        cliponaxis=False,  # a point at 100 % is drawn whole
        name=escaped(run.variant),
        hovertemplate=hover(f"{escaped(run.variant, 60)}<br>{escaped(run.label, 60)}", "<br>epoch %{x}: %{y:.4~g}"),
        meta={"group": run.variant, "label": run.label, "views": views},
    )


def _points(epochs: np.ndarray, values: np.ndarray, metric: str) -> dict[str, np.ndarray]:
    measured = np.flatnonzero(~np.isnan(values))
    if len(measured) > MOST_POINTS:
        measured = measured[np.unique(np.linspace(0, len(measured) - 1, MOST_POINTS).round().astype(int))]
    return {"x": epochs[measured], "y": numbers(_METRICS[metric][2] * values[measured])}


def _axis(metric: str, runs: list[np.ndarray]) -> dict[str, Any]:
    label = _METRICS[metric][1]
    values = np.concatenate(runs)
    values = values[~np.isnan(values)]
    top = top_without_blow_up(values) if metric.endswith("_loss") else None
    if top is not None:
        return {"yaxis__title__text": f"{label}, to {top:.3g}", "yaxis__range": [0, top], "yaxis__autorange": False}
    return {"yaxis__title__text": label, "yaxis__range": None, "yaxis__autorange": True}


def _caption(runs: list[_Run], chosen: list[_Run], variants: list[str]) -> str:
    shown = {run.variant for run in chosen}
    if len(chosen) == len(runs):
        count = f"All {len(runs)} runs" if len(runs) > 1 else "The only run"
    elif len(shown) < len(variants):
        count = f"{len(chosen)} of {len(runs)} runs: one of each of the first {len(shown)} of {len(variants)} variants"
    else:
        count = f"{len(chosen)} of {len(runs)} runs, as many of each variant"
    text = f"{count}; runs of a variant share a colour. Choose what is shown above, and runs below."
    if any(len(run) > MOST_POINTS for run in chosen):
        text += f" Of more than {MOST_POINTS} epochs of a run, {MOST_POINTS} at equal distances are drawn."
    return text


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
    scored = variants.dropna(subset=["accuracy"])
    paid = scored[[name for name in _COSTS if name in scored]].astype(float) > 0
    costs = [name for name in paid if paid[name].any()]
    if not costs:
        return None
    scored = scored[paid.any(axis=1)]
    shown = scored.nlargest(MOST_VARIANTS, "accuracy") if len(scored) > MOST_VARIANTS else scored
    pipelines, sets = list(dict.fromkeys(scored["pipeline"])), list(dict.fromkeys(scored["data"]))
    traces = [
        _variants_of(rows, costs, colour(pipelines.index(pipeline)), SYMBOLS[sets.index(data) % len(SYMBOLS)])
        for (pipeline, data), rows in shown.groupby(["pipeline", "data"], sort=False)
    ]
    fig = figure(
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
        "A point is a variant: the mean over its runs, and its interval where it has one. Point at it for its values. A ring "
        "around it is a further variant at the same place."
    )
    if len(shown) < len(scored):
        caption += f" The {len(shown):,} most accurate of {len(scored):,} variants are shown."
    return InteractiveFigure("Accuracy and cost", caption, fig)


def _variants_of(rows: pd.DataFrame, costs: list[str], colour_of_pipeline: str, symbol: str) -> Scatter:
    x, *others = [numbers(rows[name].astype(float).where(lambda cost: cost > 0)) for name in costs]
    first = rows.iloc[0]
    texts = pd.Series([_hover_text(row) for row in rows.to_dict("records")])
    together = texts.groupby(_places(rows, costs[0]), sort=False)
    before = together.cumcount().tolist()
    rings: dict[str, Any] = {}
    if any(before):  # each further variant at a place is a ring around those before it
        rings["symbol"] = [f"{symbol}-open" if number else symbol for number in before]
        rings["size"] = [_SIZE + _RING * min(number, _MOST_RINGS) for number in before]
    return Scatter(
        x=x,
        y=numbers(100 * rows["accuracy"]),
        error_y=_error_bars(rows),
        mode="markers",
        marker={"color": colour_of_pipeline, "symbol": symbol, "size": _SIZE, "opacity": 0.85} | rings,
        cliponaxis=False,
        text=list(together.transform("<br><br>".join)),
        hovertemplate="%{text}<extra></extra>",
        meta={
            "group": str(first["pipeline"]),
            "label": str(first["data"]),
            "views": [{"x": other} for other in others],
        },
    )


def _places(rows: pd.DataFrame, cost: str) -> np.ndarray:
    """Where each variant stands, as far as an eye tells places apart, str [N]."""
    pairs = zip(rows["accuracy"], rows[cost].astype(float), strict=True)
    return np.array([f"{100 * accuracy:.1f} {paid:.1e}" for accuracy, paid in pairs])


def _error_bars(rows: pd.DataFrame) -> dict[str, Any] | None:
    if not {"low", "high"} <= set(rows.columns) or rows["low"].isna().all():
        return None
    above, below = rows["high"].astype(float) - rows["accuracy"], rows["accuracy"] - rows["low"].astype(float)
    ends = {"array": numbers(100 * above.fillna(0)), "arrayminus": numbers(100 * below.fillna(0))}
    return {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, **ends}


def _hover_text(row: dict[Any, Any]) -> str:
    columns = {name for name, value in row.items() if not pd.isna(value)}
    interval = f" ({100 * row['low']:.2f} to {100 * row['high']:.2f})" if {"low", "high"} <= columns else ""
    runs = f", {row['n']:.0f} run{'' if row['n'] == 1 else 's'}" if "n" in columns else ""
    lines = [
        f"<b>{escaped(row['variant'], 60)}</b>",
        f"{escaped(row['pipeline'])}, {escaped(row['data'])}",
        f"study {escaped(row['study'], 60)}",
        f"accuracy {100 * row['accuracy']:.2f} %{interval}{runs}",
        *(write.format(row[name]) for name, (_, _, write) in _COSTS.items() if name in columns),
    ]
    return "<br>".join(lines)
