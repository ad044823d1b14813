import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from vision_studies.pipelines.clustering.batched_kmeans import batched_kmeans


def smooth_maps(count, sets, side, seed=0, classes=3):
    """Random maps [sets, count, side * side] with a faint pattern a class, in float32."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    patterns = random.normal(size=(sets, classes, side, side))
    maps = 0.5 * patterns[:, labels] + random.normal(size=(sets, count, side, side))
    blur = max(side / 14, 0.01)
    return gaussian_filter(maps, (0, 0, blur, blur)).reshape(sets, count, -1).astype(np.float32)


def inertia(points, labels):
    points = points.astype(np.float64)
    return sum(((points[labels == own] - points[labels == own].mean(axis=0)) ** 2).sum() for own in np.unique(labels))


@pytest.mark.parametrize(
    ("count", "side", "clusters"), [(15, 28, 3), (40, 14, 2), (160, 14, 3), (160, 7, 10), (300, 28, 5), (12, 7, 12)]
)
def test_fits_are_those_of_scikit_learn(count, side, clusters):
    data = smooth_maps(count, 6, side)
    found = batched_kmeans(data, clusters, restarts=10, seed=42)
    assert not found.degenerate.any()
    agreements, ratios = [], []
    for points, labels, own in zip(data, found.labels, found.inertia, strict=True):
        reference = KMeans(clusters, n_init=10, random_state=42).fit(points)
        agreements.append(adjusted_rand_score(reference.labels_, labels))
        ratios.append(own / reference.inertia_ if reference.inertia_ > 1e-3 else 1.0)
        assert own == pytest.approx(inertia(points, labels), rel=1e-4, abs=1e-2)
    assert np.mean(agreements) > 0.99
    assert np.mean(ratios) < 1.001
    assert max(ratios) < 1.01


def test_single_values_end_no_worse_than_scikit_learn():
    data = np.random.default_rng(3).normal(size=(20, 400, 1)).astype(np.float32)
    found = batched_kmeans(data, 4, restarts=10, seed=42)
    reference = [KMeans(4, n_init=10, random_state=42).fit(points) for points in data]
    assert (found.inertia <= [1.0001 * own.inertia_ for own in reference]).all()
    assert np.mean([adjusted_rand_score(a.labels_, b) for a, b in zip(reference, found.labels, strict=True)]) > 0.9


def test_no_point_is_nearer_to_another_centre():
    data = smooth_maps(120, 5, 14, seed=1)
    found = batched_kmeans(data, 4, restarts=3, seed=0)
    for points, labels in zip(data.astype(np.float64), found.labels, strict=True):
        centres = np.stack([points[labels == cluster].mean(axis=0) for cluster in range(4)])
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == labels).mean() > 0.99  # up to rounding


def test_a_data_set_is_clustered_the_same_alone_and_in_a_batch():
    data = smooth_maps(50, 16, 14, seed=2)
    together = batched_kmeans(data, 3, restarts=5, seed=7)
    for place in (0, 9):
        alone = batched_kmeans(data[place : place + 1], 3, restarts=5, seed=7)
        assert adjusted_rand_score(alone.labels[0], together.labels[place]) == 1


def test_more_restarts_are_never_worse_and_the_seed_counts():
    data = smooth_maps(60, 12, 7, seed=5)
    inertias = [batched_kmeans(data, 6, restarts=restarts, seed=1).inertia for restarts in (1, 4, 16)]
    assert (inertias[1] <= inertias[0] * 1.00001).all()
    assert (inertias[2] <= inertias[1] * 1.00001).all()
    assert (inertias[2] < inertias[0]).any()
    other = batched_kmeans(data, 6, restarts=1, seed=2)
    assert (other.inertia != inertias[0]).any()


def test_too_few_distinct_points_are_reported_without_a_warning():
    plain = smooth_maps(30, 4, 7)
    plain[1] = 3.7
    plain[2] = np.where(np.arange(30)[:, None] % 2, plain[2, :1], plain[2, 1:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = batched_kmeans(plain, 3, restarts=10, seed=42)
    assert list(found.degenerate) == [False, True, True, False]
