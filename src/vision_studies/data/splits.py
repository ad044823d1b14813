"""Which images are for training, for validation and for test; and long tails: of some classes many are kept, of others few."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from vision_studies.config.data_prep import LongTailSettings, SplitSettings
from vision_studies.data.groups import joined_groups, links_of
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


class Divided(NamedTuple):
    """What a division depends on.

    Attributes:
        name: of the images, as it is named in messages.
        labels: int64 [N].
        class_names: one name a label.
        own: str [N], the split that the source says of each image; empty where it leaves it open.
        units: int64 [N], images of one number are never divided; None where every image stands for itself.
        repeated: bool [N], images that would be learnt from though a copy of them is for test or validation.
    """

    name: str
    labels: np.ndarray
    class_names: tuple[str, ...]
    own: np.ndarray
    units: np.ndarray | None = None
    repeated: np.ndarray | None = None


def make_splits(image_set: ImageSet, settings: SplitSettings) -> Splits:
    """Divide by class. Splits of the source's own are kept; those that it has not are carved from the training images.

    Images of one group, and with `copies: together` copies of one picture, never stand on two sides of what is carved. Where
    the source has a test or validation split of its own, training images that are copies of its images are left out.

    A long tail is drawn from all images that are not for test, and validation is carved from what it keeps.

    Raises:
        DataError: a class has too few images or too few groups to be divided, or would have none left for training, or none
            in a long tail.

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
    own = own_splits(image_set)
    units = repeated = None
    if image_set.items is not None:
        copies = copies_of(image_set, settings)
        units = units_of(image_set.items["group"], copies)
        repeated = None if copies is None else _repeated(own, copies)
    return divide(
        Divided(image_set.name, image_set.labels, image_set.class_names, own, units, repeated),
        settings,
    )


def own_splits(image_set: ImageSet) -> np.ndarray:
    """The split that the source says of each image, str [N]; empty where it leaves it open."""
    own = np.where(image_set.is_test, "test", "").astype("U10")
    if image_set.items is None:
        return own
    said = image_set.items["split"].fillna("").to_numpy(dtype="U10")
    return np.where(said != "", said, own)


def copies_of(image_set: ImageSet, settings: SplitSettings) -> np.ndarray | None:
    """Numbers of the pictures that there are several times, int64 [N], -1 of others; None where copies are divided."""
    if image_set.items is None or settings.copies == "apart":
        return None
    return image_set.items["copies"].to_numpy(np.int64)


def units_of_images(image_set: ImageSet) -> np.ndarray | None:
    """What of an image set must not be divided: see `units_of`."""
    if image_set.items is None:
        return None
    return units_of(image_set.items["group"], image_set.items["copies"].to_numpy(np.int64))


def units_of(groups: pd.Series, copies: np.ndarray | None) -> np.ndarray | None:
    """Number of the smallest parts that hold a group, or the copies of a picture, as a whole.

    Args:
        groups: name of each image's group [N], or None.
        copies: int64 [N], a number for each picture that there is several times, -1 of others.

    Returns:
        int64 [N], in the order of first appearance; None where every image is a part of its own.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vision_studies.data.splits import units_of
        >>> units_of(pd.Series(["ann", "ann", "bob", None]), np.array([-1, 7, 7, -1])).tolist()
        [0, 0, 0, 1]
        >>> units_of(pd.Series(["ann", "bob"]), None) is None
        True
    """
    number = len(groups)
    of_group, _ = pd.factorize(groups)  # -1 of none
    links = [of_group] if copies is None else [of_group, copies]
    together = joined_groups(number, *map(links_of, links))
    if (together < 0).all():
        return None
    alone = np.arange(number) + number  # a number of its own for each of the others
    return pd.factorize(np.where(together < 0, alone, together))[0].astype(np.int64)


def _repeated(own: np.ndarray, copies: np.ndarray) -> np.ndarray | None:
    """Images that stand, as another copy, in a split of the source's own that they are not in: those for test come first."""
    rank = np.select([own == "test", own == "validation"], [2, 1], 0)
    best = np.zeros(int(copies.max(initial=-1)) + 1, np.int64)
    known = copies >= 0
    np.maximum.at(best, copies[known], rank[known])
    repeated = known.copy()
    repeated[known] = rank[known] < best[copies[known]]
    return repeated if repeated.any() else None


