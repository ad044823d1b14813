"""Nested cross-validation: how good a family is with the hyperparameters that it would have chosen without the image.

Each outer fold chooses hyperparameters by inner folds of what it learns from, and predicts what it leaves out. All of it, outer
folds times inner folds times hyperparameters, is one piece of work for the family. Source: Stone 1974, Cross-Validatory Choice
and Assessment of Statistical Predictions; Cawley and Talbot 2010, On Over-fitting in Model Selection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import softmax

from vision_studies.classifiers.family import SMALLEST, Family, Fitted, Hyperparameters
from vision_studies.errors import DataError
from vision_studies.statistics.calibration import fitted_temperature

Score = Literal["accuracy", "balanced_accuracy"]
"""What hyperparameters are chosen by: the share of images that are right, or the mean of this share over classes."""

_MOST_NUMBERS = 128_000_000  # probabilities that are held at once


@dataclass(frozen=True, eq=False)
class Nested:
    """What nested cross-validation tells of a family.

    Attributes:
        probabilities: float32 [N, C], of each image by a classifier that has not learnt from it, whose hyperparameters and
            temperature do not know it either; NaN where the image is in no outer fold.
        chosen: hyperparameters of each outer fold.
        validation: float64 [O], score of these on the inner folds.
        temperatures: float64 [O], that logits are divided by (Guo et al. 2017), from the inner folds.
        inside: float32 [O, N, C], probabilities of the images that an outer fold learns from, by its inner folds with the
            hyperparameters that it has chosen and its temperature; NaN for the images that it leaves out. Whatever is chosen or
            fitted on these, a weight of an average for one, does not know the outer fold.
    """

    probabilities: np.ndarray
    chosen: list[dict[str, Any]]
    validation: np.ndarray
    temperatures: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True, eq=False)
class Refitted:
    """A family's classifier from all images.

    Attributes:
        fitted: the classifier.
        hyperparameters: that folds of all images have chosen.
        temperature: that its logits are to be divided by, from these folds.
        score: of these hyperparameters on the folds.
        out_of_fold: float32 [N, C], by classifiers of the folds with these hyperparameters and this temperature.
    """

    fitted: Fitted
    hyperparameters: dict[str, Any]
    temperature: float
    score: float
    out_of_fold: np.ndarray


def inner_folds(outer: np.ndarray, assign: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Inner folds int64 [O, N] of each outer fold, -1 for the images that it leaves out.

    Args:
        outer: int64 [N], the outer fold of each image; -1 for one that is always learnt from.
        assign: int64 [n], positions of images -> int64 [n], their folds from 0 on. Groups and copies are its matter.
    """
    folds = np.full((_count(outer), len(outer)), -1, dtype=np.int64)
    for fold in range(len(folds)):
        rows = np.flatnonzero(outer != fold)
        folds[fold, rows] = assign(rows)
    return folds


