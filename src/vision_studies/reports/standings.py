"""The picture of a verdict: candidates as dots with their intervals, the best by validation on top, and accuracy against cost.

Everything is a share of a width that the page decides, so that letters are the page's own at any width.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vision_studies.reports.formatting import count, duration
from vision_studies.statistics.verdict import Answer, Standing

MOST_ROWS = 12
"""Candidates of a picture; the table has all of them."""

_ROOM = 0.06  # beside the outermost dots, as a share of what they span
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in percent of its length, and its words."""

    place: float
    words: str


@dataclass(frozen=True)
class Dot:
    """A candidate in the picture.

    Attributes:
        number: of its row, from 1.
        name, pipeline: its own; the pipeline is empty where all have one.
        words: its value and interval as text.
        mark: "take" of the recommended one, "best" of the best by validation where another is recommended, else "".
        is_baseline: whether others were to beat it.
        place: of its value on the axis, in percent of its length; with the ends of its interval, None where it has none.
    """

    number: int
    name: str
    pipeline: str
    words: str
    mark: str
    is_baseline: bool
    place: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Point:
    """A candidate in a picture of cost: its number, where it lies in percent from the left and from the top, and its words."""

    number: int
    x: float
    y: float
    words: str
    mark: str


@dataclass(frozen=True)
class CostPicture:
    """Value against a cost: its title, the points, and the ticks of both axes."""

    title: str
    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Picture:
    """What a verdict's answer looks like.

    Attributes:
        dots: rows, the best on top.
        ticks: of the axis of accuracy.
        costs: none where fewer than two candidates have a cost.
        left_out: candidates beyond `MOST_ROWS`.
        words: what the picture shows, for those who do not see it.
        measure: what the axis is of.
    """

    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    costs: tuple[CostPicture, ...]
    left_out: int
    words: str
    measure: str


def picture(answer: Answer) -> Picture | None:
    """The picture of an answer; None where fewer than two candidates are scored."""
    scored = [one for one in answer.standings if not math.isnan(one.estimate.value)]
    if len(scored) < 2:
        return None
    shown = scored[:MOST_ROWS]
    if answer.take is not None and answer.take not in shown and answer.take in scored:
        shown[-1] = answer.take
    several = len({one.candidate.pipeline for one in scored}) > 1
    ends = [
        value
        for one in shown
        for value in (one.estimate.value, one.estimate.low, one.estimate.high)
        if not math.isnan(value)
    ]
    low, high = axis_ends(ends)
    share = _linear(low, high)
    marks = {id(answer.best): "best", id(answer.take): "take"}
    dots = tuple(
        Dot(
            number,
            one.candidate.title,
            one.candidate.pipeline if several else "",
            _words(one),
            marks.get(id(one), ""),
            one.candidate.is_baseline,
            share(one.estimate.value),
            None if math.isnan(one.estimate.low) else share(one.estimate.low),
            None if math.isnan(one.estimate.low) else share(one.estimate.high),
        )
        for number, one in enumerate(shown, 1)
    )
    measure = "balanced test accuracy" if answer.measure == "balanced_accuracy" else "test accuracy"
    drawn = (
        _cost(shown, dots, "Operations for a prediction", lambda one: one.candidate.macs, count),
        _cost(shown, dots, "Training time of a seed", lambda one: one.candidate.training_seconds, duration),
    )
    costs = tuple(one for one in drawn if one is not None)
    top = ", ".join(f"{dot.name} {dot.words}" for dot in dots[:3])
    words = f"{measure.capitalize()} of {len(dots)} candidates with intervals, the best by validation first: {top}"
    return Picture(dots, ticks(low, high), costs, len(scored) - len(shown), words, measure)


def axis_ends(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis of shares that has room for all values: from 0 to 1 at most."""
    low, high = min(values), max(values)
    room = _ROOM * (high - low) or 0.01
    return max(0.0, low - room), min(1.0, high + room)


def ticks(low: float, high: float, most: int = 6) -> tuple[Tick, ...]:
    """Round percentages between the ends of an axis."""
    step = next((step for step in _STEPS if (high - low) / step <= most), 1.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9) - 2)
    share = _linear(low, high)
    return tuple(Tick(share(number * step), f"{100 * number * step:.{decimals}f}") for number in range(first, last + 1))


def _linear(low: float, high: float) -> Callable[[float], float]:
    return lambda value: round(100 * (value - low) / (high - low), 2)


def _words(one: Standing) -> str:
    estimate = one.estimate
    if math.isnan(estimate.low):
        return f"{100 * estimate.value:.1f} %"
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _cost(
    shown: Sequence[Standing],
    dots: Sequence[Dot],
    title: str,
    cost: Callable[[Standing], float],
    write: Callable[[float], str],
) -> CostPicture | None:
    known = [(dot, one, cost(one)) for dot, one in zip(dots, shown, strict=True) if cost(one) > 0]
    if len({value for _, _, value in known}) < 2:
        return None
    logs = [math.log10(value) for _, _, value in known]
    room = 0.08 * (max(logs) - min(logs))
    low, high = min(logs) - room, max(logs) + room
    place = _linear(low, high)
    ends = axis_ends([one.estimate.value for _, one, _ in known])
    height = _linear(*ends)
    points = tuple(
        Point(
            dot.number,
            place(log),
            round(100 - height(one.estimate.value), 2),
            f"{dot.number}: {dot.name}, {write(value)}, {dot.words}",
            dot.mark,
        )
        for (dot, one, value), log in zip(known, logs, strict=True)
    )
    powers = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    labelled = (
        powers
        if len(powers) > 1
        else sorted({min(known, key=lambda one: one[2])[2], max(known, key=lambda one: one[2])[2]})
    )
    x_ticks = tuple(
        Tick(place(math.log10(value)), re.sub(r"\.0+(?= )", "", write(value)))
        for value in labelled[:: -(-len(labelled) // 5)]
    )
    y_ticks = tuple(Tick(100 - tick.place, tick.words) for tick in ticks(*ends, most=5))
    return CostPicture(title, points, x_ticks, y_ticks)
