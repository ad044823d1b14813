"""What the width of a perceptron changes: sizes of activations, and the learning rate that serves best."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from vision_studies.figures.marks import logarithmic
from vision_studies.figures.panels import finished, key, marker_key, nothing_to_draw, small_multiples
from vision_studies.figures.style import INK, look, numbered, short, styled

TITLES = {"standard": "standard", "mup": "muP", "ntk": "neural tangent"}
"""How parametrisations are called in figures and sentences."""


@styled
def coordinate_sizes(table: pd.DataFrame) -> Figure:
    """Size of each layer's outputs against width after the last step; flat lines are what muP promises.

    Args:
        table: as `coordinate_check` gives it.
    """
    last = table[table["step"] == table["step"].max()]
    kinds = list(last["parametrisation"].drop_duplicates())
    layers = {layer: number for number, layer in enumerate(sorted(last["layer"].unique()))}
    panels = small_multiples(len(kinds), columns=3, size=(3.8, 3.2), margin=(1.0, 1.4), sharey=True)
    for axes, kind in zip(panels.axes, kinds, strict=True):
        for layer, number in layers.items():
            rows = last[(last["parametrisation"] == kind) & (last["layer"] == layer)]
            sizes = rows.groupby("width")["size"].agg(["mean", "min", "max"])
            axes.fill_between(sizes.index, sizes["min"], sizes["max"], color=look(number)["color"], alpha=0.15)
            axes.plot(sizes.index, sizes["mean"], markersize=5, **look(number))
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(last["width"].unique()))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        _log(axes.yaxis)
        axes.set_title(TITLES[kind], fontsize=11)
    panels.label("units of a hidden layer", "mean size of outputs")
    deepest = max(layers)
    handles = [
        marker_key("logits" if layer == deepest else f"hidden layer {layer}", **look(number))
        for layer, number in layers.items()
    ]
    title = f"Outputs after {last['step'].max()} steps at one learning rate"
    note = f"Means over {last['seed'].nunique()} seeds of first weights; bands are the smallest and the largest."
    return finished(panels.figure, title, legend=handles, columns=3, note=note)


@styled
def learning_rates(trials: pd.DataFrame) -> Figure:
    """Validation loss against learning rate, a line a width and a panel a parametrisation; stars are the lowest of each line.

    Args:
        trials: columns parametrisation, widths (name of the architecture), lr, validation_loss (missing where a trial
            diverged), one row a trial.
    """
    scored = trials.dropna(subset=["validation_loss"])
    if scored.empty:
        return nothing_to_draw("No trial of the search has a validation loss.")
    kinds = list(trials["parametrisation"].drop_duplicates())
    architectures = numbered(trials["widths"])
    panels = small_multiples(len(kinds), columns=3, size=(3.8, 3.4), margin=(1.0, 1.6), sharey=True)
    for axes, kind in zip(panels.axes, kinds, strict=True):
        for name, number in architectures.items():
            rows = scored[(scored["parametrisation"] == kind) & (scored["widths"] == name)].sort_values("lr")
            if rows.empty:
                continue
            style: dict[str, Any] = look(number)
            axes.plot(rows["lr"], rows["validation_loss"], markersize=4, **style)
            best = rows.loc[rows["validation_loss"].idxmin()]
            star = {"marker": "*", "markersize": 13, "markeredgecolor": INK, "color": style["color"], "zorder": 4}
            axes.plot(best["lr"], best["validation_loss"], **star)
        _log(axes.xaxis, (1, 3))
        _log(axes.yaxis)
        axes.set_title(TITLES[kind], fontsize=11)
    panels.label("learning rate", "validation loss (nats)")
    handles = [
        key(short(name, 22), linewidth=1.5, markersize=4, **look(number)) for name, number in architectures.items()
    ]
    handles.append(marker_key("lowest", marker="*", markersize=12, color="none", markeredgecolor=INK))
    return finished(panels.figure, "Which learning rate serves which width", legend=handles, columns=4)


def _log(axis: Any, steps: tuple[int, ...] = (1, 2, 5)) -> None:
    logarithmic(axis, steps, lambda value, _: f"{value:g}".replace("e-0", "e-"), most=6)
    axis.set_minor_locator(NullLocator())
