"""Labels that are probably wrong, from probabilities of classifiers that have not learnt from the image.

Source: Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal of Artificial
Intelligence Research 70.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Images whose label is probably wrong, the most probable first.

    Attributes:
        positions: int64 [K], of the images.
        suggested: int64 [K], the class that each is taken for.
        margins: float64 [K], the probability of that class less that of the label.
        expected: how many wrong labels there are by estimate among all images, found or not.
        joint: float64 [C, C], estimated share of images by label (row) and class in truth (column); its sum is 1.
    """

    positions: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray
    expected: float
    joint: np.ndarray


def label_errors(labels: np.ndarray, probabilities: np.ndarray) -> LabelErrors:
    """Images of which another class is claimed than their label.

    A class is claimed for an image where its probability is at least the mean probability of that class among the images
    labelled so; of several, the most probable. The number of claims by label and class, brought to the number of images of
    each label, estimates the joint distribution of labels and true classes.

    Args:
        labels: int [N].
        probabilities: float [N, C], of classifiers that have not learnt from the images.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.label_errors import label_errors
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> cat = np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.1])  # the third image looks like a dog, and is labelled cat
        >>> found = label_errors(labels, np.stack([cat, 1 - cat], axis=1))
        >>> found.positions.tolist(), found.suggested.tolist(), round(found.expected)
        ([2], [1], 1)
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, own, minlength=classes)
    thresholds = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    claimed = np.where(probabilities >= thresholds, probabilities, -np.inf)
    best = claimed.argmax(axis=1)
    is_claimed = np.isfinite(claimed.max(axis=1))
    doubtful = np.flatnonzero(is_claimed & (best != labels))
    margins = probabilities[doubtful, best[doubtful]] - own[doubtful]
    order = np.argsort(-margins, kind="stable")
    joint = _joint(labels[is_claimed], best[is_claimed], counts)
    expected = float((joint.sum() - joint.trace()) * len(labels))
    found = doubtful[order]
    return LabelErrors(found, best[found], margins[order].astype(np.float64), expected, joint)


def _joint(labels: np.ndarray, claimed: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Shares [C, C] of label and claimed class, whose rows sum to the shares of the labels."""
    classes = len(counts)
    claims = np.bincount(labels * classes + claimed, minlength=classes**2).reshape(classes, classes).astype(np.float64)
    # Of a label none of whose images is claimed nothing is known: it is taken to be right.
    empty = claims.sum(axis=1) == 0
    claims[empty, empty] = 1
    joint: np.ndarray = claims / claims.sum(axis=1, keepdims=True) * (counts / max(1, counts.sum()))[:, None]
    return joint
