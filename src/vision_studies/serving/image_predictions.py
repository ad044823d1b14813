"""What a classifier says of many images, a few batches in memory at a time."""

import csv
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from vision_studies.data.image_source import ImageSource
from vision_studies.errors import DataError
from vision_studies.files import atomic_file
from vision_studies.serving.image_classifier import ImageFormat, Predictor

Advance = Callable[[int], None]
"""Is told how many images more have been dealt with."""


class Told(NamedTuple):
    """What was said of a batch.

    Attributes:
        positions: int64 [B], places in the source.
        probabilities: float32 [B, classes].
        corrupt: place -> why the image cannot be read.
    """

    positions: np.ndarray
    probabilities: np.ndarray
    corrupt: dict[int, str]


def predictions(
    predictor: Predictor, source: ImageSource, images: ImageFormat, batch_size: int, advance: Advance
) -> Iterator[Told]:
    """Class probabilities of all images that can be read, batch by batch, while threads decode the next ones.

    Args:
        predictor: computes.
        source: the images.
        images: what the classifier takes.
        batch_size: images at a time.
        advance: is told of every batch.

    Raises:
        DataError: no image can be read.
    """
    read, number = 0, 0
    with warnings.catch_warnings():
        # Such an image is refused and named anyway; Pillow would tell of it a second time, between the lines.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for batch in source.batches(batch_size, image_size=images.image_size, channels=images.in_channels):
            told = np.empty((0, len(images.class_names)), np.float32)
            if len(batch.images):
                told = predictor(batch.images, number)
                number += 1
            read += len(batch.images)
            yield Told(batch.positions, told, batch.corrupt)
            advance(len(batch.images) + len(batch.corrupt))
    if read == 0:
        count = len(source)
        raise DataError(
            f"{'The one image' if count == 1 else f'None of the {count:,} images'} can{'not' if count == 1 else ''} be read; "
            "check that the files are pictures and whole."
        )


def write_predictions(
    told: Iterable[Told], source: ImageSource, class_names: Sequence[str], path: Path, *, submission: bool
) -> dict[int, str]:
    """Write predictions to a CSV file, batch by batch; without an error, the file is whole.

    Args:
        told: from `predictions`.
        source: gives the names of the images.
        class_names: one name a class.
        path: of the file. Its columns are file (index, for an array), class and confidence (a probability).
        submission: columns ID and Labels (numbers of classes) instead, as the original project submits them.

    Returns:
        Place of each image that cannot be read -> why.

    Raises:
        DataError: no image can be read.
        StorageError: the disk is full.
    """
    corrupt: dict[int, str] = {}
    # Names of files need not be text: what is not comes out as the bytes that it was.
    with atomic_file(path) as temporary, temporary.open("w", newline="", errors="surrogateescape") as file:
        table = csv.writer(file, lineterminator="\n")
        first = "index" if isinstance(source.content, np.ndarray) else "file"
        table.writerow(["ID", "Labels"] if submission else [first, "class", "confidence"])
        for batch in told:
            corrupt |= batch.corrupt
            labels, confidences = batch.probabilities.argmax(axis=1), batch.probabilities.max(axis=1, initial=0)
            for place, label, confidence in zip(batch.positions, labels, confidences, strict=True):
                found = [label] if submission else [class_names[label], f"{confidence:.4f}"]
                table.writerow([source.names[place], *found])
    return corrupt
