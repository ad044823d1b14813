"""Axes: names instead of numbers, plain numbers on logarithmic scales, and ticks at the values that were run."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator


def thousands(value: float, _: Any = None) -> str:
    """A number with its thousands separated; fractions below 1 as they are."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def with_unit(value: float, _: Any = None) -> str:
    """A number in thousands, millions or billions (k, M, G)."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def logarithmic(
    axis: Axis,
    steps: Sequence[int] | None = (1, 2, 5),
    write: Callable[[float, Any], str] = thousands,
    *,
    most: int | None = None,
) -> None:
    """A logarithmic axis with plain numbers: the style does not read powers as formulas.

    Args:
        steps: which multiples of a power of ten are named; if missing, those that Matplotlib names.
        write: a number as text.
        most: how many ticks at most, where that is not left to Matplotlib.
    """
    _set_logarithmic(axis)
    if steps is not None:
        axis.set_major_locator(LogLocator(subs=steps, numticks=most))
    axis.set_major_formatter(FuncFormatter(write))
    axis.set_minor_formatter(NullFormatter())


def decades(values: np.ndarray) -> tuple[int, ...]:
    """Which multiples of a power of ten to name for values of such a range."""
    return (1,) if values.max() > 100 * max(values.min(), 1) else (1, 2, 5)


def top_without_blow_up(losses: np.ndarray) -> float | None:
    """Where an axis of losses is to end, if one of them would flatten all the rest: ten times the third quartile, or more."""
    usual = float(np.quantile(losses, 0.75)) if len(losses) else 0.0
    return 5 * usual if usual > 0 and losses.max() > 10 * usual else None


def whole_numbers(axis: Axis) -> None:
    """Ticks at whole numbers alone, as of epochs."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def names(axes: Axes, which: Literal["x", "y"], labels: Sequence[str], *, beside: float = 0.5, **look: Any) -> None:
    """Names at 0, 1, ... without a grid between them; downwards on a vertical axis.

    Args:
        beside: how far the axis reaches beyond the first and the last of them.
        look: of the labels.
    """
    end = max(1, len(labels)) - 1 + beside
    if which == "x":
        axes.set_xticks(range(len(labels)), labels, **look)
        axes.set_xlim(-beside, end)
    else:
        axes.set_yticks(range(len(labels)), labels, **look)
        axes.set_ylim(end, -beside)
    axes.grid(visible=False, axis=which)


def have_room(positions: Sequence[float] | np.ndarray, apart: float) -> list[bool]:
    """Which of ascending positions have room for a name, if names are to be so far apart (as a part of the axis)."""
    reach = max(float(np.ptp(positions)), 1e-9)
    named = [False] * len(positions)
    last = np.inf
    for number in reversed(range(len(positions))):  # the last is named in any case
        if last - positions[number] >= apart * reach:
            named[number], last = True, positions[number]
    return named


def values_run(axis: Axis, values: Sequence[float], labels: Sequence[str], apart: float, *, log: bool = True) -> None:
    """A tick at every one of the values, which ascend, with its label where it has room.

    Args:
        apart: how far apart names must be, as a part of the axis.
        log: make the axis logarithmic.
    """
    if log:
        _set_logarithmic(axis)
        axis.set_minor_locator(NullLocator())
    named = np.array(have_room(np.log10(values) if log else values, apart))
    axis.set_ticks(np.array(values)[named], labels=np.array(labels)[named])
    axis.set_ticks(np.array(values)[~named], minor=True)
    axis.set_minor_formatter(NullFormatter())


def _set_logarithmic(axis: Axis) -> None:
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
