"""Folds for cross-validation: every image is held out once, with all that belongs together."""

import heapq
import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import Divided, Splits, carve, copies_of, own_splits, units_of
from vision_studies.errors import DataError

logger = logging.getLogger(__name__)

PARAMETER = "data_prep.splits.folds.number"
LEAST = 3
"""Folds of a study: with fewer, half of the images or less would be learnt from."""

_COLUMN = "fold_"
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
    parameter: str = PARAMETER,
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


def make_folds(image_set: ImageSet, splits: Splits, settings: SplitSettings) -> tuple[Splits, ...]:
    """The splits of a cross-validation, which takes the place of one test split where that is small; none where it does not.

    Every image is tested in one fold, and validation images are carved from the others as they are without folds. A validation
    split of the source's own is divided like other images.

    Args:
        image_set: all images.
        splits: as they are without folds; they say how large the one test split is.
        settings: when, and how many folds.

    Raises:
        DataError: `when: always`, and a class has too few images or groups, or a long tail is drawn.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.config.data_prep import SplitSettings
        >>> from vision_studies.data.folds import make_folds
        >>> from vision_studies.data.image_set import ImageSet
        >>> from vision_studies.data.splits import make_splits
        >>> images, labels = np.zeros((100, 4, 4, 1), np.uint8), np.arange(100) % 2
        >>> few = ImageSet.create("few", images, labels, ("even", "odd"), np.zeros(100, bool), origin={})
        >>> settings = SplitSettings(validation_fraction=0.1, test_fraction=0.2, seed=0, copies="together", long_tail=None)
        >>> folds = make_folds(few, make_splits(few, settings), settings)
        >>> len(folds), [len(part) for part in (folds[0].train, folds[0].validation, folds[0].test)]
        (5, [72, 8, 20])
        >>> sorted(np.concatenate([fold.test for fold in folds])) == list(range(100))
        True
    """
    asked, labels = settings.folds, image_set.labels
    if asked.when == "never" or (own_splits(image_set) == "test").any():
        return ()
    if asked.when == "auto" and not is_small(labels[splits.test], len(image_set.class_names), settings):
        return ()
    try:
        return _folds(image_set, settings)
    except DataError as error:
        if asked.when == "always":
            raise
        logger.warning(
            "'%s' has only %d test images, and is not cross-validated: %s", image_set.name, len(splits.test), error
        )
        return ()


def is_small(labels: np.ndarray, classes: int, settings: SplitSettings) -> bool:
    """Whether a test split with these labels, int64 [N], is smaller than `settings` say one may be."""
    asked = settings.folds
    of_class = np.bincount(labels, minlength=classes)
    return len(labels) < asked.test_images or int(of_class.min()) < asked.test_images_of_a_class


def _folds(image_set: ImageSet, settings: SplitSettings) -> tuple[Splits, ...]:
    labels, names = image_set.labels, image_set.class_names
    if settings.long_tail is not None:
        raise DataError(
            "Folds of a long tail would each be tested with another tail; set data_prep.splits.folds.when to never, or "
            "data_prep.splits.long_tail to null."
        )
    groups = None if image_set.items is None else image_set.items["group"].to_numpy()
    copies, number = copies_of(image_set, settings), settings.folds.number
    if settings.folds.when == "auto":
        number = max(LEAST, min(number, most_folds(labels, groups, copies)))
    together = assign_folds(labels, number, settings.seed, groups, copies, class_names=names)
    units = None if image_set.items is None else units_of(image_set.items["group"], copies)
    data = Divided(image_set.name, labels, names, np.full(len(labels), ""), units)
    found = []
    for fold in range(number):
        rest = np.flatnonzero(together != fold)
        train, validation = carve(data, rest, settings.validation_fraction, settings.seed, "validation")
        found.append(Splits(train, validation, np.flatnonzero(together == fold)))
    return tuple(found)


def to_table(splits: Splits, folds: Sequence[Splits]) -> pd.DataFrame:
    """One row an image: index, split and, for each fold, its split there, as `fold_1`, `fold_2` ..."""
    table = splits.to_table()
    for number, fold in enumerate(folds, start=1):
        own = fold.to_table().rename(columns={"split": f"{_COLUMN}{number}"})
        table = table.merge(own, on="index", how="outer").sort_values("index", ignore_index=True)
    return table


def from_table(table: pd.DataFrame) -> tuple[Splits, ...]:
    """The folds that `to_table` has written; none where there are none.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.folds import from_table, to_table
        >>> from vision_studies.data.splits import Splits
        >>> one, two, three = np.array([0]), np.array([1]), np.array([2])
        >>> folds = (Splits(one, two, three), Splits(two, three, one), Splits(three, one, two))
        >>> [fold.test.tolist() for fold in from_table(to_table(Splits(one, two, three), folds))]
        [[2], [0], [1]]
    """
    columns = [name for name in table.columns if name.startswith(_COLUMN)]
    return tuple(Splits.from_table(table[["index", name]].rename(columns={name: "split"})) for name in columns)


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
