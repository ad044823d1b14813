"""Hyperparameters tuned on one perceptron and tried on another."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from vision_studies.plots.style import COLOURS, INK, NO_DATA, SOFT, figure, footnote, heading, short, styled

_COLUMNS = 4  # panels side by side
_ENOUGH_TRIALS = 50  # for seven hyperparameters; below, the importance of one is hard to tell from that of another
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # with the colours, 49 architectures can be told apart


@styled
def loss_curves(histories: pd.DataFrame) -> Figure:
    """Training and validation loss of each architecture's best trial, a panel each.

    Args:
        histories: columns variant (the architecture), epoch, train_loss, validation_loss (missing between validations).
    """
    groups = [(str(name), own.sort_values("epoch")) for name, own in histories.groupby("variant", sort=False)]
    columns = min(_COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    drawn = figure(3.4 * columns + 1.2, 2.9 * rows + 1.2)
    panels = drawn.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (name, own) in zip(panels.flat, groups, strict=False):
        _loss_curve(axes, own)
        axes.set_title(short(name, 26), fontsize=11)
    for axes in panels.flat[len(groups) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("cross-entropy (nats)")
    for place in range(columns):
        last = max(row for row in range(rows) if row * columns + place < len(groups))
        panels[last, place].set_xlabel("epoch")
        panels[last, place].xaxis.set_tick_params(labelbottom=True)
    heading(drawn, "Loss of each architecture's best trial")
    drawn.legend(handles=_loss_handles(), loc="outside lower center", ncols=3)
    return drawn


@styled
def loss_curve(history: pd.DataFrame, title: str) -> Figure:
    """Training and validation loss of one run; columns as in `loss_curves`."""
    drawn = figure(8, 5)
    axes = drawn.subplots()
    _loss_curve(axes, history.sort_values("epoch"))
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title=title)
    drawn.legend(handles=_loss_handles(), loc="outside lower center", ncols=3)
    return drawn


@styled
def seed_losses(results: pd.DataFrame) -> Figure:
    """Test loss of every architecture with its own best hyperparameters: a box, its mean and every seed.

    Args:
        results: columns variant, seed, test_loss.
    """
    groups = [(str(name), own["test_loss"].dropna().to_numpy()) for name, own in results.groupby("variant", sort=False)]
    groups = [(name, losses) for name, losses in groups if len(losses)]
    drawn = figure(9, 1.7 + 0.5 * max(1, len(groups)))
    axes = drawn.subplots()
    places = np.arange(len(groups))
    if groups:
        axes.boxplot(
            [losses for _, losses in groups],
            positions=places,
            orientation="horizontal",
            widths=0.55,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": "#cfe3f1", "edgecolor": SOFT},
            medianprops={"color": INK, "linewidth": 1.6},
            whiskerprops={"color": SOFT},
            capprops={"color": SOFT},
        )
    for place, (_, losses) in enumerate(groups):
        spread = np.linspace(-0.16, 0.16, len(losses)) if len(losses) > 1 else np.zeros(1)
        axes.plot(losses, place + spread, "o", color=COLOURS[0], alpha=0.7, markersize=5, markeredgewidth=0, zorder=3)
        axes.plot(losses.mean(), place, "D", color=COLOURS[1], markeredgecolor="white", markersize=8, zorder=4)
    axes.set_yticks(places, [f"{short(name, 26)}\nn = {len(losses)}" for name, losses in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel("test loss (nats)")
    axes.set_title("Test loss after tuning")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=COLOURS[0], alpha=0.7, label="a seed"),
        Line2D([], [], marker="D", linestyle="", color=COLOURS[1], markeredgecolor="white", markersize=8, label="mean"),
        Line2D([], [], color=INK, linewidth=1.6, label="median"),
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=3)
    return drawn


@styled
def transfer_heat_map(matrix: pd.DataFrame, *, kind: str) -> Figure:
    """One number for each pair: rows are trained, columns gave the hyperparameters.

    Args:
        matrix: targets as rows, sources as columns; missing where no run of the cell is complete.
        kind: "loss" (nats), "regret" (nats, 0 is none) or "relative" (ratio, 1 is none).
    """
    titles = {
        "loss": "Mean test loss (nats)",
        "regret": "Mean regret (nats; 0: no loss)",
        "relative": "Relative regret (1: no loss)",
    }
    values = matrix.to_numpy(dtype=float)
    size = len(matrix)
    drawn = figure(max(6.4, 3.4 + 0.86 * size), 2.7 + 0.62 * size)
    axes = drawn.subplots()
    norm, colours = _scale(values, kind)
    image = axes.imshow(np.ma.masked_invalid(values), norm=norm, cmap=colours, aspect="auto")
    axes.set_facecolor(NO_DATA)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        text = _cell(value, signed=kind == "regret")
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=_ink_on(image, value))
    labels = [short(name, 22) for name in matrix.index]
    axes.set_xticks(
        range(size), [short(name, 22) for name in matrix.columns], rotation=35, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(size), labels)
    axes.set(xlabel="hyperparameters tuned for", ylabel="architecture trained", title=titles[kind])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    drawn.colorbar(image, ax=axes, shrink=0.85, pad=0.02).outline.set_visible(False)
    return drawn


@styled
def importance_heat_map(importance: pd.DataFrame) -> Figure:
    """Share of the validation loss's variance that each hyperparameter explains, for each architecture.

    Args:
        importance: columns architecture, hyperparameter, importance, trials (how many it was computed from).
    """
    wide = importance.pivot_table(index="hyperparameter", columns="architecture", values="importance", sort=False)
    if wide.empty:
        drawn = figure(8, 2.5)
        axes = drawn.subplots()
        axes.axis("off")
        axes.text(0, 0.5, "Importance needs four complete trials of an architecture.", va="center", fontsize=12)
        return drawn
    wide = wide.assign(**{"all (mean)": wide.mean(axis=1)}).sort_values("all (mean)", ascending=False)
    values = 100 * wide.to_numpy(dtype=float)
    drawn = figure(max(8.0, 3.2 + 0.85 * wide.shape[1]), 2.6 + 0.5 * len(wide))
    axes = drawn.subplots()
    image = axes.imshow(np.ma.masked_invalid(values), norm=Normalize(0, 100), cmap="Blues", aspect="auto")
    axes.set_facecolor(NO_DATA)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{value:.0f} %"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=_ink_on(image, value))
    names = [short(name, 22) for name in wide.columns]
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(wide)), list(wide.index))
    axes.axvline(wide.shape[1] - 1.5, color="white", linewidth=3)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("What decides the validation loss in the search")
    fewest = int(importance["trials"].min())
    note = "Share of the variance of the logarithm of the validation loss (functional ANOVA) over complete trials"
    note += f", {fewest} of an architecture at least."
    if fewest < _ENOUGH_TRIALS:
        note += " So few leave much to chance: hyperparameters that happened to be drawn together share the credit."
    footnote(drawn, note)
    return drawn


@styled
def hyperparameter_slices(trials: pd.DataFrame, hyperparameters: Sequence[str], logarithmic: Sequence[str]) -> Figure:
    """Validation loss of every trial against each hyperparameter.

    Args:
        trials: columns architecture, best_val_loss (missing where a trial diverged), best (of its architecture), and one
            column a hyperparameter.
        hyperparameters: names, a panel each.
        logarithmic: those of them with a logarithmic axis.
    """
    names = list(trials["architecture"].drop_duplicates())
    rows = -(-(len(hyperparameters) + 1) // _COLUMNS)
    drawn = figure(3.3 * _COLUMNS + 0.8, 3 * rows + 0.4)
    panels = drawn.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
    known = trials.dropna(subset=["best_val_loss"])
    for axes, hyperparameter in zip(panels.flat, hyperparameters, strict=False):
        for place, name in enumerate(names):
            own = known[known["architecture"] == name]
            _slice(axes, own, hyperparameter, place)
        _logarithmic(axes, "y", (1, 2, 5))
        if hyperparameter in logarithmic:
            _logarithmic(axes, "x", (1,))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(hyperparameter)
    for axes in panels[:, 0]:
        axes.set_ylabel("best validation loss (nats)")
    for axes in panels.flat[len(hyperparameters) :]:
        axes.axis("off")
    handles = [_handle(place, short(name, 22)) for place, name in enumerate(names)]
    best = Line2D([], [], marker="o", markersize=9, linestyle="", color="none", markeredgecolor=INK, label="best trial")
    panels.flat[len(hyperparameters)].legend(
        handles=[*handles, best], loc="center", ncols=2 if len(names) > 9 else 1, title="architecture"
    )
    heading(drawn, "Every trial of the search")
    return drawn


def _cell(value: float, *, signed: bool) -> str:
    if np.isnan(value):
        return "–"
    rounded = round(value, 4)
    if signed:
        return f"{rounded:+.4f}" if rounded else "0"  # a difference of rounding errors has no sign
    return f"{rounded:.4f}"


def _loss_curve(axes: Axes, history: pd.DataFrame) -> None:
    axes.plot(history["epoch"], history["train_loss"], color=COLOURS[0], linewidth=1.4)
    # Epochs between validations have no value: a line through the others shows what they hide.
    validated = history.dropna(subset=["validation_loss"])
    axes.plot(validated["epoch"], validated["validation_loss"], "o-", color=COLOURS[1], markersize=3, linewidth=1.4)
    if len(validated):
        best = validated.loc[validated["validation_loss"].idxmin()]
        axes.plot(best["epoch"], best["validation_loss"], "*", color=COLOURS[1], markersize=11, markeredgecolor=INK)
    _logarithmic(axes, "y", (1, 2, 5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _logarithmic(axes: Axes, which: Literal["x", "y"], steps: Sequence[int]) -> None:
    """A logarithmic axis with plain numbers: the style does not read powers as formulas."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=steps, numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
    axis.set_minor_formatter(NullFormatter())


