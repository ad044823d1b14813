"""What can be tried, what it costs, and in which order: what promises most for its time comes first.

What a candidate promises is a rule of thumb that decides the order alone. It was read off EfficientNet-Lites on CIFAR-10 (500
images): 1.7 points for twice the operations, be it by larger images or by a larger network, and 0.9 for twice as many features
side by side; 5 for a fifth of the layers that learn.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vision_studies.config.fine_tuning import FineTuning, FromNothing
from vision_studies.models.backbones import BACKBONES

if TYPE_CHECKING:
    import pandas as pd

COLOURS = "colour_histogram"
"""Features that need no network: how often each of `COLOUR_BINS` colours occurs."""

COLOUR_BINS = 64

EVALUATION = "evaluation"
"""The one stage of a run."""

CLASSIFIER, AVERAGE, STACK = "classifier of features", "average", "stack"
TUNED, FROM_NOTHING = "fine-tuned network", "network from random weights"
"""Kinds of candidates."""

COMBINED = (AVERAGE, STACK)
"""Kinds that consist of other runs, their members."""

BALANCED = "validation_balanced_accuracy"
"""Of a run's other metrics, where it is what candidates are chosen by."""

FREE_FAMILIES = ("majority", "nearest_class_mean")
"""What is tried with colours alone."""

SLOW_FAMILIES = ("perceptron", "crt")
"""Families that take many times as long as the others, and are tried when these have been tried with all seeds."""

_CHANCE, _COLOURED, _FIRST = 20.0, 30.0, 66.0  # points that nothing, colours and the smallest network are taken to give
_DOUBLED, _JOINED = 1.7, 0.9
_FIRST_COST = 4e8 * 64**2
_NOTHING, _TUNED, _ENOUGH = (
    35.0,
    12.0,
    0.25,
)  # a network from random weights; what learning layers add, up to a share of them
_LEAST_GAIN, _LEAST_DEAR = 0.3, 0.05  # points: a candidate that promises nothing may still win
_COMPARED = 1.0  # points that it is worth to know what a network from random weights would have been


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
    """Features with all families that are tried on them, or one network that is trained.

    Attributes:
        parts: of the features, or the backbone that is trained.
        families: names of the classifiers; none of a network that is trained.
        promise: points that they are taken to give.
        recipe: how the network is trained.
        least: points that it is worth to try it though it promises no more than what has been tried.
    """

    parts: Parts
    families: tuple[str, ...]
    promise: float
    recipe: FineTuning | FromNothing | None = None
    least: float = _LEAST_GAIN

    @property
    def is_dear(self) -> bool:
        """Whether it takes many times as long as the others on features that are there."""
        return self.recipe is not None or set(self.families) <= set(SLOW_FAMILIES)

    @property
    def features(self) -> Parts:
        """Features that have to be there before."""
        return () if self.recipe is not None else self.parts


def recipe_of(configuration: Mapping[str, Any]) -> FineTuning | FromNothing:
    """How the network of a configuration is trained, be it as a run has it or as the results table, which has it flattened."""
    kind = FineTuning if configuration["kind"] == TUNED else FromNothing
    flat = {name.removeprefix("recipe."): value for name, value in configuration.items() if name.startswith("recipe.")}
    return kind(**configuration.get("recipe", flat))


class Sized(NamedTuple):
    """What of a backbone decides what it costs: operations for an image of 224 pixels, and sides that images are brought to."""

    operations: float
    sides: Sequence[int]


Costs = Callable[[Step, Collection[Part]], float]
"""Seconds of a step when the features of some parts are there."""


def steps(
    backbones: Mapping[str, Sized],
    parts: Callable[[str, int], Part],
    families: Sequence[str],
    *,
    join: bool,
    recipes: Sequence[FineTuning | FromNothing] = (),
) -> list[Step]:
    """All that can be tried, without averages, in no particular order.

    Args:
        parts: name of a backbone and pixels -> its part.
        join: try features of several backbones and sizes side by side, too: the two that cost least, the three that cost
            least, and so on to all.
        recipes: by which networks are trained: each backbone at each side by those of pretrained ones.
    """
    single = sorted(
        ((sized.operations * side**2, parts(name, side)) for name, sized in backbones.items() for side in sized.sides),
        key=lambda each: each[0],
    )
    features: list[tuple[Parts, float]] = [((part,), _promise(cost)) for cost, part in single]
    together = tuple(part for _, part in single)
    if join:
        features += [
            (together[:number], _promise(single[number - 1][0]) + _JOINED * math.log2(number))
            for number in range(2, len(single) + 1)
        ]
    quick = tuple(family for family in families if family not in SLOW_FAMILIES)
    alone = [(family,) for family in families if family in SLOW_FAMILIES]
    each = [quick, *alone] if quick else alone
    colours = Step((Part(COLOURS, 0, False, ""),), FREE_FAMILIES, _COLOURED)
    trained = [step for recipe in recipes for step in _trained(recipe, features[: len(single)])]
    classified = [
        Step(own, some, promise, least=_LEAST_DEAR if some in alone else _LEAST_GAIN)
        for own, promise in features
        for some in each
    ]
    return [colours, *classified, *trained]


