"""What trained networks say of a split's images, as a file in their run's folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from vision_studies.errors import CheckpointError
from vision_studies.files import atomic_file
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.statistics.diversity import diversity
from vision_studies.statistics.metrics import measured


@dataclass(frozen=True)
class SplitOutputs:
    """Logits for the images of one split.

    Attributes:
        indices: int64 [N], positions in the image set.
        labels: int64 [N].
        logits: float32 [N, heads, classes]; the last head classifies, the others are base learners.
    """

    indices: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """float32 [N, classes], of the head that classifies."""
        return softmax(self.logits[:, -1], axis=1)

    @property
    def members(self) -> np.ndarray:
        """Probabilities, float32 [N, heads - 1, classes], of the heads before that one."""
        return softmax(self.logits[:, :-1], axis=2)

    def predictions(self, split: PredictedSplit) -> Predictions:
        """What the head that classifies says, as a run keeps it."""
        return Predictions.of(split, self.indices, self.labels, self.probabilities)


def outputs_file(folder: Path, split: str) -> Path:
    """Where a run keeps its outputs for a split."""
    return folder / f"outputs_{split}.safetensors"


def save_outputs(outputs: SplitOutputs, folder: Path, split: str) -> None:
    """Write the outputs of a run for one split."""
    arrays = vars(outputs) | {"logits": np.ascontiguousarray(outputs.logits)}
    with atomic_file(outputs_file(folder, split)) as temporary:
        save_file(arrays, temporary)


def load_outputs(folder: Path, split: str) -> SplitOutputs:
    """Read what `save_outputs` has written. Raises CheckpointError where the file is missing or damaged."""
    path = outputs_file(folder, split)
    try:
        return SplitOutputs(**load_file(path))
    except Exception as error:  # safetensors has errors of its own, and a missing file is one of the system's
        raise CheckpointError(
            f"{path} is missing or damaged ({error}); delete its folder and run the study again."
        ) from error


def from_probabilities(like: SplitOutputs, probabilities: np.ndarray, members: np.ndarray) -> SplitOutputs:
    """Outputs for the images of `like` from class probabilities [N, classes] and the logits [N, members, classes] combined."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float32)
    return SplitOutputs(like.indices, like.labels, np.concatenate([members, logs[:, None]], axis=1))


def metrics_on_test(outputs: SplitOutputs) -> dict[str, Any]:
    """Columns of the results table from the outputs for the test split.

    Of several heads, `other_metrics` has the accuracy of every base learner, that of the mean of their probabilities, and
    how differently they err.
    """
    metrics: dict[str, Any] = {**measured(outputs.probabilities, outputs.labels)}
    heads = outputs.logits[:, :-1].swapaxes(0, 1)
    if len(heads):
        predictions = heads.argmax(axis=2)
        mean = softmax(heads, axis=2).mean(axis=0)
        others = {
            f"test_accuracy_base_{number}": float((predicted == outputs.labels).mean())
            for number, predicted in enumerate(predictions, start=1)
        }
        others["test_accuracy_base_average"] = float((mean.argmax(axis=1) == outputs.labels).mean())
        if len(heads) > 1:
            others |= {f"test_{name}": value for name, value in diversity(predictions, outputs.labels).items()}
        metrics["other_metrics"] = {name: value for name, value in others.items() if not np.isnan(value)}
    return metrics


def metrics_on_validation(outputs: SplitOutputs) -> dict[str, float]:
    """Columns of the results table from the outputs for the validation split."""
    return measured(outputs.probabilities, outputs.labels, of="validation")
