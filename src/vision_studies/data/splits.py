"""Which images are for training, for validation and for test; and long tails: of some classes many are kept, of others few."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError

NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets of positions in an image set, int64, sorted; what a long tail leaves out is in none of them.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.splits import Splits
        >>> splits = Splits(train=np.array([0, 3]), validation=np.array([1]), test=np.array([2]))
        >>> splits.to_table()["split"].tolist()
        ['train', 'validation', 'test', 'train']
        >>> Splits.from_table(splits.to_table()).fingerprint == splits.fingerprint
        True
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
        """One row an image that is in a split, in the order of the image set: index and split."""
        parts = [pd.DataFrame({"index": getattr(self, name), "split": name}) for name in NAMES]
        return pd.concat(parts, ignore_index=True).sort_values("index", ignore_index=True)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> "Splits":
        """Read what `to_table` has written."""
        return cls(*(np.sort(table.loc[table["split"] == name, "index"].to_numpy(np.int64)) for name in NAMES))


def make_splits(image_set: ImageSet, settings: SplitSettings) -> Splits:
    """Divide by class. A test split of the source's own is kept; validation is always carved from the training images.

    A long tail is drawn from all images that are not for test, and validation is carved from what it keeps.

    Raises:
        DataError: a class has too few images to be divided, or would have none left for training, or none in a long tail.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.config.data_prep import SplitSettings
        >>> from vision_studies.data.image_set import ImageSet
        >>> from vision_studies.data.splits import make_splits
        >>> images, labels = np.zeros((100, 4, 4, 1), np.uint8), np.arange(100) % 2
        >>> image_set = ImageSet.create("blank", images, labels, ("even", "odd"), np.zeros(100, bool), origin={})
        >>> settings = SplitSettings(validation_fraction=0.1, test_fraction=0.2, seed=0, copies="together", long_tail=None)
        >>> splits = make_splits(image_set, settings)
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (72, 8, 20)
        >>> np.bincount(labels[splits.test]).tolist()
        [10, 10]
    """
    if image_set.is_test.any():
        rest, test = np.flatnonzero(~image_set.is_test), np.flatnonzero(image_set.is_test)
    else:
        rest, test = _carve(image_set, np.arange(len(image_set.labels)), settings.test_fraction, settings.seed, "test")
    if settings.long_tail is None:
        train, validation = _carve(image_set, rest, settings.validation_fraction, settings.seed, "validation")
        return Splits(train, validation, test)
    counts = np.bincount(image_set.labels[rest], minlength=len(image_set.class_names))
    if not counts.all():
        raise DataError(
            f"'{image_set.name}' has no image of '{image_set.class_names[int(counts.argmin())]}' besides those for test, so "
            "that no long tail can be drawn; add images of it, or set data_prep.splits.long_tail to null."
        )
    tail = rest[long_tail(image_set.labels[rest], settings.long_tail)]
    train, validation = _carve_tail(image_set.labels, tail, settings.validation_fraction, settings.seed)
    return Splits(train, validation, test)


def cut_tail(splits: Splits, labels: np.ndarray, settings: LongTailSettings) -> Splits:
    """Keep a long tail of images that are divided already; as large a part of each class validates as before.

    Args:
        splits: of all images; the test split stays.
        labels: int64 [N], of all images.
        settings: profile, factor and seed.

    Raises:
        DataError: a class would keep no image, or every class a single one.
    """
    pool = np.sort(np.concatenate([splits.train, splits.validation]))
    tail = pool[long_tail(labels[pool], settings)]
    train, validation = _carve_tail(labels, tail, len(splits.validation) / len(pool), settings.seed)
    return Splits(train, validation, splits.test)


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

    left, carved = train_test_split(indices, test_size=fraction, stratify=labels, random_state=seed)
    counts_left = np.bincount(image_set.labels[left], minlength=len(counts))
    if not counts_left.all():
        without = int(counts_left.argmin())
        raise DataError(
            f"'{image_set.name}' cannot be split by class: of the {counts[without]} images of "
            f"'{image_set.class_names[without]}' the {name} split would take all; lower data_prep.splits.{name}_fraction "
            f"({fraction})."
        )
    return np.sort(left), np.sort(carved)


def _carve_tail(labels: np.ndarray, indices: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Carve the fraction of each class, but one image at least, and leave one: scikit-learn would refuse the small classes."""
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(indices[labels[indices] == label]) for label in np.unique(labels[indices])]
    carved = [of_class[: min(max(round(len(of_class) * fraction), 1), len(of_class) - 1)] for of_class in shuffled]
    validation = np.sort(np.concatenate(carved))
    if not len(validation):
        raise DataError(
            "The long tail keeps one image of every class, so that none is left to validate with; lower "
            "data_prep.splits.long_tail.factor, or add images."
        )
    return np.setdiff1d(indices, validation), validation


_ROUNDING = 1e-9  # 49 * (1 / 49) is to be 1


def long_tail_counts(available: np.ndarray, settings: LongTailSettings) -> np.ndarray:
    """How many images of each class are kept; a class with fewer than its share keeps all it has.

    The profiles are those of LDAM-DRW (Cao et al. 2019), from which CIFAR-10-LT and CIFAR-100-LT come. The largest class
    has n images. `exponential`: class i of C keeps n * factor ** (-i / (C - 1)), rounded down. `step`: the first C // 2
    classes keep n, the others n / factor, rounded down. In reverse the last class is the largest.

    Args:
        available: int64 [classes], images of each class in the order of the labels.
        settings: profile and factor.

    Returns:
        int64 [classes].

    Raises:
        DataError: a class would keep no image.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.config.data_prep import LongTailSettings
        >>> from vision_studies.data.splits import long_tail_counts
        >>> settings = LongTailSettings(profile="exponential", factor=100, seed=0, reverse=False)
        >>> long_tail_counts(np.full(5, 1000), settings).tolist()
        [1000, 316, 100, 31, 10]
    """
    classes, largest = len(available), int(available.max())
    labels = np.arange(classes)
    if settings.profile == "exponential":
        exponents = labels / max(classes - 1, 1)
    else:
        exponents = (labels >= classes // 2).astype(np.float64)
    shares = np.floor(largest / settings.factor**exponents + _ROUNDING).astype(np.int64)
    if settings.reverse:
        shares = shares[::-1]
    if shares.min() < 1:
        raise DataError(
            f"data_prep.splits.long_tail.factor={settings.factor:g} leaves class {int(shares.argmin())} without an image, as "
            f"the largest class has {largest}; lower it to {largest} at most."
        )
    return np.minimum(shares, available)


def long_tail(labels: np.ndarray, settings: LongTailSettings) -> np.ndarray:
    """Draw the images that a long-tailed set keeps.

    The draw is that of LDAM-DRW (Cao et al. 2019): one generator for all classes, which in the order of the labels shuffles
    the images of each and keeps the first. The training images of CIFAR in their published order therefore give the
    published CIFAR-10-LT and CIFAR-100-LT.

    Args:
        labels: int64 [N], from 0 to the number of classes less one.
        settings: profile, factor and seed.

    Returns:
        Places in `labels`, int64, sorted.

    Raises:
        DataError: a class would keep no image.
    """
    # The published images can only be drawn by the generator that they were drawn with, although it is a legacy one.
    generator = np.random.RandomState(settings.seed)
    chosen = []
    for label, count in enumerate(long_tail_counts(np.bincount(labels), settings)):
        positions = np.flatnonzero(labels == label)
        generator.shuffle(positions)
        chosen.append(positions[:count])
    return np.sort(np.concatenate(chosen))
