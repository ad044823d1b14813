"""Scoring classifiers on test images, once, and reading what they predict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy.special import softmax
from torch import Tensor

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import CheckpointError
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.alphanet.work.accuracy import macro_f1, split_accuracies, top_k_hits
from vision_studies.pipelines.alphanet.work.cached_logits import TOP
from vision_studies.pipelines.alphanet.work.features import FeatureGroup
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.run_folders import EARLIER_PREDICTIONS_FILE, predictions_file
from vision_studies.statistics.metrics import measured
from vision_studies.stored_predictions import Unavailable, read_predictions

AMONG_TOP = "among_top"
"""What is marked of every image: whether the right class is among the first five."""


def improved_classifier(
    classifier: LinearClassifier, neighbours: Neighbours, coefficients: Tensor, prediction_scale: float
) -> LinearClassifier:
    """The classifier with AlphaNet's few classes: their own weights and a combination of their neighbours'.

    Coefficients are [F, k], of the F few classes; all scores are multiplied by the prediction scale.
    """
    weight = classifier.weight.copy()
    learnt = np.einsum("fk,fkd->fd", coefficients.numpy(), classifier.weight[neighbours.labels])
    weight[neighbours.classes] += learnt.astype(np.float32)
    scale = np.float32(prediction_scale)
    return LinearClassifier(weight * scale, classifier.bias * scale)


def improved_scores(
    baseline: np.ndarray, group: FeatureGroup, improved: LinearClassifier, few: np.ndarray, prediction_scale: float
) -> np.ndarray:
    """Scores of a classifier from `improved_classifier`, [N, classes]; those of base classes are the baseline's, scaled.

    The baseline is the scores [N, classes] of the same images by the classifier as it was; `few` are the few classes.
    """
    scores = baseline * np.float32(prediction_scale)
    scores[:, few] = LinearClassifier(improved.weight[few], improved.bias[few]).scores(group.features)
    return scores


def evaluate(
    scores: np.ndarray,
    labels: np.ndarray,
    splits: ClassSplits,
    indices: np.ndarray | None = None,
    *,
    probabilities: bool = True,
) -> Outcome:
    """Rate the scores of test images.

    Args:
        scores: [N, classes], of images with `labels`, int64 [N].
        splits: few, medium and many classes.
        indices: int64 [N], positions of the images in the image set; None where there is none: they are numbered.
        probabilities: whether scores are logits, so that loss and calibration mean something.

    Returns:
        Columns of the results table, of which accuracies of splits, top-5 accuracies and macro F1 stand in `other_metrics`; and
        the predictions.
    """
    predictions = scores.argmax(axis=1)
    hits, among_top = predictions == labels, top_k_hits(scores, labels, TOP)
    metrics: dict[str, Any] = {"test_accuracy": float(hits.mean())}
    if probabilities:
        metrics = {**measured(softmax(scores, axis=1), labels), **metrics}
    by_split = {f"test_{split}": value for split, value in split_accuracies(hits, labels, splits).items()}
    top = {f"test_{split}_top_5": value for split, value in split_accuracies(among_top, labels, splits).items()}
    other = {**by_split, **top, "test_f1": macro_f1(predictions, labels, scores.shape[1])}
    metrics["other_metrics"] = {name: value for name, value in other.items() if value == value}  # noqa: PLR0124 - NaN
    marks = {AMONG_TOP: among_top}
    return Outcome(metrics, predictions=(said_of("test", scores, labels, indices, marks, probabilities=probabilities),))


def said_of(
    split: PredictedSplit,
    scores: np.ndarray,
    labels: np.ndarray,
    indices: np.ndarray | None = None,
    marks: Mapping[str, np.ndarray] | None = None,
    *,
    probabilities: bool = True,
) -> Predictions:
    """What a classifier says of the images of a split; arguments are those of `evaluate`, and marks those of `Predictions`."""
    values = softmax(scores, axis=1) if probabilities else scores
    # Probabilities may be equal, by their rounding, where scores are not.
    options: dict[str, Any] = {"are_probabilities": probabilities, "predicted": scores.argmax(axis=1), "marks": marks}
    return Predictions.of(split, np.arange(len(labels)) if indices is None else indices, labels, values, **options)


def predicted_on_test(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a scored run has predicted of the test images: classes int64 [N], and whether the right one is among the first five,
    bool [N].

    Raises:
        CheckpointError: they are missing or damaged.
    """
    earlier = folder / EARLIER_PREDICTIONS_FILE
    if earlier.is_file() and not predictions_file(folder, "test").is_file():
        return _tested_earlier(earlier)
    said = read_predictions(folder, probabilities=False)
    if isinstance(said, Unavailable):
        raise CheckpointError(said.reason)
    return said.predicted, said.marks[AMONG_TOP]


def _tested_earlier(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """From the file of earlier versions, which has no labels."""
    try:
        stored = load_file(file)
        return stored["predictions"].astype(np.int64), stored["among_top"].astype(bool)
    except Exception as error:  # safetensors has errors of its own
        raise CheckpointError(
            f"{file} is missing or damaged ({error}); delete its folder and run the study again."
        ) from error
