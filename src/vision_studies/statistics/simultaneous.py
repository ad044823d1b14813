"""Differences of many variants at once: intervals, p and what is said of each come from one correction.

Variants are paired image by image and seed by seed, on the seeds and images that both have. The difference of a pair has
its variance from seeds, images and both (`components`); half an image is added on which the first is right and the second
wrong for every seed, and half a one the other way, so that few images without a discordant one are not taken for certainty
(after Agresti and Min 2005, Bonett and Price 2012, who add a whole one, which covers more than it should).

All intervals hold together with the confidence asked for: the largest of the studentised differences is drawn under no
difference, with the correlations that the pairs have by what they share (max-t: Westfall and Young 1993, Hothorn, Bretz and
Westfall 2008). Few seeds do not tell how their effects are correlated; the correlation of the rest stands for it, and none
(which is the wider: Šidák 1967) where predictions are not kept. p is from the same draws: it is at most 1 - confidence exactly
where the interval excludes 0.

Of variants that are cross-validated the variance has two parts more (`between_folds`); of several differences no correlation of
what folds differ by is assumed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from vision_studies.errors import ParameterError
from vision_studies.statistics.components import (
    MeanSquares,
    Spread,
    half_width,
    mean_squares,
    reach,
    seed_squares,
    spread_at,
    spread_of,
    tail,
    with_added,
)
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.scores import class_weights

Says = Literal["better", "worse", "as good as", "cannot tell"]

Compared = Literal["accuracy", "balanced_accuracy"]

POWER = 0.8
"""A number of seeds or images is enough when it tells the difference that is asked for in this share of the repetitions."""

MARGIN = 0.01

_DRAWS = 9999
_MOST_SEEDS, _MOST_IMAGES = 1000, 10_000_000
_ENDLESS = 10**9


@dataclass(frozen=True)
class Needs:
    """What more would tell a difference of `of`, if that is what two variants differ by.

    Attributes:
        seeds: how many more, with the same images; None where no number would, as the images limit it.
        images: how many more test images, with the same seeds; None where no number would, or none are kept.
        of: the difference, a fraction.
        is_seen: whether `of` is the difference that was seen; else it is the margin, as less than that was seen.
    """

    seeds: int | None
    images: int | None
    of: float
    is_seen: bool


@dataclass(frozen=True)
class Difference:
    """The accuracy of one variant minus that of another.

    Attributes:
        first: name of the variant.
        second: name of the other.
        value: mean difference, a fraction; NaN where they share no seed.
        low: lower end of the simultaneous interval; NaN where nothing can be said of what varies.
        high: upper end.
        p: corrected by the same draws; NaN where there is no interval.
        seeds: that both have.
        images: test images that both have; 0 where predictions of one are not kept.
        says: "better" or "worse" where the interval excludes 0, else "as good as" where it lies within the margin (two
            one-sided tests, each at half of 1 - confidence), else "cannot tell".
        needs: what would tell the difference that was seen, or the margin if that is more, where nothing is told; None also
            where no spread is known.
        within_margin: whether the interval lies within the margin; also of a difference that is told.
    """

    first: str
    second: str
    value: float
    low: float
    high: float
    p: float
    seeds: int
    images: int
    says: Says
    needs: Needs | None
    within_margin: bool


@dataclass(frozen=True)
class _Pair:
    """Two variants by their places, with what their shared runs and images say; None where that is nothing."""

    first: int
    second: int
    value: float
    centre: float
    squares: MeanSquares | None
    seeds: np.ndarray
    images: int

    @property
    def places(self) -> tuple[int, int]:
        return self.first, self.second


def compare(
    evidence: Sequence[Evidence],
    reference: int,
    confidence: float = 0.95,
    margin: float = MARGIN,
    *,
    metric: Compared = "accuracy",
    needs: bool = True,
) -> list[Difference]:
    """Every other variant minus the reference, in the order given.

    Args:
        evidence: of each variant.
        reference: its place in `evidence`.
        confidence: with which all intervals hold together, between 0 and 1.
        margin: differences below it do not matter; a fraction.
        metric: what the differences are of; of the mean over classes, each image counts as much as its class has few of them.
            Where predictions are not kept it is accuracy.
        needs: find what more would tell them.

    Raises:
        ParameterError: confidence, margin or reference is out of range.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.evidence import Evidence
        >>> from vision_studies.statistics.simultaneous import compare
        >>> plain = Evidence.of_seeds("plain", [0, 1, 2], [0.80, 0.82, 0.81])
        >>> wide = Evidence.of_seeds("wide", [0, 1, 2], [0.90, 0.92, 0.92])
        >>> [difference] = compare([plain, wide], reference=0)
        >>> round(difference.value, 3), difference.says, difference.p < 0.05
        (0.103, 'better', True)
    """
    if not 0 <= reference < len(evidence):
        raise ParameterError(f"The reference is variant {reference}, and there are {len(evidence)}, from 0.")
    places = [(own, reference) for own in range(len(evidence)) if own != reference]
    return _differences(evidence, places, confidence, margin, metric, needs=needs)


def with_endless_seeds(evidence: Sequence[Evidence], reference: int, level: float) -> np.ndarray:
    """Half the width [V - 1] that the interval of each other variant minus the reference would have, alone and at this level,
    with seeds without end: what images leave; 0 where only accuracies are known.
    """
    pairs = [_pair(evidence, own, reference, "accuracy") for own in range(len(evidence)) if own != reference]
    told = np.array([pair.squares is not None for pair in pairs])
    squares = [pair.squares for pair in pairs if pair.squares is not None]
    images = np.array([pair.images for pair in pairs])[told]
    halves = np.zeros(len(pairs))
    halves[told] = half_width(level, spread_at(squares, np.full(len(squares), _ENDLESS), images))
    return halves


def all_pairs(evidence: Sequence[Evidence], confidence: float = 0.95, margin: float = MARGIN) -> list[Difference]:
    """Every variant minus every later one, all at once.

    Args:
        evidence: as for `compare`, like confidence and margin.

    Raises:
        ParameterError: confidence or margin is out of range.
    """
    count = len(evidence)
    return _differences(
        evidence, [(one, other) for one in range(count) for other in range(one + 1, count)], confidence, margin
    )


def _differences(
    evidence: Sequence[Evidence],
    places: Sequence[tuple[int, int]],
    confidence: float,
    margin: float,
    metric: Compared = "accuracy",
    *,
    needs: bool = True,
) -> list[Difference]:
    if not 0 < confidence < 1:
        raise ParameterError(f"`confidence` is {confidence}, and must be between 0 and 1, such as 0.95.")
    if not margin > 0:
        raise ParameterError(f"`margin` is {margin}, and must be above 0, such as 0.01 for one point.")
    pairs = [_pair(evidence, first, second, metric) for first, second in places]
    told = [pair for pair in pairs if pair.squares is not None]
    halves, p_values = _simultaneous(evidence, told, 1 - confidence)
    found = dict(zip([pair.places for pair in told], zip(halves.tolist(), p_values.tolist(), strict=True), strict=True))
    differences = {
        pair.places: _difference(evidence, pair, *found.get(pair.places, (np.nan, np.nan)), margin=margin)
        for pair in pairs
    }
    unclear = [number for number, pair in enumerate(told) if needs and differences[pair.places].says == "cannot tell"]
    more = _needs([told[number] for number in unclear], halves[unclear], margin)
    for number, need in zip(unclear, more, strict=True):
        own = told[number].places
        differences[own] = replace(differences[own], needs=need)
    return list(differences.values())


def _pair(evidence: Sequence[Evidence], first: int, second: int, metric: Compared) -> _Pair:
    one, other = evidence[first], evidence[second]
    seeds, left, right = np.intersect1d(one.seeds, other.seeds, assume_unique=True, return_indices=True)
    images, up, down = np.intersect1d(one.images, other.images, assume_unique=True, return_indices=True)
    if len(images) and len(seeds):
        scores = np.subtract(_part(one.correct, left, up), _part(other.correct, right, down), dtype=np.float32)
        if metric == "balanced_accuracy":
            scores = scores * class_weights(one.labels[up]).astype(np.float32)
        value = float(scores.mean(dtype=np.float64))
        folds = _shared_folds(one, other, (left, up), (right, down))
        squares, centre = with_added(mean_squares(scores, folds), value, (-1, 1))
        return _Pair(first, second, value, centre, squares, seeds, len(images))
    values = one.values[left] - other.values[right]
    known = ~np.isnan(values)
    seeds, values = seeds[known], values[known].round(12)  # 0.96 - 0.95 and 0.97 - 0.96 are the same
    value = float(values.mean()) if len(values) else np.nan
    return _Pair(first, second, value, value, seed_squares(values) if len(values) > 1 else None, seeds, 0)


def _shared_folds(
    one: Evidence, other: Evidence, left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]
) -> np.ndarray | None:
    """Folds [S, N] of the seeds and images that both have; those that are not the same are as one. None without folds."""
    if one.folds is None and other.folds is None:
        return None
    if one.folds is None or other.folds is None:
        return np.zeros((len(left[0]), len(left[1])), dtype=np.int64)
    folds = one.folds[np.ix_(*left)]
    return np.where((folds == other.folds[np.ix_(*right)]).all(axis=1, keepdims=True), folds, 0)


def _part(correct: np.ndarray, seeds: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Rows and columns, without a copy where they are all."""
    own = correct if len(seeds) == len(correct) and np.all(np.diff(seeds) > 0) else correct[seeds]
    return own if len(images) == own.shape[1] else own[:, images]


