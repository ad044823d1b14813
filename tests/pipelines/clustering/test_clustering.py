import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from tests.pipelines.clustering.test_batched_kmeans import smooth_maps

from vision_studies.errors import DataError
from vision_studies.pipelines.clustering import work as clustering
from vision_studies.pipelines.clustering.scores import clustering_scores
from vision_studies.pipelines.clustering.settings import (
    AgglomerativeSettings,
    GaussianMixtureSettings,
    HdbscanSettings,
    KMeansChannelsSettings,
    KMeansVectorsSettings,
    SpectralSettings,
)
from vision_studies.pipelines.clustering.work import Subset, capped, cluster_subsets, scatter_positions

CHANNELS = KMeansChannelsSettings(max_samples=None, name="kmeans_channels", restarts=10, pca=None, seed=42)
VECTORS = KMeansVectorsSettings(max_samples=None, name="kmeans_vectors", restarts=10, seed=42)
AGGLOMERATIVE = AgglomerativeSettings(max_samples=None, name="agglomerative", linkage="average", metric="cosine")
KEYS = [
    "layer",
    "method",
    "channel",
    "samples",
    "clusters",
    "ari",
    "ami",
    "accuracy",
    "precision",
    "recall",
    "components",
]


def activations(count=60, channels=5, side=8, seed=0):
    """Maps [count, channels, side, side] whose first channels tell three classes apart, and the classes."""
    labels = np.random.default_rng(seed).integers(0, 3, count)
    maps = smooth_maps(count, channels, side, seed).reshape(channels, count, side, side).swapaxes(0, 1).copy()
    for channel in range(channels // 2):
        maps[:, channel] += labels[:, None, None] * (1.5 - channel)
    return maps, labels


def cluster_layer(layer, maps, labels, method):
    """Rows of one layer, of all images together."""
    with clustering._silent():
        return clustering._rows(layer, maps, np.arange(len(maps)), labels, method)


def test_every_channel_is_clustered_by_k_means_of_its_maps():
    maps, labels = activations()
    rows = cluster_layer("conv0", maps, labels, CHANNELS)
    assert [list(row) for row in rows] == [KEYS] * 5
    assert [row["channel"] for row in rows] == list(range(5))
    for row in rows:
        points = maps[:, row["channel"]].reshape(60, -1)
        scores = clustering_scores(labels, KMeans(3, n_init=10, random_state=42).fit(points).labels_)
        assert row["ari"] == pytest.approx(scores.ari, abs=1e-6)
        assert row["accuracy"] == pytest.approx(scores.accuracy)
        assert row["precision"] == pytest.approx(scores.precision)
        assert row["recall"] == pytest.approx(scores.recall)
        assert (row["layer"], row["method"], row["samples"], row["clusters"]) == ("conv0", "kmeans_channels", 60, 3)
        assert row["components"] is None
    assert rows[0]["ari"] > 0.9 > rows[4]["ari"]


def test_blocks_of_channels_do_not_change_what_is_found(monkeypatch):
    maps, labels = activations(channels=7)
    whole = cluster_layer("conv0", maps, labels, CHANNELS)
    monkeypatch.setattr(clustering, "_BLOCK_BYTES", 200_000)
    assert cluster_layer("conv0", maps, labels, CHANNELS) == whole


@pytest.mark.parametrize(("count", "side", "asked", "used"), [(60, 8, 10, 10), (20, 8, 50, 20), (60, 3, 50, 9)])
def test_principal_components_are_as_many_as_can_be_had(count, side, asked, used):
    maps, labels = activations(count=count, side=side)
    rows = cluster_layer("conv0", maps, labels, CHANNELS.model_copy(update={"pca": asked}))
    assert [row["components"] for row in rows] == [used] * 5
    for row in rows:
        points = PCA(used, random_state=0).fit_transform(maps[:, row["channel"]].reshape(count, -1))
        reference = KMeans(3, n_init=10, random_state=42).fit(points).labels_
        assert row["ari"] == pytest.approx(adjusted_rand_score(labels, reference), abs=0.01)


def test_components_span_what_those_of_scikit_learn_span():
    for points in (smooth_maps(50, 1, 14)[0], smooth_maps(200, 1, 5)[0]):
        found = clustering._principal_components(points, 8)
        reference = PCA(8, svd_solver="full").fit_transform(points)
        assert found @ found.T == pytest.approx(reference @ reference.T, abs=1e-3 * float(np.abs(reference).max()) ** 2)


def test_units_of_a_dense_layer_are_channels_of_one_value():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 80)
    outputs = random.normal(size=(80, 4)).astype(np.float32)
    outputs[:, 2] += 10 * labels
    rows = cluster_layer("head", outputs, labels, CHANNELS)
    assert [row["channel"] for row in rows] == [0, 1, 2, 3]
    assert rows[2]["ari"] == 1
    assert all(row["ari"] < 0.2 for row in rows if row["channel"] != 2)


