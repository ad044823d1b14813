"""Intervals over seeds and test images: what another seed and other images of the same kind would give.

The rule, by what varies:
    seeds and images: the variance of the mean from both (`components`); of a metric between 0 and 1 in Wilson's form;
    one seed: Wilson's interval (1927) over the images, which a further seed may leave;
    no predictions kept: Student's interval over the seeds;
    one seed and no predictions: none.
Wilson's form of a clustered sample takes the number of independent images that would have the same variance (Korn and
Graubard 1998; Franco et al. 2019). That variance is estimated with half an image more that all seeds get right and half a one
that none does, so that few images without an error are not taken for certainty. Log loss has its interval on the logarithmic
scale; that of calibration error reaches further down by what few images add to it on average.

Of a cross-validation all images are tested, each by a network that has not seen it; its variance has two parts more
(`between_folds`).

The bootstrap of both (`bootstrap`), to which the variance of a mean is compared, draws seeds and images anew and independently:
the pigeonhole bootstrap (Owen 2007; Owen and Eckles 2012). It takes the interaction of both into account three times, and it
takes few seeds for all that there are, so that it is the reference and not the rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from vision_studies.statistics.components import (
    MeanSquares,
    Spread,
    half_width,
    mean_squares,
    of_share,
    seed_squares,
    spread_of,
    with_added,
)
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.scores import Metric, Scores, scores, top

Covers = Literal["seeds and images", "images", "seeds", "nothing"]


@dataclass(frozen=True)
class Estimate:
    """A metric of a variant with its interval.

    Attributes:
        value: mean over seeds; NaN where it cannot be said.
        low: lower end of the interval, within the metric's range; NaN where `covers` is "nothing".
        high: upper end.
        seeds: how many stand behind it.
        images: how many test images; 0 where predictions are not kept.
        covers: what the interval draws anew.
        source: how it was made, in words.
    """

    value: float
    low: float
    high: float
    seeds: int
    images: int
    covers: Covers
    source: str


def intervals(evidence: Sequence[Evidence], metric: Metric = "accuracy", confidence: float = 0.95) -> list[Estimate]:
    """The metric of every variant with an interval that covers what varies.

    Args:
        evidence: of each variant; seeds and images may differ.
        metric: one of the names of `scores.Name`, or the accuracy of a group of classes or at a coverage.
        confidence: of each interval, between 0 and 1.

    Returns:
        One estimate a variant, in the order given.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.evidence import Evidence
        >>> from vision_studies.statistics.two_way import intervals
        >>> right = np.arange(13) < 9
        >>> few = Evidence.of_images("few", [0], np.arange(13), np.zeros(13, int), correct=right[None])
        >>> [estimate] = intervals([few])
        >>> round(estimate.value, 2), round(estimate.low, 2), round(estimate.high, 2), estimate.covers
        (0.69, 0.42, 0.87, 'images')
    """
    level = 1 - confidence
    drafts = [_draft(own, metric) for own in evidence]
    told = [draft for draft in drafts if draft.squares is not None]
    widths = half_width(level, _spread(told, level)) if told else np.zeros(0)
    halves = iter(widths.tolist())
    return [draft.estimate if draft.squares is None else _with_interval(draft, next(halves)) for draft in drafts]


def interval_of_scores(
    scores_of_images: Scores, metric: Metric, *, folds: np.ndarray | None = None, confidence: float = 0.95
) -> Estimate:
    """The mean of what images add to a metric, which need not be what one run says, with its interval.

    Args:
        scores_of_images: float [S, N], such as how often, of several subsets of an ensemble's members, an image is right.
        metric: that they add up to.
        folds: int [S, N], those of a cross-validation; None where there is one test split.
        confidence: between 0 and 1.
    """
    draft, level = _draft_of_scores(scores_of_images, metric, folds), 1 - confidence
    if draft.squares is None:
        return draft.estimate
    return _with_interval(draft, float(half_width(level, _spread([draft], level))[0]))


def bootstrap(
    evidence: Sequence[Evidence], metric: Metric = "accuracy", *, draws: int = 999, start: int = 0
) -> np.ndarray:
    """The metric of every variant on seeds and images drawn with replacement, [V, draws].

    Variants that have the same seeds and images are drawn alike, so that a difference of two rows is of pairs. NaN where the
    metric cannot be said.

    Args:
        evidence: of each variant.
        metric: as for `intervals`.
        draws: how often both are drawn.
        start: of the random numbers.
    """
    return np.stack([_drawn(own, metric, draws, np.random.default_rng(start)) for own in evidence])


def _drawn(evidence: Evidence, metric: Metric, draws: int, random: np.random.Generator) -> np.ndarray:
    """Of one variant [draws]."""
    seeds, images = evidence.correct.shape
    if not images:
        return np.full(draws, np.nan)
    if metric == "accuracy":
        of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), draws).astype(np.float32)
        of_images = random.multinomial(images, np.full(images, 1 / images), draws).astype(np.float32)
        return np.einsum("ds,ds->d", of_images @ evidence.correct.T.astype(np.float32), of_seeds) / (seeds * images)
    values = np.full(draws, np.nan)
    for draw in range(draws):
        rows: np.ndarray = random.integers(0, seeds, (seeds,))
        columns: np.ndarray = random.integers(0, images, (images,))
        found = scores(_part_of(evidence, rows, columns), metric)
        if not isinstance(found, str):
            values[draw] = found.each.mean(dtype=np.float64)
    return values


def _part_of(evidence: Evidence, rows: np.ndarray, columns: np.ndarray) -> Evidence:
    """Some runs and images as though each were another one."""
    cells = np.ix_(rows, columns)
    predicted, probabilities = evidence.predicted, evidence.probabilities
    return Evidence.of_images(
        evidence.name,
        np.arange(len(rows)),
        np.arange(len(columns)),
        evidence.labels[columns],
        correct=evidence.correct[cells],
        predicted=None if predicted is None else predicted[cells],
        probabilities=None if probabilities is None else probabilities[cells],
    )


@dataclass(frozen=True)
class _Draft:
    """An estimate without its interval, and what the interval is made of.

    Attributes:
        estimate: whose ends are missing.
        squares: of the scores as a share of the range, the added images among them; None where there is no interval.
        form: of the interval.
        centre: mean of the scores with the added images, as a share of the range.
        highest: upper end of the range.
        bias: by which the lower end is moved down.
    """

    estimate: Estimate
    squares: MeanSquares | None = None
    form: Literal["wilson", "logarithmic", "straight"] = "straight"
    centre: float = np.nan
    highest: float = 1.0
    bias: float = 0.0


def _draft(evidence: Evidence, metric: Metric) -> _Draft:
    found = scores(evidence, metric)
    if isinstance(found, str):
        return _of_values(evidence) if metric == "accuracy" else _nothing(np.nan, len(evidence.seeds), 0, found)
    return _draft_of_scores(found, metric, evidence.folds)


def _draft_of_scores(found: Scores, metric: Metric, folds_of: np.ndarray | None) -> _Draft:
    seeds, images = found.each.shape
    highest = top(metric)
    value = float(
        np.clip(found.each.mean(dtype=np.float64), 0, highest)
    )  # single precision may leave the range by a hair
    covers: Covers = "seeds and images" if seeds > 1 else "images"
    what = "variance over seeds and test images" if seeds > 1 else "variance over test images"
    folds = 0 if folds_of is None or not folds_of.size else len(np.unique(folds_of[0]))
    what += f", for {folds} folds" if folds > 1 else ""
    if metric in ("log_loss", "calibration_error", "sweep_calibration_error"):
        if images == 1:
            return _nothing(value, seeds, images, "a single test image")
        logarithmic = metric == "log_loss"
        shape = "on the logarithmic scale" if logarithmic else "cut at the ends of its range"
        estimate = Estimate(value, np.nan, np.nan, seeds, images, covers, f"{what}, {shape}")
        form: Literal["logarithmic", "straight"] = "logarithmic" if logarithmic else "straight"
        return _Draft(estimate, mean_squares(found.each, folds_of), form, value, highest, found.bias)
    estimate = Estimate(value, np.nan, np.nan, seeds, images, covers, f"{what}, Wilson's form")
    # Of a share: an image that all seeds get right, and one that none does.
    squares = of_share(mean_squares(found.each / np.float32(highest), folds_of), found.share)
    squares, centre = with_added(squares, value / highest, (0, 1))
    return _Draft(estimate, squares, "wilson", centre, highest)


def _of_values(evidence: Evidence) -> _Draft:
    """Of accuracies alone."""
    values = evidence.values[~np.isnan(evidence.values)]
    value = float(values.mean()) if len(values) else np.nan
    if len(values) < 2:
        return _nothing(value, len(values), 0, "one seed, and no predictions are kept")
    source = "Student's t over seeds alone, as no predictions are kept"
    return _Draft(Estimate(value, np.nan, np.nan, len(values), 0, "seeds", source), seed_squares(values), centre=value)


def _nothing(value: float, seeds: int, images: int, why: str) -> _Draft:
    return _Draft(Estimate(value, np.nan, np.nan, seeds, images, "nothing", why))


def _spread(drafts: Sequence[_Draft], level: float) -> Spread:
    """Of all drafts; Student's quantile in place of the normal one in the part of the images where the form is not Wilson's."""
    parts = spread_of([draft.squares for draft in drafts if draft.squares is not None])
    images = np.array([0 if draft.form == "wilson" else draft.estimate.images for draft in drafts])
    wider = (special.stdtrit(np.maximum(images - 1, 1), 1 - level / 2) / special.ndtri(1 - level / 2)) ** 2
    return replace(parts, image=parts.image * np.where(images > 1, wider, 1.0))


def _with_interval(draft: _Draft, half: float) -> Estimate:
    value, highest = draft.estimate.value, draft.highest
    if draft.form == "wilson":
        share = value / highest
        ratio = half**2 / (draft.centre * (1 - draft.centre))  # z^2 / n, as half^2 is z^2 p (1 - p) / n
        middle = (share + ratio / 2) / (1 + ratio)
        reach = float(np.sqrt(ratio * share * (1 - share) + ratio**2 / 4)) / (1 + ratio)
        low, high = highest * (middle - reach), highest * (middle + reach)
    elif draft.form == "logarithmic":
        factor = float(np.exp(half / value)) if value > 0 else 1.0
        low, high = value / factor, value * factor
    else:
        low, high = value - half - draft.bias, value + half
    # The value itself is within, also where rounding would leave it a hair outside.
    return replace(draft.estimate, low=max(0.0, min(low, value)), high=min(highest, max(high, value)))
