"""Clusters of a network's activations, layer by layer, against the classes of the images.

Two forms of one published study: K-means of every channel's maps, and agglomerative clustering of channel means. A third,
K-means of channel means, tells what of the ranking of the layers is due to the algorithm.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import eigh

from vision_studies.errors import DataError
from vision_studies.pipelines.clustering.batched_kmeans import batched_kmeans, bytes_of_a_set
from vision_studies.pipelines.clustering.scores import clustering_scores
from vision_studies.pipelines.clustering.settings import (
    AgglomerativeSettings,
    GaussianMixtureSettings,
    HdbscanSettings,
    KMeansChannelsSettings,
    MethodSettings,
    SpectralSettings,
)

COLUMNS = (
    *("fraction", "repeat", "layer", "method", "channel", "samples", "clusters"),
    *("ari", "ami", "accuracy", "precision", "recall", "components"),
)
WHOLE_LAYER = -1
"""Stands for the channel in rows of methods that cluster whole layers."""

_BLOCK_BYTES = 8_000_000  # what is worked on at once should stay near the processor
_MOST_PAIRED = 25_000  # samples whose pairs take some five gigabytes
_MANY = 4000  # samples from which the pairs of one clustering fill memory by the hundred megabytes
_one_large_clustering = Lock()


@dataclass(frozen=True)
class Subset:
    """Images of one repeat."""

    fraction: float  # share of the images that was asked for
    repeat: int  # number of the draw
    positions: np.ndarray  # int [n], positions among the images whose activations are given


def capped(subset: Subset, most: int | None) -> Subset:
    """The subset, or `most` of its images in their order, drawn with the repeat as seed."""
    if most is None or len(subset.positions) <= most:
        return subset
    chosen = np.random.default_rng(subset.repeat).choice(len(subset.positions), most, replace=False)
    return replace(subset, positions=subset.positions[np.sort(chosen)])


def cluster_subsets(
    layers: Iterable[tuple[str, np.ndarray]],
    labels: np.ndarray,
    subsets: Sequence[Subset],
    methods: Sequence[MethodSettings],
    *,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Cluster every layer's activations of every subset by every method, into as many clusters as classes are present.

    Args:
        layers: name and activations of all images, [N, C, H, W], or [N, D] of a layer without maps, whose units count as
            channels of one value; taken one after the other, so that a generator keeps the memory at one layer's.
        labels: int [N], class of each image.
        n_jobs: subsets that are clustered at the same time, a thread each; -1 for as many as there are processors.

    Returns:
        A row a channel, or one with channel -1 for methods that cluster whole layers, in the order of layers, methods,
        subsets, channels: fraction, repeat, layer, method, channel, samples (that were clustered), clusters (that were
        found, fewer than classes where fewer points are distinct), ari, ami, accuracy, precision, recall, components (of
        PCA, or missing). No rows where fewer than two classes are present.

    Raises:
        DataError: if an activation is not finite, there are not as many labels as images, or more images are to be clustered
            by their pairs than memory has room for.
    """
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    largest = max((len(subset.positions) for subset in subsets), default=0)
    if largest > _MOST_PAIRED and any(isinstance(method, AgglomerativeSettings) for method in methods):
        raise DataError(
            f"Agglomerative clustering of {largest:,} images compares all pairs of them, which no more than {_MOST_PAIRED:,} "
            "leave room for; set max_samples of the method agglomerative in clustering.methods, for example to 2000."
        )
    rows: list[dict[str, Any]] = []
    # Threads share the activations; each works on one processor, or they would wait for each other in every product.
    with _silent(), threadpool_limits(1), Parallel(n_jobs, backend="threading", batch_size=1) as parallel:
        for layer, maps in layers:
            if len(labels) != len(maps):
                raise DataError(
                    f"Layer {layer} has activations of {len(maps)} images, but there are {len(labels)} labels."
                )
            vectors = _channel_means(maps)
            work = list(product(methods, subsets))
            clustered = parallel(
                delayed(_rows)(
                    layer,
                    maps if isinstance(method, KMeansChannelsSettings) else vectors,
                    subset.positions,
                    labels[subset.positions],
                    method,
                )
                for method, subset in work
            )
            for (_, subset), of_subset in zip(work, clustered, strict=True):
                rows += [{"fraction": subset.fraction, "repeat": subset.repeat, **row} for row in of_subset]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"components": "Int64"})


