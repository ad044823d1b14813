"""How long candidates take on this machine, and what of a budget is left."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_studies.config.fine_tuning import FromNothing
from vision_studies.files import write_json
from vision_studies.pipelines.choose.candidates import COLOURS, FROM_NOTHING, TUNED, Part, Parts, Step
from vision_studies.pipelines.choose.division import image_epochs

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.models.pretrained import OpenedBackbone

SPEED_FILE = "speed.json"

_OPERATIONS_A_SECOND = 1.2e10  # of two cores without bfloat16, where nothing has been measured yet
LEAST_HEAD = 0.3  # seconds
_HEADS = {
    **{"majority": 0.01, "nearest_class_mean": 0.03, "nearest_neighbours": 0.03, "lda": 0.08, "ridge": 0.08},
    **{"perceptron": 4.0, "crt": 4.0},
}
_OTHER_HEADS = 0.6
"""Seconds of a family for a million images times features times fits, where none of it has been measured yet."""

_TRAINING = 8.0  # how many times as long as a frozen layer one takes that learns, for an image
_PREPARING = 2.5  # how many times as long as features what layers before a cut give takes
_FROM_NOTHING = 2e-6  # seconds that a pixel of an image takes in an epoch of a network from random weights
_LEAST_TRAINING = 2.0  # seconds of a candidate that is trained
_CAUTION = 1.3  # how much longer than foreseen something may take
_COLOURS = 2e-3  # seconds an image
_MEASURED = 16  # images


@dataclass(frozen=True)
class Speed:
    """What has been measured on this machine.

    Attributes:
        seconds: name of a backbone and pixels, joined by @ -> seconds for an image; empty where nothing has been measured.
        operations: name of a backbone -> operations for an image of 224 pixels.
        heads: family -> seconds for a million images times features times fits, of those that have been tried.
        slower: how many times as long as measured at first features have taken since.
        trained: how many times as long as foreseen networks have taken that were trained, by kind.
    """

    seconds: Mapping[str, float]
    operations: Mapping[str, float]
    heads: Mapping[str, float] = field(default_factory=dict)
    slower: float = 1.0
    trained: Mapping[str, float] = field(default_factory=dict)

    def of_head(self, family: str, millions: float) -> float:
        """Seconds of a family for so many millions of images times features times fits."""
        usual = {name: _HEADS.get(name, _OTHER_HEADS) for name in (*self.heads, family)}
        slower = [measured / usual[name] for name, measured in self.heads.items() if usual[name] >= _HEADS["lda"]]
        scale = max(1.0, float(np.median(slower))) if slower else 1.0
        return LEAST_HEAD + _CAUTION * millions * self.heads.get(family, usual[family] * scale)

    def of_image(self, part: Part) -> float:
        """Seconds for the features of an image."""
        if part.source == COLOURS:
            return _COLOURS
        measured = self.seconds.get(f"{part.source}@{part.pixels}")
        if measured is not None:
            return self.slower * measured
        views = 2 if part.mirror else 1
        return views * self.operations[part.source] * (part.pixels / 224) ** 2 / _OPERATIONS_A_SECOND


@dataclass(frozen=True)
class Workload:
    """How much there is to be done for a step, besides its features.

    Attributes:
        images: that features are needed of.
        learnt: images that classifiers learn from.
        folds: of the cross-validation; 0 with one test split.
        inner_folds: within each.
        widths: source -> numbers that it gives.
    """

    images: int
    learnt: int
    folds: int
    inner_folds: int
    widths: Mapping[str, int]

    @property
    def fits(self) -> int:
        """Classifiers of a family, with one choice of hyperparameters."""
        return max(1, self.folds) * (self.inner_folds + 1)


def feature_seconds(step: Step, there: Collection[Part], speed: Speed, work: Workload) -> float:
    """Seconds for the features of a step when those of some parts are there."""
    return sum(speed.of_image(part) * work.images for part in step.features if part not in there)


def head_seconds(step: Step, family: str, speed: Speed, work: Workload) -> float:
    """Seconds of a family on the features of a step, with one seed."""
    return speed.of_head(family, millions(step.parts, work))


def training_seconds(step: Step, speed: Speed, work: Workload) -> float:
    """Seconds of a network that is trained, with one seed."""
    recipe = step.recipe
    assert recipe is not None  # noqa: S101 - of such steps alone
    seen = recipe.epochs * image_epochs(work.learnt, work.folds, work.inner_folds)
    if isinstance(recipe, FromNothing):
        seconds, kind = seen * _FROM_NOTHING * recipe.pixels**2, FROM_NOTHING
    else:
        [part] = step.parts
        view, kind = speed.of_image(part) / (2 if part.mirror else 1), TUNED
        before = 0.0 if recipe.share >= 1 else (1 - recipe.share) * _PREPARING * work.images * speed.of_image(part)
        seconds = before + seen * view * recipe.share * _TRAINING
    return _LEAST_TRAINING + seconds * speed.trained.get(kind, 1.0)


def millions(parts: Parts, work: Workload) -> float:
    """Images times features times fits, in millions, with one seed."""
    return work.learnt * sum(work.widths[part.source] for part in parts) * work.fits / 1e6


def seconds_of(step: Step, there: Collection[Part], speed: Speed, work: Workload) -> float:
    """Seconds that the features of a step and the quickest of its families take where the features of some parts are there; of
    a network that is trained, its trainings.
    """
    if step.recipe is not None:
        return training_seconds(step, speed, work)
    quickest = min(head_seconds(step, family, speed, work) for family in step.families)
    return feature_seconds(step, there, speed, work) + quickest


class OutOfTime(Exception):  # noqa: N818 - it is no error
    """What was begun has been stopped, and is continued with a larger budget.

    Attributes:
        seconds: that it would have taken besides.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it takes {seconds:,.0f} s more; a larger budget goes on")
        self.seconds = seconds