def _loss_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=COLOURS[0], linewidth=1.8, label="training (with dropout)"),
        Line2D([], [], color=COLOURS[1], marker="o", markersize=4, linewidth=1.8, label="validation"),
        Line2D(
            [], [], color=COLOURS[1], marker="*", markersize=13, linestyle="", markeredgecolor=INK, label="best epoch"
        ),
    ]


def _scale(values: np.ndarray, kind: str) -> tuple[Normalize, str]:
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    if kind == "loss":
        return Normalize(low, high if high > low else low + 1e-9), "Blues"
    centre = 0.0 if kind == "regret" else 1.0
    # One cell far from the others must not take all the colour: the scale ends at their 95th percentile.
    reach = max(float(np.quantile(np.abs(finite - centre), 0.95)) if len(finite) else 0.0, 1e-6)
    return TwoSlopeNorm(centre, centre - reach, centre + reach), "PuOr_r"


def _ink_on(image: object, value: float) -> str:
    """White or dark, whichever can be read on the colour of a cell."""
    if np.isnan(value):
        return SOFT
    red, green, blue, _ = image.to_rgba(value)  # type: ignore[attr-defined]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def _slice(axes: Axes, own: pd.DataFrame, hyperparameter: str, place: int) -> None:
    look: dict[str, Any] = {
        "color": COLOURS[place % len(COLOURS)],
        "marker": _MARKERS[place // len(COLOURS) % len(_MARKERS)],
    }
    axes.plot(
        own[hyperparameter], own["best_val_loss"], linestyle="", markersize=4, alpha=0.7, markeredgewidth=0, **look
    )
    best = own[own["best"]]
    axes.plot(
        best[hyperparameter], best["best_val_loss"], linestyle="", markersize=9, markeredgecolor=INK, zorder=4, **look
    )


def _handle(place: int, label: str) -> Line2D:
    marker = _MARKERS[place // len(COLOURS) % len(_MARKERS)]
    return Line2D([], [], marker=marker, linestyle="", color=COLOURS[place % len(COLOURS)], label=label)
