"""Variants compared over several sets of images: ranks, and tests in which each set counts once.

Sources: Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets" (Friedman's test in the form of Iman and
Davenport 1980, Nemenyi's critical difference, Wilcoxon's signed ranks with Holm's correction); Benavoli, Corani, Demšar and
Zaffalon 2017, "Time for a Change" (the Bayesian signed-rank test with a region of practical equivalence).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from vision_studies.errors import DataError
from vision_studies.statistics.intervals import holm

_DRAWS = 20_000
_PRIOR = 0.5  # observations that the prior, no difference, is worth: what Benavoli et al. recommend
_DECIMALS = 12
_DRAWN_AT_ONCE = 500


@dataclass(frozen=True)
class Ranking:
    """Variants ranked over sets.

    Attributes:
        ranks: mean rank of each variant, 1 is the best; ties share the mean of theirs.
        p: of Friedman's test in the form of Iman and Davenport, that all are alike; NaN where all tie everywhere.
        critical_difference: of Nemenyi's test; mean ranks that differ by less cannot be told apart.
        sets: number of sets.
    """

    ranks: tuple[float, ...]
    p: float
    critical_difference: float
    sets: int


@dataclass(frozen=True)
class PairOverSets:
    """Two variants over sets, the first minus the second.

    Attributes:
        first: position of the variant; likewise `second`.
        difference: median difference of accuracies.
        wins: sets on which the first is better by more than rounding; likewise `losses`.
        p: of Wilcoxon's signed ranks, corrected by Holm for the number of pairs; NaN where all differences are 0.
        better: probability that the first is better by more than the margin; likewise `alike` within it, and `worse`.
    """

    first: int
    second: int
    difference: float
    wins: int
    losses: int
    p: float
    better: float
    alike: float
    worse: float


def rank(accuracies: ArrayLike, *, confidence: float = 0.95) -> Ranking:
    """Rank variants over sets.

    Args:
        accuracies: [sets, variants], higher is better, nothing missing.
        confidence: one minus the level of Nemenyi's test.

    Raises:
        DataError: there are fewer than two sets or variants, or a value is missing.

    Examples:
        >>> from vision_studies.statistics.several_sets import rank
        >>> ranking = rank([[0.9, 0.8, 0.7], [0.8, 0.7, 0.6], [0.9, 0.8, 0.8], [0.7, 0.6, 0.5]])
        >>> ranking.ranks, round(ranking.critical_difference, 2)
        ((1.0, 2.125, 2.875), 1.66)
    """
    table = _checked(accuracies)
    sets, variants = table.shape
    ranks = stats.rankdata(-table, axis=1)
    means = ranks.mean(axis=0)
    quantile = stats.studentized_range.ppf(confidence, variants, np.inf) / np.sqrt(2)
    critical = float(quantile * np.sqrt(variants * (variants + 1) / (6 * sets)))
    return Ranking(tuple(means.tolist()), _friedman(ranks), critical, sets)


def compare_pairs(accuracies: ArrayLike, *, margin: float = 0.01) -> list[PairOverSets]:
    """Every pair of variants over sets.

    Args:
        accuracies: [sets, variants], fractions, nothing missing.
        margin: differences within it are of no practical interest.

    Raises:
        DataError: there are fewer than two sets or variants, or a value is missing.

    Examples:
        >>> from vision_studies.statistics.several_sets import compare_pairs
        >>> [pair] = compare_pairs([[0.9, 0.80], [0.8, 0.72], [0.9, 0.85], [0.7, 0.65], [0.9, 0.8], [0.7, 0.6]])
        >>> pair.wins, pair.p, pair.better > 0.95
        (6, 0.03125, True)
    """
    table = _checked(accuracies)
    pairs = list(combinations(range(table.shape[1]), 2))
    differences = [(table[:, first] - table[:, second]).round(_DECIMALS) for first, second in pairs]
    p_values = holm([_signed_ranks(each) for each in differences])
    return [
        PairOverSets(
            *(first, second, float(np.median(each)), int((each > 0).sum()), int((each < 0).sum()), p),
            *signed_rank_posterior(each, margin),
        )
        for (first, second), each, p in zip(pairs, differences, p_values, strict=True)
    ]


def signed_rank_posterior(differences: ArrayLike, margin: float) -> tuple[float, float, float]:
    """Probabilities that a variant is better by more than the margin, alike within it, and worse, given its differences.

    The weights of the differences, and of the prior at 0, are drawn from a Dirichlet distribution; each draw says which of the
    three has most of the weight of all means of two differences. Drawn with a fixed seed.

    Args:
        differences: [sets].
        margin: 0 or more.
    """
    values = np.concatenate([[0.0], np.asarray(differences, dtype=float)])
    means = (values[:, None] + values) / 2
    regions = np.stack([means > margin, np.abs(means) <= margin, means < -margin]).astype(np.float64)
    generator = np.random.default_rng(0)
    counts = np.zeros(3)
    shape = np.concatenate([[_PRIOR], np.ones(len(values) - 1)])
    for _ in range(_DRAWS // _DRAWN_AT_ONCE):
        weights = generator.dirichlet(shape, _DRAWN_AT_ONCE)
        shares = np.einsum("bi,rij,bj->br", weights, regions, weights, optimize=True)
        counts += np.bincount(shares.argmax(axis=1), minlength=3)
    better, alike, worse = (counts / counts.sum()).tolist()
    return better, alike, worse


def _checked(accuracies: ArrayLike) -> np.ndarray:
    table = np.asarray(accuracies, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2:
        raise DataError("Variants are ranked over two sets or more, and two variants or more; there are fewer.")
    if np.isnan(table).any():
        raise DataError("An accuracy is missing: every variant needs one on every set.")
    return table.round(_DECIMALS)


def _friedman(ranks: np.ndarray) -> float:
    """P of the F form of Iman and Davenport, corrected for ties as Conover (1999) has it."""
    sets, variants = ranks.shape
    total = float((ranks**2).sum())
    expected = sets * variants * (variants + 1) ** 2 / 4
    if total == expected:
        return float("nan")
    between = float((ranks.sum(axis=0) ** 2).sum()) / sets
    if total == between:  # the same order on every set
        return 0.0 if sets > 1 else float("nan")
    statistic = (sets - 1) * (between - expected) / (total - between)
    return float(stats.f.sf(statistic, variants - 1, (variants - 1) * (sets - 1)))


def _signed_ranks(differences: np.ndarray) -> float:
    unequal = differences[differences != 0]
    return float(stats.wilcoxon(unequal).pvalue) if len(unequal) else float("nan")


def sentences(names: Sequence[str], ranking: Ranking, pairs: Sequence[PairOverSets], *, confidence: float) -> list[str]:
    """What follows, in words: the best mean rank, what cannot be told from it, and whether sets are too few."""
    best = int(np.argmin(ranking.ranks))
    first = f"'{names[best]}' ranks best over {ranking.sets} data sets (mean rank {ranking.ranks[best]:.2f})"
    against = {other: pair for pair in pairs for other in _other(pair, best)}
    told = [names[other] for other, pair in against.items() if pair.p < 1 - confidence and _favours(pair, best)]
    rest = [names[other] for other in against if names[other] not in told]
    lines = [f"{first}."]
    if told:
        lines.append(f"It is better than {_listed(told)} (signed ranks, corrected).")
    if rest:
        lines.append(f"It cannot be told from {_listed(rest)}.")
    least = min(1.0, len(pairs) * 2.0 ** (1 - ranking.sets))
    if least > 1 - confidence:
        lines.append(
            f"{ranking.sets} data sets cannot show a difference: the least corrected p that is possible is {least:.2g}; "
            f"{_enough(len(pairs), confidence)} would do."
        )
    return lines


def _other(pair: PairOverSets, best: int) -> list[int]:
    return [second for first, second in ((pair.first, pair.second), (pair.second, pair.first)) if first == best]


def _favours(pair: PairOverSets, best: int) -> bool:
    return (pair.wins > pair.losses) == (pair.first == best)


def _enough(pairs: int, confidence: float) -> int:
    """Sets with which the corrected p of signs that are all alike would be below the level."""
    return next(sets for sets in range(2, 64) if pairs * 2.0 ** (1 - sets) < 1 - confidence)


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
