"""Folds for cross-validation: every image is held out once, with all that belongs together."""

import heapq
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vision_studies.data.splits import units_of
from vision_studies.errors import DataError

_TRIALS = 8  # orders in which groups are dealt out; the one that divides the classes most evenly is taken
_MANY = 5000  # groups: then the first order is as good as any


def assign_folds(
    labels: np.ndarray,
    count: int,
    seed: int,
    groups: Sequence[object] | np.ndarray | None = None,
    copies: np.ndarray | None = None,
    *,
    class_names: Sequence[str] = (),
    parameter: str = "data_prep.splits.folds",
) -> np.ndarray:
    """Which of `count` folds each image is in: every fold has its share of every class, as nearly as groups allow.

    Args:
        labels: int64 [N].
        count: number of folds, 2 at least.
        seed: of the division.
        groups: group of each image [N] (a name or a number; None where it has none): a group is never divided.
        copies: int64 [N], a number for each picture that there is several times, -1 of others: copies are never divided.
        class_names: one name a label, for messages.
        parameter: what sets `count`, for messages.

    Returns:
        int64 [N], from 0 to `count` less one.

    Raises:
        DataError: a class has fewer images, or stands in fewer groups, than there are folds.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.folds import assign_folds
        >>> labels, camera = np.arange(12) % 2, np.arange(12) // 4
        >>> folds = assign_folds(labels, 3, seed=0)
        >>> [np.bincount(labels[folds == fold]).tolist() for fold in range(3)]
        [[2, 2], [2, 2], [2, 2]]
        >>> by_camera = assign_folds(labels, 3, seed=0, groups=camera)
        >>> [np.unique(camera[by_camera == fold]).size for fold in range(3)]
        [1, 1, 1]
    """
    labels, units = np.asarray(labels), _units(len(labels), groups, copies)
    label, most = _scarcest(labels, units)
    if count > max(most, 1) or count < 2 or most < 2:
        raise DataError(_too_many(labels, label, most, count, units, class_names, parameter))
    if units is None:
        from sklearn.model_selection import StratifiedKFold

        folds = np.empty(len(labels), np.int64)
        splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels)):
            folds[held_out] = fold
        return folds
    return _deal(labels, units, count, seed)


def most_folds(
    labels: np.ndarray, groups: Sequence[object] | np.ndarray | None = None, copies: np.ndarray | None = None
) -> int:
    """How many folds there can be, so that each has every class; see `assign_folds`.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.folds import most_folds
        >>> most_folds(np.array([0, 0, 0, 0, 1, 1, 1])), most_folds(np.array([0, 0, 1, 1]), copies=np.array([-1, -1, 5, 5]))
        (3, 1)
    """
    return _scarcest(np.asarray(labels), _units(len(labels), groups, copies))[1]


def _units(number: int, groups: Sequence[object] | np.ndarray | None, copies: np.ndarray | None) -> np.ndarray | None:
    """What must not be divided, int64 [N]; None where every image stands for itself."""
    if groups is None and copies is None:
        return None
    return units_of(pd.Series([None] * number if groups is None else list(groups), dtype=object), copies)


def _scarcest(labels: np.ndarray, units: np.ndarray | None) -> tuple[int, int]:
    """The class that stands in fewest units, and in how many."""
    pairs = pd.DataFrame({"label": labels, "unit": np.arange(len(labels)) if units is None else units})
    present, numbers = np.unique(pairs.drop_duplicates()["label"], return_counts=True)
    return int(present[numbers.argmin()]), int(numbers.min())


def _too_many(
    labels: np.ndarray,
    label: int,
    most: int,
    count: int,
    units: np.ndarray | None,
    class_names: Sequence[str],
    parameter: str,
) -> str:
    if count < 2:
        return f"{parameter}={count} is no cross-validation; set it to 2 or more."
    name = f"'{class_names[label]}'" if class_names else f"class {label}"
    images = int((labels == label).sum())
    has = f"{name} has {images} image" + ("" if images == 1 else "s")
    parts = "" if units is None or most == images else f" in {most} group{'' if most == 1 else 's'} or sets of copies"
    add = f"add {'images' if not parts else 'groups'} of it"
    mend = f"set {parameter} to {most} or less, or {add}" if most >= 2 else f"{add}, or leave the class out"
    return f"{parameter}={count}, but {has}{parts}, so that not every fold would have some; {mend}."


def _deal(labels: np.ndarray, units: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Deal whole units out; of several random orders the one is taken that divides the classes most evenly.

    Units of several images go one by one, those that divide worst first, to the fold that leaves the shares of the classes
    most even (the rule of scikit-learn's StratifiedGroupKFold); images that stand for themselves then fill what is uneven.
    """
    _, labels = np.unique(labels, return_inverse=True)
    _, units = np.unique(units, return_inverse=True)
    total, sizes = np.bincount(labels), np.bincount(units)
    large = np.flatnonzero(sizes > 1)
    place = np.full(len(sizes), -1)
    place[large] = np.arange(len(large))
    in_large = place[units] >= 0
    amount = np.zeros((len(large), len(total)))
    np.add.at(amount, (place[units[in_large]], labels[in_large]), 1)
    generator = np.random.default_rng(seed)
    best, least = np.zeros(len(labels), np.int64), np.inf
    for _ in range(_TRIALS if len(large) <= _MANY else 1):
        of_unit, counts = _deal_large(amount, total, count, generator)
        folds = np.where(in_large, of_unit[place[units]] if len(large) else 0, -1)
        for label in range(len(total)):
            alone = generator.permutation(np.flatnonzero((folds < 0) & (labels == label)))
            folds[alone] = _filling(counts, label, len(alone), generator)
        lacking = int((counts < 1).sum())
        error = lacking + float(((counts / total - 1 / count) ** 2).sum())
        if error < least - 1e-12:
            best, least = folds, error
    return best.astype(np.int64)


def _deal_large(
    amount: np.ndarray, total: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Fold of each unit, int64 [units], for its images of each class, [units, classes]; and the folds' [folds, classes]."""
    order = generator.permutation(len(amount))
    order = order[np.argsort(-((amount / total) ** 2).sum(axis=1)[order], kind="stable")]
    counts, of_unit = np.zeros((count, len(total))), np.zeros(len(amount), np.int64)
    for unit in order:
        uneven = (counts * (amount[unit] / total**2)).sum(axis=1)
        ties = np.flatnonzero(uneven <= uneven.min() + 1e-12)
        fewest = counts[ties].sum(axis=1)
        fold = generator.choice(ties[fewest == fewest.min()])
        of_unit[unit] = fold
        counts[fold] += amount[unit]
    return of_unit, counts


def _filling(counts: np.ndarray, label: int, number: int, generator: np.random.Generator) -> np.ndarray:
    """Folds of `number` images of a class that stand for themselves: each goes where fewest of it are, and there, of several
    such folds, where fewest images are at all. Adds them to `counts`.
    """
    heap = [
        (of_class, images, fold)
        for fold, (of_class, images) in enumerate(zip(counts[:, label], counts.sum(1), strict=True))
    ]
    heapq.heapify(heap)
    folds = np.empty(number, np.int64)
    for image in range(number):
        of_class, images, folds[image] = heap[0]
        heapq.heapreplace(heap, (of_class + 1, images + 1, int(folds[image])))
    counts[:, label] += np.bincount(folds, minlength=len(counts))
    return generator.permutation(folds)
