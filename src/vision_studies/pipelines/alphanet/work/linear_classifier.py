"""Files of linear classifiers of features, and one whose scores are scaled and shifted besides."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from torch import nn

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.errors import CheckpointError
from vision_studies.files import atomic_file
from vision_studies.serving.joined_networks import AlignedLayer


@dataclass(frozen=True, eq=False)
class AlignedClassifier(LinearClassifier):
    """Scores that are scaled and shifted by class, as much as the image asks for (DisAlign, Zhang et al. 2021).

    A score z becomes z + s (factor z + shift), and s, between 0 and 1, is the sigmoid of what the gate says of the image; the
    published factor of a class is this one and 1.

    Attributes:
        factors, shifts: float32 [classes].
        gate: float32 [d + 1], the last of which is its bias.
    """

    factors: np.ndarray
    shifts: np.ndarray
    gate: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Scores float32 [N, classes] of features [N, d]."""
        scores = super().scores(features)
        shares = expit(np.asarray(features, dtype=np.float32) @ self.gate[:-1] + self.gate[-1])
        return scores + shares[:, None] * (self.factors * scores + self.shifts)

    def module(self) -> nn.Module:
        """Features -> scores."""
        arrays = (self.weight, self.bias, self.factors, self.shifts, self.gate)
        return AlignedLayer(*map(torch.from_numpy, arrays), logit_scale=1.0).eval().requires_grad_(False)


def class_norms(classifier: LinearClassifier) -> np.ndarray:
    """Length of every class's weights, float32 [classes]; 1 in place of 0."""
    norms = np.linalg.norm(classifier.weight, axis=1)
    return np.where(norms > 0, norms, 1).astype(np.float32)


def save_classifier(classifier: LinearClassifier, path: Path) -> None:
    """Write a classifier to one file, atomically."""
    with atomic_file(path) as temporary:
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in classifier.tensors().items()}
        save_file(arrays, temporary)


def load_classifier(path: Path) -> LinearClassifier:
    """Read what `save_classifier` has written.

    Raises:
        CheckpointError: the file is missing, damaged or holds something else.
    """
    try:
        stored = load_file(path)
        classifier = (AlignedClassifier if "gate" in stored else LinearClassifier)(**stored)
        shapes = (classifier.weight.shape, classifier.bias.shape)
        if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
            raise ValueError(f"weight and bias have the shapes {[list(shape) for shape in shapes]}")
    except Exception as error:  # safetensors has errors of its own, and a missing file is one of the system's
        raise CheckpointError(
            f"{path} is no whole classifier or missing ({error}); delete it and run the study again."
        ) from error
    return classifier
