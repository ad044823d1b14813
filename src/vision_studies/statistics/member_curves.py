"""How many members of an ensemble are enough: what fewer of them would have said, from their predictions alone."""

from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from vision_studies.statistics.scores import Name, Scores
from vision_studies.statistics.two_way import interval_of_scores

MOST_SUBSETS = 100
"""Subsets of one size that are averaged; where there are more, so many are drawn."""

_SMALLEST_PROBABILITY = 1e-12  # as `calibration.log_loss` has it


def member_curve(
    probabilities: np.ndarray, labels: np.ndarray, *, folds: np.ndarray | None = None, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Accuracy and log loss of the mean of 1, 2, ... members' probabilities, averaged over subsets of that size.

    Args:
        probabilities: [seeds, M, N, classes], of members that stand in the same place for every seed.
        labels: int [N].
        folds: int [seeds, N], those of a cross-validation; None where there is one test split.
        confidence: of the intervals over seeds and images, between 0 and 1.

    Returns:
        One row a size: members, subsets (how many were averaged), accuracy and log_loss with their intervals `_low` and
        `_high`, ambiguity (mean log loss of the members minus that of the ensemble, never below 0) and oracle (share of the
        images that one member at least gets right).

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.member_curves import member_curve
        >>> sure, unsure = [[0.9, 0.1], [0.2, 0.8]], [[0.4, 0.6], [0.3, 0.7]]  # two images each
        >>> rows = member_curve(np.array([[sure, unsure]]), np.array([0, 1]))
        >>> [(row["members"], row["subsets"], row["accuracy"], row["oracle"]) for row in rows]
        [(1, 2, 0.75, 0.75), (2, 1, 1.0, 1.0)]
    """
    seeds, members, images, _ = probabilities.shape
    random = np.random.default_rng(0)
    right = probabilities.argmax(axis=3) == labels
    rows: list[dict[str, Any]] = []
    for size in range(1, members + 1):
        subsets = _subsets(members, size, random)
        hits, losses, oracle = np.zeros((seeds, images)), np.zeros((seeds, images)), 0.0
        for subset in subsets:
            mean = probabilities[:, subset].mean(axis=1, dtype=np.float64)
            hits += mean.argmax(axis=2) == labels
            losses -= np.log(np.maximum(mean[:, np.arange(images), labels], _SMALLEST_PROBABILITY))
            oracle += float(right[:, subset].any(axis=1).mean())
        row: dict[str, Any] = {"members": size, "subsets": len(subsets)}
        totals: dict[Name, np.ndarray] = {"accuracy": hits, "log_loss": losses}
        for metric, total in totals.items():
            each = Scores(np.asarray(total / len(subsets), dtype=np.float32))
            found = interval_of_scores(each, metric, folds=folds, confidence=confidence)
            row |= {metric: found.value, f"{metric}_low": found.low, f"{metric}_high": found.high}
        alone = rows[0]["log_loss"] if rows else row["log_loss"]
        rows.append(row | {"ambiguity": max(0.0, alone - row["log_loss"]), "oracle": oracle / len(subsets)})
    return rows


def _subsets(members: int, size: int, random: np.random.Generator) -> list[list[int]]:
    if comb(members, size) <= MOST_SUBSETS:
        return [list(subset) for subset in combinations(range(members), size)]
    return [sorted(random.choice(members, size, replace=False).tolist()) for _ in range(MOST_SUBSETS)]
