"""Scoring classifiers on test images, once, and keeping what they predict."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import softmax
from torch import Tensor

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import CheckpointError
from vision_studies.files import atomic_file
from vision_studies.pipelines.alphanet.work.accuracy import macro_f1, split_accuracies, top_k_hits
from vision_studies.pipelines.alphanet.work.cached_logits import TOP
from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier
from vision_studies.pipelines.alphanet.work.features import FeatureGroup
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours
from vision_studies.statistics.metrics import measured

PREDICTIONS_FILE = "predictions.safetensors"


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
    scores: np.ndarray, labels: np.ndarray, splits: ClassSplits, folder: Path, *, probabilities: bool = True
) -> dict[str, Any]:
    """Rate the scores of test images and write what they predict to `folder/predictions.safetensors`.

    Args:
        scores: [N, classes], of images with `labels`, int64 [N].
        probabilities: whether scores are logits, so that loss and calibration mean something.

    Returns:
        Columns of the results table; accuracies of splits, top-5 accuracies and macro F1 stand in `other_metrics`.
    """
    predictions = scores.argmax(axis=1)
    hits, among_top = predictions == labels, top_k_hits(scores, labels, TOP)
    with atomic_file(folder / PREDICTIONS_FILE) as temporary:
        save_file({"predictions": predictions.astype(np.int32), "among_top": among_top.astype(np.uint8)}, temporary)
    metrics: dict[str, Any] = {"test_accuracy": float(hits.mean())}
    if probabilities:
        metrics = {**measured(softmax(scores, axis=1), labels), **metrics}
    by_split = {f"test_{split}": value for split, value in split_accuracies(hits, labels, splits).items()}
    top = {f"test_{split}_top_5": value for split, value in split_accuracies(among_top, labels, splits).items()}
    other = {**by_split, **top, "test_f1": macro_f1(predictions, labels, scores.shape[1])}
    return metrics | {"other_metrics": {name: value for name, value in other.items() if value == value}}  # noqa: PLR0124 - NaN


def read_predictions(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `evaluate` has written: predicted classes int64 [N], and whether the right one is among the first five, bool [N].

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = folder / PREDICTIONS_FILE
    try:
        stored = load_file(path)
        return stored["predictions"].astype(np.int64), stored["among_top"].astype(bool)
    except Exception as error:  # safetensors has errors of its own
        raise CheckpointError(
            f"{path} is missing or damaged ({error}); delete its folder and run the study again."
        ) from error
