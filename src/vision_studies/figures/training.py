"""What happened while networks were trained: the four training graphs, each from a table of histories.

A table of histories has one row an epoch and the columns epoch, train_loss, validation_loss, validation_accuracy
(fraction) and learning_rate. With several runs it has a column `run` as well and, where they belong to variants, a column
`variant`: runs of one variant share a colour and an entry of the legend.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.figures.marks import top_without_blow_up, whole_numbers
from vision_studies.figures.panels import finished, key, small_multiples
from vision_studies.figures.style import COLOURS, FAINT, SOFT, numbered, short, styled
from vision_studies.figures.style import look as look_of

_MARKS = 8  # on a line whose marker tells it from another of its colour
_MOST_MARKED_EPOCHS = 20  # of more epochs, dots would only hide the line


@styled
def loss_figure(histories: pd.DataFrame) -> Figure:
    """Training and validation loss by epoch."""
    return _column(_groups(histories), [_losses], 5)


@styled
def validation_figure(histories: pd.DataFrame) -> Figure:
    """Validation loss and accuracy by epoch: on two axes of one panel for one run, else in two panels."""
    groups = _groups(histories)
    if _runs_in(groups) > 1:
        figure = _column(groups, [_validation_loss, _accuracy], 3.75)
        figure.axes[0].set_title("Validation (star: best epoch)")
        return figure
    figure = _column(groups, [partial(_validation_loss, color=COLOURS[0])], 5)
    left = figure.axes[0]
    right = left.twinx()
    _accuracy(right, groups, color=COLOURS[1])
    left.set_title("Validation")
    right.grid(visible=False)  # two grids would cross each other
    right.spines["right"].set(visible=True, color=COLOURS[1])
    for axes, colour in ((left, COLOURS[0]), (right, COLOURS[1])):
        axes.yaxis.label.set_color(colour)
        axes.tick_params(axis="y", labelcolor=colour)
    legend = [key("loss (left)", color=COLOURS[0], linewidth=1.8)]
    for _, epochs, values, _look in _lines(groups, "validation_accuracy"):
        label = "accuracy (right)"
        if len(values):
            best = int(np.argmax(values))
            label += f", best: {100 * values[best]:.2f} % in epoch {epochs[best]:.0f}"
        legend.append(key(label, color=COLOURS[1], marker="*", markersize=10))
    return finished(figure, legend=legend, columns=2)


@styled
def learning_rate_figure(histories: pd.DataFrame) -> Figure:
    """Learning rate after each epoch; runs with one schedule share one line."""
    groups = _groups(histories)
    return _column(groups, [_learning_rate], 4.5, told_apart=_schedules(groups) > 1)


@styled
def learning_curves(histories: pd.DataFrame) -> Figure:
    """Loss, validation accuracy and learning rate by epoch, one panel below the other."""
    figure = _column(_groups(histories), [_losses, _accuracy, _learning_rate], 3.5)
    figure.axes[1].set_title("Validation accuracy (star: best epoch)")
    return figure


class _Group(NamedTuple):
    """Runs that share a colour: one run, the runs of one variant, or all variants that are not told apart.

    The marker tells variants of one colour apart; empty: none is needed.
    """

    label: str
    colour: str
    runs: list[pd.DataFrame]
    marker: str = ""


def _groups(histories: pd.DataFrame) -> list[_Group]:
    finite = histories.replace([np.inf, -np.inf], np.nan)
    if "run" not in finite:
        finite = finite.assign(run="run")
    variants = finite.groupby("variant" if "variant" in finite else "run", sort=False)
    runs = {name: [run for _, run in rows.sort_values("epoch").groupby("run", sort=False)] for name, rows in variants}
    names = list(runs)
    if len(names) > len(COLOURS):  # more lines than colours: those with the highest accuracy are told apart
        best = variants["validation_accuracy"].max().fillna(0)
        names = list(best.sort_values(ascending=False, kind="stable").index)
    numbers = numbered(runs)
    groups = [_group(str(name), numbers[str(name)], runs[name]) for name in names[: len(COLOURS)]]
    if others := names[len(COLOURS) :]:  # the first to be plotted, below the others
        groups.insert(0, _Group(f"{len(others)} others", FAINT, [run for name in others for run in runs[name]]))
    return groups


def _group(name: str, number: int, runs: list[pd.DataFrame]) -> _Group:
    drawn = look_of(number)
    return _Group(name, drawn["color"], runs, drawn["marker"] if number >= len(COLOURS) else "")


def _runs_in(groups: list[_Group]) -> int:
    return sum(len(group.runs) for group in groups)


def _lines(
    groups: list[_Group], column: str, *, markers: bool = True
) -> Iterator[tuple[_Group, np.ndarray, np.ndarray, dict[str, Any]]]:
    """Epochs and values of each run without the epochs that lack the value, with the look of their line."""
    many = _runs_in(groups) > len(groups)
    for group in groups:
        for run in group.runs:
            measured = run.dropna(subset=[column])
            drawn = {"color": group.colour, "linewidth": 1.3 if many else 1.8, "alpha": 0.75 if many else 1.0}
            if group.marker:
                every = max(1, len(measured) // _MARKS)
                drawn |= {"marker": group.marker, "markersize": 5, "markevery": every}
            elif markers and len(measured) <= _MOST_MARKED_EPOCHS:
                drawn |= {"marker": "o", "markersize": 4}
            yield group, measured["epoch"].to_numpy(), measured[column].to_numpy(), drawn


def _losses(axes: Axes, groups: list[_Group]) -> None:
    alone = _runs_in(groups) == 1
    own = groups[-1].colour if alone else SOFT
    other = next(colour for colour in (COLOURS[1], COLOURS[0]) if colour != own) if alone else SOFT
    dashed: dict[str, Any] = {"linestyle": "--", "linewidth": 1.4}
    for _, epochs, values, look in _lines(groups, "train_loss", markers=False):
        faint = {"color": other} if alone else {"alpha": 0.6}
        single = {"marker": "x"} if len(epochs) == 1 else {}
        axes.plot(epochs, values, **look | dashed | faint | single)
    for _, epochs, values, look in _lines(groups, "validation_loss"):
        axes.plot(epochs, values, **look)
    axes.set(title="Loss", ylabel="nats per image")
    training = key("training (augmented images)", color=other, **dashed)
    validation = key("validation", color=own, linewidth=1.8)
    # Beside the title: inside the panel, it would lie on the curves of a training that has hardly begun.
    beside: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 2, "borderaxespad": 0.2}
    axes.legend(handles=[training, validation], **beside)
    _cut_off(axes, groups, "train_loss", "validation_loss")


def _validation_loss(axes: Axes, groups: list[_Group], **colour: str) -> None:
    for _, epochs, values, look in _lines(groups, "validation_loss"):
        axes.plot(epochs, values, **look | colour)
    axes.set_ylabel("loss (nats per image)")
    _cut_off(axes, groups, "validation_loss")


def _accuracy(axes: Axes, groups: list[_Group], **colour: str) -> None:
    star: dict[str, Any] = {"marker": "*", "markersize": 14, "markeredgecolor": "white", "zorder": 4}
    for group, epochs, values, look in _lines(groups, "validation_accuracy"):
        line = look | colour
        axes.plot(epochs, 100 * values, **line)
        if len(values) and group.colour != FAINT:
            best = int(np.argmax(values))
            axes.plot(epochs[best], 100 * values[best], color=line["color"], **star)
    axes.set_ylabel("accuracy (%)")
    axes.margins(y=0.08)  # room for the star


def _learning_rate(axes: Axes, groups: list[_Group]) -> None:
    alike: dict[str, Any] = {} if _schedules(groups) > 1 else {"color": COLOURS[0], "alpha": 1}
    plotted: set[bytes] = set()
    for _, epochs, values, look in _lines(groups, "learning_rate"):
        if (schedule := values.tobytes()) not in plotted:
            plotted.add(schedule)
            axes.plot(epochs, values, **look | alike)
    axes.set(title="Learning rate after each epoch", ylabel="learning rate")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}")


def _schedules(groups: list[_Group]) -> int:
    return len({run["learning_rate"].dropna().to_numpy().tobytes() for group in groups for run in group.runs})


def _cut_off(axes: Axes, groups: list[_Group], *columns: str) -> None:
    runs = [run for group in groups for run in group.runs]
    values = np.concatenate([[], *(run[column].dropna() for column in columns for run in runs)])
    if (top := top_without_blow_up(values)) is not None:
        axes.set_ylim(0, top)
        axes.set_ylabel(f"{axes.get_ylabel()}, above {top:.3g} cut off")


def _column(groups: list[_Group], draw: Sequence[Callable], height: float, *, told_apart: bool = True) -> Figure:
    """A panel for each of these functions, one below the other, and one legend for several runs that are told apart."""
    panels = small_multiples(len(draw), columns=1, size=(9, height), margin=(0, 0), sharex=True)
    for axes, draw_into in zip(panels.axes, draw, strict=True):
        draw_into(axes, groups)
        whole_numbers(axes.xaxis)
    panels.axes[-1].set_xlabel("epoch")
    handles = []
    for group in groups if told_apart and _runs_in(groups) > 1 else []:
        runs = f" ({len(group.runs)} runs)" if len(group.runs) > 1 else ""
        # A legend leaves out labels that start with an underscore, but not with a space.
        name = f" {group.label}" if group.label.startswith("_") else group.label
        handles.append(key(f"{short(name, 40)}{runs}", color=group.colour, linewidth=2.5, marker=group.marker or None))
    return finished(panels.figure, legend=handles or None)
