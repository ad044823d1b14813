"""What a classifier says of many images, a few batches in memory at a time, and how well that agrees with the truth."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vision_studies.augmentation.views import average_probabilities
from vision_studies.data.image_source import DecodedBatch, ImageSource
from vision_studies.data.sources.decoding import quiet
from vision_studies.errors import DataError
from vision_studies.files import atomic_file
from vision_studies.serving.calibration import Calibration
from vision_studies.serving.image_classifier import Predictor
from vision_studies.statistics.conformal import SetKind
from vision_studies.statistics.metrics import measured

CONFIDENCE = 0.95
"""Of the intervals of accuracies."""


class PredictedBatch(NamedTuple):
    """What was said of a batch.

    Attributes:
        positions: in the source, int64 [B].
        probabilities: as the network says, float32 [B, classes].
        corrupt: of images that cannot be read, their positions with the reasons.
        calibrated: probabilities [B, classes] that can be trusted as far as validation images tell; None if not asked for.
        likeness: share of the validation images that are farther from their neighbours, [B]; likewise.
        sets: which classes are in the set of each image, bool [B, classes]; None if not asked for.
    """

    positions: np.ndarray
    probabilities: np.ndarray
    corrupt: dict[int, str]
    calibrated: np.ndarray | None = None
    likeness: np.ndarray | None = None
    sets: np.ndarray | None = None


class AskedSets(NamedTuple):
    """Sets of classes that are asked for: the share of them that is to hold the right class, and their kind."""

    coverage: float
    kind: SetKind


def predictions(
    predictor: Predictor,
    source: ImageSource,
    advance: Callable[[int], None],
    calibration: Calibration | None = None,
    sets: AskedSets | None = None,
) -> Iterator[PredictedBatch]:
    """Class probabilities of all images that can be read, batch by batch, while threads decode the next ones. Raises DataError
    where no image can be read.

    Args:
        predictor: says it.
        source: the images.
        advance: is told of every batch how many images more have been dealt with.
        calibration: of the predictor's model; None: what the network says alone.
        sets: of classes; they want a calibration, and a predictor of single views.
    """
    read = number = 0
    images, batch_size = predictor.classifier.images, predictor.classifier.batch_size
    decoding = replace(images.decoding, image_size=images.image_size)
    corrupt: dict[int, str] = {}
    with quiet():
        for batch in source.batches(batch_size, decoding=decoding, channels=images.in_channels):
            said = PredictedBatch(batch.positions, np.empty((0, len(images.class_names)), np.float32), batch.corrupt)
            if len(batch.images):
                said = said_of(predictor, batch, number, calibration, sets)
                number += 1
            read += len(batch.images)
            corrupt |= batch.corrupt
            yield said
            advance(len(batch.images) + len(batch.corrupt))
    if read == 0:
        first, reason = next(iter(corrupt.items()))
        name = str(source.names[first]).encode(errors="replace").decode()
        if len(source) == 1:
            raise DataError(f"{name} cannot be read: {reason}.")
        raise DataError(f"None of the {len(source):,} images can be read; the first one, {name}: {reason}.")


def said_of(
    predictor: Predictor,
    batch: DecodedBatch,
    number: int,
    calibration: Calibration | None,
    sets: AskedSets | None = None,
) -> PredictedBatch:
    """What is said of a batch that has images, the `number` of those before it being given."""
    if calibration is None:
        return PredictedBatch(batch.positions, predictor(batch.images, number), batch.corrupt)
    logits, features = predictor.features(batch.images, number)
    told = (calibration.probabilities(logits), calibration.likeness(features))
    probabilities = average_probabilities(torch.from_numpy(logits)).numpy()
    inside = None if sets is None else calibration.sets(probabilities, *sets)
    return PredictedBatch(batch.positions, probabilities, batch.corrupt, *told, inside)


def write_left_out(corrupt: Mapping[int, str], source: ImageSource, path: Path) -> None:
    """Write which images cannot be read, and why, to a CSV file with the columns file and reason."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", errors="surrogateescape") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "reason"])
        table.writerows([source.names[position], reason] for position, reason in corrupt.items())


def score(probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, Any]:
    """How well predictions agree with the truth.

    Args:
        probabilities: [N, classes].
        labels: int64 [N].
        class_names: one name a class.

    Returns:
        images, correct, accuracy with accuracy_low and accuracy_high (Wilson 1927), confidence (of these intervals), loss
        (nats), calibration_error (15 bins), brier; and classes: for each class that occurs its name, images, correct,
        accuracy, accuracy_low, accuracy_high, and mistaken_for: the class that most of its other images were taken for,
        None where there are none; and reliability: title of each of `statistics.reliability` -> value, low and high (of its
        interval over the images).
    """
    import pandas as pd

    from vision_studies.statistics.evidence import Evidence
    from vision_studies.statistics.reliability import reliability

    predicted = probabilities.argmax(axis=1)
    confusion = pd.crosstab(labels, predicted).reindex(columns=range(len(class_names)), fill_value=0)
    evidence = Evidence.of_images("", [0], np.arange(len(labels)), labels, probabilities=probabilities[None])
    classes = []
    for label, row in confusion.iterrows():
        counts = row.to_numpy().copy()
        images, correct = int(counts.sum()), int(counts[label])
        counts[label] = 0
        mistaken = class_names[int(counts.argmax())] if counts.any() else None
        classes.append({"class": class_names[label], **_accuracy(correct, images), "mistaken_for": mistaken})
    return {
        **_accuracy(int((predicted == labels).sum()), len(labels)),
        "confidence": CONFIDENCE,
        **{column.removeprefix("test_"): value for column, value in measured(probabilities, labels).items()},
        "classes": classes,
        "reliability": {
            title: {
                name: float(getattr(found, name))
                for name in ("value", "low", "high")
                if found.covers != "nothing" or name == "value"
            }
            for title, found in reliability(evidence, CONFIDENCE).items()
        },
    }


def _accuracy(correct: int, images: int) -> dict[str, Any]:
    from scipy.stats import binomtest

    interval = binomtest(correct, images).proportion_ci(CONFIDENCE, method="wilson")
    accuracy = {"images": images, "correct": correct, "accuracy": correct / images}
    return accuracy | {"accuracy_low": float(interval.low), "accuracy_high": float(interval.high)}
