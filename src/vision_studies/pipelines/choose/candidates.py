"""What can be tried, what it costs, and in which order: what promises most for its time comes first.

What a candidate promises is a rule of thumb that decides the order alone. It was read off frozen EfficientNet-Lites on CIFAR-10
(500 images): 3.4 points for images of twice the side, 4 points for twice the operations at the same side.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

COLOURS = "colour_histogram"
"""Features that need no network: how often each of `COLOUR_BINS` colours occurs."""

COLOUR_BINS = 64

EVALUATION = "evaluation"
"""The one stage of a run."""

CLASSIFIER, AVERAGE = "classifier of features", "average"
"""Kinds of candidates."""

FREE_FAMILIES = ("majority", "nearest_class_mean")
"""What is tried with colours alone."""

SLOW_FAMILIES = ("perceptron", "crt")
"""Families that take many times as long as the others, and are tried when these have been tried on everything."""

_CHANCE, _COLOURED, _FIRST = 20.0, 30.0, 62.0  # points that nothing, colours and the smallest network are taken to give
_SIDE, _SIZE, _JOINED = 3.4, 4.0, 1.5
_BASE_PIXELS, _BASE_OPERATIONS = 64, 4e8
_LEAST_GAIN = 0.3  # points: a candidate that promises nothing may still win


@dataclass(frozen=True)
class Part:
    """Features of one backbone, or colours.

    Attributes:
        source: name of the backbone, or `COLOURS`.
        pixels: height and width that images are brought to; 0 of colours.
        mirror: whether the mirror image counts as well.
        weights: SHA-256 of the backbone's weights; empty of colours.
    """

    source: str
    pixels: int
    mirror: bool
    weights: str

    @property
    def configuration(self) -> dict[str, Any]:
        """As JSON; see `part_of`."""
        return {"source": self.source, "pixels": self.pixels, "mirror": self.mirror, "weights": self.weights}


def part_of(configuration: Mapping[str, Any]) -> Part:
    """A part, from what `Part.configuration` has made of it."""
    return Part(*(configuration[name] for name in ("source", "pixels", "mirror", "weights")))


Parts = tuple[Part, ...]
"""Features side by side."""


@dataclass(frozen=True)
class Step:
    """Features with all families that are tried on them.

    Attributes:
        parts: of the features.
        families: names of the classifiers.
        promise: points that they are taken to give.
    """

    parts: Parts
    families: tuple[str, ...]
    promise: float


Costs = Callable[[Step, Collection[Part]], float]
"""Seconds of a step when the features of some parts are there."""


def steps(
    backbones: Mapping[str, float],
    parts: Callable[[str, int], Part],
    pixels: Sequence[int],
    families: Sequence[str],
    *,
    join: bool,
) -> list[Step]:
    """All that can be tried, without averages, in no particular order.

    Args:
        backbones: name -> operations for an image of 224 pixels.
        parts: name of a backbone and pixels -> its part.
        pixels: sides that images are brought to.
        families: classifiers of features.
        join: try features of several backbones of one side, and of the two largest sides of one backbone, side by side.
    """
    own: dict[tuple[str, int], tuple[Parts, float]] = {
        (name, side): ((parts(name, side),), _promise(operations, side))
        for name, operations in backbones.items()
        for side in pixels
    }
    features = [*own.values()]
    if join:
        for side in pixels:
            features += [_joined([own[name, side] for name in names]) for names in _together(list(backbones))]
        for name in backbones:
            features += [_joined([own[name, side] for side in pair]) for pair in _together(sorted(pixels)[-2:])]
    quick = tuple(family for family in families if family not in SLOW_FAMILIES)
    alone = [(family,) for family in families if family in SLOW_FAMILIES]
    each = [quick, *alone] if quick else alone
    colours = Step((Part(COLOURS, 0, False, ""),), FREE_FAMILIES, _COLOURED)
    return [colours, *(Step(together, some, promise) for together, promise in features for some in each)]


def _together(names: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Every pair, and all together where they are more than two."""
    yield from combinations(names, 2)
    if len(names) > 2:
        yield tuple(names)


def _joined(several: Sequence[tuple[Parts, float]]) -> tuple[Parts, float]:
    """Features side by side, with what they promise."""
    parts = tuple(part for own, _ in several for part in own)
    return parts, max(promise for _, promise in several) + _JOINED


def _promise(operations: float, side: int) -> float:
    size = math.log2(max(operations, 1.0) / _BASE_OPERATIONS)
    return _FIRST + _SIDE * math.log2(side / _BASE_PIXELS) + _SIZE * size


def in_order(steps: Sequence[Step], costs: Costs, there: Collection[Part] = ()) -> list[tuple[Step, float]]:
    """Steps with their seconds: each time the one that promises most for its cost, given what was tried before it.

    Args:
        steps: to be ordered.
        costs: of each; features that an earlier step has left are free.
        there: parts whose features are there.
    """
    left, known, best = list(steps), set(there), _CHANCE
    ordered = []
    while left:
        gains = {index: max(step.promise - best, _LEAST_GAIN) for index, step in enumerate(left)}
        seconds = {index: costs(step, known) for index, step in enumerate(left)}
        chosen = max(gains, key=lambda index: gains[index] / max(seconds[index], 0.1))
        step = left.pop(chosen)
        ordered.append((step, seconds[chosen]))
        known |= set(step.parts)
        best = max(best, step.promise)
    return ordered


def variant_name(parts: Sequence[Part], family: str) -> str:
    """How a candidate is called."""
    from vision_studies.classifiers.registry import FAMILIES

    if family == "majority":
        return "majority class"
    return f"{FAMILIES[family].title} on {features_title(parts)}"


def features_title(parts: Sequence[Part]) -> str:
    """How features are called."""
    from vision_studies.models.backbones import BACKBONES

    if parts[0].source == COLOURS:
        return "colour histograms"
    sides: dict[str, list[int]] = {}
    for part in parts:
        title = BACKBONES[part.source].title.split(",")[0] if part.source in BACKBONES else Path(part.source).name
        sides.setdefault(title, []).append(part.pixels)
    return " + ".join(f"{title} at {' and '.join(map(str, own))} px" for title, own in sides.items())