def _trained(recipe: FineTuning | FromNothing, features: Sequence[tuple[Parts, float]]) -> list[Step]:
    """Networks that are trained by a recipe."""
    if isinstance(recipe, FromNothing):
        return [Step((), (), _NOTHING, recipe, _LEAST_DEAR if recipe.heavy else _COMPARED)]
    more = _TUNED * math.sqrt(min(recipe.share, _ENOUGH))
    return [Step(parts, (), promise + more, recipe, _LEAST_DEAR) for parts, promise in features]


def _promise(cost: float) -> float:
    """Points that features are taken to give, of operations for an image of 224 pixels times the square of the side."""
    return _FIRST + _DOUBLED * math.log2(max(cost, 1.0) / _FIRST_COST)


def in_order(steps: Sequence[Step], costs: Costs, there: Collection[Part] = ()) -> list[tuple[Step, float]]:
    """Steps with their seconds: each time the one that promises most for its cost, given what was tried before it.

    Args:
        costs: of each; features that an earlier step has left are free.
    """
    left, known, best = list(steps), set(there), _CHANCE
    ordered = []
    while left:
        gains = {index: max(step.promise - best, step.least) for index, step in enumerate(left)}
        seconds = {index: costs(step, known) for index, step in enumerate(left)}
        chosen = max(gains, key=lambda index: gains[index] / max(seconds[index], 0.1))
        step = left.pop(chosen)
        ordered.append((step, seconds[chosen]))
        known |= set(step.features)
        best = max(best, step.promise)
    return ordered


def is_balanced(configuration: Mapping[str, Any]) -> bool:
    """Whether a run is chosen by a mean over classes."""
    return configuration.get("metric") == "balanced_accuracy"


def merit(metrics: Mapping[str, Any]) -> float:
    """What a run is chosen by, on the inner folds: its accuracy, or the mean of it over classes."""
    return float(metrics["other_metrics"].get(BALANCED, metrics["validation_accuracy"]))


def merits(results: "pd.DataFrame") -> "pd.Series":
    """The same of rows of the results table; NaN of those that are not scored."""
    told = [json.loads(own).get(BALANCED) if isinstance(own, str) else None for own in results["other_metrics"]]
    return results["validation_accuracy"].where([value is None for value in told], told).astype(float)


def variant_name(parts: Sequence[Part], family: str) -> str:
    """How a candidate is called."""
    from vision_studies.classifiers.registry import FAMILIES

    if family == "majority":
        return "majority class"
    return f"{FAMILIES[family].title} on {features_title(parts)}"


def network_name(parts: Sequence[Part], recipe: FineTuning | FromNothing) -> str:
    """How a network that is trained is called."""
    return ", ".join(network_titles(parts, recipe))


def network_titles(parts: Sequence[Part], recipe: FineTuning | FromNothing) -> tuple[str, str]:
    """What is trained, and how."""
    if isinstance(recipe, FromNothing):
        return f"small ResNet at {recipe.pixels} px", f"from random weights{', heavy augmentation' * recipe.heavy}"
    learning = "all layers" if recipe.share >= 1 else f"last {100 * recipe.share:g} % of layers"
    return features_title(parts), f"fine-tuned, {learning}"


def features_title(parts: Sequence[Part]) -> str:
    """How features are called."""
    if parts[0].source == COLOURS:
        return "colour histograms"
    sides: dict[str, list[int]] = {}
    for part in parts:
        title = BACKBONES[part.source].title.split(",")[0] if part.source in BACKBONES else Path(part.source).name
        sides.setdefault(title, []).append(part.pixels)
    return " + ".join(f"{title} at {' and '.join(map(str, own))} px" for title, own in sides.items())