def scatter_positions(vectors: np.ndarray, *, perplexity: float, seed: int) -> np.ndarray:
    """Positions in the plane, near each other where vectors are: t-SNE (van der Maaten and Hinton 2008).

    Args:
        vectors: [N, ...], whatever follows the first axis is one vector.
        perplexity: how many neighbours count; at most a third of the other vectors are taken.

    Returns:
        float32 [N, 2].

    Raises:
        DataError: if there are fewer than four vectors, or a value is not finite.
    """
    from sklearn.manifold import TSNE

    flat = np.asarray(vectors, dtype=np.float32).reshape(len(vectors), -1)
    if len(flat) < 4:
        raise DataError(f"A scatter by t-SNE needs at least 4 images, not {len(flat)}.")
    _require_finite("the scatter", flat)
    if (flat == flat[0]).all():
        return np.zeros((len(flat), 2), dtype=np.float32)
    # A start from principal components needs two of them.
    start = "pca" if flat.shape[1] > 1 else "random"
    return TSNE(perplexity=min(perplexity, (len(flat) - 1) / 3), init=start, random_state=seed).fit_transform(flat)


def _rows(
    layer: str, maps: np.ndarray, positions: np.ndarray, labels: np.ndarray, method: MethodSettings
) -> list[dict[str, Any]]:
    """Rows of `cluster_subsets` for the images at `positions` among `maps`; `labels` are theirs."""
    if isinstance(method, KMeansChannelsSettings):
        clusterings = _by_channel(layer, maps, positions, labels, method)
    else:
        clusterings = _by_layer(layer, _channel_means(maps[positions]), labels, method)
    return [
        {"layer": layer, "method": method.name, "channel": channel, "samples": len(clustered)}
        | asdict(clustering_scores(clustered, clusters))
        | {"components": components}
        for channel, clustered, clusters, components in clusterings
    ]


Clustering = tuple[int, np.ndarray, np.ndarray, int | None]
"""Channel, labels of the samples, their clusters, components."""


