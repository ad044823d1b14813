"""Which images a candidate learns from, is chosen by, and is tested with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vision_studies.errors import DataError

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.pipelines.choose.settings import ChooseSettings


FEWEST_PAIRED = 3
"""Folds of which one can leave out two and learn from the rest."""


@dataclass(frozen=True, eq=False)
class Division:
    """The images of a study, as positions in its image set, and what becomes of them.

    Attributes:
        positions: int64 [N], of the images that are learnt from; ascending.
        labels: int64 [N].
        units: int64 [N], images of one number are never divided; None where each stands for itself.
        outer: int64 [N], in a cross-validation the fold in which each image is held out; None with one test split.
        test: int64 [M], positions of the images that candidates are tested with; in a cross-validation `positions`.
        test_labels: int64 [M].
        inner: folds in which hyperparameters and candidates are chosen.
    """

    positions: np.ndarray
    labels: np.ndarray
    units: np.ndarray | None
    outer: np.ndarray | None
    test: np.ndarray
    test_labels: np.ndarray
    inner: int

    @property
    def folds(self) -> int:
        """Of the cross-validation; 0 with one test split."""
        return 0 if self.outer is None else int(self.outer.max()) + 1

    def folds_within(self, places: np.ndarray, seed: int) -> np.ndarray:
        """Inner folds int64 [n] of the images at these places among `positions`, int64 [n]; fewer where a class has too few."""
        from vision_studies.data.folds import assign_folds, most_folds

        labels, units = self.labels[places], None if self.units is None else self.units[places]
        number = max(2, min(self.inner, most_folds(labels, units)))
        return assign_folds(labels, number, seed, units, parameter="choose.inner_folds")

    def inner_folds(self, seed: int) -> np.ndarray:
        """Inner folds int64 [F, N] within each outer fold, -1 of the images that it leaves out."""
        from vision_studies.classifiers.nested import inner_folds

        outer = np.full(len(self.labels), -1) if self.outer is None else self.outer
        return inner_folds(outer, lambda places: self.folds_within(places, seed))


def is_cross_validated(data: "PreparedData", settings: "ChooseSettings") -> bool:
    """Whether all images are tested with, each by a model that has not seen it: they are few, and bring no test split."""
    image_set = data.image_set
    own = bool(image_set.is_test.any())
    if image_set.items is not None:
        own = own or bool((image_set.items["split"] == "test").any())
    return not own and len(_all(data)) < settings.one_split_from


def described(data: "PreparedData", settings: "ChooseSettings") -> dict[str, Any]:
    """What decides a division besides its seed, as a run's configuration has it. Raises DataError as `divided`."""
    outer, inner = _folds(data, settings)
    return {"folds": outer, "inner_folds": inner}


def divided(data: "PreparedData", configuration: Mapping[str, Any], seed: int) -> Division:
    """The images as a run of this configuration and seed divides them.

    Groups and copies of one picture are never on two sides.

    Raises:
        DataError: a class has too few images, or too few groups.
    """
    from vision_studies.data.folds import assign_folds

    outer, inner = int(configuration["folds"]), int(configuration["inner_folds"])
    splits, labels = data.splits, data.image_set.labels
    positions = _all(data) if outer else np.sort(np.concatenate([splits.train, splits.validation]))
    units = _units(data, positions)
    of_image = None
    if outer:
        names, parameter = data.image_set.class_names, "choose.folds"
        of_image = assign_folds(labels[positions], outer, seed, units, class_names=names, parameter=parameter)
    test = positions if outer else splits.test
    return Division(positions, labels[positions], units, of_image, test, labels[test], inner)