def divide(data: Divided, settings: SplitSettings) -> Splits:
    """What `make_splits` does, without the images.

    Raises:
        DataError: see `make_splits`.
    """
    places = np.arange(len(data.labels))
    test, validation = (places[data.own == split] for split in ("test", "validation"))
    rest = places[~np.isin(data.own, ("test", "validation"))]
    if data.repeated is not None:
        rest = _with_all_classes(data, rest[~data.repeated[rest]])
        validation = validation[~data.repeated[validation]]
    if not len(test):
        rest, test = carve(data, rest, settings.test_fraction, settings.seed, "test")
    own_validation = len(validation) > 0
    if settings.long_tail is not None:
        counts = np.bincount(data.labels[rest], minlength=len(data.class_names))
        if not counts.all():
            raise DataError(
                f"'{data.name}' has no image of '{data.class_names[int(counts.argmin())]}' besides those for test, so that no "
                "long tail can be drawn; add images of it, or set data_prep.splits.long_tail to null."
            )
        rest = rest[long_tail(data.labels[rest], settings.long_tail)]
        if not own_validation:
            rest, validation = _carve_tail(data.labels, rest, settings.validation_fraction, settings.seed, data.units)
    elif not own_validation:
        rest, validation = carve(data, rest, settings.validation_fraction, settings.seed, "validation")
    return Splits(_with_all_classes(data, rest), validation, test)


def _with_all_classes(data: Divided, train: np.ndarray) -> np.ndarray:
    counts = np.bincount(data.labels[train], minlength=len(data.class_names))
    if not counts.all():
        without = data.class_names[int(counts.argmin())]
        copied = data.repeated is not None and (data.labels[data.repeated] == int(counts.argmin())).any()
        reason = (
            "all of its training images are copies of images for test; set data_prep.splits.copies=apart to learn from them"
            if copied
            else "add images of it to the training split, or leave the class out"
        )
        raise DataError(f"'{data.name}' has no image of '{without}' to learn from: {reason}.")
    return train


def cut_tail(splits: Splits, labels: np.ndarray, settings: LongTailSettings, units: np.ndarray | None = None) -> Splits:
    """Keep a long tail of images that are divided already; as large a part of each class validates as before.

    Args:
        splits: of all images; the test split stays.
        labels: int64 [N], of all images.
        settings: profile, factor and seed.
        units: int64 [N], of all images: those of one number are never divided; None where each stands for itself.

    Raises:
        DataError: a class would keep no image, or every class a single one.
    """
    pool = np.sort(np.concatenate([splits.train, splits.validation]))
    tail = pool[long_tail(labels[pool], settings)]
    train, validation = _carve_tail(labels, tail, len(splits.validation) / len(pool), settings.seed, units)
    return Splits(train, validation, splits.test)


def redivide(splits: Splits, labels: np.ndarray, seed: int, units: np.ndarray | None = None) -> Splits:
    """Divide training and validation images anew, by class; as many of each class validate as before.

    Args:
        splits: of all images; the test split stays, and so does what is in none.
        labels: int64 [N], of all images.
        seed: of the division.
        units: int64 [N], of all images: those of one number are never divided; None where each stands for itself.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.splits import Splits, redivide
        >>> splits = Splits(np.arange(8), np.arange(8, 12), np.arange(12, 15))
        >>> anew = redivide(splits, np.arange(15) % 2, seed=1)
        >>> len(anew.train), len(anew.validation), anew.test.tolist()
        (8, 4, [12, 13, 14])
    """
    pool = np.sort(np.concatenate([splits.train, splits.validation]))
    wanted = np.bincount(labels[splits.validation], minlength=int(labels[pool].max()) + 1)
    train, validation = _carve_counts(labels, pool, wanted, seed, units)
    return Splits(train, validation, splits.test)


