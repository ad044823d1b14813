"""Hyperparameters tuned on one perceptron and tried on another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vision_studies.figures.marks import boxes, cells, colour_scale, logarithmic, names, spread
from vision_studies.figures.panels import finished, key, marker_key, nothing_to_draw, single, small_multiples
from vision_studies.figures.style import COLOURS, INK, SOFT, look, numbered, short, styled

_COLUMNS = 4  # panels side by side
_ENOUGH_TRIALS = 50  # for seven hyperparameters; below, the importance of one is hard to tell from that of another
_MEAN: dict[str, Any] = {"marker": "D", "color": COLOURS[1], "markeredgecolor": "white", "markersize": 8}
_TITLES = {
    "loss": "Mean test loss (nats)",
    "regret": "Mean regret (nats; 0: no loss)",
    "relative": "Relative regret (1: no loss)",
}


@styled
def loss_curves(histories: pd.DataFrame) -> Figure:
    """Training and validation loss of each architecture's best trial, a panel each.

    Args:
        histories: columns variant (the architecture), epoch, train_loss, validation_loss (missing between validations).
    """
    groups = list(histories.groupby("variant", sort=False))
    panels = small_multiples(len(groups), columns=_COLUMNS, size=(3.4, 2.9), margin=(1.2, 1.2), sharey=True)
    for axes, (name, rows) in zip(panels.axes, groups, strict=True):
        _loss_curve(axes, rows)
        axes.set_title(short(str(name), 26), fontsize=11)
    panels.label("epoch", "cross-entropy (nats)")
    return finished(panels.figure, "Loss of each architecture's best trial", legend=_loss_handles(), columns=3)


@styled
def loss_curve(history: pd.DataFrame, title: str) -> Figure:
    """Training and validation loss of one run; columns as in `loss_curves`."""
    figure, axes = single(8, 5)
    _loss_curve(axes, history)
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title=title)
    return finished(figure, legend=_loss_handles(), columns=3)


@styled
def seed_losses(results: pd.DataFrame) -> Figure:
    """Test loss of every architecture with its own best hyperparameters: a box, its mean and every seed.

    Args:
        results: columns variant, seed, test_loss.
    """
    scored = results.dropna(subset=["test_loss"])
    groups = {str(name): rows["test_loss"].to_numpy() for name, rows in scored.groupby("variant", sort=False)}
    figure, axes = single(9, 1.7 + 0.5 * max(1, len(groups)))
    positions = range(len(groups))
    boxes(axes, list(groups.values()), positions, 0.55, fill="#cfe3f1", edge=SOFT, orientation="horizontal")
    seeds: dict[str, Any] = {"marker": "o", "color": COLOURS[0], "alpha": 0.7}
    for position, losses in enumerate(groups.values()):
        dots = position + spread(len(losses), 0.16)
        axes.plot(losses, dots, linestyle="", markersize=5, markeredgewidth=0, zorder=3, **seeds)
        axes.plot(losses.mean(), position, zorder=4, **_MEAN)
    labels = [f"{short(name, 26)}\nn = {len(losses)}" for name, losses in groups.items()]
    names(axes, "y", labels, beside=0.6)
    axes.set_xlabel("test loss (nats)")
    axes.set_title("Test loss after tuning")
    median = key("median", color=INK, linewidth=1.5)
    return finished(figure, legend=[marker_key("a seed", **seeds), marker_key("mean", **_MEAN), median], columns=3)


@styled
def transfer_heat_map(matrix: pd.DataFrame, *, kind: str) -> Figure:
    """One number for each pair: rows are trained, columns gave the hyperparameters.

    Args:
        matrix: targets as rows, sources as columns; missing where no run of the cell is complete.
        kind: "loss" (nats), "regret" (nats, 0 is none) or "relative" (ratio, 1 is none).
    """
    values = matrix.to_numpy(dtype=float)
    norm, colours = _scale(values, kind)
    figure, axes = single(max(6.4, 3.4 + 0.86 * len(matrix)), 2.7 + 0.62 * len(matrix))
    image = cells(
        axes,
        values,
        _signed if kind == "regret" else "{:.4f}".format,
        rows=[short(name, 22) for name in matrix.index],
        columns=[short(name, 22) for name in matrix.columns],
        slanted=True,
        norm=norm,
        cmap=colours,
    )
    axes.set(xlabel="hyperparameters tuned for", ylabel="architecture trained", title=_TITLES[kind])
    colour_scale(axes, image, shrink=0.85)
    return figure


@styled
def importance_heat_map(importance: pd.DataFrame) -> Figure:
    """Share of the validation loss's variance that each hyperparameter explains, for each architecture.

    Args:
        importance: columns architecture, hyperparameter, importance, trials (how many it was computed from).
    """
    wide = importance.pivot_table(index="hyperparameter", columns="architecture", values="importance", sort=False)
    if wide.empty:
        return nothing_to_draw("Importance needs four complete trials of an architecture.")
    wide = wide.assign(**{"all (mean)": wide.mean(axis=1)}).sort_values("all (mean)", ascending=False)
    figure, axes = single(max(8.0, 3.2 + 0.85 * wide.shape[1]), 2.6 + 0.5 * len(wide))
    cells(
        axes,
        100 * wide.to_numpy(dtype=float),
        "{:.0f} %".format,
        rows=list(wide.index),
        columns=[short(name, 22) for name in wide.columns],
        slanted=True,
        norm=Normalize(0, 100),
        cmap="Blues",
    )
    axes.axvline(wide.shape[1] - 1.5, color="white", linewidth=3)
    axes.set_title("What decides the validation loss in the search")
    fewest = int(importance["trials"].min())
    note = "Share of the variance of the logarithm of the validation loss (functional ANOVA) over complete trials"
    note += f", {fewest} of an architecture at least."
    if fewest < _ENOUGH_TRIALS:
        note += " So few leave much to chance: hyperparameters that happened to be drawn together share the credit."
    return finished(figure, small_print=note)


@styled
def hyperparameter_slices(
    trials: pd.DataFrame, hyperparameters: Sequence[str], logarithmic_ones: Sequence[str]
) -> Figure:
    """Validation loss of every trial against each hyperparameter.

    Args:
        trials: columns architecture, best_val_loss (missing where a trial diverged), best (of its architecture), and one
            column a hyperparameter.
        hyperparameters: names, a panel each.
        logarithmic_ones: those of them with a logarithmic axis.
    """
    architectures = numbered(trials["architecture"])
    scored = trials.dropna(subset=["best_val_loss"])
    # The legend stands in the panel behind the last one.
    count = max(_COLUMNS, len(hyperparameters) + 1)
    panels = small_multiples(count, columns=_COLUMNS, size=(3.3, 3), margin=(0.8, 0.4), sharey=True)
    for axes, hyperparameter in zip(panels.axes, hyperparameters, strict=False):
        for name, number in architectures.items():
            rows = scored[scored["architecture"] == name]
            line: dict[str, Any] = {"linestyle": "", **look(number)}
            axes.plot(rows[hyperparameter], rows["best_val_loss"], markersize=4, alpha=0.7, markeredgewidth=0, **line)
            best = rows[rows["best"]]
            axes.plot(best[hyperparameter], best["best_val_loss"], markersize=9, markeredgecolor=INK, zorder=4, **line)
        _log(axes.yaxis, (1, 2, 5))
        if hyperparameter in logarithmic_ones:
            _log(axes.xaxis, (1,))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(hyperparameter)
    for axes in panels.axes[::_COLUMNS]:
        axes.set_ylabel("best validation loss (nats)")
    for axes in panels.axes[len(hyperparameters) :]:
        axes.axis("off")
    handles = [marker_key(short(name, 22), **look(number)) for name, number in architectures.items()]
    handles.append(marker_key("best trial", marker="o", markersize=9, color="none", markeredgecolor=INK))
    columns = 2 if len(architectures) > 9 else 1
    panels.axes[len(hyperparameters)].legend(handles=handles, loc="center", ncols=columns, title="architecture")
    return finished(panels.figure, "Every trial of the search")


def _signed(value: float) -> str:
    rounded = round(value, 4)
    return f"{rounded:+.4f}" if rounded else "0"  # a difference of rounding errors has no sign


def _loss_curve(axes: Axes, history: pd.DataFrame) -> None:
    history = history.sort_values("epoch")
    axes.plot(history["epoch"], history["train_loss"], color=COLOURS[0], linewidth=1.4)
    # Epochs between validations have no value: a line through the others shows what they hide.
    validated = history.dropna(subset=["validation_loss"])
    axes.plot(validated["epoch"], validated["validation_loss"], "o-", color=COLOURS[1], markersize=3, linewidth=1.4)
    if len(validated):
        best = validated.loc[validated["validation_loss"].idxmin()]
        axes.plot(best["epoch"], best["validation_loss"], "*", color=COLOURS[1], markersize=11, markeredgecolor=INK)
    _log(axes.yaxis, (1, 2, 5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _loss_handles() -> list[Line2D]:
    return [
        key("training (with dropout)", color=COLOURS[0], linewidth=1.8),
        key("validation", color=COLOURS[1], marker="o", markersize=4, linewidth=1.8),
        marker_key("best epoch", color=COLOURS[1], marker="*", markersize=13, markeredgecolor=INK),
    ]


def _log(axis: Any, steps: Sequence[int]) -> None:
    logarithmic(axis, steps, lambda value, _: f"{value:g}".replace("e-0", "e-"), most=6)


def _scale(values: np.ndarray, kind: str) -> tuple[Normalize, str]:
    finite = values[np.isfinite(values)]
    if kind == "loss":
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        return Normalize(low, high if high > low else low + 1e-9), "Blues"
    centre = 0.0 if kind == "regret" else 1.0
    # One cell far from the others must not take all the colour: the scale ends at their 95th percentile.
    reach = max(float(np.quantile(np.abs(finite - centre), 0.95)) if len(finite) else 0.0, 1e-6)
    return TwoSlopeNorm(centre, centre - reach, centre + reach), "PuOr_r"
