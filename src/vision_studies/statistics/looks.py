"""How many seeds are enough: when to stop adding them, and intervals that hold although their number was not fixed.

Whoever adds seeds until an interval is narrow enough, and then reads it as though their number had been fixed, errs too often:
he stops where the seeds happen to agree. Two corrections are made, both by drawing what Student's t of seeds that differ by
chance alone does as they are added. Its distribution does not depend on how much they vary (Jennison and Turnbull 1991), so
that no number of seeds is too small for it.

Looks at validation images are repeated confidence intervals (Jennison and Turnbull 1989), which hold at all looks together:
each is the interval of `simultaneous` at a level of its own, at the look with n of at most N seeds that of the normal quantile
c (n / N)^(-1/4). That is the boundary of Wang and Tsiatis (1987), which is near the best there is in expected number of seeds,
as a p value (so Pocock 1977); c is such that t exceeds it at one look or more in just the share of studies that is allowed.
What images add is the same at all looks, so that with it the level is kept all the more. A confidence sequence (Howard et al.
2021; Wang and Ramdas 2023) allows looks without end, and is wider: here there is an end, as somebody pays for the seeds.

Test images are looked at once, when seeds have ended. The same networks told to end, by how much they vary, and then vary too
little on test images, too: the fault of sequential intervals of a fixed width (Chow and Robbins 1965; Starr 1966).
`final_level` is the level at which an interval errs as seldom as is allowed, whatever width was asked for.
`benchmarks/results/looks.md` has numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy import special

from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.simultaneous import Difference, compare, with_endless_seeds

Reason = Literal["precise", "as good as", "at most", "images", "nothing", "unfinished", "wide"]
"""Why no more seeds are added: every difference is known well enough, or is as good as none; there are as many as are allowed;
the images alone leave more; there is nothing to compare; a run is missing or has failed. `wide`: one more is added."""

LEVEL = 0.05
"""Share of studies in which any of the looks at validation images may miss."""

_SHAPE = 0.25
_DRAWS = 49_999
_WIDTHS = 24  # that may be asked for, between those that the fewest and the most seeds have


@dataclass(frozen=True)
class Looks:
    """Looks at a study after its `first` seeds, at least two, and after each further one up to `most`.

    Examples:
        >>> from vision_studies.statistics.looks import Looks
        >>> looks = Looks(first=3, most=12)
        >>> [round(looks.level(seeds), 3) for seeds in (3, 6, 12)]
        [0.001, 0.007, 0.023]
        >>> round(looks.final_level(0.05), 2)
        0.03
    """

    first: int
    most: int

    @property
    def number(self) -> int:
        """How many there are at most."""
        return self.most - self.first + 1

    def level(self, seeds: int) -> float:
        """The level of the look at so many seeds with which all looks together have `LEVEL`."""
        part = min(max(seeds, self.first), self.most) / self.most
        return LEVEL if self.number == 1 else float(_level(_boundary(self.first, self.most), part))

    def final_level(self, level: float) -> float:
        """The level, below 1, of an interval from other images of which, once seeds have ended, at most `level` miss."""
        if self.number == 1:
            return level
        ends = _ends(self.first, self.most)
        return float(ends[:, max(1, int(np.floor(level * (_DRAWS + 1) + 1e-9))) - 1].min())

    def final_p(self, p: float) -> float:
        """A p value from other images, corrected likewise; NaN where it is none."""
        if self.number == 1 or np.isnan(p):
            return p
        ends = _ends(self.first, self.most)
        beyond = max(int(np.searchsorted(own, p, side="right")) for own in ends)
        # Of fewer than the draws can tell, each is one of as many looks at worst.
        return float(max(p, (1 + beyond) / (_DRAWS + 1) if beyond else min(1 / _DRAWS, self.number * p)))


def _level(boundary: float, part: float | np.ndarray) -> Any:
    return 2 * special.ndtr(-boundary / np.power(part, _SHAPE))


def _students(first: int, most: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number of seeds, from `first` on, with standard error and two-sided p [draws] of seeds that differ by chance alone."""
    random = np.random.default_rng(0)
    total, squares = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for seeds in range(1, most + 1):
        drawn = random.standard_normal(_DRAWS)
        total, squares = total + drawn, squares + drawn**2
        if seeds >= first:
            error = np.sqrt((squares - total**2 / seeds) / (seeds - 1) / seeds)
            yield seeds, error, 2 * special.stdtr(seeds - 1, -np.abs(total) / seeds / error)


