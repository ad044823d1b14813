"""Learning curves of many runs, each of which can be switched on and off."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Scatter

from vision_studies.figures.interactive_style import (
    DASHES,
    InteractiveFigure,
    escaped,
    figure,
    hover,
    need_columns,
    numbers,
    view,
)
from vision_studies.figures.style import COLOURS, colour

MOST_RUNS = 60
MOST_POINTS = 200

# Column -> name, label of its axis, factor.
_METRICS = {
    "validation_accuracy": ("Validation accuracy", "validation accuracy (%)", 100.0),
    "validation_loss": ("Validation loss", "validation loss (nats per image)", 1.0),
    "train_loss": ("Training loss", "training loss (nats per image)", 1.0),
    "learning_rate": ("Learning rate", "learning rate", 1.0),
}
_BLOW_UP = 10.0  # a loss so many times the third quartile would flatten all the rest: it begins outside the axis
_MARKED = 12  # curves of so few points show them

_Run = tuple[str, str, pd.DataFrame]
"""Variant, name within it, and epochs."""


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
    runs = list(_runs(histories))
    chosen = _chosen(runs)
    variants = list(dict.fromkeys(variant for variant, _, _ in runs))
    traces = [_curve(variants.index(variant), variant, label, own, metrics) for variant, label, own in chosen]
    views = [view(_METRICS[name][0], **_axis(name, [own for _, _, own in chosen])) for name in metrics]
    # Of few epochs Plotly names halves, which would be shown as whole numbers twice.
    every_epoch = {"dtick": 1} if histories["epoch"].max() <= _MARKED else {}
    drawn = figure(
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
    drawn.update_layout({key.replace(".", "_"): value for key, value in views[0]["layout"].items()})
    return InteractiveFigure("Learning curves, run by run", _caption(runs, chosen, variants), drawn)


def _runs(histories: pd.DataFrame) -> Iterator[_Run]:
    """In the order of the table."""
    # Sorted once: sorting each of thousands of runs takes longer than all the rest.
    order = np.lexsort((histories["epoch"], pd.factorize(histories["run"])[0]))
    for name, own in histories.iloc[order].groupby("run", sort=False):
        variant = str(own["variant"].iloc[0]) if "variant" in own else str(name)
        # The name of a run is mostly its variant's and its seed's.
        label = str(name).removeprefix(variant).lstrip(", ") or str(name)
        yield variant, label, own


def _chosen(runs: list[_Run]) -> list[_Run]:
    """As many rounds of one run of each variant as fit; of too many variants for one round, the first."""
    variants = pd.Series([variant for variant, _, _ in runs])
    rounds = variants.groupby(variants).cumcount()
    fitting = int((rounds.value_counts().sort_index().cumsum() <= MOST_RUNS).sum())
    return [run for run, number in zip(runs, rounds, strict=True) if number < max(1, fitting)][:MOST_RUNS]


def _curve(place: int, variant: str, label: str, own: pd.DataFrame, metrics: list[str]) -> Scatter:
    first, *others = [_points(own, metric) for metric in metrics]
    # Epochs are named again only where they are others than those of the first metric.
    views = [{"y": one["y"]} if np.array_equal(one["x"], first["x"]) else one for one in others]
    dash = DASHES[place // len(COLOURS) % len(DASHES)]
    return Scatter(
        **first,
        mode="lines+markers" if len(own) <= _MARKED else "lines",
        line={"color": colour(place), "dash": dash, "width": 1.8},
        marker={"size": 5},
        name=escaped(variant),
        hovertemplate=hover(f"{escaped(variant, 60)}<br>{escaped(label, 60)}", "<br>epoch %{x}: %{y:.4~g}"),
        meta={"group": variant, "label": label, "views": views},
    )


def _points(own: pd.DataFrame, metric: str) -> dict[str, np.ndarray]:
    epochs, values = own["epoch"].to_numpy(), own[metric].to_numpy(dtype=float)
    known = np.flatnonzero(~np.isnan(values))
    if len(known) > MOST_POINTS:
        known = known[np.unique(np.linspace(0, len(known) - 1, MOST_POINTS).round().astype(int))]
    return {"x": epochs[known], "y": numbers(_METRICS[metric][2] * values[known])}


def _axis(metric: str, runs: list[pd.DataFrame]) -> dict[str, Any]:
    label = _METRICS[metric][1]
    values = pd.concat([own[metric] for own in runs]).dropna()
    usual = float(values.quantile(0.75)) if metric.endswith("_loss") else np.nan
    if values.max() > _BLOW_UP * usual > 0:
        top = _BLOW_UP / 2 * usual
        label = f"{label}, to {top:.3g}"
        return {"yaxis__title__text": label, "yaxis__range": [0, top], "yaxis__autorange": False}
    return {"yaxis__title__text": label, "yaxis__range": None, "yaxis__autorange": True}


def _caption(runs: list[_Run], chosen: list[_Run], variants: list[str]) -> str:
    shown = {variant for variant, _, _ in chosen}
    if len(chosen) == len(runs):
        said = f"All {len(runs)} runs" if len(runs) > 1 else "The only run"
    elif len(shown) < len(variants):
        said = f"{len(chosen)} of {len(runs)} runs: one of each of the first {len(shown)} of {len(variants)} variants"
    else:
        said = f"{len(chosen)} of {len(runs)} runs, as many of each variant"
    text = f"{said}; runs of a variant share a colour. Choose what is shown above, and runs below."
    if any(len(own) > MOST_POINTS for _, _, own in chosen):
        text += f" Of more than {MOST_POINTS} epochs of a run, {MOST_POINTS} at equal distances are drawn."
    return text
