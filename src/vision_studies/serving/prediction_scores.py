"""How well predictions agree with the truth, as a whole and class by class."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from vision_studies.statistics.metrics import measured

CONFIDENCE = 0.95
"""Of the intervals of accuracies."""


def score(probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, Any]:
    """How well predictions agree with the truth.

    Args:
        probabilities: [N, classes].
        labels: int64 [N].
        class_names: one name a class.

    Returns:
        images, correct, accuracy with accuracy_low and accuracy_high (Wilson 1927), confidence (of these intervals), loss
        (nats), calibration_error (15 bins), brier; and classes: for each class that occurs its name, images, correct,
        accuracy, accuracy_low, accuracy_high, and mistaken_for: the class that most of its other images were taken for,
        None where there are none.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = pd.crosstab(labels, predicted).reindex(columns=range(len(class_names)), fill_value=0)
    classes = []
    for label, row in confusion.iterrows():
        counts = row.to_numpy().copy()
        images, correct = int(counts.sum()), int(counts[label])
        counts[label] = 0
        mistaken = class_names[int(counts.argmax())] if counts.any() else None
        classes.append({"class": class_names[label], **_accuracy(correct, images), "mistaken_for": mistaken})
    return {
        **_accuracy(int((predicted == labels).sum()), len(labels)),
        "confidence": CONFIDENCE,
        **{column.removeprefix("test_"): value for column, value in measured(probabilities, labels).items()},
        "classes": classes,
    }


def _accuracy(correct: int, images: int) -> dict[str, Any]:
    interval = binomtest(correct, images).proportion_ci(CONFIDENCE, method="wilson")
    return {
        "images": images,
        "correct": correct,
        "accuracy": correct / images,
        "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high),
    }