def _difference(evidence: Sequence[Evidence], pair: _Pair, half: float, p: float, *, margin: float) -> Difference:
    low, high = np.clip((pair.centre - half, pair.centre + half), -1.0, 1.0).tolist()
    within = bool(-margin <= low and high <= margin)
    says: Says = "better" if low > 0 else "worse" if high < 0 else "as good as" if within else "cannot tell"
    return Difference(
        first=evidence[pair.first].name,
        second=evidence[pair.second].name,
        value=pair.value,
        low=low,
        high=high,
        p=p,
        seeds=len(pair.seeds),
        images=pair.images,
        says=says,
        needs=None,
        within_margin=within,
    )


def _simultaneous(evidence: Sequence[Evidence], pairs: Sequence[_Pair], level: float) -> tuple[np.ndarray, np.ndarray]:
    """Half the width of each interval, and the corrected p values."""
    if not pairs:
        return np.zeros(0), np.zeros(0)
    squares = [pair.squares for pair in pairs if pair.squares is not None]
    parts = spread_of(squares)
    distance = np.array([abs(pair.centre) for pair in pairs])
    half, p = half_width(level, parts), tail(distance, parts)
    if len(pairs) == 1:
        return half, p
    # Each difference over the half width that it would have alone at the level of independent ones (Šidák): one scale for
    # all, also where some have fewer seeds. The largest of them under no difference is what an interval must reach.
    alone = 1 - (1 - level) ** (1 / len(pairs))
    wide = half_width(alone, parts)
    largest = np.sort(_largest(evidence, pairs, parts, alone))
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.nan_to_num(distance / wide, nan=0.0, posinf=np.inf)
    beyond = len(largest) - np.searchsorted(largest, own, side="left")
    drawn = (1 + beyond) / (len(largest) + 1)
    # Beyond all draws Bonferroni's bound is the finer one.
    drawn = np.where(beyond == 0, np.minimum(drawn, len(pairs) * p), drawn)
    allowed = int(np.floor(level * (len(largest) + 1) + 1e-9))
    factor = largest[len(largest) - allowed] if allowed else np.inf
    return np.maximum(half, factor * wide), np.maximum(p, drawn)


