from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.spatial import distance
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import pair_confusion_matrix

from vision_studies.errors import DataError
from vision_studies.pipelines.clustering.scores import class_distances, clustering_scores


def partitions():
    random = np.random.default_rng(0)
    for classes, clusters, count in (
        (3, 3, 9),
        (2, 4, 30),
        (4, 2, 30),
        (3, 1, 12),
        (1, 3, 12),
        (5, 5, 400),
        (10, 10, 97),
    ):
        labels, found = random.integers(0, classes, count), random.integers(0, clusters, count)
        found = np.where(random.random(count) < 0.5, labels % clusters, found)  # better than chance
        yield labels * 7 - 3, found


@pytest.mark.parametrize(("labels", "clusters"), list(partitions()))
def test_scores_are_those_of_scikit_learn(labels, clusters):
    found = clustering_scores(labels, clusters)
    assert found.ari == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)
    assert found.ami == pytest.approx(adjusted_mutual_info_score(labels, clusters), abs=1e-9)
    (_, false_positive), (false_negative, true_positive) = pair_confusion_matrix(labels, clusters)
    assert found.precision == pytest.approx(true_positive / (true_positive + false_positive))
    assert found.recall == pytest.approx(true_positive / (true_positive + false_negative))
    assert found.clusters == len(set(clusters))


@pytest.mark.parametrize(("labels", "clusters"), [pair for pair in partitions() if len(pair[0]) <= 30])
def test_scores_are_those_of_all_pairs_and_all_assignments(labels, clusters):
    found = clustering_scores(labels, clusters)
    pairs = list(combinations(range(len(labels)), 2))
    both = sum(labels[a] == labels[b] and clusters[a] == clusters[b] for a, b in pairs)
    assert found.precision == pytest.approx(both / sum(clusters[a] == clusters[b] for a, b in pairs))
    assert found.recall == pytest.approx(both / sum(labels[a] == labels[b] for a, b in pairs))

    classes, groups = sorted(set(labels)), sorted(set(clusters))
    padded = classes + [None] * max(0, len(groups) - len(classes))  # a cluster may stand for no class
    right = max(
        sum(
            ((clusters == group) & (labels == of)).sum()
            for group, of in zip(groups, order, strict=True)
            if of is not None
        )
        for order in permutations(padded, len(groups))
    )
    assert found.accuracy == pytest.approx(right / len(labels))


def test_the_numbers_of_clusters_mean_nothing():
    random = np.random.default_rng(1)
    labels, clusters = random.integers(0, 4, 60), random.integers(0, 4, 60)
    assert clustering_scores(labels, clusters) == clustering_scores(labels, np.array([9, -1, 30, 2])[clusters])
    assert clustering_scores(labels, (labels + 1) % 4).accuracy == 1
    assert clustering_scores(labels, (labels + 1) % 4).ari == 1


def test_no_pair_no_precision_and_no_recall():
    alone = clustering_scores(np.array([0, 0, 1]), np.array([0, 1, 2]))
    assert np.isnan(alone.precision)
    assert alone.recall == 0
    distinct = clustering_scores(np.array([0, 1, 2]), np.array([0, 0, 0]))
    assert np.isnan(distinct.recall)
    assert distinct.precision == 0
    assert (distinct.accuracy, distinct.clusters) == (pytest.approx(1 / 3), 1)
    single = clustering_scores(np.array([5]), np.array([0]))
    assert (single.ari, single.accuracy) == (1, 1)


def test_large_counts_do_not_overflow():
    labels = np.repeat([0, 1], 200_000)
    clusters = np.tile([0, 1, 1, 0], 100_000)
    assert clustering_scores(labels, clusters).ari == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "clusters"), [([], []), ([0, 1], [0]), ([[0, 1]], [[0, 1]])], ids=["empty", "lengths", "axes"]
)
def test_unfit_arrays_are_refused(labels, clusters):
    with pytest.raises(DataError, match="must be one-dimensional, equally long and not empty"):
        clustering_scores(np.array(labels, dtype=int), np.array(clusters, dtype=int))


def test_distances_of_classes_are_means_over_pairs_one_by_one():
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=40)
    vectors = generator.normal(size=(40, 6)) + 2 * np.eye(6)[labels]
    vectors[[3, 17]] = 0  # they have no direction
    kept = np.flatnonzero(vectors.any(axis=1))
    pairs = list(combinations(kept, 2))
    found = {pair: distance.cosine(vectors[pair[0]], vectors[pair[1]]) for pair in pairs}
    alike = [found[pair] for pair in pairs if labels[pair[0]] == labels[pair[1]]]
    unlike = [found[pair] for pair in pairs if labels[pair[0]] != labels[pair[1]]]
    within, between = class_distances(vectors, labels)
    assert (within, between) == pytest.approx((np.mean(alike), np.mean(unlike)), rel=1e-12)
    assert within < between


def test_where_there_is_no_pair_there_is_no_distance():
    within, between = class_distances(np.eye(3), np.array([0, 1, 2]))
    assert np.isnan(within)
    assert between == 1
    within, between = class_distances(np.eye(3), np.zeros(3))
    assert within == 1
    assert np.isnan(between)
    assert np.isnan(class_distances(np.zeros((3, 2)), np.arange(3))).all()