def _by_channel(
    layer: str, maps: np.ndarray, positions: np.ndarray, labels: np.ndarray, method: KMeansChannelsSettings
) -> Iterator[Clustering]:
    classes = len(np.unique(labels))
    if classes < 2:
        return
    count, channels, size = len(positions), maps.shape[1], int(np.prod(maps.shape[2:]))
    components = None if method.pca is None else min(method.pca, count, size)
    block = max(1, _BLOCK_BYTES // bytes_of_a_set(count, size, classes * method.restarts))
    for start in range(0, channels, block):
        points = maps[positions, start : start + block].reshape(count, -1, size).swapaxes(0, 1).astype(np.float32)
        _require_finite(layer, points)
        # As many components as there are dimensions only turn the points, which K-means does not see.
        if components is not None and components < min(count, size):
            points = np.stack([_principal_components(channel, components) for channel in points])
        for channel, clusters in enumerate(_kmeans(points, classes, method.restarts, method.seed), start):
            yield channel, labels, clusters, components


def _by_layer(layer: str, vectors: np.ndarray, labels: np.ndarray, method: MethodSettings) -> Iterator[Clustering]:
    _require_finite(layer, vectors)
    if isinstance(method, AgglomerativeSettings) and method.metric == "cosine":
        pointing = vectors.any(axis=1)
        vectors, labels = vectors[pointing], labels[pointing]
    classes = len(np.unique(labels))
    if classes < 2:
        return
    yield WHOLE_LAYER, labels, _clusters(vectors, classes, method), None


def _clusters(vectors: np.ndarray, classes: int, method: MethodSettings) -> np.ndarray:
    """Cluster of each vector [N, D]; as many as classes, but for methods that find their number."""
    from sklearn.cluster import AgglomerativeClustering

    match method:
        case AgglomerativeSettings():
            model = AgglomerativeClustering(classes, metric=method.metric, linkage=method.linkage)
            with nullcontext() if len(vectors) < _MANY else _one_large_clustering:
                return model.fit_predict(vectors)
        case SpectralSettings():
            return _unless_alike(vectors, classes, partial(_spectral, method=method))
        case GaussianMixtureSettings():
            return _unless_alike(vectors, classes, partial(_mixture, method=method))
        case HdbscanSettings():
            return _dense_regions(vectors, method)
    return _kmeans(vectors[None].astype(np.float32), classes, method.restarts, method.seed)[0]


def _unless_alike(vectors: np.ndarray, clusters: int, cluster: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """What `cluster` finds; of no more distinct vectors than clusters, each is one."""
    distinct, which = np.unique(vectors, axis=0, return_inverse=True)
    return which.ravel() if len(distinct) <= clusters else cluster(vectors, clusters)


def _spectral(vectors: np.ndarray, clusters: int, method: SpectralSettings) -> np.ndarray:
    """Clusters of the graph of nearest neighbours by its eigenvectors (Ng et al. 2002; Damle et al. 2019 for the last step)."""
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        clusters,
        affinity="nearest_neighbors",
        n_neighbors=min(method.neighbours, len(vectors) - 1),
        assign_labels="cluster_qr",
        random_state=method.seed,
    )
    return model.fit_predict(vectors)


def _mixture(vectors: np.ndarray, clusters: int, method: GaussianMixtureSettings) -> np.ndarray:
    """The likeliest of normal distributions that share a covariance (Dempster et al. 1977)."""
    from sklearn.mixture import GaussianMixture

    scaled = vectors.astype(np.float64) / max(float(vectors.std()), np.finfo(float).tiny)
    model = GaussianMixture(
        clusters, covariance_type="tied", reg_covar=1e-4, n_init=method.restarts, random_state=method.seed
    )
    return model.fit_predict(scaled)


def _dense_regions(vectors: np.ndarray, method: HdbscanSettings) -> np.ndarray:
    """Clusters by HDBSCAN (Campello et al. 2013); -1 for images in none."""
    from sklearn.cluster import HDBSCAN

    if len(vectors) < method.smallest:
        return np.full(len(vectors), -1)
    return HDBSCAN(min_cluster_size=method.smallest, copy=True).fit_predict(vectors)


def _kmeans(data: np.ndarray, clusters: int, restarts: int, seed: int) -> np.ndarray:
    """Clusters [B, N] of float32 data [B, N, D]; those that cannot be found together are looked for one by one."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    together = batched_kmeans(data, clusters, restarts=restarts, seed=seed)
    for index in np.flatnonzero(together.degenerate):
        distinct, which = np.unique(data[index], axis=0, return_inverse=True)
        if len(distinct) > clusters:
            with threadpool_limits(1):
                which = KMeans(clusters, n_init=restarts, random_state=seed).fit(data[index]).labels_
        together.labels[index] = which.ravel()
    return together.labels


def _principal_components(points: np.ndarray, components: int) -> np.ndarray:
    """Points [N, D] in the coordinates of their first principal components, [N, components]."""
    centred = points - points.mean(axis=0)
    wide = len(centred) < centred.shape[1]
    products = centred @ centred.T if wide else centred.T @ centred
    last = len(products) - 1
    values, vectors = eigh(products, subset_by_index=(last + 1 - components, last), check_finite=False)
    return vectors * np.sqrt(np.maximum(values, 0)) if wide else centred @ vectors


def _channel_means(maps: np.ndarray) -> np.ndarray:
    """[N, C, H, W] -> [N, C]; vectors stay as they are."""
    return maps if maps.ndim == 2 else maps.mean(axis=(2, 3))


def _require_finite(layer: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise DataError(f"Activations of {layer} are not finite; look for a run that diverged.")


@contextmanager
def _silent() -> Iterator[None]:
    """Within it, scikit-learn does not say that points are too alike, or that their graph has parts: the clusters found say
    so.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        yield