def _folds(data: "PreparedData", settings: "ChooseSettings") -> tuple[int, int]:
    """Outer folds, 0 with one test split, and inner ones: as many as asked for, or as the smallest class allows."""
    from vision_studies.data.folds import most_folds

    crossed = is_cross_validated(data, settings)
    splits, labels = data.splits, data.image_set.labels
    positions = _all(data) if crossed else np.sort(np.concatenate([splits.train, splits.validation]))
    units = _units(data, positions)
    _require_classes(data, positions)
    most = most_folds(labels[positions], units)
    least = 3 if crossed else 2
    if most < least:
        of_class = np.bincount(labels[positions], minlength=data.num_classes)
        scarce = int(np.where(of_class > 0, of_class, len(labels)).argmin())
        there = int(of_class[scarce])
        parts = "" if units is None or there == most else f" in {most} groups or sets of copies that cannot be divided"
        raise DataError(
            f"'{data.image_set.name}' has {there} image{'s' * (there != 1)} of '{data.image_set.class_names[scarce]}'{parts}, "
            f"and {least} are the least with which a classifier can be learnt, chosen and tested; add images of it, or leave "
            "the class out."
        )
    if not crossed:
        return 0, min(settings.inner_folds, most)
    outer = min(settings.folds, most)
    return outer, max(2, min(settings.inner_folds, most - -(-most // outer)))


def _require_classes(data: "PreparedData", positions: np.ndarray) -> None:
    counts = np.bincount(data.image_set.labels[positions], minlength=data.num_classes)
    if (counts > 0).sum() < 2 or not counts.all():
        without = ", ".join(f"'{data.image_set.class_names[label]}'" for label in np.flatnonzero(counts == 0)[:3])
        raise DataError(
            f"'{data.image_set.name}' has no image of {without} to learn from; add some, or leave the class out and prepare "
            "the images again."
        )


def _all(data: "PreparedData") -> np.ndarray:
    """Positions of all images that are in a split."""
    splits = data.splits
    return np.sort(np.concatenate([splits.train, splits.validation, splits.test]))


def _units(data: "PreparedData", positions: np.ndarray) -> np.ndarray | None:
    from vision_studies.data.splits import units_of_images

    units = units_of_images(data.image_set)
    return None if units is None else units[positions]


class Training(NamedTuple):
    """One training of a candidate; places are those among `Division.positions`.

    Attributes:
        name: of its file.
        learns: int64, places of the images that it learns from.
        predicts: int64, places of the images that it predicts.
    """

    name: str
    learns: np.ndarray
    predicts: np.ndarray


@dataclass(frozen=True, eq=False)
class Trainings:
    """All trainings of a candidate.

    In a cross-validation one leaves out each outer fold, whose images it predicts. Others leave out two neighbouring folds, and
    predict both: what is said of the one belongs to the inner folds of the other. Half of the images that an outer fold learns
    from are then predicted by models that know neither them nor the outer fold, by as many trainings as there are folds.
    """

    outer: list[Training]
    inner: list[Training]
    whole: Training

    @property
    def all(self) -> list[Training]:
        """In the order in which they are done."""
        return [*self.inner, *self.outer, self.whole]


def trainings_of(division: Division, seed: int) -> Trainings:
    """What has to be trained for a candidate. With one test split one training alone leaves out images, an inner fold."""
    everywhere = np.arange(len(division.labels))
    if division.outer is None:
        held_out = division.folds_within(everywhere, seed) == 0
        inner = [Training("inner_0", everywhere[~held_out], everywhere[held_out])]
        return Trainings([], inner, Training("whole", everywhere, everywhere[:0]))
    folds, outer = division.folds, division.outer
    of_outer = [
        Training(f"outer_{fold}", everywhere[outer != fold], everywhere[outer == fold]) for fold in range(folds)
    ]
    if folds < FEWEST_PAIRED:
        masks = [(within > 0, within == 0) for within in division.inner_folds(seed)]
    else:
        pairs = [(outer == fold) | (outer == (fold + 1) % folds) for fold in range(folds)]
        masks = [(~pair, pair) for pair in pairs]
    of_inner = [
        Training(f"inner_{fold}", everywhere[learns], everywhere[predicts])
        for fold, (learns, predicts) in enumerate(masks)
    ]
    return Trainings(of_outer, of_inner, Training("whole", everywhere, everywhere[:0]))


def image_epochs(images: int, folds: int, inner_folds: int) -> float:
    """Images that all trainings of a candidate see in an epoch each."""
    if not folds:
        return images * (2 - 1 / inner_folds)
    left_out = 2 / folds if folds >= FEWEST_PAIRED else 1 - (1 - 1 / folds) * (1 - 1 / inner_folds)
    return images * (folds * (1 - 1 / folds) + folds * (1 - left_out) + 1)