@lru_cache(maxsize=16)
def _boundary(first: int, most: int) -> float:
    """Wang and Tsiatis's c."""
    largest = np.zeros(_DRAWS)
    for seeds, _, p in _students(first, most):
        largest = np.maximum(largest, -special.ndtri(p / 2) * (seeds / most) ** _SHAPE)
    return float(np.sort(largest)[-int(LEVEL * (_DRAWS + 1))])


@lru_cache(maxsize=16)
def _ends(first: int, most: int) -> np.ndarray:
    """p where seeds end, ascending, for each width that may have been asked for [widths, draws]."""
    boundary, p_values, halves = _boundary(first, most), [], []
    for seeds, error, p in _students(first, most):
        p_values.append(p)
        halves.append(-special.stdtrit(seeds - 1, _level(boundary, seeds / most) / 2) * error)
    half, p = np.stack(halves), np.stack(p_values)
    ends = []
    for asked in np.geomspace(np.quantile(half[-1], 0.01), np.median(half[0]), _WIDTHS):
        enough = half <= asked
        enough[-1] = True
        ends.append(np.sort(p[enough.argmax(axis=0), np.arange(_DRAWS)]))
    return np.stack(ends)


@dataclass(frozen=True)
class Look:
    """What a look at validation images has shown.

    Attributes:
        looks: all that may be taken.
        seeds: that have ended.
        asked: half a width of the interval of a difference that is narrow enough, a fraction.
        margin: differences below it count as none, a fraction.
        differences: of each variant from the first one; intervals hold at all looks together. p is that of this look alone.
        of_images: half the width that images alone would leave of each, with seeds without end.
        reason: why no more seeds are added, or that one is.
    """

    looks: Looks
    seeds: int
    asked: float
    margin: float
    differences: tuple[Difference, ...]
    of_images: tuple[float, ...]
    reason: Reason

    @property
    def widest(self) -> Difference | None:
        """The difference that is known least of those that are neither known well enough nor as good as none, else of all."""
        left = [one for one in self.differences if not self.is_enough(one)] or self.differences
        return max(left, key=lambda one: np.nan_to_num(half_of(one), nan=np.inf), default=None)

    @property
    def of_widest(self) -> float:
        """Half the width that images alone would leave of the widest."""
        return self.of_images[self.differences.index(self.widest)] if self.widest is not None else np.nan

    def is_enough(self, difference: Difference) -> bool:
        """Whether a difference is known well enough, or is as good as none."""
        return difference.within_margin or half_of(difference) <= self.asked


def half_of(difference: Difference) -> float:
    """Half the width of its interval; NaN where there is none."""
    return (difference.high - difference.low) / 2


def look(evidence: Sequence[Evidence], looks: Looks, seeds: int, *, asked: float, margin: float) -> Look:
    """Look at how well the differences from the first variant are known, and whether another seed is to be added.

    Args:
        evidence: of validation images; the first is what the others are compared with.
        looks: all that may be taken.
        seeds: how many have ended.
        asked: half a width that is narrow enough, a fraction.
        margin: differences below it count as none, a fraction.

    Examples:
        >>> from vision_studies.statistics.evidence import Evidence
        >>> from vision_studies.statistics.looks import Looks, look
        >>> plain = Evidence.of_seeds("plain", [0, 1, 2, 3], [0.80, 0.81, 0.80, 0.82])
        >>> wide = Evidence.of_seeds("wide", [0, 1, 2, 3], [0.90, 0.92, 0.89, 0.93])
        >>> look([plain, wide], Looks(3, 12), 4, asked=0.005, margin=0.01).reason
        'wide'
        >>> look([plain, wide], Looks(3, 4), 4, asked=0.05, margin=0.01).reason
        'precise'
    """
    confidence = 1 - looks.level(seeds)
    differences = compare(evidence, 0, confidence, margin, needs=False) if len(evidence) > 1 else []
    # With as many seeds as are allowed the level is the most generous one.
    floors = with_endless_seeds(evidence, 0, looks.level(looks.most)).tolist() if differences else []
    found = Look(looks, seeds, asked, margin, tuple(differences), tuple(floors), "wide")
    left = [floor for one, floor in zip(differences, floors, strict=True) if not found.is_enough(one)]
    reason: Reason = "wide"
    if not differences:
        reason = "nothing"
    elif not left:
        reason = "as good as" if all(one.within_margin for one in differences) else "precise"
    elif max(left) > max(asked, margin):
        reason = "images"
    elif seeds >= looks.most:
        reason = "at most"
    return replace(found, reason=reason)
