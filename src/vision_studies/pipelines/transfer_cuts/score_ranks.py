"""How well scores that need no training rank the cuts of a mode."""

from typing import Any

import numpy as np
import pandas as pd

from vision_studies.statistics.intervals import summary

SCORED = ("score", "cut", "fraction", "repeat", "images", "value", "seconds")
RANKED = ("mode", "fraction", "score", "n", "tau", "low", "high", "regret", "seconds")
_FEWEST_CUTS = 3  # that can be ranked well or badly


def rank_scores(scores: pd.DataFrame, accuracies: pd.DataFrame, mode: str, *, confidence: float = 0.95) -> pd.DataFrame:
    """How well each score ranks the cuts of a mode by test accuracy, which it does not know.

    Args:
        scores: from `scores.score_cuts`.
        accuracies: columns mode, cut, fraction, repeat and test_accuracy.
        mode: whose cuts are ranked.
        confidence: of the intervals.

    Returns:
        The columns `RANKED`: mean over repeats of the weighted tau of Kendall (Vigna 2015), -1 to 1, which counts the best cuts
        most, with Student's interval; mean test accuracy of the best cut less that of the cut with the highest score; and
        seconds of all cuts of a repeat. None where fewer than three cuts are scored.
    """
    from scipy.stats import weightedtau

    own = accuracies.loc[accuracies["mode"] == mode, ["cut", "fraction", "repeat", "test_accuracy"]]
    both = scores.merge(own.dropna(), on=["cut", "fraction", "repeat"])
    rows: list[dict[str, Any]] = []
    for (fraction, name), of_score in both.groupby(["fraction", "score"], sort=False):
        repeats = [of_one for _, of_one in of_score.groupby("repeat") if len(of_one) >= _FEWEST_CUTS]
        if not repeats:
            continue
        taus = [float(weightedtau(of_one["value"], of_one["test_accuracy"]).statistic) for of_one in repeats]
        regrets = [
            float(of_one["test_accuracy"].max() - of_one.loc[of_one["value"].idxmax(), "test_accuracy"])
            for of_one in repeats
        ]
        told = summary(taus, confidence=confidence)
        rows.append(
            {
                "mode": mode,
                "fraction": fraction,
                "score": name,
                "n": told.n,
                "tau": told.mean,
                "low": max(told.low, -1.0) if told.low == told.low else told.low,
                "high": min(told.high, 1.0) if told.high == told.high else told.high,
                "regret": float(np.mean(regrets)),
                "seconds": float(np.mean([of_one["seconds"].sum() for of_one in repeats])),
            }
        )
    return pd.DataFrame(rows, columns=list(RANKED))
