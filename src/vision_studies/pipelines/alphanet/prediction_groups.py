"""What test images are taken for, seen from their class: itself, one of its neighbours, or another class.

Changes have a row a pair of predictions: classifier, experiment, repeat, label (true class), before (class that the
baseline predicts), after (class that AlphaNet predicts) and images (how many). Neighbours have a row a pair: label and
neighbour. Where they have a column repeat, too (neighbours drawn at random), a pair counts in its own repeat alone. Every
combination of classifier, experiment and repeat is one run, and means are over runs.
"""

from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd

GROUPS = ("correct", "neighbour", "other")
_RUN = ["classifier", "experiment", "repeat"]


def count_groups(
    changes: pd.DataFrame, neighbours: pd.DataFrame, labels: Collection[int], which: Literal["before", "after"]
) -> pd.DataFrame:
    """How many images are taken for their class, for one of its neighbours, or for another class.

    Args:
        changes: as the module says.
        neighbours: as the module says; a class without any counts nothing as a neighbour.
        labels: true classes that count.
        which: the baseline's predictions (before) or AlphaNet's (after).

    Returns:
        One row each of `GROUPS`: group, images (mean over runs), share (NaN where there are no images).
    """
    grouped = _grouped(changes, neighbours, labels)
    totals = grouped.groupby(f"{which}_group")["images"].sum().reindex(list(GROUPS), fill_value=0)
    images = totals.to_numpy(dtype=float) / _runs(changes)
    total = images.sum()
    return pd.DataFrame({"group": GROUPS, "images": images, "share": images / total if total else np.nan})


def group_flows(
    changes: pd.DataFrame, neighbours: pd.DataFrame, labels: Collection[int], *, few: Collection[int] = ()
) -> pd.DataFrame:
    """How many images go from which group to which.

    Args:
        changes: as the module says.
        neighbours: as the module says.
        labels: true classes that count.
        few: the few classes; which of them count is decided by `labels`.

    Returns:
        Nine rows (every pair of `GROUPS`) for the few and nine for the base classes, where there are such among `labels`:
        before_group, after_group, few (whether the true class is one), images (mean over runs; may be 0). Summed over
        after_group they are what `count_groups` finds before, and the other way round.
    """
    grouped = _grouped(changes, neighbours, labels)
    grouped["few"] = grouped["label"].isin(list(few))
    kinds = sorted({label in set(few) for label in labels}, reverse=True)
    every = pd.MultiIndex.from_product([GROUPS, GROUPS, kinds], names=["before_group", "after_group", "few"])
    totals = grouped.groupby(every.names)["images"].sum().reindex(every, fill_value=0)
    flows = (totals.astype(float) / _runs(changes)).reset_index()
    return flows.sort_values("few", ascending=False, kind="stable", ignore_index=True)


def adjusted_accuracy(changes: pd.DataFrame, neighbours: pd.DataFrame, labels: Collection[int]) -> pd.DataFrame:
    """Accuracy where a class's neighbours count as right, too.

    Args:
        changes: as the module says.
        neighbours: as the module says; of a class without any, only the class itself is right.
        labels: true classes that count.

    Returns:
        One row a run that has images of `labels`: classifier, experiment, repeat, images, before, after (fractions).
    """
    grouped = _grouped(changes, neighbours, labels)
    for which in ("before", "after"):
        grouped[which] = grouped["images"].where(grouped[f"{which}_group"] != "other", 0)
    sums = grouped.groupby(_RUN, sort=False)[["images", "before", "after"]].sum().reset_index()
    return sums.assign(before=sums["before"] / sums["images"], after=sums["after"] / sums["images"])


def _runs(changes: pd.DataFrame) -> int:
    """How many there are; 1 where there is none, so that it can divide."""
    return max(len(changes[_RUN].drop_duplicates()), 1)


def _grouped(changes: pd.DataFrame, neighbours: pd.DataFrame, labels: Collection[int]) -> pd.DataFrame:
    """The changes of these classes, with the groups of both predictions."""
    table = changes[changes["label"].isin(list(labels))].copy()
    keys = ["repeat", "label", "neighbour"] if "repeat" in neighbours else ["label", "neighbour"]
    pairs = pd.MultiIndex.from_frame(neighbours[keys])
    for which in ("before", "after"):
        predicted = pd.MultiIndex.from_frame(table.rename(columns={which: "neighbour"})[keys])
        correct = (table[which] == table["label"]).to_numpy()
        table[f"{which}_group"] = np.select([correct, predicted.isin(pairs)], GROUPS[:2], GROUPS[2])
    return table
