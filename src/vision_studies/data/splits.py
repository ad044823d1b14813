"""Which images are for training, for validation and for test."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError

NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets of positions in an image set.

    Attributes:
        train: int64, sorted.
        validation: int64, sorted.
        test: int64, sorted.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the three sets."""
        digest = hashlib.sha256()
        for name in NAMES:
            digest.update(name.encode() + getattr(self, name).astype("<i8").tobytes())
        return digest.hexdigest()

    def to_table(self) -> pd.DataFrame:
        """One row an image, in the order of the image set: index and split."""
        parts = [pd.DataFrame({"index": getattr(self, name), "split": name}) for name in NAMES]
        return pd.concat(parts, ignore_index=True).sort_values("index", ignore_index=True)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> "Splits":
        """Read what `to_table` has written."""
        return cls(*(np.sort(table.loc[table["split"] == name, "index"].to_numpy(np.int64)) for name in NAMES))


def make_splits(image_set: ImageSet, settings: SplitSettings) -> Splits:
    """Divide by class. A test split of the source's own is kept; validation is always carved from the training images.

    Raises:
        DataError: a class has too few images to be divided, or would have none left for training.
    """
    everything = np.arange(len(image_set.labels))
    if image_set.is_test.any():
        test = everything[image_set.is_test]
        rest = everything[~image_set.is_test]
    else:
        rest, test = _carve(image_set, everything, settings.test_fraction, settings.seed, "test")
    train, validation = _carve(image_set, rest, settings.validation_fraction, settings.seed, "validation")
    return Splits(train, validation, test)


def _carve(
    image_set: ImageSet, indices: np.ndarray, fraction: float, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    labels = image_set.labels[indices]
    counts = np.bincount(labels, minlength=len(image_set.class_names))
    scarce = int(counts.argmin())
    wanted = math.ceil(len(indices) * fraction)  # as scikit-learn rounds
    if counts[scarce] < 2 or wanted < len(counts) or len(indices) - wanted < len(counts):
        raise DataError(
            f"'{image_set.name}' cannot be split by class: '{image_set.class_names[scarce]}' has {counts[scarce]} images "
            f"and the {name} split would have {wanted} of {len(indices)} for {len(counts)} classes; add images or change "
            f"data_prep.splits.{name}_fraction ({fraction})."
        )
    from sklearn.model_selection import train_test_split

    kept, carved = train_test_split(indices, test_size=fraction, stratify=labels, random_state=seed)
    left = np.bincount(image_set.labels[kept], minlength=len(counts))
    if not left.all():
        without = int(left.argmin())
        raise DataError(
            f"'{image_set.name}' cannot be split by class: of the {counts[without]} images of "
            f"'{image_set.class_names[without]}' the {name} split would take all; lower data_prep.splits.{name}_fraction "
            f"({fraction})."
        )
    return np.sort(kept), np.sort(carved)