def _largest(evidence: Sequence[Evidence], pairs: Sequence[_Pair], parts: Spread, level: float) -> np.ndarray:
    """The largest studentised difference of every draw under no difference, [draws]."""
    random = np.random.default_rng(0)
    of_images, of_seeds = _correlations(evidence, pairs)
    shared = [_units(pair, degrees) for pair, degrees in zip(pairs, parts.degrees.tolist(), strict=True)]
    union = np.unique(np.concatenate(shared))
    member = np.stack([np.isin(union, seeds) for seeds in shared]).astype(np.float32)  # [V, U]
    count = len(pairs)
    total, squares = np.zeros((_DRAWS, count), dtype=np.float32), np.zeros((_DRAWS, count), dtype=np.float32)
    for place in range(len(union)):
        effect = _correlated(random, of_seeds) * member[:, place]
        total += effect
        squares += effect**2
    seeds = member.sum(axis=1)
    # Standard normal means of seeds, their variance over its expectation, and standard normal means of images.
    by_seed = total / np.sqrt(seeds)
    ratio = np.maximum(squares - by_seed**2, 0) / np.maximum(seeds - 1, 1)
    by_image = _correlated(random, of_images)
    true = np.where(parts.degrees > 0, np.maximum(parts.seed, parts.rest), 0.0)
    distance = np.abs(by_seed * np.sqrt(true) + by_image * np.sqrt(parts.image))
    seen = Spread(ratio * true, parts.rest, parts.image, parts.degrees)
    student, normal = -special.stdtrit(np.maximum(parts.degrees, 1), level / 2), -special.ndtri(level / 2)
    wide = reach(student, normal, seen)
    return np.divide(distance, wide, out=np.zeros_like(wide), where=wide > 0).max(axis=1)


def _units(pair: _Pair, degrees: int) -> np.ndarray:
    """What the spread of a pair is known from: its seeds, or as many folds, by numbers that no seed has."""
    return pair.seeds if degrees == len(pair.seeds) - 1 else -1 - np.arange(degrees + 1)


def _correlated(random: np.random.Generator, root: np.ndarray) -> np.ndarray:
    """Normal draws [draws, V] with these correlations; see `_root`."""
    drawn = random.standard_normal((_DRAWS, len(root)), dtype=np.float32)
    return drawn if np.array_equal(root, np.eye(len(root), dtype=np.float32)) else drawn @ root


