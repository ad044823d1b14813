"""Which predictions are right, by split of the classes and by class."""

import numpy as np

from vision_studies.data.class_splits import SPLITS, ClassSplits


def top_k_hits(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Whether an image's class is among the k with the highest scores, bool [N], of scores [N, classes] and labels [N].

    Of equal scores the lower label counts as higher, as in `argmax`; a score that is not a number is never a hit.
    """
    score = np.take_along_axis(scores, labels[:, None], axis=1)
    later = np.arange(scores.shape[1]) >= labels[:, None]
    behind = (scores < score) | ((scores == score) & later)  # the class itself is one of them
    return scores.shape[1] - behind.sum(axis=1) < k


def split_accuracies(hits: np.ndarray, labels: np.ndarray, splits: ClassSplits) -> dict[str, float]:
    """Share of images that are hits (bool [N]): few, medium, many (NaN where the split has no image) and overall."""
    names = splits.names()[labels]
    of_images = {split: hits[names == split] for split in SPLITS} | {"overall": hits}
    return {split: float(values.mean()) if len(values) else float("nan") for split, values in of_images.items()}


def class_accuracies(hits: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Share of each class's images that are hits (bool [N]), float64 [classes]; NaN where a class has no image."""
    counts = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels, weights=hits, minlength=num_classes)
    return np.divide(right, counts, out=np.full(num_classes, np.nan), where=counts > 0)


def macro_f1(predictions: np.ndarray, labels: np.ndarray, num_classes: int) -> float:
    """Mean of the F1 scores of classes that have an image or a prediction; both arguments int [N]."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, labels=np.arange(num_classes), average="macro", zero_division=np.nan))