def nested_probabilities(
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    outer: np.ndarray,
    inner: np.ndarray,
    classes: int,
    *,
    score: Score = "accuracy",
    grid: Sequence[Hyperparameters] | None = None,
) -> Nested:
    """Predict each image with hyperparameters and a classifier that have not seen it.

    Of hyperparameters that score alike the simplest is chosen, which is the first of the grid.

    Args:
        family: of classifiers.
        x: float32 [N, D], features.
        y: int64 [N], from 0 to classes - 1.
        outer: int64 [N], outer fold of each image, 0 to O - 1; -1 for one that is always learnt from and never predicted.
        inner: int64 [O, N], inner fold within each outer one, 0 to I - 1; see `inner_folds`.
        classes: C.
        score: what is chosen by.
        grid: hyperparameters in place of the family's own, from simple to complex.

    Raises:
        DataError: folds do not fit, or as for `Family.fold_probabilities`.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.nested import inner_folds, nested_probabilities
        >>> from vision_studies.classifiers.registry import FAMILIES
        >>> random = np.random.default_rng(0)
        >>> y = np.arange(60) % 3
        >>> x = (np.eye(3)[y] * 3 + random.normal(size=(60, 3))).astype(np.float32)
        >>> outer = np.arange(60) // 3 % 5
        >>> inner = inner_folds(outer, lambda rows: np.arange(len(rows)) // 3 % 4)
        >>> nested = nested_probabilities(FAMILIES["lda"], x, y, outer, inner, classes=3)
        >>> bool((nested.probabilities.argmax(axis=1) == y).mean() > 0.8)
        True
    """
    outers = _count(outer)
    if inner.shape != (outers, len(y)) or outers < 1:
        raise DataError(f"Inner folds are {list(inner.shape)}, and one row for each of {outers} outer folds is wanted.")
    several = list(grid) if grid is not None else family.grid(_largest(inner), x.shape[1], classes)
    probabilities = np.full((len(y), classes), np.nan, dtype=np.float32)
    inside = np.full((outers, len(y), classes), np.nan, dtype=np.float32)
    chosen, validation, temperatures = [], np.empty(outers), np.empty(outers)
    for group in _groups(inner, len(several) * len(y) * classes):
        masks, whose = [], []
        for fold in group:
            inners = _count(inner[fold])
            learnt = inner[fold] >= 0
            masks += [learnt & (inner[fold] != number) for number in range(inners)] + [learnt]
            whose.append(inners)
        found = family.fold_probabilities(x, y, np.stack(masks), classes, several)  # [G, F, N, C]
        start = 0
        for fold, inners in zip(group, whose, strict=True):
            rows = np.flatnonzero(inner[fold] >= 0)
            within = found[:, start + inner[fold][rows], rows]  # [G, n, C]
            best, validation[fold] = _best(within, y[rows], classes, score)
            temperatures[fold] = temperature_of(within[best], y[rows])
            inside[fold, rows] = tempered(within[best], temperatures[fold])
            left_out = np.flatnonzero(outer == fold)
            probabilities[left_out] = tempered(found[best, start + inners, left_out], temperatures[fold])
            chosen.append(dict(several[best]))
            start += inners + 1
    return Nested(probabilities, chosen, validation, temperatures, inside)


def refitted(
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    classes: int,
    *,
    score: Score = "accuracy",
    grid: Sequence[Hyperparameters] | None = None,
) -> Refitted:
    """Choose hyperparameters by folds int64 [N] of all images, and fit on all of them.

    Raises:
        DataError: as for `Family.fold_probabilities`.
    """
    masks = np.stack([folds != number for number in range(_count(folds))])
    several = list(grid) if grid is not None else family.grid(int(masks.sum(axis=1).max()), x.shape[1], classes)
    rows = np.arange(len(y))
    within = family.fold_probabilities(x, y, masks, classes, several)[:, folds, rows]
    best, reached = _best(within, y, classes, score)
    temperature = temperature_of(within[best], y)
    fitted = family.fit(x, y, several[best], classes)
    return Refitted(fitted, dict(several[best]), temperature, reached, tempered(within[best], temperature))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities float32 [N, C] whose logarithms are divided by a temperature."""
    found: np.ndarray = softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature, axis=1)
    return found.astype(np.float32)


def temperature_of(probabilities: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least log loss, of probabilities [N, C] and labels [N]."""
    return fitted_temperature(np.log(np.maximum(probabilities, SMALLEST)), y)


def scores(probabilities: np.ndarray, y: np.ndarray, classes: int, score: Score) -> np.ndarray:
    """Score float64 [G] of probabilities [G, N, C] with labels int64 [N]."""
    right = probabilities.argmax(axis=2) == y
    if score == "accuracy":
        accuracies: np.ndarray = right.mean(axis=1)
        return accuracies
    counts = np.bincount(y, minlength=classes)
    return (right / counts[y]).sum(axis=1) / np.count_nonzero(counts)


def _best(probabilities: np.ndarray, y: np.ndarray, classes: int, score: Score) -> tuple[int, float]:
    """Place of the first of the highest scores, and the score."""
    reached = np.round(
        scores(probabilities, y, classes, score), 12
    )  # sums in another order differ in their last digits
    best = int(reached.argmax())
    return best, float(reached[best])


def _count(folds: np.ndarray) -> int:
    return int(folds.max()) + 1


def _largest(inner: np.ndarray) -> int:
    """Images of the largest part that an inner fold learns from."""
    return max(int((row >= 0).sum() - np.bincount(row[row >= 0]).min()) for row in inner)


def _groups(inner: np.ndarray, numbers: int) -> list[list[int]]:
    """Outer folds that are done together, by the probabilities that they hold; one fold's masks ask for `numbers` each."""
    each = max(1, numbers * (_count(inner) + 1))
    size = max(1, _MOST_NUMBERS // each)
    return [list(range(start, min(start + size, len(inner)))) for start in range(0, len(inner), size)]