def _correlations(evidence: Sequence[Evidence], pairs: Sequence[_Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Square roots [V, V] of the correlations of the differences' means over images, and over seeds."""
    used = sorted({place for pair in pairs for place in (pair.first, pair.second)})
    row = {place: number for number, place in enumerate(used)}
    contrast = np.zeros((len(pairs), len(used)))
    for number, pair in enumerate(pairs):
        contrast[number, row[pair.first]], contrast[number, row[pair.second]] = 1, -1
    of_images, of_rest = _products([evidence[place] for place in used])
    bare = np.array([pair.images == 0 for pair in pairs])
    return _root(contrast @ of_images @ contrast.T, bare), _root(contrast @ of_rest @ contrast.T, bare)


def _products(evidence: Sequence[Evidence]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of products [V, V] of the variants' image means, and of what is left of each image and seed."""
    images = np.unique(np.concatenate([own.images for own in evidence]))
    seeds = np.unique(np.concatenate([own.seeds for own in evidence]))
    means = np.zeros((len(evidence), len(images)), dtype=np.float32)
    of_rest = np.zeros((len(evidence), len(evidence)))
    columns = [np.searchsorted(images, own.images) for own in evidence]
    centred = []
    for number, own in enumerate(evidence):
        if len(own.images):
            by_image = own.correct.mean(axis=0, dtype=np.float32)
            means[number, columns[number]] = by_image - by_image.mean()
            centred.append(by_image + own.values[:, None].astype(np.float32) - own.values.mean().astype(np.float32))
        else:
            centred.append(np.zeros(own.correct.shape, dtype=np.float32))
    for seed in seeds:  # one at a time: all of them would be as large as the evidence in floating point
        rest = np.zeros(means.shape, dtype=np.float32)
        for number, own in enumerate(evidence):
            [place] = np.nonzero(own.seeds == seed)
            if len(place):
                rest[number, columns[number]] = own.correct[place[0]] - centred[number][place[0]]
        of_rest += rest @ rest.T
    return (means @ means.T).astype(np.float64), of_rest


def _root(products: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """float32 [V, V] whose square is the correlation of these products; no correlation where there is nothing to tell it."""
    scale = np.sqrt(np.maximum(np.diag(products), 0))
    empty = bare | (scale <= 1e-9)
    scale = np.where(empty, 1.0, scale)
    correlation = products / np.outer(scale, scale)
    correlation[empty] = 0
    correlation[:, empty] = 0
    np.fill_diagonal(correlation, 1)
    values, vectors = np.linalg.eigh(correlation)
    return ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)


def _needs(pairs: Sequence[_Pair], halves: np.ndarray, margin: float) -> list[Needs]:
    """The least further seeds, and images, with which a true difference is told in `POWER` of repetitions: one of the size that
    was seen, or of the margin where less was seen.
    """
    if not pairs:
        return []
    squares = [pair.squares for pair in pairs if pair.squares is not None]
    # The level at which each interval alone would be as wide as all of them together make it.
    level = tail(halves, spread_of(squares))
    seeds, images = np.array([own.seeds for own in squares]), np.array([pair.images for pair in pairs])
    seen = np.abs([pair.value for pair in pairs])
    wanted = np.maximum(seen, margin)

    def tells(more_seeds: np.ndarray | int, more_images: np.ndarray | int) -> np.ndarray:
        there = spread_at(squares, seeds + more_seeds, np.where(images > 0, images + more_images, 0))
        left = wanted - special.ndtri(POWER) * np.sqrt(there.variance)
        return half_width(level, there) <= left

    more_seeds = _least(lambda more: tells(more, 0), len(pairs), _MOST_SEEDS)
    more_images = _least(lambda more: tells(0, more), len(pairs), _MOST_IMAGES)
    return [
        Needs(seeds or None, (images or None) if pair.images else None, of, is_seen)
        for pair, seeds, images, of, is_seen in zip(
            pairs, more_seeds.tolist(), more_images.tolist(), wanted.tolist(), (seen >= margin).tolist(), strict=True
        )
    ]


def _least(enough: Callable[[np.ndarray], np.ndarray], count: int, most: int) -> np.ndarray:
    """The least number from 1 to `most` that is enough, for each of `count` questions; 0 where none is. More is never worse."""
    low, high = np.zeros(count, dtype=int), np.full(count, most)
    possible = enough(high)
    while np.any(high - low > 1):
        # Small numbers are the usual ones: the search is by orders of magnitude first.
        middle = np.clip(np.sqrt((low + 1.0) * high).astype(int), low + 1, np.maximum(high - 1, low + 1))
        holds = enough(middle)
        low, high = np.where(holds, low, middle), np.where(holds, middle, high)
        low = np.minimum(low, high - 1)
    return np.where(possible, high, 0)