@pytest.mark.parametrize("linkage", ["average", "complete", "single"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_agglomerative_clustering_is_that_of_channel_means(linkage, metric):
    maps, labels = activations(channels=12)
    method = AGGLOMERATIVE.model_copy(update={"linkage": linkage, "metric": metric})
    (row,) = cluster_layer("conv0", maps, labels, method)
    reference = AgglomerativeClustering(3, metric=metric, linkage=linkage).fit(maps.mean(axis=(2, 3))).labels_
    assert row["ari"] == adjusted_rand_score(labels, reference)
    assert (row["channel"], row["samples"], row["clusters"], row["components"]) == (-1, 60, 3, None)


def test_vectors_of_zeros_have_no_cosine_and_are_left_out():
    maps, labels = activations(channels=12)
    maps[::6] = 0
    (row,) = cluster_layer("conv0", maps, labels, AGGLOMERATIVE)
    rest = np.arange(60) % 6 != 0
    (alone,) = cluster_layer("conv0", maps[rest], labels[rest], AGGLOMERATIVE)
    assert row == alone
    assert row["samples"] == 50
    euclidean = AGGLOMERATIVE.model_copy(update={"metric": "euclidean"})
    assert cluster_layer("conv0", maps, labels, euclidean)[0]["samples"] == 60
    maps[labels != 1] = 0
    assert cluster_layer("conv0", maps, labels, AGGLOMERATIVE) == []


def test_k_means_of_channel_means():
    maps, labels = activations(channels=12)
    (row,) = cluster_layer("conv0", maps, labels, VECTORS)
    reference = KMeans(3, n_init=10, random_state=42).fit(maps.mean(axis=(2, 3))).labels_
    assert row["ari"] == pytest.approx(adjusted_rand_score(labels, reference))
    assert (row["method"], row["channel"]) == ("kmeans_vectors", -1)


@pytest.mark.parametrize("method", [CHANNELS, VECTORS, AGGLOMERATIVE], ids=lambda method: method.name)
def test_one_class_gives_no_rows(method):
    maps, labels = activations()
    assert cluster_layer("conv0", maps, np.zeros_like(labels), method) == []
    assert cluster_layer("conv0", maps[:0], labels[:0], method) == []
    assert len(cluster_layer("conv0", maps[:2], np.array([0, 1]), method)) in (1, 5)


SPECTRAL = SpectralSettings(name="spectral", neighbours=8, max_samples=None, seed=3)
MIXTURE = GaussianMixtureSettings(name="gaussian_mixture", restarts=2, max_samples=None, seed=3)
DENSE = HdbscanSettings(name="hdbscan", smallest=5, max_samples=None)


@pytest.mark.parametrize(
    ("method", "model"),
    [
        (
            SPECTRAL,
            SpectralClustering(
                3, affinity="nearest_neighbors", n_neighbors=8, assign_labels="cluster_qr", random_state=3
            ),
        ),
        (MIXTURE, GaussianMixture(3, covariance_type="tied", reg_covar=1e-4, n_init=2, random_state=3)),
        (DENSE, HDBSCAN(min_cluster_size=5, copy=True)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_other_clusterings_are_those_of_scikit_learn_on_channel_means(method, model):
    maps, labels = activations()
    [row] = cluster_layer("conv0", maps, labels, method)
    means = maps.mean(axis=(2, 3))
    points = means.astype(np.float64) / means.std() if method is MIXTURE else means
    with clustering._silent():
        expected = clustering_scores(labels, model.fit_predict(points))
    assert (row["ari"], row["ami"]) == pytest.approx((expected.ari, expected.ami), abs=1e-6)
    assert (row["channel"], row["samples"], row["clusters"]) == (-1, 60, expected.clusters)
    assert row["ari"] > 0.3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", [SPECTRAL, MIXTURE, DENSE], ids=lambda method: method.name)
@pytest.mark.parametrize("count", [4, 6, 30])
def test_few_images_and_images_that_are_all_alike_are_clustered(method, count):
    labels, random = np.arange(count) % 2, np.random.default_rng(0)
    for maps in (np.ones((count, 3, 2, 2)), random.normal(size=(count, 3, 2, 2))):
        [row] = cluster_layer("conv0", maps, labels, method)
        assert 1 <= row["clusters"] <= max(2, count)
        assert np.isfinite([row["ari"], row["ami"], row["accuracy"]]).all()


def test_points_that_are_too_alike_neither_fail_nor_warn():
    maps, labels = activations(channels=4)
    maps[:, 1] = 0.1
    maps[:, 2] = np.where(np.arange(60)[:, None, None] % 2, 1.1, -2.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = cluster_layer("conv0", maps, labels, CHANNELS)
    assert [row["clusters"] for row in rows] == [3, 1, 2, 3]
    assert rows[1]["ari"] == 0
    assert np.bincount(labels).max() / 60 == pytest.approx(rows[1]["accuracy"])
    (row,) = cluster_layer("conv0", np.ones((60, 4)), labels, VECTORS)
    assert row["clusters"] == 1


def test_a_cluster_that_is_emptied_is_left_to_scikit_learn(monkeypatch):
    maps, labels = activations()
    expected = cluster_layer("conv0", maps, labels, CHANNELS)
    found = clustering.batched_kmeans

    def degenerate(*arguments, **options):
        own = found(*arguments, **options)
        own.labels[:] = 0
        own.degenerate[:] = True
        return own

    monkeypatch.setattr(clustering, "batched_kmeans", degenerate)
    rows = cluster_layer("conv0", maps, labels, CHANNELS)
    assert [row["ari"] for row in rows] == pytest.approx([row["ari"] for row in expected], abs=1e-6)


@pytest.mark.parametrize("method", [CHANNELS, VECTORS, AGGLOMERATIVE], ids=lambda method: method.name)
def test_unfit_activations_are_refused(method):
    maps, labels = activations()
    with pytest.raises(DataError, match="Layer conv3 has activations of 60 images, but there are 59 labels"):
        cluster_subsets([("conv3", maps)], labels[1:], subsets(), [method])
    maps[3, 4, 2, 2] = np.nan
    with pytest.raises(DataError, match="Activations of conv3 are not finite; look for a run that diverged"):
        cluster_layer("conv3", maps, labels, method)


def subsets(count=60):
    random = np.random.default_rng(4)
    sizes = ((0.1, 0, 6), (0.1, 1, 6), (0.5, 0, 30), (1.0, 0, count))
    return [Subset(fraction, repeat, random.permutation(count)[:size]) for fraction, repeat, size in sizes]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_subset_of_every_layer_is_clustered_by_every_method(n_jobs):
    maps, labels = activations()
    dense = maps.mean(axis=(2, 3))[:, :2]
    methods = [CHANNELS, AGGLOMERATIVE, VECTORS]
    layers = iter([("conv0", maps), ("head", dense)])
    table = cluster_subsets(layers, labels, subsets(), methods, n_jobs=n_jobs)
    assert list(table.columns) == ["fraction", "repeat", *KEYS]
    expected = [
        {"fraction": own.fraction, "repeat": own.repeat, **row}
        for layer, source in (("conv0", maps), ("head", dense))
        for method in methods
        for own in subsets()
        for row in cluster_layer(layer, source[own.positions], labels[own.positions], method)
    ]
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected).astype({"components": "Int64"}))
    assert len(table) == 4 * (5 + 2) + 2 * 4 * 2
    assert table["components"].isna().all()


def test_of_large_agglomerative_clusterings_only_one_holds_its_pairs_at_a_time(monkeypatch):
    monkeypatch.setattr(clustering, "_MANY", 10)
    fit = AgglomerativeClustering.fit_predict
    running, most = [], []

    def watched(self, vectors):
        running.append(threading.get_ident())
        most.append(len(running) if len(vectors) >= 10 else 1)
        found = fit(self, vectors)
        running.remove(threading.get_ident())
        return found

    monkeypatch.setattr(AgglomerativeClustering, "fit_predict", watched)
    maps, labels = activations()
    everything = [Subset(1.0, repeat, np.arange(60)) for repeat in range(8)]
    table = cluster_subsets([("conv0", maps)], labels, everything, [AGGLOMERATIVE], n_jobs=4)
    assert table["ari"].nunique() == 1
    assert most == [1] * 8


def test_a_subset_is_capped_by_a_draw_of_its_repeat():
    own = Subset(0.5, 3, np.arange(100, 160))
    assert capped(own, None) is own
    assert capped(own, 60) is own
    small = capped(own, 20)
    assert (small.fraction, small.repeat, len(set(small.positions))) == (0.5, 3, 20)
    assert set(small.positions) <= set(own.positions)
    assert (np.diff(small.positions) > 0).all()
    assert (small.positions == capped(own, 20).positions).all()
    other = capped(Subset(0.5, 4, own.positions), 20)
    assert (small.positions != other.positions).any()


def test_scatter_keeps_groups_together_and_repeats_itself():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 15)
    maps = (8 * np.eye(3)[labels][:, :, None, None] + random.normal(size=(45, 3, 2, 2))).astype(np.float32)
    found = scatter_positions(maps, perplexity=30.0, seed=1)
    assert found.shape == (45, 2)
    assert adjusted_rand_score(labels, KMeans(3, n_init=5, random_state=0).fit(found).labels_) == 1
    assert (found == scatter_positions(maps, perplexity=30.0, seed=1)).all()


@pytest.mark.parametrize(
    "vectors", [np.eye(4), np.arange(9.0)[:, None], np.ones((6, 3))], ids=["few", "single", "equal"]
)
def test_scatter_of_few_or_plain_vectors(vectors):
    found = scatter_positions(vectors, perplexity=30.0, seed=0)
    assert found.shape == (len(vectors), 2)
    assert np.isfinite(found).all()


def test_scatter_of_unfit_vectors_is_refused():
    with pytest.raises(DataError, match="at least 4 images, not 3"):
        scatter_positions(np.eye(3), perplexity=5.0, seed=0)
    with pytest.raises(DataError, match="not finite"):
        scatter_positions(np.full((5, 2), np.inf), perplexity=5.0, seed=0)


def test_more_pairs_than_memory_holds_are_refused_before_anything_is_clustered():
    subset = Subset(1.0, 0, np.arange(25_001))
    with pytest.raises(DataError, match="Agglomerative clustering of 25,001 images .* set max_samples"):
        cluster_subsets([("conv0", np.zeros((25_001, 1)))], np.arange(25_001) % 2, [subset], [AGGLOMERATIVE])
