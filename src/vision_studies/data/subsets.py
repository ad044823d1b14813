"""Classes of an image set, and balanced subsets of their images."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch

from vision_studies.data.prepared import PreparedData
from vision_studies.errors import DataError, guess

_VALIDATION_FRACTION = 0.1
_VALIDATION_SEED = 42
_ROUNDING = 1e-9  # 5 * 0.2 is to be 1


@dataclass(frozen=True)
class ClassData:
    """Images of some classes: labels in the image set, int64 [C], ascending, and positions in it, int64, of each split.

    Places in `classes` are the labels that networks learn.
    """

    classes: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def labels(self, data: PreparedData, positions: np.ndarray) -> np.ndarray:
        """Labels from 0 to C - 1, int64 [N], of the images at `positions`."""
        return np.searchsorted(self.classes, data.image_set.labels[positions])


def resolve_classes(patterns: Sequence[str], class_names: Sequence[str], parameter: str) -> tuple[str, ...]:
    """The classes that names or shell patterns stand for, in the order of the image set.

    Raises:
        DataError: a pattern fits no class, or there are fewer than two classes.
    """
    fitting = {
        pattern: {name for name in class_names if name == pattern or fnmatchcase(name, pattern)} for pattern in patterns
    }
    for pattern, names in fitting.items():
        if not names:
            raise DataError(
                f"{parameter} has '{pattern}', which is no class of these images.{guess(pattern, class_names)} There are: "
                f"{', '.join(class_names)}."
            )
    named = {name for names in fitting.values() for name in names}
    if len(named) < 2:
        raise DataError(f"{parameter} has one class only ({', '.join(named)}); name two or more.")
    return tuple(name for name in class_names if name in named)


def class_data(data: PreparedData, classes: Sequence[str], *, published: bool) -> ClassData:
    """Training, validation and test images of some classes.

    `published`: divided as the project "mp-tl-study" does instead of by the data's splits: of all that is not for test, in
    its order, a tenth drawn with seed 42 validates.
    """
    labels = np.sort([data.image_set.class_names.index(name) for name in classes])
    splits = (data.splits.train, data.splits.validation, data.splits.test)
    train, validation, test = (part[np.isin(data.image_set.labels[part], labels)] for part in splits)
    if not published:
        return ClassData(labels, train, validation, test)
    pool = np.sort(np.concatenate([train, validation]))
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(_VALIDATION_SEED)).numpy()
    learnt = len(pool) - int(_VALIDATION_FRACTION * len(pool))
    return ClassData(labels, pool[order[:learnt]], pool[order[learnt:]], test)


def balanced_subset(labels: np.ndarray, fraction: float, seed: int) -> list[np.ndarray]:
    """Draw as many images of each class; the subsets of one seed are nested across fractions.

    A class with fewer images than its share gives all it has.

    Args:
        labels: int64 [N], from 0 to the number of classes less one.
        fraction: share of all images.
        seed: seed of the draw.

    Returns:
        Places in `labels` for each class, in the order in which they were drawn.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.subsets import balanced_subset
        >>> labels = np.arange(100) % 4
        >>> small, large = (balanced_subset(labels, fraction, seed=0) for fraction in (0.2, 0.4))
        >>> [len(positions) for positions in small]
        [5, 5, 5, 5]
        >>> all(set(few) < set(many) for few, many in zip(small, large))
        True
    """
    classes = int(labels.max()) + 1
    each = int(len(labels) * fraction / classes)
    generator = torch.Generator().manual_seed(seed)
    by_class = (np.flatnonzero(labels == label) for label in range(classes))
    return [images[torch.randperm(len(images), generator=generator).numpy()[:each]] for images in by_class]


def held_out(
    by_class: Sequence[np.ndarray], share: float, units: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Divide a subset into images to learn from and images to validate with, class by class.

    The second image drawn of a class validates, and the given share of those that follow, evenly: both parts are nested
    across fractions as the subsets are, and any class with two images has one of each. Images of one unit stand where the
    one of them stands that was drawn first.

    Args:
        by_class: positions for each class, from `balanced_subset`.
        share: part that validates.
        units: int64, of all positions: images of one number are never divided; None where each stands for itself.

    Returns:
        Positions to learn from, and positions to validate with.
    """
    validates = [np.diff(np.floor((np.arange(len(images) + 1) - 2) * share + _ROUNDING)) > 0 for images in by_class]
    positions, chosen = np.concatenate(by_class), np.concatenate(validates)
    if units is not None and len(positions):
        turns = np.concatenate([np.arange(len(images)) for images in by_class])
        order = np.argsort(turns, kind="stable")
        _, first, inverse = np.unique(units[positions][order], return_index=True, return_inverse=True)
        chosen[order] = chosen[order][first][inverse]
    return positions[~chosen], positions[chosen]
