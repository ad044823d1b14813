"""K-means of many small data sets of one shape at once (Lloyd 1982, seeded as by Arthur and Vassilvitskii 2007).

All restarts of all data sets take their steps together, as a few matrix products, so that the cost of a call is shared by
them; a library that fits one after the other spends most of the time of a small fit on its own upkeep. Seeds are drawn with
the random numbers that scikit-learn's `KMeans` would draw, and they do not depend on the data: up to rounding the fits are
the same. They end when no point changes its cluster (scikit-learn may stop a little earlier, by its tolerance).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MAX_ITERATIONS = 300
_EXPECTED_ITERATIONS = 10  # full iterations' worth of products of a fit, restarts that end early counted in
_SEEDING_PRODUCTS = 2  # what seeding costs, in iterations


@dataclass(frozen=True)
class Clusterings:
    """Best of the restarts for each of B data sets.

    Attributes:
        labels: int [B, N], the cluster of each point.
        inertia: float [B], sum of squared distances to the centres of the clusters.
        degenerate: bool [B], whether there are fewer distinct points than clusters, or a cluster has lost all its points in
            some restart. That is not mended here: labels of such a data set are not to be used.
    """

    labels: np.ndarray
    inertia: np.ndarray
    degenerate: np.ndarray


def batched_kmeans(data: np.ndarray, clusters: int, *, restarts: int, seed: int) -> Clusterings:
    """Cluster B data sets of N points each.

    Args:
        data: float32 [B, N, D], finite.
        clusters: of each, from 2 to N.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.clustering.batched_kmeans import batched_kmeans
        >>> points = np.array([[0, 1, 100, 101], [0, 50, 51, 52]], dtype=np.float32)[:, :, None]  # two sets of four points
        >>> clusterings = batched_kmeans(points, clusters=2, restarts=3, seed=0)
        >>> [[label == labels[0] for label in labels] for labels in clusterings.labels.tolist()]
        [[True, True, False, False], [True, False, False, False]]
    """
    points = np.ascontiguousarray(data - data.mean(axis=1, keepdims=True))
    squares = np.einsum("bnd,bnd->bn", points, points)
    products = _Products(points, clusters * restarts)
    labels, explained, emptied = _iterate(products, _seeds(products, squares, clusters, restarts, seed))
    inertia = squares.sum(axis=1, dtype=np.float64)[:, None] - explained
    best = inertia.argmin(axis=1)
    every = np.arange(len(data))
    # Equal points have equal squares; where all others differ in theirs, too few squares are too few points.
    distinct = 1 + (np.diff(np.sort(squares, axis=1), axis=1) != 0).sum(axis=1)
    degenerate = emptied.any(axis=1) | (distinct < clusters)
    return Clusterings(labels[every, best], np.maximum(inertia[every, best], 0), degenerate)


def bytes_of_a_set(count: int, size: int, sums: int) -> int:
    """Memory that K-means of `count` points of `size` numbers takes, with so many clusters times restarts."""
    return 4 * count * (2 * size + min(count, 2 * size) + 3 * sums)


class _Products:
    """Products of sums of points with every point, by whichever order of multiplication costs least.

    With A the membership of points in sums [B, Q, N] and X the points [B, N, D], A (X X') needs N x N numbers for a data set
    and one product a step; (A X) X' needs two smaller ones where D is small.
    """

    def __init__(self, points: np.ndarray, sums: int) -> None:
        _, count, size = points.shape
        by_gram = count**2 * (size / 2 + sums * _EXPECTED_ITERATIONS)
        direct = 2 * count * size * sums * (_EXPECTED_ITERATIONS + _SEEDING_PRODUCTS)
        self._points = points
        self._gram = points @ points.swapaxes(1, 2) if by_gram < direct else None

    def __call__(self, membership: np.ndarray) -> np.ndarray:
        """[B, Q, N] -> [B, Q, N]: entry (q, n) is the product of the q-th sum with point n."""
        if self._gram is not None:
            return membership @ self._gram
        return (membership @ self._points) @ self._points.swapaxes(1, 2)

    def of_points(self, indices: np.ndarray) -> np.ndarray:
        """Int [B, Q] -> [B, Q, N]: products of single points with every point."""
        if self._gram is not None:
            return np.take_along_axis(self._gram, indices[:, :, None], axis=1)
        return np.take_along_axis(self._points, indices[:, :, None], axis=1) @ self._points.swapaxes(1, 2)

    def keep(self, sets: np.ndarray) -> None:
        """Forget all data sets but these."""
        self._points = self._points[sets]
        if self._gram is not None:
            self._gram = self._gram[sets]


@lru_cache(maxsize=64)
def _draws(count: int, clusters: int, restarts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """First points [R] and uniform numbers [R, k - 1, candidates], in the order in which scikit-learn draws them."""
    random = np.random.RandomState(seed)
    candidates = 2 + int(np.log(clusters))
    chances = np.full(count, 1 / count)
    first, uniform = [], []
    for _ in range(restarts):
        first.append(random.choice(count, p=chances))
        uniform.append([random.uniform(size=candidates) for _ in range(clusters - 1)])
    return np.array(first), np.array(uniform, dtype=np.float32)


def _seeds(products: _Products, squares: np.ndarray, clusters: int, restarts: int, seed: int) -> np.ndarray:
    """Points that are the first centres, int [B, k, R], by greedy k-means++."""
    sets, count = squares.shape
    first, uniform = _draws(count, clusters, restarts, seed)

    def distances(indices: np.ndarray) -> np.ndarray:
        flat = indices.reshape(sets, -1)
        squared = -2 * products.of_points(flat)
        squared += squares[:, None, :]
        squared += np.take_along_axis(squares, flat, axis=1)[:, :, None]
        np.maximum(squared, 0, out=squared)
        return squared.reshape(*indices.shape, count)

    chosen = np.empty((sets, clusters, restarts), dtype=np.intp)
    chosen[:, 0] = first
    nearest = distances(chosen[:, 0])
    for cluster in range(1, clusters):
        cumulated = nearest.cumsum(axis=2)
        thresholds = uniform[:, cluster - 1] * cumulated[:, :, -1:]
        tried = (cumulated[:, :, None, :] < thresholds[:, :, :, None]).sum(axis=3)
        np.minimum(tried, count - 1, out=tried)
        after = distances(tried)
        np.minimum(after, nearest[:, :, None], out=after)
        best = after.sum(axis=3).argmin(axis=2)[:, :, None]
        chosen[:, cluster] = np.take_along_axis(tried, best, axis=2)[:, :, 0]
        nearest = np.take_along_axis(after, best[:, :, :, None], axis=2)[:, :, 0]
    return chosen


def _iterate(products: _Products, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lloyd's steps to the end: labels [B, R, N], squares that the centres explain and whether a cluster emptied [B, R]."""
    sets, clusters, restarts = seeds.shape
    flat = seeds.reshape(sets, -1)
    inner = products.of_points(flat)
    halves = np.take_along_axis(inner, flat[:, :, None], axis=2) / 2
    labels = _nearest((inner - halves).reshape(sets, clusters, restarts, -1))
    explained = np.zeros((sets, restarts))
    emptied = np.zeros((sets, restarts), dtype=bool)
    active = np.ones((sets, restarts), dtype=bool)
    held = np.arange(sets)  # data sets that `products` still has
    for _ in range(MAX_ITERATIONS):
        going = np.any(active[held], axis=1)
        if not going.any():
            break
        if 2 * going.sum() <= len(held):
            products.keep(going)
            held = held[going]
        # Each data set needs as many restarts as the others for one product: those that ended fill it up.
        some = active[held]
        working = held[:, None], np.argsort(~some, axis=1, kind="stable")[:, : some.sum(axis=1).max()]
        before = labels[working]
        after, explained[working], lost = _step(products, before, clusters)
        labels[working] = after
        emptied[working] |= lost
        active[working] = (after != before).any(axis=2) & ~lost
    return labels, explained, emptied


def _step(products: _Products, labels: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sets, restarts, count = labels.shape
    shape = sets, clusters, restarts, count
    membership = np.empty(shape, dtype=np.float32)
    for cluster in range(clusters):
        np.equal(labels, cluster, out=membership[:, cluster])
    counts = membership.sum(axis=3)
    inner = np.empty(shape, dtype=np.float32)
    # The points' mean is 0, so that the sums of all clusters add up to 0 and the last needs no product.
    inner[:, :-1] = products(membership[:, :-1].reshape(sets, -1, count)).reshape(sets, -1, restarts, count)
    np.negative(inner[:, :-1].sum(axis=1), out=inner[:, -1])
    share = 1 / np.maximum(counts, 1)
    inner *= share[:, :, :, None]
    halves = np.einsum("bkrn,bkrn->bkr", membership, inner) * share / 2
    inner -= halves[:, :, :, None]
    return _nearest(inner), 2 * (halves * counts).sum(axis=1), (counts == 0).any(axis=1)


def _nearest(merits: np.ndarray) -> np.ndarray:
    """Cluster of highest merit, [B, k, R, N] -> int [B, R, N]; a merit is the product with a centre less half its square."""
    best = merits[:, 0].copy()
    labels = np.zeros(best.shape, dtype=np.int16)
    for cluster in range(1, merits.shape[1]):
        np.copyto(labels, cluster, where=merits[:, cluster] > best)
        np.maximum(best, merits[:, cluster], out=best)
    return labels
