"""Few, medium and many: classes by the number of their training images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision_studies.errors import DataError
from vision_studies.files import atomic_file

SPLITS = ("few", "medium", "many")


@dataclass(frozen=True)
class ClassSplits:
    """Three disjoint sets of labels, int64, sorted, that hold every class; the few are those to be helped."""

    few: np.ndarray
    medium: np.ndarray
    many: np.ndarray

    @property
    def base(self) -> np.ndarray:
        """Classes that are not few, int64, sorted: those that help."""
        return np.sort(np.concatenate([self.medium, self.many]))

    @property
    def num_classes(self) -> int:
        """Number of all classes."""
        return len(self.few) + len(self.medium) + len(self.many)

    def names(self) -> np.ndarray:
        """Name of every class's split, str [classes]."""
        names = np.empty(self.num_classes, dtype="<U6")
        for name in SPLITS:
            names[getattr(self, name)] = name
        return names


def split_by_count(counts: np.ndarray, *, few_below: int, many_above: int) -> ClassSplits:
    """Divide classes by `counts`, int [classes], of their training images: fewer than `few_below`, and more than `many_above`.

    Raises:
        DataError: no class is few, or none is left to help.
    """
    splits = ClassSplits(
        np.flatnonzero(counts < few_below),
        np.flatnonzero((counts >= few_below) & (counts <= many_above)),
        np.flatnonzero((counts >= few_below) & (counts > many_above)),
    )
    if not len(splits.few):
        raise DataError(
            f"No class has fewer than {few_below} training images (the smallest has {counts.min()}), so that there is none "
            "to be helped; raise alphanet.splits.few_below, or make the tail longer with data_prep.splits.long_tail.factor."
        )
    if not len(splits.base):
        raise DataError(
            f"Every class has fewer than {few_below} training images, so that there is none to help; lower "
            "alphanet.splits.few_below."
        )
    return splits


def read_class_splits(folder: Path, num_classes: int) -> ClassSplits:
    """Read `few.txt`, `medium.txt` and `many.txt`: one label a line.

    Raises:
        DataError: a file is missing or holds something else than labels, a class is missing, repeated or unknown, or no
            class is few.
    """
    few, medium, many = (_labels(folder / f"{name}.txt") for name in SPLITS)
    named = Counter([*few, *medium, *many])
    twice = [label for label, times in named.items() if times > 1]
    if twice:
        raise DataError(f"The split files in {folder} name class {min(twice)} more than once; name every class once.")
    unknown = [label for label in named if not 0 <= label < num_classes]
    if unknown:
        raise DataError(
            f"The split files in {folder} name class {unknown[0]}, but the data has the classes 0 to {num_classes - 1}; "
            "remove it or use the files that belong to the data."
        )
    missing = sorted({*range(num_classes)} - named.keys())
    if missing:
        raise DataError(f"The split files in {folder} leave out class {missing[0]}; add it to one of them.")
    if not few:
        raise DataError(f"{folder / 'few.txt'} names no class, so that there is none to be helped; name one at least.")
    if not medium and not many:
        raise DataError(
            f"The split files in {folder} call every class few, so that there is none to help; name the classes with many "
            "images in medium.txt or many.txt instead."
        )
    return ClassSplits(*(np.array(sorted(labels), dtype=np.int64) for labels in (few, medium, many)))


def write_class_splits(folder: Path, splits: ClassSplits) -> None:
    """Write what `read_class_splits` reads.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    for name in SPLITS:
        with atomic_file(folder / f"{name}.txt") as temporary:
            temporary.write_text("".join(f"{label}\n" for label in getattr(splits, name)), encoding="utf-8")


def _labels(file: Path) -> Sequence[int]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # some editors begin a file with a mark
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}); write the labels of its classes into it, one a line."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text; write the labels of its classes into it, one a line.") from error
    labels = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                labels.append(int(line))
            except ValueError as error:
                raise DataError(
                    f"{file} has '{line.strip()}' in line {number}, which is no label; write one whole number a line."
                ) from error
    return labels
