"""How far a classifier's confidence can be trusted, and which images are unlike those that it knows.

Both come from validation images. Confidence is calibrated by one temperature (Guo et al. 2017, "On Calibration of Modern Neural
Networks"), or as `statistics.calibrators` has it. How unlike an image is, says the distance of its features to their nearest
neighbours (Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors"): here among the validation images,
which are new to the network as well, and with every feature on the scale that it has for them. Sets of classes that hold the
right one as often as was asked for come from the scores of their right classes (`statistics.conformal`), by what the network
says without the temperature: that is fitted to the same images, and the promise holds for scores alone that know nothing of
them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import softmax

from vision_studies.errors import DataError
from vision_studies.files import atomic_file
from vision_studies.predictions import CalibratorName
from vision_studies.statistics.calibrators import Calibrator, fit_calibrator, safe_temperature
from vision_studies.statistics.conformal import SET_KINDS, SetKind, prediction_sets, score_threshold, true_scores

ACCEPTED = 0.95
"""Share of the validation images that count as like the training images."""

_QUANTILES = 201
_NEIGHBOURS = 5
_MOST_IMAGES, _MOST_NUMBERS = 2000, 4_000_000  # whose features are kept


@dataclass(frozen=True)
class Abstention:
    """From which images an answer is withheld: those whose class is less probable than `least`. Of the validation images,
    `answered` are not among them, and `right` of these are named rightly.
    """

    least: float
    answered: int
    right: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """What validation images tell of a classifier.

    Attributes:
        temperature: that logits are divided by.
        images: how many validation images there were.
        features: float32 [M, d], of these or of a part of them, on a scale on which each has the mean 0 and the deviation 1.
        mean: float32 [d], of the features as they are.
        deviation: float32 [d], likewise; 1 in place of 0.
        distances: float64, quantiles, evenly spaced from the lowest to the highest, of the distance of each of these images to
            its nearest of the others.
        smallest: scores of the right classes for sets of this kind, float64 [N], ascending.
        adaptive: likewise.
        logits: float32 [L, classes], of these images or of a part of them.
        labels: int64 [L], of the same.
        calibrator: in the place of the temperature; None: the temperature.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.serving.calibration import Calibration
        >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]])  # sure each time, and wrong once
        >>> calibration = Calibration.fitted(logits, np.array([0, 1, 0, 1]), np.array([[0.0], [1.0], [2.0], [3.0]]))
        >>> calibration.probabilities(logits[None]).round(2).tolist()[0]
        [0.75, 0.25]
        >>> calibration.likeness(np.array([[1.5], [9.0]])).tolist()
        [1.0, 0.0]
    """

    temperature: float
    images: int
    features: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    distances: np.ndarray
    smallest: np.ndarray
    adaptive: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    calibrator: Calibrator | None = None

    @classmethod
    def fitted(cls, logits: np.ndarray, labels: np.ndarray, features: np.ndarray) -> "Calibration":
        """The temperature with the lowest log loss on validation images, and their distances to each other.

        Args:
            logits: [N, classes].
            labels: int64 [N].
            features: [N, d].

        Raises:
            DataError: there is a single image.
        """
        if len(labels) < 2:
            raise DataError("there is one validation image, and two are needed at least; prepare more.")
        most = max(2, min(_MOST_IMAGES, _MOST_NUMBERS // features.shape[1]))
        chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[:most])
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1)
        kept = ((features[chosen] - mean) / deviation).astype(np.float32)
        distances = np.quantile(_distances(kept, kept, is_same=True), np.linspace(0, 1, _QUANTILES))
        scale = (mean.astype(np.float32), deviation.astype(np.float32))
        said = softmax(logits.astype(np.float64), axis=1)
        scores = {kind: true_scores(said, labels, kind) for kind in SET_KINDS}
        shown = np.random.default_rng(1).permutation(len(labels))[: max(2, _MOST_NUMBERS // logits.shape[1])]
        told = (logits[shown].astype(np.float32), labels[shown].astype(np.int64))
        temperature = safe_temperature(logits, labels)
        return cls(temperature, len(labels), kept, *scale, distances, scores["smallest"], scores["adaptive"], *told)

    def by(self, name: CalibratorName) -> "Calibration":
        """The same with probabilities that this calibrates."""
        fitted = None if name == "temperature" else fit_calibrator(name, softmax(self.logits, axis=1), self.labels)
        return replace(self, calibrator=fitted)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [N, classes] of logits [views, N, classes]; those of views are averaged."""
        if self.calibrator is not None:
            return np.mean([self.calibrator(softmax(view, axis=1)) for view in logits], axis=0)
        mean: np.ndarray = softmax(logits / self.temperature, axis=2).mean(axis=0)
        return mean

    def abstention(self, share: float) -> "Abstention":
        """Below which probability a class is not to be named, so that this share of the validation images is left without one.

        Raises:
            DataError: there are too few validation images to leave out one, or to name one.
        """
        rows, named = np.arange(len(self.labels)), self.logits.argmax(axis=1)
        sure = self.probabilities(self.logits[None])[rows, named]
        left_out = round(share * len(sure))
        if not 0 < left_out < len(sure):
            raise DataError(
                f"--abstain={share:g}: of {len(sure)} validation images that is {left_out or 'none'}; name a share between "
                f"{1 / len(sure):.3g} and {1 - 1 / len(sure):.3g}."
            )
        least = float(np.sort(sure)[left_out])
        answered = sure >= least
        return Abstention(least, int(answered.sum()), int((named == self.labels)[answered].sum()))

    def sets(self, probabilities: np.ndarray, coverage: float, kind: SetKind) -> np.ndarray:
        """Which classes the set of each image holds, bool [N, classes], so that a share `coverage` of them has the right one.

        Args:
            probabilities: [N, classes], as the network says them of single views.
            coverage: above 0 and below 1.
            kind: `smallest` or `adaptive`; see `statistics.conformal`.

        Raises:
            DataError: there are too few validation images for the coverage.
        """
        return prediction_sets(probabilities, kind, score_threshold(getattr(self, kind), coverage))

    def likeness(self, features: np.ndarray) -> np.ndarray:
        """Share of the validation images that are farther from their neighbours than an image is, float64 [N], by its features
        [N, d].
        """
        far = _distances(((features - self.mean) / self.deviation).astype(np.float32), self.features)
        return 1 - np.interp(far, self.distances, np.linspace(0, 1, len(self.distances)))