def carve(data: Divided, indices: np.ndarray, fraction: float, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions `indices` as what is left and what is carved, both sorted, by class and seed.

    Raises:
        DataError: a class has too few images or groups to be divided; it names `data_prep.splits.<name>_fraction`.
    """
    labels = data.labels[indices]
    counts = np.bincount(labels, minlength=len(data.class_names))
    scarce = int(counts.argmin())
    wanted = math.ceil(len(indices) * fraction)  # as scikit-learn rounds
    if counts[scarce] < 2:
        raise DataError(f"'{data.name}' cannot be split by class: {_too_few(data, scarce, int(counts[scarce]), name)}.")
    if wanted < len(counts) or len(indices) - wanted < len(counts):
        raise DataError(
            f"'{data.name}' cannot be split by class: '{data.class_names[scarce]}' has {counts[scarce]} images and the {name} "
            f"split would have {wanted} of {len(indices)} for {len(counts)} classes; add images or change "
            f"data_prep.splits.{name}_fraction ({fraction})."
        )
    if data.units is not None and _has_parts(data.units[indices]):
        return _carve_units(data, indices, fraction, seed, name)
    from sklearn.model_selection import train_test_split

    left, carved = train_test_split(indices, test_size=fraction, stratify=labels, random_state=seed)
    counts_left = np.bincount(data.labels[left], minlength=len(counts))
    if not counts_left.all():
        without = int(counts_left.argmin())
        raise DataError(
            f"'{data.name}' cannot be split by class: of the {counts[without]} images of "
            f"'{data.class_names[without]}' the {name} split would take all; lower data_prep.splits.{name}_fraction "
            f"({fraction})."
        )
    return np.sort(left), np.sort(carved)


def _too_few(data: Divided, label: int, left: int, name: str) -> str:
    """Why a class with `left` images, besides those that are in a split already, cannot be divided."""
    total = int((data.labels == label).sum())
    images = f"{total} image" + ("s" if total != 1 else "")
    rest = "" if total == left else f", of which {left or 'none'} is left,"
    return (
        f"'{data.class_names[label]}' has {images}{rest} and training and {name} need one each at least; add images of it, or "
        "leave the class out"
    )


def _has_parts(units: np.ndarray) -> bool:
    return len(np.unique(units)) < len(units)


def _carve_units(
    data: Divided, indices: np.ndarray, fraction: float, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    labels, units = data.labels[indices], np.asarray(data.units)[indices]
    chosen = _choose_units(labels, units, np.bincount(labels) * fraction, seed)
    if not chosen.any():
        raise DataError(
            f"'{data.name}' cannot be split by group: its {len(indices)} images stand in {len(np.unique(units))} groups and "
            f"sets of copies, of which none can be for {name} without taking a class from training; add groups, or leave "
            "data_prep.columns.group out."
        )
    return indices[~chosen], indices[chosen]


_TRIALS = 16  # orders in which groups are tried; where nearly all stand for themselves, the first is as good as any
_LARGE = 5000


def _choose_units(labels: np.ndarray, units: np.ndarray, wanted: np.ndarray, seed: int) -> np.ndarray:
    """Choose whole units with as nearly as can be `wanted` images of every class, and leave an image of every class.

    Units are taken in a random order, or the larger ones first, where they bring the classes nearer to what is wanted (the
    sum of squared differences, as shares of each class); of several orders the best is taken.

    Returns:
        bool [N].
    """
    _, codes = np.unique(units, return_inverse=True)
    total = np.bincount(labels).astype(np.float64)
    pairs, amount = np.unique(np.stack([codes, labels]), axis=1, return_counts=True)
    starts = np.searchsorted(pairs[0], np.arange(codes.max() + 2))
    sizes = np.bincount(codes)
    generator = np.random.default_rng(seed)
    best, least = np.zeros(len(sizes), bool), np.inf
    for trial in range(_TRIALS if len(sizes) <= _LARGE else 2):
        order = generator.permutation(len(sizes))
        if trial % 2 == 0:
            order = order[np.argsort(-sizes[order], kind="stable")]
        taken = _greedy(order, pairs[1].tolist(), amount.tolist(), starts.tolist(), total, wanted)
        differences = np.bincount(labels[taken[codes]], minlength=len(total)) - wanted
        error = float(((differences / np.maximum(total, 1)) ** 2).sum())
        if taken.any() and error < least - 1e-12:
            best, least = taken, error
    return np.asarray(best[codes])


def _greedy(
    order: np.ndarray, of_label: list[int], amount: list[int], starts: list[int], total: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Units that are taken in one order: bool [units]; a class of which none is wanted enough gives one that costs least."""
    left, lacking, whole = total.tolist(), wanted.tolist(), total.tolist()
    taken = np.zeros(len(order), bool)

    def gain(unit: int) -> float:
        """By how much the sum of squared differences changes; infinite where a class would have nothing left."""
        parts = range(starts[unit], starts[unit + 1])
        if any(left[of_label[i]] <= amount[i] for i in parts):
            return math.inf
        return sum((amount[i] ** 2 - 2 * lacking[of_label[i]] * amount[i]) / whole[of_label[i]] ** 2 for i in parts)

    def take(unit: int) -> None:
        taken[unit] = True
        for i in range(starts[unit], starts[unit + 1]):
            left[of_label[i]] -= amount[i]
            lacking[of_label[i]] -= amount[i]

    for unit in order.tolist():
        if gain(unit) <= 0:
            take(unit)
    without: dict[int, list[int]] = {
        label: [] for label in range(len(left)) if wanted[label] > 0 and left[label] == whole[label]
    }
    for unit in order.tolist() if without else ():
        for i in range(starts[unit], starts[unit + 1]):
            if of_label[i] in without:
                without[of_label[i]].append(unit)
    for label, units in sorted(without.items(), key=lambda item: len(item[1])):
        cheapest = min(units, key=gain, default=None)
        if cheapest is not None and left[label] == whole[label] and gain(cheapest) < math.inf:
            take(cheapest)
    return taken


def _carve_tail(
    labels: np.ndarray, indices: np.ndarray, fraction: float, seed: int, units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Carve the fraction of each class, but one image at least, and leave one: scikit-learn would refuse the small classes."""

    counts = np.bincount(labels[indices]).tolist()
    wanted = [min(max(round(images * fraction), 1), images - 1) if images else 0 for images in counts]
    return _carve_counts(labels, indices, np.array(wanted), seed, units)


def _carve_counts(
    labels: np.ndarray, indices: np.ndarray, wanted: np.ndarray, seed: int, units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Carve so many images of each class, int64 [classes]; as nearly as can be where units must stay whole."""
    if units is not None and _has_parts(units[indices]):
        validation = indices[_choose_units(labels[indices], units[indices], wanted, seed)]
    else:
        generator = np.random.default_rng(seed)
        classes = np.unique(labels[indices])
        shuffled = [generator.permutation(indices[labels[indices] == label]) for label in classes]
        parts = [of_class[: wanted[label]] for label, of_class in zip(classes, shuffled, strict=True)]
        validation = np.sort(np.concatenate(parts))
    if not len(validation):
        raise DataError(
            "One image of every class is left to learn from, and none to validate with; lower "
            "data_prep.splits.long_tail.factor, or add images."
        )
    return np.setdiff1d(indices, validation), validation


_ROUNDING = 1e-9  # 49 * (1 / 49) is to be 1


def long_tail_counts(available: np.ndarray, settings: LongTailSettings) -> np.ndarray:
    """How many images of each class are kept; a class with fewer than its share keeps all it has.

    The profiles are those of LDAM-DRW (Cao et al. 2019), from which CIFAR-10-LT and CIFAR-100-LT come. The largest class
    has n images. `exponential`: class i of C keeps n * factor ** (-i / (C - 1)), rounded down. `step`: the first C // 2
    classes keep n, the others n / factor, rounded down. In reverse the last class is the largest; where ranks are drawn, the
    seed says which class stands where.

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
    if settings.ranks == "drawn":
        shares = np.random.default_rng(settings.seed).permutation(shares)
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
