"""How well clusters agree with classes, all of it from one contingency table."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

from vision_studies.errors import DataError


@dataclass(frozen=True)
class ClusteringScores:
    """Agreement of clusters with labels.

    Attributes:
        clusters: number of clusters that have a sample.
        ari: adjusted Rand index (Hubert and Arabie 1985); 1 for equal partitions, 0 on average for random ones.
        ami: adjusted mutual information (Vinh et al. 2010), by the mean of both entropies; on the same scale, and less moved
            by a few large clusters.
        accuracy: share of samples of the right class if every cluster stands for one class and no class for two, by the
            assignment that makes most of them right (Kuhn 1955).
        precision: share of the pairs within a cluster that are of one class; NaN where no cluster has a pair.
        recall: share of the pairs within a class that are in one cluster; NaN where no class has a pair.
    """

    clusters: int
    ari: float
    ami: float
    accuracy: float
    precision: float
    recall: float


def clustering_scores(labels: np.ndarray, clusters: np.ndarray) -> ClusteringScores:
    """Compare clusters with labels; a sample forms no pair with itself.

    Args:
        labels: [N], the class of each sample.
        clusters: [N], the cluster of each sample; numbers mean nothing.

    Raises:
        DataError: if there are no samples, or not as many labels as clusters.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.clustering.scores import clustering_scores
        >>> scores = clustering_scores(np.array([0, 0, 1, 1]), np.array([7, 7, 3, 3]))  # numbers of clusters mean nothing
        >>> scores.ari, scores.accuracy, scores.clusters
        (1.0, 1.0, 2)
    """
    if labels.ndim != 1 or labels.shape != clusters.shape or not len(labels):
        raise DataError(
            f"labels {list(labels.shape)} and clusters {list(clusters.shape)} must be one-dimensional, "
            "equally long and not empty."
        )
    classes, class_of = np.unique(labels, return_inverse=True)
    groups, group_of = np.unique(clusters, return_inverse=True)
    shape = len(classes), len(groups)
    # Samples of each class in each cluster, of those that have any.
    table = np.bincount(class_of * len(groups) + group_of, minlength=len(classes) * len(groups)).reshape(shape)
    rows, columns = linear_sum_assignment(table, maximize=True)
    together, in_classes, in_clusters = _pairs(table), _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    pairs = len(labels) * (len(labels) - 1) // 2
    # Both terms of the usual quotient, times all pairs: whole numbers of any size, so that nothing is rounded.
    above_chance = together * pairs - in_classes * in_clusters
    most = (in_classes + in_clusters) * pairs - 2 * in_classes * in_clusters
    return ClusteringScores(
        clusters=table.shape[1],
        ari=2 * above_chance / most if most else 1.0,
        ami=_adjusted_information(table),
        accuracy=float(table[rows, columns].sum() / len(labels)),
        precision=together / in_clusters if in_clusters else float("nan"),
        recall=together / in_classes if in_classes else float("nan"),
    )


def _adjusted_information(table: np.ndarray) -> float:
    """Mutual information less what chance gives, over what is possible, from samples [classes, clusters]."""
    from sklearn.metrics.cluster import expected_mutual_information

    if min(table.shape) == 1:  # one of the two says nothing: alike only where both do
        return float(max(table.shape) == 1)
    total = int(table.sum())
    by_chance = float(expected_mutual_information(table, total))
    joint, rows, columns = (entr(part / total).sum() for part in (table, table.sum(axis=1), table.sum(axis=0)))
    above, most = rows + columns - joint - by_chance, (rows + columns) / 2 - by_chance
    # Sums in another order differ in their last digits.
    return round(float(above / most), 12) if abs(most) > np.finfo(float).eps else 1.0


def class_distances(vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cosine distance of two vectors of one class, and of two of different classes; vectors of zeros are left out.

    Args:
        vectors: [N, D].
        labels: [N], the class of each vector.

    Returns:
        From 0 to 2 each; NaN where there is no such pair.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.clustering.scores import class_distances
        >>> class_distances(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), np.array([0, 0, 1]))
        (0.0, 1.0)
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    directions, labels = vectors[lengths > 0] / lengths[lengths > 0, None], labels[lengths > 0]
    classes, counts = np.unique(labels, return_counts=True)
    # The length of a sum of directions is the sum of the cosines of all their pairs, each with itself and twice with others.
    sums = np.array([directions[labels == name].sum(axis=0) for name in classes]).reshape(
        len(classes), vectors.shape[1]
    )
    within, everything = (
        (np.square(sums).sum() - counts.sum()) / 2,
        (np.square(sums.sum(axis=0)).sum() - counts.sum()) / 2,
    )
    pairs, all_pairs = _pairs(counts), _pairs(counts.sum(keepdims=True))
    between, other_pairs = everything - within, all_pairs - pairs
    nothing = float("nan")
    return (
        float(1 - within / pairs) if pairs else nothing,
        float(1 - between / other_pairs) if other_pairs else nothing,
    )


def _pairs(counts: np.ndarray) -> int:
    return int((counts * (counts - 1) // 2).sum())
