"""How long training takes, found by a few steps of the real one on a few of the images."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vision_studies.config.training import (
    ConstantSettings,
    EnsembleSettings,
    TrainingSettings,
    ValidationStage,
)
from vision_studies.costs import Cost, Measured
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import Splits
from vision_studies.training.progress import without_progress

EPOCHS = 4
"""Of a rehearsal: one to get going, two that train alone, and one that validates, too."""

_ENOUGH = 0.4  # seconds that an epoch should take for its time to be worth something
_FURTHER = 2, 16  # how many times more images the next attempt has: as many as will take long enough
_DECIDE_NO_TIME = {
    *("epochs", "schedule", "early_stopping", "selection", "validate_every", "checkpoint_every", "keep_last"),
    *("label_smoothing", "image_scales"),
}
_TRAINING_OPERATIONS = 3  # forward, and twice as much backward


def few_images(data: PreparedData, train: int, others: int) -> PreparedData:
    """The same image set with fewer images in each split, of every class alike as far as they go."""
    labels = data.image_set.labels

    def some(positions: np.ndarray, count: int) -> np.ndarray:
        order = np.argsort(labels[positions], kind="stable")
        _, starts, sizes = np.unique(labels[positions][order], return_index=True, return_counts=True)
        turns = np.concatenate([np.arange(size) for size in sizes])  # of each image in its class
        first = np.argsort(turns, kind="stable")[:count]
        return np.sort(positions[order[first]]) if len(starts) else positions

    splits = Splits(
        some(data.splits.train, train), *(some(each, others) for each in (data.splits.validation, data.splits.test))
    )
    return replace(data, splits=splits, ffcv_files={}, folds=())


@dataclass(frozen=True)
class Rehearsal:
    """A few steps of a training.

    Attributes:
        train: images and splits, and a folder -> history of `EPOCHS` epochs, of which the last alone is validated; its
            `seconds` are those since the beginning.
        data: all images and splits.
        batch: images of a step.
        images: of an epoch of the real training.
        validated: of a validation of the real training.
    """

    train: Callable[[PreparedData, Path], pd.DataFrame]
    data: PreparedData
    batch: int
    images: int
    validated: int

    @cached_property
    def _found(self) -> tuple[Measured, Measured]:
        count, validated = min(self.images, self.batch), max(1, min(self.validated, 2 * self.batch))
        attempts = 0
        while True:
            attempts += 1
            with tempfile.TemporaryDirectory() as folder, without_progress():
                small = few_images(self.data, count, validated)
                seconds = self.train(small, Path(folder))["seconds"].to_numpy(dtype=float)
                disk = float(sum(file.stat().st_size for file in Path(folder).rglob("*.*") if file.is_file()))
            first, second, last = np.diff(seconds)
            plain = min(first, second)
            # What is over at once is done a second time, when all that comes once has come.
            if plain >= _ENOUGH or (count >= self.images and attempts > 1):
                break
            least, most = _FURTHER
            count = min(self.images, ceil(count * min(most, max(least, 1.2 * _ENOUGH / max(plain, 1e-9)))))
        images = len(small.splits.train)
        validation = max(last - plain, 0.02 * plain) / len(small.splits.validation)
        return Measured((first / images, second / images), disk), Measured((validation,))

    @property
    def training(self) -> Measured:
        """Of an image that is learnt from."""
        return self._found[0]

    @property
    def validation(self) -> Measured:
        """Of an image that is validated with."""
        return self._found[1]


def harmless(optimizer: Any) -> Any:
    """An optimiser's settings with steps so small that nothing diverges; they take as long."""
    smaller: dict[str, Any] = {"learning_rate": 1e-6}
    if hasattr(optimizer, "rest"):
        smaller["rest"] = harmless(optimizer.rest)
    return optimizer.model_copy(update=smaller)


def rehearsed_settings(training: TrainingSettings, scale: float) -> TrainingSettings:
    """Settings of a rehearsal, with images of one scale. A compiled step is rehearsed as it is without that."""
    schedule = ConstantSettings(name="constant", warmup_epochs=0)
    few = {"epochs": EPOCHS, "validate_every": EPOCHS, "checkpoint_every": EPOCHS, "keep_last": 1}
    more = {"schedule": schedule, "early_stopping": None, "image_scales": (scale,), "compile": False}
    more["optimizer"] = harmless(training.optimizer)
    return training.model_copy(update={**few, **more})


def rehearsed_stack(training: EnsembleSettings) -> EnsembleSettings:
    """The same of a stack."""
    rarely = (ValidationStage(until_epoch=None, interval=EPOCHS),)
    more = {"steps_per_epoch": None, "early_stopping": None, "restore": "best"}
    return training.model_copy(update={"epochs": EPOCHS, "validation_schedule": rarely, **more})


