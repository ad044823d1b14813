"""What happened while networks were trained; input is a table of histories."""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_studies.plots.style import COLOURS, figure, style

_MOST_LEGEND_ENTRIES = 10


def learning_curves(histories: pd.DataFrame) -> Figure:
    """Losses, validation accuracy and learning rate of all runs, one above the other.

    Args:
        histories: columns run, variant, epoch, train_loss, validation_loss, validation_accuracy, learning_rate.
    """
    with style():
        drawn = figure(9, 10)
        axes = drawn.subplots(3, 1, sharex=True)
        _losses(axes[0], histories)
        _accuracy(axes[1], histories)
        _learning_rate(axes[2], histories)
        axes[2].set_xlabel("Epoch")
        return drawn


def loss_figure(histories: pd.DataFrame) -> Figure:
    """Training and validation loss of all runs."""
    return _single(histories, _losses)


def validation_figure(histories: pd.DataFrame) -> Figure:
    """Validation loss and accuracy of all runs, side by side: two scales on one axis mislead."""
    with style():
        drawn = figure(11, 4.6)
        left, right = drawn.subplots(1, 2)
        for _, run, colour, label in _runs(histories):
            validated = run.dropna(subset=["validation_loss"])
            left.plot(validated["epoch"], validated["validation_loss"], color=colour, label=label, **_marks(validated))
        left.set(title="Validation loss", xlabel="Epoch", ylabel="Nats per image")
        _accuracy(right, histories)
        right.set_xlabel("Epoch")
        return drawn


def learning_rate_figure(histories: pd.DataFrame) -> Figure:
    """Learning rate of all runs after every epoch."""
    return _single(histories, _learning_rate)


def _single(histories: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame], None]) -> Figure:
    with style():
        drawn = figure(9, 4.6)
        axes = drawn.subplots()
        draw(axes, histories)
        axes.set_xlabel("Epoch")
        return drawn


def _losses(axes: Axes, histories: pd.DataFrame) -> None:
    for _, run, colour, label in _runs(histories):
        validated = run.dropna(subset=["validation_loss"])
        axes.plot(run["epoch"], run["train_loss"], color=colour, linestyle="--", alpha=0.7)
        axes.plot(validated["epoch"], validated["validation_loss"], color=colour, label=label, **_marks(validated))
    axes.plot([], [], color="#555555", linestyle="--", label="training (augmented, smoothed)")
    axes.set(title="Loss", ylabel="Nats per image")
    _legend(axes)


def _accuracy(axes: Axes, histories: pd.DataFrame) -> None:
    for _, run, colour, label in _runs(histories):
        validated = run.dropna(subset=["validation_accuracy"])
        axes.plot(
            validated["epoch"], 100 * validated["validation_accuracy"], color=colour, label=label, **_marks(validated)
        )
    axes.set(title="Validation accuracy", ylabel="Percent")
    _legend(axes)


def _learning_rate(axes: Axes, histories: pd.DataFrame) -> None:
    drawn: set[tuple[float, ...]] = set()
    for _, run, colour, label in _runs(histories):
        rates = tuple(run["learning_rate"])
        if rates not in drawn:  # runs of one schedule share one line
            drawn.add(rates)
            axes.plot(run["epoch"], rates, color=colour, label=label, **_marks(run))
    axes.set(title="Learning rate after each epoch", ylabel="Learning rate")
    axes.set_ylim(bottom=0)
    if len(drawn) > 1:
        _legend(axes)


def _runs(histories: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, str, str | None]]:
    """Name, history, colour and legend entry of every run; runs of a variant share colour and entry."""
    variants = list(histories["variant"].drop_duplicates())
    labelled: set[str] = set()
    for name, run in histories.groupby("run", sort=False):
        variant = run["variant"].iloc[0]
        entry = None if variant in labelled else variant
        labelled.add(variant)
        yield str(name), run, COLOURS[variants.index(variant) % len(COLOURS)], entry


def _marks(run: pd.DataFrame) -> dict[str, Any]:
    """Points are worth marking where there are few of them."""
    return {"marker": "o", "markersize": 4} if len(run) <= 30 else {"linewidth": 1.4}


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles[:_MOST_LEGEND_ENTRIES], labels[:_MOST_LEGEND_ENTRIES], loc="best")
