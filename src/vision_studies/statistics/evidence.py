"""What stands behind a variant: which test images its runs got right, seed by seed and image by image."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vision_studies.errors import DataError


@dataclass(frozen=True)
class Evidence:
    """Scored runs of one variant: one a seed, all on the same test images.

    A variant whose predictions are not kept has no images (N = 0): `values` alone tell of it.

    Attributes:
        name: of the variant.
        seeds: int64 [S], each once.
        images: int64 [N], positions in the image set, ascending, each once.
        labels: int64 [N].
        correct: bool [S, N], whether the run of a seed classifies an image rightly.
        predicted: int64 [S, N], the class that each run gives, or None where it is not kept.
        probabilities: float [S, N, C], or None where they are not kept.
        values: float [S], test accuracy of each seed: the mean of `correct` where there are images. NaN where a run has none.
        validation: float [S], validation accuracy of each seed, which chooses; NaN where there is none.
        folds: int64 [S, N], in which fold of a cross-validation each image was held out; None where there is one test split.

    Raises:
        DataError: the parts do not fit each other.
    """

    name: str
    seeds: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    predicted: np.ndarray | None
    probabilities: np.ndarray | None
    values: np.ndarray
    validation: np.ndarray
    folds: np.ndarray | None = None
    classes: int = field(init=False)
    """Number of classes that labels, predictions and probabilities speak of; 0 where there are no images."""

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        for problem in _problems(self):
            raise DataError(f"Evidence of variant '{self.name}': {problem}.")
        object.__setattr__(self, "classes", _classes(self))

    @classmethod
    def of_images(
        cls,
        name: str,
        seeds: Sequence[int] | np.ndarray,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        correct: np.ndarray | None = None,
        predicted: np.ndarray | None = None,
        probabilities: np.ndarray | None = None,
        validation: Sequence[float] | np.ndarray | None = None,
        folds: np.ndarray | None = None,
    ) -> "Evidence":
        """Evidence from predictions; what is not given follows from probabilities, or else from predicted classes.

        Folds may be [N], which all seeds have then.

        Raises:
            DataError: nothing says which images are right, or the parts do not fit each other.
        """
        if predicted is None and probabilities is not None:
            predicted = np.asarray(probabilities).argmax(axis=-1)
        if correct is None:
            if predicted is None:
                raise DataError(
                    f"Evidence of variant '{name}': it needs `correct`, `predicted` or `probabilities`, and has none."
                )
            correct = np.asarray(predicted) == np.asarray(labels)
        correct = np.asarray(correct, dtype=bool)
        if folds is not None:
            folds = np.asarray(folds, dtype=np.int64)
            folds = np.broadcast_to(folds, correct.shape) if folds.shape == correct.shape[1:] else folds
        values = correct.mean(axis=1) if correct.ndim == 2 and correct.shape[1] else np.full(len(seeds), np.nan)
        return cls(
            **_whole(name, seeds, values, validation),
            images=np.asarray(images, dtype=np.int64),
            labels=np.asarray(labels, dtype=np.int64),
            correct=correct,
            predicted=None if predicted is None else np.asarray(predicted, dtype=np.int64),
            probabilities=probabilities,
            folds=folds,
        )

    @property
    def number_of_folds(self) -> int:
        """Of a cross-validation; 0 where there is one test split."""
        return 0 if self.folds is None or not self.folds.size else len(np.unique(self.folds[0]))

    @property
    def divides_anew(self) -> bool:
        """Whether several seeds each have folds of their own."""
        return self.folds is not None and len(np.unique(self.folds, axis=0)) == len(self.seeds) > 1

    @classmethod
    def of_seeds(
        cls,
        name: str,
        seeds: Sequence[int] | np.ndarray,
        values: Sequence[float] | np.ndarray,
        validation: Sequence[float] | np.ndarray | None = None,
    ) -> "Evidence":
        """Evidence of a variant of which only test accuracies are kept.

        Examples:
            >>> from vision_studies.statistics.evidence import Evidence
            >>> Evidence.of_seeds("plain", [0, 1], [0.9, 0.92]).images.size
            0
        """
        none = np.zeros(0, dtype=np.int64)
        return cls(
            **_whole(name, seeds, values, validation),
            images=none,
            labels=none,
            correct=np.zeros((len(seeds), 0), dtype=bool),
            predicted=None,
            probabilities=None,
        )


def _whole(name: str, seeds: Any, values: Any, validation: Any) -> dict[str, Any]:
    """What evidence of images and evidence of seeds have alike."""
    missing = np.full(len(seeds), np.nan)
    return {
        "name": name,
        "seeds": np.asarray(seeds, dtype=np.int64),
        "values": np.asarray(values, dtype=np.float64),
        "validation": missing if validation is None else np.asarray(validation, dtype=np.float64),
    }


def _problems(evidence: Evidence) -> list[str]:
    """What does not fit, most basic first."""
    seeds, images = len(evidence.seeds), len(evidence.images)
    shapes = {
        "seeds": (evidence.seeds, (seeds,)),
        "images": (evidence.images, (images,)),
        "labels": (evidence.labels, (images,)),
        "correct": (evidence.correct, (seeds, images)),
        "predicted": (evidence.predicted, (seeds, images)),
        "values": (evidence.values, (seeds,)),
        "validation": (evidence.validation, (seeds,)),
        "folds": (evidence.folds, (seeds, images)),
    }
    found = [
        f"`{name}` has the shape {np.shape(array)}, and {seeds} seeds and {images} images need {shape}"
        for name, (array, shape) in shapes.items()
        if array is not None and np.shape(array) != shape
    ]
    probabilities = evidence.probabilities
    if probabilities is not None and (probabilities.ndim != 3 or probabilities.shape[:2] != (seeds, images)):
        found.append(
            f"`probabilities` has the shape {probabilities.shape}, and {seeds} seeds and {images} images need "
            f"({seeds}, {images}, classes)"
        )
    if seeds == 0:
        found.append("it has no seed")
    if found:
        return found
    if len(np.unique(evidence.seeds)) < seeds:
        found.append("a seed occurs twice, and a variant has one run a seed")
    if np.any(np.diff(evidence.images) <= 0):
        found.append("`images` must be ascending positions, each once")
    if evidence.correct.dtype != bool:
        found.append(f"`correct` must be bool, and is {evidence.correct.dtype}")
    if found or not images:
        return found
    if evidence.labels.min() < 0 or (probabilities is not None and evidence.labels.max() >= probabilities.shape[2]):
        found.append("a label is none of the classes")
    if evidence.predicted is not None and np.any((evidence.predicted == evidence.labels) != evidence.correct):
        found.append("`correct` says other than `predicted` and `labels`")
    if not np.allclose(evidence.values, evidence.correct.mean(axis=1), atol=1e-6):
        found.append("`values` must be the mean of `correct` of each seed")
    return found


def _classes(evidence: Evidence) -> int:
    if not len(evidence.images):
        return 0
    if evidence.probabilities is not None:
        return int(evidence.probabilities.shape[2])
    arrays = [evidence.labels, *([] if evidence.predicted is None else [evidence.predicted])]
    return 1 + max(int(array.max()) for array in arrays)