def seconds_of(prepare: Callable[[], tuple[Callable[[], Any], float]], *, most: int = 50) -> Measured:
    """What a unit of some work takes that is done again and again.

    Args:
        prepare: makes ready what is not timed -> does some of the work, and how many units that are.
        most: how often it is done at most; it ends earlier when it has taken long enough.
    """
    go, units = prepare()
    go()  # what comes once
    taken: list[float] = []
    while len(taken) < 2 or (sum(taken) < _ENOUGH and len(taken) < most):
        started = time.perf_counter()
        go()
        taken.append(time.perf_counter() - started)
    middle = sorted(taken)[len(taken) // 4 : max(len(taken) // 4 + 1, 3 * len(taken) // 4)]
    return Measured((middle[0] / units, middle[-1] / units))


def fit_costs(
    shape: Mapping[str, Any],
    training: TrainingSettings,
    rehearse: Callable[[TrainingSettings, PreparedData, Path], pd.DataFrame],
    data: PreparedData,
    operations: Callable[[], float],
    *,
    images: int | None = None,
) -> list[Cost]:
    """What `fit` costs: images that are learnt from, by their scale, and images that are validated with.

    Args:
        shape: network, augmentation, loader.
        training: how it is trained.
        rehearse: trains with these settings and images -> history.
        data: images and splits.
        operations: multiply-adds of the network for an image.
        images: that are learnt from; None: the training split.
    """
    operations = cache(operations)  # training and prediction are of one network
    images = len(data.splits.train) if images is None else images
    validated = len(data.splits.validation)
    shape = {**shape, "images": list(data.image_set.images.shape[1:]), **timed(training)}
    stopping, epochs = training.early_stopping, training.epochs
    fewest = 1.0 if stopping is None else min(1.0, (stopping.patience + 1) * training.validate_every / epochs)
    costs, rehearsal = [], None
    for scale in dict.fromkeys(training.image_scales):
        share = training.image_scales.count(scale) / len(training.image_scales)

        def train(small: PreparedData, folder: Path, scale: float = scale) -> pd.DataFrame:
            return rehearse(rehearsed_settings(training, scale), small, folder)

        rehearsal = Rehearsal(train, data, training.batch_size, images, validated)
        units = images * epochs * share
        costs.append(
            Cost(
                "train",
                {**shape, "scale": scale},
                units,
                _scaled(operations, _TRAINING_OPERATIONS * scale**2),
                _later(rehearsal, "training"),
                fewest * units,
            )
        )
    assert rehearsal is not None  # noqa: S101 - there is one scale at least
    units = validated * ceil(epochs / training.validate_every)
    measure = _later(rehearsal, "validation")
    return [*costs, Cost("predict", shape, units, operations, measure, fewest * units)]


def timed(training: TrainingSettings | EnsembleSettings) -> dict[str, Any]:
    """What of settings decides how long a step takes, as JSON."""
    dumped = training.model_dump(mode="json", exclude=_DECIDE_NO_TIME)
    if "optimizer" in dumped:
        dumped["optimizer"] = {
            name: value for name, value in dumped["optimizer"].items() if name in ("name", "iterations", "nesterov")
        }
    return dumped


def stack_costs(
    shape: Mapping[str, Any],
    training: EnsembleSettings,
    rehearse: Callable[[EnsembleSettings, PreparedData, Path], pd.DataFrame],
    data: PreparedData,
    operations: Callable[[], float],
    *,
    members: int,
    images: int,
    validated: int,
) -> list[Cost]:
    """What `fit_ensemble` costs; units are images of one member, and each goes through all members.

    Args:
        shape: network and the like.
        training: how it is trained.
        rehearse: trains the stack with these settings and images -> history of a member, whose seconds are its share.
        data: images and splits that the rehearsal takes some of.
        operations: multiply-adds of the network for an image.
        members: how many networks there are.
        images: that a member learns from.
        validated: that a member is validated with.
    """
    operations = cache(operations)
    batch = min(training.batch_size, images)
    whole = {**shape, **timed(training), "members": members, "batch_size": batch, "steps_per_epoch": None}
    whole["images"] = list(data.image_set.images.shape[1:])

    def train(small: PreparedData, folder: Path) -> pd.DataFrame:
        history = rehearse(rehearsed_stack(training), small, folder)
        return history.assign(seconds=history["seconds"] * members)

    rehearsal = Rehearsal(train, data, batch, images, validated)
    epochs, stopping = training.epochs, training.early_stopping
    validations = [epoch for epoch in range(1, epochs + 1) if training.validates(epoch)]
    fewest = 1.0
    if stopping is not None and len(validations) > stopping.patience:
        fewest = validations[stopping.patience] / epochs
    an_epoch = images if training.steps_per_epoch is None else training.steps_per_epoch * batch
    learnt, seen = an_epoch * epochs, validated * len(validations)
    return [
        Cost(
            "train as one",
            whole,
            learnt,
            _scaled(operations, _TRAINING_OPERATIONS * members),
            _later(rehearsal, "training"),
            fewest * learnt,
        ),
        Cost(
            "validate as one",
            whole,
            seen,
            _scaled(operations, members),
            _later(rehearsal, "validation"),
            fewest * seen,
        ),
    ]


def _scaled(operations: Callable[[], float], factor: float) -> Callable[[], float]:
    """Of work whose operations are so many times those of an image."""
    return lambda: factor * operations()


def _later(rehearsal: Rehearsal, what: str) -> Callable[[], Measured]:
    return lambda: getattr(rehearsal, what)