def _distances(features: np.ndarray, among: np.ndarray, *, is_same: bool = False) -> np.ndarray:
    """Distance [N] of each row to its fifth nearest `among` others, or to the farthest where they are fewer; of the very same
    rows, each is none of its own neighbours.
    """
    apart = torch.cdist(torch.from_numpy(features), torch.from_numpy(among))
    if is_same:
        apart.fill_diagonal_(torch.inf)
    neighbours = min(_NEIGHBOURS, len(among) - is_same)
    return apart.kthvalue(neighbours, dim=1).values.double().numpy()


_ARRAYS = ("features", "mean", "deviation", "distances", *SET_KINDS, "logits", "labels")


def write_calibration(file: Path, calibration: Calibration, found_from: str) -> None:
    """Keep a calibration with a hash of the run that it was `found_from`."""
    arrays = {name: np.ascontiguousarray(getattr(calibration, name)) for name in _ARRAYS}
    told = {name: repr(getattr(calibration, name)) for name in ("temperature", "images")}
    with atomic_file(file) as temporary:
        save_file(arrays, temporary, metadata={"found_from": found_from, **told})


def read_calibration(file: Path, found_from: str) -> Calibration | None:
    """What `write_calibration` has kept of this very run; None where that is nothing, or damaged."""
    try:
        with safe_open(file, framework="numpy") as kept:
            told = kept.metadata() or {}
            if told["found_from"] != found_from:
                return None
            arrays = {name: kept.get_tensor(name) for name in _ARRAYS}
        return Calibration(float(told["temperature"]), int(told["images"]), **arrays)
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
