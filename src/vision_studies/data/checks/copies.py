"""Images that are copies of one picture: byte for byte, pixel for pixel, or nearly.

Near copies are looked for in three steps, each on what the one before has left. Every thumbnail, and parts of it as large as
a crop would leave, is described by its low frequencies, so that light, size and compression change little, and a mirror image
nothing; descriptions that lie near each other are candidates, and only neighbouring clusters of them are compared. Candidates
are laid over each other, shifted and scaled until they fit best. What then has the same edges in the same places is one
picture.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from vision_studies.data.groups import joined_groups
from vision_studies.processors import processors

SIZE = 32
"""Height and width of the thumbnails that are compared."""

_FREQUENCIES = 8  # of a description, to a side
_WINDOWS = ((32, 0, 0), (30, 1, 1), (28, 1, 1), (28, 1, 3), (28, 3, 1), (28, 3, 3))  # size, top, left
_CLUSTER_IMAGES = 250
_MOST_CLUSTERS = 1024
_IN_CLUSTERS, _ASKED_CLUSTERS = 4, 2  # an image lies in its nearest four and asks in its nearest two
_MIRRORLESS_ALIKE = 0.77  # of what a mirror image has in common with its original; cosines
_ALIKE = 0.78  # of the whole description
_EDGES_ALIKE = 0.86  # of the edges, once two images lie over each other
_PLAIN_EDGES_ALIKE = (
    0.99  # of those on an even background, where two outlines of a kind fit nearly as well as copies do
)
_PLAIN = 0.3  # of the pixels, within two grey levels of the most frequent one: an even background
_HOPELESS = (0.3, 0.5, 0.65)  # cosines of edges below which no further step of laying them over each other is made
_STANDS_OUT = 0.25  # of the distance to what is nearest among images that are no copies
_UNRELATED = 4096  # images among which that is looked for
_FAINT = 1.5  # grey levels: images whose edges are no stronger are not compared
_FLAT = 8.0  # grey levels between the darkest and the lightest pixel, likewise
_PAIRS_AT_ONCE = 2048
_ROWS_AT_ONCE = 8192
_ASKED_AT_ONCE = 512
_CANDIDATES = 12  # that an image may have on average
_FEW, _LOOKED_THROUGH = 512, 16_384  # images by which that is seen to
_PARTNERS = 6  # that one image is laid over, the most alike ones


class Pairs(NamedTuple):
    """Pairs of images.

    Attributes:
        first: int64 [P], places; each is less than its second.
        second: int64 [P].
        alike: float32 [P], how far the edges of the two fit, 1 at most.
    """

    first: np.ndarray
    second: np.ndarray
    alike: np.ndarray


def near_copies(thumbnails: np.ndarray, workers: int | None = None) -> Pairs:
    """Pairs of images that show one picture, resized, compressed anew, brightened, mirrored or with up to an eighth cut off.

    Images with nothing in them, or hardly any edges, are in no pair. Where all images of a kind look alike, as digits do, a
    pair must stand out: its two must be much nearer to each other than to any other image.

    Args:
        thumbnails: uint8 [N, 32, 32], grey; of whole images, whatever their shape.
        workers: threads; None: as many as there are processors for this process.
    """
    from threadpoolctl import threadpool_limits

    spread = thumbnails.max(axis=(1, 2), initial=0).astype(np.float32) - thumbnails.min(axis=(1, 2), initial=255)
    places = np.flatnonzero(spread >= _FLAT)
    chosen = thumbnails[places]
    with threadpool_limits(1), ThreadPoolExecutor(workers or processors()) as pool:
        candidates = _candidates(chosen, pool)
        plain = _is_plain(chosen)
        candidates = candidates.only(~(plain[candidates.query] & plain[candidates.match]) | (candidates.window == 0))
        parts = [
            candidates.only(slice(start, start + _PAIRS_AT_ONCE))
            for start in range(0, len(candidates.query), _PAIRS_AT_ONCE)
        ]
        alike = np.concatenate(
            [np.zeros(0, np.float32), *pool.map(lambda part: _edges_alike(chosen, part, plain), parts)]
        )
    fits = alike >= np.where(plain[candidates.query] & plain[candidates.match], _PLAIN_EDGES_ALIKE, _EDGES_ALIKE)
    query, match = candidates.query[fits], candidates.match[fits]
    fits_and_stands_out = _stand_out(chosen, query, match, alike[fits])
    first, second = places[query[fits_and_stands_out]], places[match[fits_and_stands_out]]
    pairs = np.sort(np.stack([first, second]), axis=0)
    order = np.lexsort(pairs[::-1])
    return Pairs(pairs[0][order], pairs[1][order], alike[fits][fits_and_stands_out][order])


def _is_plain(thumbnails: np.ndarray) -> np.ndarray:
    """Whether images have an even background: bool [N]."""
    shares = np.empty(len(thumbnails), np.float32)
    for start in range(0, len(thumbnails), _ROWS_AT_ONCE):
        some = thumbnails[start : start + _ROWS_AT_ONCE].reshape(-1, SIZE * SIZE)
        places = np.arange(len(some))[:, None] * 256 + some
        counts = np.bincount(places.ravel(), minlength=256 * len(some)).reshape(len(some), 256)
        sums = np.pad(counts, ((0, 0), (3, 2))).cumsum(axis=1)
        shares[start : start + len(some)] = (sums[:, 5:] - sums[:, :-5]).max(axis=1) / SIZE**2
    return shares >= _PLAIN


# --- Candidates --------------------------------------------------------------------------------------------------------------


class _Candidates(NamedTuple):
    """Pairs that may be copies: the window of one image that looks like the whole of another one, or of its mirror image."""

    query: np.ndarray
    match: np.ndarray
    window: np.ndarray
    mirrored: np.ndarray

    def only(self, chosen: Any) -> "_Candidates":
        return _Candidates(*(values[chosen] for values in self))


@cache
def _window_maps(window: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a part of a thumbnail, scaled to the whole, to low frequencies of rows and of columns: float32 [8, 32] twice."""
    size, top, left = window
    places = np.arange(SIZE) + 0.5
    cosines = np.cos(np.pi * places[None] * np.arange(_FREQUENCIES)[:, None] / SIZE)
    return tuple((cosines @ _between(start + places * size / SIZE - 0.5)).astype(np.float32) for start in (top, left))


