"""Intervals over seeds and test images: what another seed and other images of the same kind would give.

The rule, by what varies:
    seeds and images: the variance of the mean from both (`components`); of a metric between 0 and 1 in Wilson's form;
    one seed: Wilson's interval (1927) over the images, which a further seed may leave;
    no predictions kept: Student's interval over the seeds;
    one seed and no predictions: none.
Wilson's form of a clustered sample takes the number of independent images that would have the same variance (Korn and
Graubard 1998; Franco et al. 2019). That variance is estimated with one image more that all seeds get right and one that none
does, so that few images without an error are not taken for certainty. Log loss has its interval on the logarithmic scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from vision_studies.statistics.components import Spread, half_width, mean_squares, seed_squares, spread_of
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.scores import Metric, Scores, scores, top

Covers = Literal["seeds and images", "images", "seeds", "nothing"]

_ADDED = 1  # images that all seeds get right, and as many that none does


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
        metric: accuracy, balanced_accuracy, macro_f1, calibration_error, log_loss, brier, or the accuracy of a group of
            classes.
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
        (0.69, 0.42, 0.88, 'images')
    """
    return [_estimate(own, metric, confidence) for own in evidence]


def _estimate(evidence: Evidence, metric: Metric, confidence: float) -> Estimate:
    level = 1 - confidence
    found = scores(evidence, metric)
    if isinstance(found, str):
        return _of_values(evidence, level) if metric == "accuracy" else _nothing(len(evidence.seeds), found)
    seeds, images = found.each.shape
    value = float(found.each.mean(dtype=np.float64))
    highest = top(metric)
    if images == 1 and metric in ("log_loss", "calibration_error"):
        return Estimate(value, np.nan, np.nan, seeds, images, "nothing", "a single test image")
    if np.isinf(highest):
        low, high = _on_logarithms(found, value, level)
    elif metric == "calibration_error":
        half = _half(found.each, level)
        low, high = value - half, value + half
    else:
        low, high = _wilson(found, value, highest, level)
    covers: Covers = "seeds and images" if seeds > 1 else "images"
    shape = "on the logarithmic scale" if np.isinf(highest) else "Wilson's form"
    shape = "cut at the ends of its range" if metric == "calibration_error" else shape
    source = f"variance over seeds and test images, {shape}" if seeds > 1 else f"variance over test images, {shape}"
    # The value itself is within, also where rounding would leave it a hair outside.
    low, high = max(0.0, min(low, value)), min(highest, max(high, value))
    return Estimate(value, low, high, seeds, images, covers, source)


def _wilson(found: Scores, value: float, highest: float, level: float) -> tuple[float, float]:
    """Wilson's interval with the number of independent images that would have the same variance."""
    seeds, images = found.each.shape
    added = np.repeat(np.array([0, highest], dtype=np.float32), _ADDED)
    more = np.hstack([found.each, np.broadcast_to(added, (seeds, 2 * _ADDED))])
    half = float(half_width(level, spread_of([mean_squares(more)]))[0]) / highest
    centre = float(more.mean(dtype=np.float64)) / highest
    share = value / highest
    # half^2 = z^2 p (1 - p) / n, so that `ratio` is z^2 / n of the images without the added ones
    ratio = half**2 / (centre * (1 - centre)) * more.shape[1] / images
    middle = (share + ratio / 2) / (1 + ratio)
    reach = np.sqrt(ratio * share * (1 - share) + ratio**2 / 4) / (1 + ratio)
    return float(highest * (middle - reach)), float(highest * (middle + reach))


def _on_logarithms(found: Scores, value: float, level: float) -> tuple[float, float]:
    if value <= 0:
        return value, value
    factor = float(np.exp(_half(found.each, level) / value))
    return value / factor, value * factor


def _half(each: np.ndarray, level: float) -> float:
    """Half the width of the interval of the mean of scores [S, N], N at least 2."""
    spread = spread_of([mean_squares(each)])
    return float(half_width(level, _with_few_images(spread, each.shape[1], level))[0])


def _with_few_images(spread: Spread, images: int, level: float) -> Spread:
    """Student's quantile in place of the normal one in the part of the images."""
    wider = (special.stdtrit(images - 1, 1 - level / 2) / special.ndtri(1 - level / 2)) ** 2
    return Spread(spread.seed, spread.rest, spread.image * wider, spread.degrees)


def _of_values(evidence: Evidence, level: float) -> Estimate:
    """Of accuracies alone."""
    values = evidence.values[~np.isnan(evidence.values)]
    if len(values) < 2:
        value = float(values[0]) if len(values) else np.nan
        return Estimate(value, np.nan, np.nan, len(values), 0, "nothing", "one seed, and no predictions are kept")
    value, half = float(values.mean()), float(half_width(level, spread_of([seed_squares(values)]))[0])
    source = "Student's t over seeds alone, as no predictions are kept"
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), len(values), 0, "seeds", source)


def _nothing(seeds: int, why: str) -> Estimate:
    return Estimate(np.nan, np.nan, np.nan, seeds, 0, "nothing", why)
