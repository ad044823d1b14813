"""How long candidates take on this machine, and what of a budget is left."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_studies.files import write_json
from vision_studies.pipelines.choose.candidates import COLOURS, Part, Parts, Step

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

SPEED_FILE = "speed.json"

_OPERATIONS_A_SECOND = 1.2e10  # of two cores without bfloat16, where nothing has been measured yet
LEAST_HEAD = 0.3  # seconds
_HEADS = {
    **{"majority": 0.01, "nearest_class_mean": 0.03, "nearest_neighbours": 0.03, "lda": 0.08, "ridge": 0.08},
    **{"perceptron": 4.0, "crt": 4.0},
}
_OTHER_HEADS = 0.6
"""Seconds of a family for a million images times features times fits, where none of it has been measured yet."""

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
    """

    seconds: Mapping[str, float]
    operations: Mapping[str, float]
    heads: Mapping[str, float] = field(default_factory=dict)

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
            return measured
        views = 2 if part.mirror else 1
        return views * self.operations[part.source] * (part.pixels / 224) ** 2 / _OPERATIONS_A_SECOND


@dataclass(frozen=True)
class Workload:
    """How much there is to be done for a step, besides its features.

    Attributes:
        images: that features are needed of.
        learnt: images that classifiers learn from.
        fits: folds times inner folds.
        widths: source -> numbers that it gives.
    """

    images: int
    learnt: int
    fits: int
    widths: Mapping[str, int]


def feature_seconds(step: Step, there: Collection[Part], speed: Speed, work: Workload) -> float:
    """Seconds for the features of a step when those of some parts are there."""
    return sum(speed.of_image(part) * work.images for part in step.parts if part not in there)


def head_seconds(step: Step, family: str, speed: Speed, work: Workload) -> float:
    """Seconds of a family on the features of a step, with one seed."""
    return speed.of_head(family, millions(step.parts, work))


def millions(parts: Parts, work: Workload) -> float:
    """Images times features times fits, in millions, with one seed."""
    return work.learnt * sum(work.widths[part.source] for part in parts) * work.fits / 1e6


def seconds_of(step: Step, there: Collection[Part], speed: Speed, work: Workload) -> float:
    """Seconds that the features of a step and the quickest of its families take where the features of some parts are there."""
    quickest = min(head_seconds(step, family, speed, work) for family in step.families)
    return feature_seconds(step, there, speed, work) + quickest


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
    from vision_studies.training.frozen_features import FeatureExtractor

    images = data.image_set.images[: min(_MEASURED, len(data.image_set.images))]
    opened = {name: open_any_backbone(name) for name in dict.fromkeys(part.source for part in parts)}
    seconds = {}
    for part in parts:
        extract = FeatureExtractor(opened[part.source], part.pixels, mirror=part.mirror)
        extract(images)  # what comes once
        begun = time.perf_counter()
        extract(images)
        seconds[f"{part.source}@{part.pixels}"] = (time.perf_counter() - begun) / len(images)
    write_json(file, {"seconds_an_image": seconds})


def read_speed(file: Path, operations: Mapping[str, float], heads: Mapping[str, float]) -> Speed:
    """What `measure_speed` has written; nothing measured where the file is missing or damaged."""
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["seconds_an_image"]
        seconds = {str(name): float(value) for name, value in told.items()}
        return Speed(seconds if all(np.isfinite([*seconds.values()])) else {}, operations, heads)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Speed({}, operations, heads)
