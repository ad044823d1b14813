"""What rare classes gain against what frequent ones lose, over the one knob of each method.

A table of trade-offs has one row a run and value: classifier, method, knob (the value), repeat, chosen (by validation), few,
medium, many and overall (fractions). The knob of an AlphaNet is its rho, that of a classifier what its settings say;
classifiers without a knob have a single row with a missing value.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from vision_studies.statistics.interval_kinds import Interval

COLUMNS = ("classifier", "method", "knob", "repeat", "chosen", "few", "medium", "many", "overall")
AREAS, GAPS = "trade_off_areas", "trade_off_gaps"
"""Names of the tables of `areas` and `gaps` among the statistics of a study."""

_AREAS = ("method", "classifier", "points", "n", "mean", "low", "high")
_GAPS = ("method", "against", "n", "mean", "low", "high", "p", "p_corrected")


def dominated_area(many: np.ndarray, few: np.ndarray) -> float:
    """Share of the unit square below and left of some point: the area under the best of a trade-off.

    It needs no range that all methods reach, and one point more never lowers it (Zitzler and Thiele 1999, the hypervolume
    indicator).

    Args:
        many: fractions [N] of the images of many classes, one for each value of a knob.
        few: likewise of few classes.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.alphanet.trade_offs import dominated_area
        >>> round(dominated_area(np.array([0.8, 0.5]), np.array([0.2, 0.6])), 2)  # 0.5 * 0.6 + 0.3 * 0.2
        0.36
    """
    area, reached = 0.0, 0.0
    for place in np.argsort(few)[::-1]:  # from the highest: each adds what lies further to the right
        if many[place] > reached:
            area += (many[place] - reached) * few[place]
            reached = float(many[place])
    return float(area)


def areas(trade_offs: pd.DataFrame, *, confidence: float = 0.95, interval: "Interval" = "t") -> pd.DataFrame:
    """Area under the trade-off of every method, with its interval over repeats.

    Returns:
        method, classifier, points (values of the knob), n (repeats), mean, low, high; the largest mean first.
    """
    from vision_studies.statistics.intervals import summary

    rows = []
    for (classifier, method), of_method in trade_offs.groupby(["classifier", "method"], sort=False):
        curves = [curve for _, curve in of_method.groupby("repeat")]
        values = [dominated_area(curve["many"].to_numpy(), curve["few"].to_numpy()) for curve in curves]
        described = summary(np.array(values), confidence=confidence, interval=interval, fractions=True)
        numbers = {"n": described.n, "mean": described.mean, "low": described.low, "high": described.high}
        rows.append({"method": method, "classifier": classifier, "points": len(curves[0]), **numbers})
    table = pd.DataFrame(rows, columns=list(_AREAS))
    return table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)


def gaps(trade_offs: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """By how much AlphaNet's few classes lie above the trade-off of every other method, where its many classes are as good.

    A method's trade-off is the line through the best of its points; beyond its ends it stays as high as at the end with more of
    the few, and is not known where no value leaves the many classes as good. Of an AlphaNet's rhos the mean gap counts.

    Returns:
        method (an AlphaNet), against, n (repeats), mean, low, high (simultaneous, as p_corrected is), p and p_corrected after
        Holm over all rows of an AlphaNet.
    """
    from vision_studies.statistics.intervals import corrected_comparisons

    rows = []
    is_alphanet = trade_offs["method"] != trade_offs["classifier"]
    others = [own for own in trade_offs[~is_alphanet].groupby("method", sort=False) if own[1]["knob"].nunique() > 1]
    for method, own in trade_offs[is_alphanet].groupby("method", sort=False):
        pairs, names = [], []
        for name, curve in others:
            found = list(_gaps_by_repeat(own, curve))
            if found:
                values = pd.Series(dict(found))
                pairs.append((values, values * 0))
                names.append(name)
        compared = corrected_comparisons(pairs, confidence=confidence) if pairs else []
        for name, (one, p) in zip(names, compared, strict=True):
            numbers = {"n": one.pairs, "mean": one.difference, "low": one.low, "high": one.high}
            rows.append({"method": method, "against": name, **numbers, "p": one.p, "p_corrected": p})
    return pd.DataFrame(rows, columns=list(_GAPS))


def sentences(areas_: pd.DataFrame, gaps_: pd.DataFrame) -> list[str]:
    """Whether each AlphaNet does more than move along the best of the other methods' trade-offs."""
    told = []
    for method, rows in gaps_.groupby("method", sort=False):
        order = areas_[areas_["method"].isin(rows["against"])]["method"]
        row = rows[rows["against"] == order.iloc[0]].iloc[0]
        size = 100 * row["mean"]
        reach = f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}"
        means = "cannot be told to differ from it"
        if row["low"] > 0:
            means = "does more than move along it"
        elif row["high"] < 0:
            means = "does less than moving along it would"
        known = f"corrected interval {reach}" if np.isfinite(row["low"]) else "one repeat, which shows no spread"
        told.append(
            f"Where the many classes are as good, {method} has {size:+.2f} points of the few classes beside the trade-off of "
            f"'{row['against']}', which has the largest area of those with a knob ({row['n']:.0f} repeats; {known}): it "
            f"{means}."
        )
    return told


def _gaps_by_repeat(own: pd.DataFrame, curve: pd.DataFrame) -> Iterator[tuple[int, float]]:
    """Repeat and mean gap, of the repeats in which the curve reaches what AlphaNet leaves of the many classes."""
    for repeat, points in own.groupby("repeat"):
        front = _front(curve[curve["repeat"] == repeat])
        reached = points[points["many"] <= front["many"].max()]
        if len(reached):
            at = np.interp(reached["many"], front["many"], front["few"])
            yield int(repeat), float((reached["few"] - at).mean())


def _front(curve: pd.DataFrame) -> pd.DataFrame:
    """The points that no other beats in both, by rising accuracy of the many classes."""
    ordered = curve.sort_values(["many", "few"], ascending=False)
    return ordered[ordered["few"] > ordered["few"].cummax().shift(fill_value=-1.0)].iloc[::-1]
