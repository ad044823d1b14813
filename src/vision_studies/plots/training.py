"""What happened while networks were trained: the four training graphs, each from a table of histories.

A table of histories has one row an epoch and the columns epoch, train_loss, validation_loss, validation_accuracy
(fraction) and learning_rate. With several runs it has a column `run` as well and, where they belong to variants, a column
`variant`: runs of one variant share a colour and an entry of the legend.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from vision_studies.plots.style import COLOURS, FAINT, SOFT, figure, short, styled

_MOST_MARKED_EPOCHS = 20  # of more epochs, dots would only hide the line
_BLOW_UP = 10.0  # a loss so many times the third quartile would flatten all the rest, and is cut off

_TRAINING_LOSS = "training (augmented images)"
_VALIDATION_LOSS = "validation"


@styled
def loss_figure(histories: pd.DataFrame) -> Figure:
    """Training and validation loss by epoch."""
    drawn = figure(9, 5)
    groups = _groups(histories)
    axes = drawn.subplots()
    _losses(axes, groups)
    axes.set_title("Loss")
    _finish(drawn, [axes], groups)
    return drawn


@styled
def validation_figure(histories: pd.DataFrame) -> Figure:
    """Validation loss and accuracy by epoch: on two axes of one panel for one run, else in two panels."""
    groups = _groups(histories)
    if _runs_in(groups) > 1:
        drawn = figure(9, 7.5)
        upper, lower = drawn.subplots(2, 1, sharex=True)
        _validation_loss(upper, groups)
        _accuracy(lower, groups)
        upper.set_title("Validation (star: best epoch)")
        _finish(drawn, [upper, lower], groups)
    else:
        drawn = figure(9, 5)
        left = drawn.subplots()
        right = left.twinx()
        _validation_loss(left, groups, colour=COLOURS[0])
        _accuracy(right, groups, colour=COLOURS[1])
        left.set_title("Validation")
        right.grid(visible=False)  # two grids would cross each other
        right.spines["right"].set(visible=True, color=COLOURS[1])
        for axes, colour in ((left, COLOURS[0]), (right, COLOURS[1])):
            axes.yaxis.label.set_color(colour)
            axes.tick_params(axis="y", labelcolor=colour)
        _finish(drawn, [left], groups)
        handles = [Line2D([], [], color=COLOURS[0], linewidth=1.8, label="loss (left)")]
        drawn.legend(handles=[*handles, *_best_entry(groups, COLOURS[1])], loc="outside lower center", ncols=2)
    return drawn


@styled
def learning_rate_figure(histories: pd.DataFrame) -> Figure:
    """Learning rate after each epoch; runs with one schedule share one line."""
    drawn = figure(9, 4.5)
    groups = _groups(histories)
    axes = drawn.subplots()
    _learning_rate(axes, groups)
    axes.set_title("Learning rate after each epoch")
    _finish(drawn, [axes], groups if _schedules(groups) > 1 else [])
    return drawn


@styled
def learning_curves(histories: pd.DataFrame) -> Figure:
    """Loss, validation accuracy and learning rate by epoch, one panel below the other."""
    drawn = figure(9, 10.5)
    groups = _groups(histories)
    losses, accuracy, learning_rate = drawn.subplots(3, 1, sharex=True)
    _losses(losses, groups)
    losses.set_title("Loss")
    _accuracy(accuracy, groups)
    accuracy.set_title("Validation accuracy (star: best epoch)")
    _learning_rate(learning_rate, groups)
    learning_rate.set_title("Learning rate after each epoch")
    _finish(drawn, [losses, accuracy, learning_rate], groups)
    return drawn


@dataclass(frozen=True)
class _Group:
    """Runs that share a colour: one run, the runs of one variant, or all variants that are not told apart."""

    label: str
    colour: str
    runs: list[pd.DataFrame]


def _groups(histories: pd.DataFrame) -> list[_Group]:
    finite = histories.replace([np.inf, -np.inf], np.nan)
    if "run" not in finite.columns:
        finite = finite.assign(run="run")
    key = "variant" if "variant" in finite.columns else "run"
    found = [
        (str(name), [run for _, run in rows.sort_values("epoch").groupby("run", sort=False)])
        for name, rows in finite.groupby(key, sort=False)
    ]
    if len(found) <= len(COLOURS):
        told_apart, rest = found, []
    else:  # more lines than colours: those with the highest accuracy are told apart
        ranked = sorted(found, key=lambda group: -_best_accuracy(group[1]))
        told_apart, rest = ranked[: len(COLOURS)], ranked[len(COLOURS) :]
    groups = [_Group(name, colour, runs) for (name, runs), colour in zip(told_apart, COLOURS, strict=False)]
    if rest:  # drawn first, below the others
        groups.insert(0, _Group(f"{len(rest)} others", FAINT, [run for _, runs in rest for run in runs]))
    return groups


def _best_accuracy(runs: list[pd.DataFrame]) -> float:
    return max(
        (run["validation_accuracy"].max() for run in runs if run["validation_accuracy"].notna().any()), default=0
    )


def _runs_in(groups: list[_Group]) -> int:
    return sum(len(group.runs) for group in groups)


def _lines(
    groups: list[_Group], column: str, *, markers: bool = True
) -> Iterator[tuple[_Group, np.ndarray, np.ndarray, dict[str, Any]]]:
    """Epochs and values of each run without the epochs that lack the value, with the look of their line."""
    many = _runs_in(groups) > len(groups)
    for group in groups:
        for run in group.runs:
            known = run.dropna(subset=[column])
            look = {"color": group.colour, "linewidth": 1.3 if many else 1.8, "alpha": 0.75 if many else 1.0}
            if markers and len(known) <= _MOST_MARKED_EPOCHS:
                look |= {"marker": "o", "markersize": 4}
            yield group, known["epoch"].to_numpy(), known[column].to_numpy(), look


def _losses(axes: Axes, groups: list[_Group]) -> None:
    alone = _runs_in(groups) == 1
    for _, epochs, values, look in _lines(groups, "train_loss", markers=False):
        training = {"linestyle": "--", "linewidth": 1.4} | ({"color": COLOURS[1]} if alone else {"alpha": 0.6})
        if len(epochs) == 1:
            training["marker"] = "x"
        axes.plot(epochs, values, **look | training)
    for _, epochs, values, look in _lines(groups, "validation_loss"):
        axes.plot(epochs, values, **look)
    axes.set_ylabel("nats per image")
    dashed: dict[str, Any] = {"color": COLOURS[1] if alone else SOFT, "linestyle": "--", "linewidth": 1.4}
    solid: dict[str, Any] = {"color": COLOURS[0] if alone else SOFT, "linewidth": 1.8}
    # Beside the title: inside the panel, it would lie on the curves of a training that has hardly begun.
    axes.legend(
        handles=[Line2D([], [], label=_TRAINING_LOSS, **dashed), Line2D([], [], label=_VALIDATION_LOSS, **solid)],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        borderaxespad=0.2,
    )
    _cut_off(axes, [*_all_values(groups, "train_loss"), *_all_values(groups, "validation_loss")])


def _validation_loss(axes: Axes, groups: list[_Group], colour: str | None = None) -> None:
    for _, epochs, values, look in _lines(groups, "validation_loss"):
        axes.plot(epochs, values, **look | ({"color": colour} if colour else {}))
    axes.set_ylabel("loss (nats per image)")
    _cut_off(axes, _all_values(groups, "validation_loss"))


def _accuracy(axes: Axes, groups: list[_Group], colour: str | None = None) -> None:
    for group, epochs, values, look in _lines(groups, "validation_accuracy"):
        line = look | ({"color": colour} if colour else {})
        axes.plot(epochs, 100 * values, **line)
        if len(values) and group.colour != FAINT:
            best = int(np.argmax(values))
            star: dict[str, Any] = {"marker": "*", "markersize": 14, "markeredgecolor": "white", "zorder": 4}
            axes.plot(epochs[best], 100 * values[best], color=line["color"], **star)
    axes.set_ylabel("accuracy (%)")
    axes.margins(y=0.08)  # room for the star


def _learning_rate(axes: Axes, groups: list[_Group]) -> None:
    seen: set[bytes] = set()
    for _, epochs, values, look in _lines(groups, "learning_rate"):
        if (schedule := values.tobytes()) not in seen:
            seen.add(schedule)
            axes.plot(epochs, values, **look | ({} if _schedules(groups) > 1 else {"color": COLOURS[0], "alpha": 1}))
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _schedules(groups: list[_Group]) -> int:
    return len({run["learning_rate"].dropna().to_numpy().tobytes() for group in groups for run in group.runs})


def _all_values(groups: list[_Group], column: str) -> list[float]:
    return [value for group in groups for run in group.runs for value in run[column].dropna()]


def _cut_off(axes: Axes, values: list[float]) -> None:
    if values and max(values) > _BLOW_UP * (usual := float(np.quantile(values, 0.75))) > 0:
        top = _BLOW_UP / 2 * usual
        axes.set_ylim(0, top)
        axes.set_ylabel(f"{axes.get_ylabel()}, above {top:.3g} cut off")


def _best_entry(groups: list[_Group], colour: str) -> list[Line2D]:
    """Legend of the star: which epoch was best, where there is one run to speak of."""
    entries = []
    for _, epochs, values, _look in _lines(groups, "validation_accuracy"):
        label = "accuracy (right)"
        if len(values):
            best = int(np.argmax(values))
            label = f"accuracy (right), best: {100 * values[best]:.2f} % in epoch {epochs[best]:.0f}"
        entries.append(Line2D([], [], color=colour, marker="*", markersize=10, label=label))
    return entries


def _finish(drawn: Figure, panels: list[Axes], groups: list[_Group]) -> None:
    """Epochs as whole numbers below the last panel and, for several runs, one legend of all colours below that."""
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    panels[-1].set_xlabel("epoch")
    if _runs_in(groups) > 1:
        handles = []
        for group in groups:
            runs = f" ({len(group.runs)} runs)" if len(group.runs) > 1 else ""
            # A legend leaves out labels that start with an underscore, but not with a space.
            name = f" {group.label}" if group.label.startswith("_") else group.label
            handles.append(Line2D([], [], color=group.colour, linewidth=2.5, label=f"{short(name, 40)}{runs}"))
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int(drawn.get_figwidth() * 11 / (longest + 6))))
        drawn.legend(handles=handles, loc="outside lower center", ncols=columns)