def _between(positions: np.ndarray) -> np.ndarray:
    """Weights of 32 pixels at positions between them, [..., P, 32]; outside, those of the last pixel."""
    distance = np.abs(np.clip(positions, 0, SIZE - 1)[..., None] - np.arange(SIZE, dtype=positions.dtype))
    return np.maximum(0, 1 - distance)


_MIRROR_KEEPS = np.arange(_FREQUENCIES**2) % 2 == 0
"""Frequencies that are the same in a mirror image; the others change their sign."""


def _described(thumbnails: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """float32 [N, 64] of length 1: low frequencies without the lightness; high ones count more, as there is less of them."""
    vertical, horizontal = _window_maps(window)
    numbers = np.arange(_FREQUENCIES, dtype=np.float32)
    weights = 1 + numbers[:, None] + numbers
    weights[0, 0] = 0
    described = np.empty((len(thumbnails), _FREQUENCIES**2), np.float32)
    for start in range(0, len(thumbnails), _ROWS_AT_ONCE):
        grey = thumbnails[start : start + _ROWS_AT_ONCE].astype(np.float32)
        columns = (grey.reshape(-1, SIZE) @ horizontal.T).reshape(len(grey), SIZE, _FREQUENCIES)
        described[start : start + _ROWS_AT_ONCE] = (weights * (vertical @ columns)).reshape(len(grey), -1)
    return _of_length_1(described)


def _of_length_1(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)


def _candidates(thumbnails: np.ndarray, pool: ThreadPoolExecutor) -> _Candidates:
    described = [_split(rows) for rows in pool.map(lambda window: _described(thumbnails, window), _WINDOWS)]
    whole = described[0]
    centres = _centres(whole.kept)
    members = _nearest(whole.kept @ centres.T, _IN_CLUSTERS)
    enough = _enough_alike(whole.kept)
    found = [
        part
        for window, rows in enumerate(described)
        for part in _alike_in_clusters(rows, whole, centres, members, window, enough, pool)
    ]
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)] if found else [np.zeros(0, np.int64)] * 5
    query, match, window, alike, mirrored = columns
    first, second = np.minimum(query, match), np.maximum(query, match)
    order = np.lexsort((-alike, second, first))
    is_best = np.ones(len(order), bool)  # of the windows of a pair
    is_best[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    order = order[is_best]
    order = order[_rank_within(query[order], -alike[order]) < _PARTNERS]
    return _Candidates(query[order], match[order], window[order], mirrored[order].astype(bool))


class _Descriptions(NamedTuple):
    """Descriptions in two halves: what a mirror image keeps, of length 1, how long it was, and what changes its sign."""

    kept: np.ndarray
    length: np.ndarray
    turned: np.ndarray


def _split(rows: np.ndarray) -> _Descriptions:
    kept = rows[:, _MIRROR_KEEPS]
    return _Descriptions(
        _of_length_1(kept), np.linalg.norm(kept, axis=1), np.ascontiguousarray(rows[:, ~_MIRROR_KEEPS])
    )


def _rank_within(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Place of each value among those of its group, from 0."""
    order = np.lexsort((values, groups))
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0]) if len(order) else order
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return ranks


def _centres(rows: np.ndarray) -> np.ndarray:
    """Middles of clusters: rows drawn with a fixed seed, moved twice to the mean of what lies nearest."""
    count = int(np.clip(len(rows) // _CLUSTER_IMAGES, 1, _MOST_CLUSTERS))
    generator = np.random.default_rng(0)
    sample = rows[generator.choice(len(rows), min(len(rows), 64 * count), replace=False)] if len(rows) else rows
    centres = sample[:count]
    for _ in range(2):
        nearest = (sample @ centres.T).argmax(axis=1) if len(sample) else np.zeros(0, np.int64)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        centres = _of_length_1(np.where(np.abs(sums).sum(axis=1, keepdims=True) > 0, sums, centres))
    return centres


def _enough_alike(rows: np.ndarray) -> float:
    """How much candidates must have in common: more where all images look alike, so that there are not too many of them."""
    if len(rows) <= _FEW:
        return _MIRRORLESS_ALIKE
    sample = rows[np.random.default_rng(2).choice(len(rows), _FEW, replace=False)]
    cosines = (sample @ rows[:: max(1, len(rows) // _LOOKED_THROUGH)].T).ravel()
    share = _CANDIDATES / len(rows)
    return max(
        _MIRRORLESS_ALIKE, float(np.partition(cosines, -1 - int(share * len(cosines)))[-1 - int(share * len(cosines))])
    )


def _nearest(alike: np.ndarray, count: int) -> np.ndarray:
    """Whether each of the columns is among the `count` largest of its row: bool [N, C]. `alike` is changed."""
    chosen = np.zeros(alike.shape, bool)
    if alike.size:
        rows = np.arange(len(alike))
        for _ in range(min(count, alike.shape[1])):
            largest = alike.argmax(axis=1)
            chosen[rows, largest] = True
            alike[rows, largest] = -np.inf
    return chosen


def _alike_in_clusters(
    rows: _Descriptions,
    whole: _Descriptions,
    centres: np.ndarray,
    members: np.ndarray,
    window: int,
    enough: float,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Images whose window is like the whole of another one or of its mirror image, cluster by cluster.

    Gives places of the one and of the other, number of the window, cosine of whole descriptions, and whether it is the mirror
    image.
    """
    asks = _nearest(rows.kept @ centres.T, _ASKED_CLUSTERS)

    def within(cluster: int) -> list[tuple[np.ndarray, ...]]:
        asking, asked = np.flatnonzero(asks[:, cluster]), np.flatnonzero(members[:, cluster])
        kept, length, turned = (values[asked] for values in whole)
        parts: list[tuple[np.ndarray, ...]] = []
        for start in range(0, len(asking), _ASKED_AT_ONCE):
            some = asking[start : start + _ASKED_AT_ONCE]
            cosines = rows.kept[some] @ kept.T
            row, column = np.nonzero(cosines > enough)
            query, match = some[row], asked[column]
            is_new = query < match if window == 0 else query != match
            row, column, query, match = row[is_new], column[is_new], query[is_new], match[is_new]
            alike = cosines[row, column] * rows.length[query] * length[column]
            change = np.einsum("ij,ij->i", rows.turned[query], turned[column])
            alike += np.abs(change)
            found = alike >= max(_ALIKE, enough)
            numbers = np.full(int(found.sum()), window)
            parts.append((query[found], match[found], numbers, alike[found], change[found] < 0))
        return parts

    for parts in pool.map(within, range(len(centres))):
        yield from parts


# --- Laid over each other ----------------------------------------------------------------------------------------------------


@cache
def _filters() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Maps of rows or columns, float32: blur and wide blur without what whole rows or columns have in common, [30, 32]; blur
    and slope, [32, 32].

    Without the former, two pictures of the horizon at sea would have the same edges.
    """
    identity = np.eye(SIZE)
    padded = np.pad(identity, ((1, 1), (0, 0)), mode="edge")
    blur = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    slope = (padded[2:] - padded[:-2]) / 2
    centred = (np.eye(SIZE - 2) - 1 / (SIZE - 2)) @ identity[1:-1]
    maps = centred @ blur, centred @ np.linalg.matrix_power(blur, 4), blur, slope
    return tuple(each.astype(np.float32) for each in maps)  # type: ignore[return-value]


def _edges(images: np.ndarray) -> np.ndarray:
    """Edges of grey images, float32 [N, 32, 32], neither the finest nor the coarsest: float32 [N, 900]."""
    fine, coarse, _, _ = _filters()
    return (fine @ images @ fine.T - coarse @ images @ coarse.T).reshape(len(images), (SIZE - 2) ** 2)


def _edges_alike(thumbnails: np.ndarray, pairs: _Candidates, plain: np.ndarray) -> np.ndarray:
    """Cosines of the edges of pairs where they fit best, float32 [P]; what stands on an even background is not moved."""
    source = thumbnails[pairs.query].astype(np.float32)
    target = thumbnails[pairs.match].astype(np.float32)
    target[pairs.mirrored] = target[pairs.mirrored][:, :, ::-1]
    edges = _edges(target)
    faint = np.sqrt((edges**2).mean(axis=1)) < _FAINT
    edges = _of_length_1(edges)
    windows = np.array(_WINDOWS, np.float32)[pairs.window]
    best = np.zeros(len(source), np.float32)
    may_move = ~(plain[pairs.query] & plain[pairs.match])  # or outlines of one kind in different places would be copies
    active = np.flatnonzero(~faint)
    if not len(active):
        return best
    for hopeless in _HOPELESS:
        alike = (_of_length_1(_edges(_seen_through(source[active], windows[active]))) * edges[active]).sum(axis=1)
        best[active] = np.maximum(best[active], alike)
        active = active[(alike >= hopeless) & (best[active] < _EDGES_ALIKE) & may_move[active]]
        if not len(active):
            break
        windows[active] = _fitted(source[active], target[active], windows[active])
    if len(active):
        alike = (_of_length_1(_edges(_seen_through(source[active], windows[active]))) * edges[active]).sum(axis=1)
        best[active] = np.maximum(best[active], alike)
    return best


def _seen_through(images: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Parts of images, float32 [P, 32, 32], scaled to the whole; windows are size, top and left, float32 [P, 3]."""
    places = np.arange(SIZE, dtype=np.float32) + 0.5
    size, top, left = windows.T[:, :, None]
    rows, columns = (_between(start + places * size / SIZE - 0.5) for start in (top, left))
    return rows @ images @ columns.transpose(0, 2, 1)


def _fitted(source: np.ndarray, target: np.ndarray, windows: np.ndarray, steps: int = 2) -> np.ndarray:
    """Windows in which the source fits the target better: steps of Gauss and Newton in size, top and left."""
    _, _, blur, slope = _filters()
    source, target = blur @ source @ blur.T, _levelled(blur @ target @ blur.T)
    places = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    size, top, left = windows.T.copy()
    for _ in range(steps):
        seen = _levelled(_seen_through(source, np.stack([size, top, left], axis=1)))
        down, right = slope @ seen, seen @ slope.T
        slopes = np.stack([down * places[:, None] + right * places, down, right], axis=1)
        slopes = slopes.reshape(len(seen), 3, SIZE**2) * (SIZE / size)[:, None, None]
        normal = slopes @ slopes.transpose(0, 2, 1) + 0.01 * np.eye(3, dtype=np.float32)
        step = np.linalg.solve(normal, slopes @ (target - seen).reshape(len(seen), -1, 1))[:, :, 0].clip(-1, 1)
        size = (size + step[:, 0]).clip(24, 33)
        top, left = ((start + step[:, place]).clip(-1, 33 - size) for place, start in ((1, top), (2, left)))
    return np.stack([size, top, left], axis=1)


def _levelled(images: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1."""
    images = images - images.mean(axis=(1, 2), keepdims=True)
    return images / np.maximum(images.std(axis=(1, 2), keepdims=True), 1e-3)


def _stand_out(thumbnails: np.ndarray, query: np.ndarray, match: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Which pairs are much nearer to each other than to anything else: bool [P].

    The nearest other image is looked for among some thousand, by the edges of whole images.
    """
    keep = np.zeros(len(query), bool)
    if not len(query):
        return keep
    count = len(thumbnails)
    sample = np.sort(np.random.default_rng(1).choice(count, min(count, _UNRELATED), replace=False))
    others = _of_length_1(_edges(thumbnails[sample].astype(np.float32)))
    groups = joined_groups(count, (query, match))
    involved = np.unique(np.concatenate([query, match]))
    nearest = np.empty(count, np.float32)
    for start in range(0, len(involved), _PAIRS_AT_ONCE):
        some = involved[start : start + _PAIRS_AT_ONCE]
        cosines = _of_length_1(_edges(thumbnails[some].astype(np.float32))) @ others.T
        cosines[groups[some][:, None] == groups[sample]] = -1
        nearest[some] = cosines.max(axis=1)
    unrelated = 1 - np.minimum(np.maximum(nearest[query], nearest[match]), 1)
    return 1 - alike <= _STANDS_OUT * unrelated