class Hopeless(Exception):  # noqa: N818 - it is no error
    """A candidate has been stopped early, as it is clearly worse than another; the text says why."""


@dataclass
class Clock:
    """What is left of a budget.

    Attributes:
        budget: seconds in all.
        spent: seconds of earlier commands.
        planned: seconds of what a forecast has counted and nobody has done.
    """

    budget: float
    spent: float
    planned: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def used(self) -> float:
        """Seconds of this command and of earlier ones."""
        return self.spent + self.planned + time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - self.used

    def allows(self, seconds: float) -> bool:
        """Whether something of so many seconds will end in time."""
        return seconds <= self.left


def measure_speed(data: "PreparedData", parts: Collection[Part], file: Path) -> None:
    """Measure how long features take, with a few of the images, and write it."""
    from vision_studies.serving.trained_backbones import open_any_backbone

    opened = {name: open_any_backbone(name) for name in dict.fromkeys(part.source for part in parts)}
    seconds = {f"{part.source}@{part.pixels}": seconds_an_image(data, part, opened[part.source]) for part in parts}
    write_json(file, {"seconds_an_image": seconds})


def seconds_an_image(data: "PreparedData", part: Part, backbone: "OpenedBackbone") -> float:
    """Seconds that the features of an image take, measured with a few of them."""
    from vision_studies.training.frozen_features import FeatureExtractor

    images = data.image_set.images[: min(_MEASURED, len(data.image_set.images))]
    extract = FeatureExtractor(backbone, part.pixels, mirror=part.mirror)
    extract(images)  # what comes once
    begun = time.perf_counter()
    extract(images)
    return (time.perf_counter() - begun) / len(images)


def read_speed(file: Path) -> dict[str, float]:
    """What `measure_speed` has written; nothing where the file is missing or damaged."""
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["seconds_an_image"]
        seconds = {str(name): float(value) for name, value in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return seconds if all(np.isfinite([*seconds.values()])) else {}


def read_pace(file: Path) -> dict[str, float] | None:
    """Seconds `total`, `left` and `spent` of a run's trainings; None where it has not begun, or the file is damaged."""
    return read_numbers(file, "total", "left", "spent")


def read_seconds(file: Path) -> float:
    """The `seconds` that a JSON file tells; 0 where it is missing or damaged."""
    return (read_numbers(file, "seconds") or {"seconds": 0.0})["seconds"]


def read_numbers(file: Path, *names: str) -> dict[str, float] | None:
    """Numbers of a JSON file; None where it is missing or damaged."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {name: float(told[name]) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        return None
