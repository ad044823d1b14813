"""What the figures of long-tailed classes share: names, colours and markers of the splits, and accuracies by class."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from vision_studies.figures.panels import key
from vision_studies.figures.style import COLOURS, INK

SPLIT_COLOURS: Mapping[str, str] = MappingProxyType(
    {"overall": INK, "few": COLOURS[1], "medium": COLOURS[2], "many": COLOURS[0]}
)
"""One colour a split in every figure, from the palette for colour-blind readers; in the order splits are drawn."""

SPLIT_MARKERS: Mapping[str, str] = MappingProxyType({"overall": "D", "few": "o", "medium": "s", "many": "^"})
"""One marker a split, for figures that are printed without colour."""

METRIC_LABELS: Mapping[str, str] = MappingProxyType({"top_1": "top-1", "top_5": "top-5"})
"""What an axis calls the columns of accuracies."""

CLASS_SPLITS = ("few", "medium", "many")


def splits_in(table: pd.DataFrame) -> list[str]:
    """Splits of a table in the order they are drawn."""
    return [split for split in SPLIT_COLOURS if (table["split"] == split).any()]


def split_look(split: str) -> dict[str, Any]:
    """Colour and marker of a split."""
    return {"color": SPLIT_COLOURS[split], "marker": SPLIT_MARKERS[split]}


def split_handles(splits: Iterable[str], linestyle: str = "", linewidth: float = 1.8) -> list[Line2D]:
    """What a legend shows for splits."""
    return [key(split, markersize=6, linestyle=linestyle, linewidth=linewidth, **split_look(split)) for split in splits]


def experiments_in(table: pd.DataFrame) -> list[str]:
    """Experiments of a table in the order of its rows."""
    return [str(name) for name in table["experiment"].drop_duplicates()]


def class_means(class_accuracies: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of every class averaged over repeats.

    Args:
        class_accuracies: one row a run and class: classifier, experiment, baseline, repeat, label, name, split,
            train_images, accuracy, baseline_accuracy and, where it is known, neighbour_distance. A table that has been
            averaged comes back as it is.

    Returns:
        One row an experiment and class, in the order of the table, with the column gain (accuracy minus baseline_accuracy).
    """
    identity = ["classifier", "experiment", "baseline", "label", "name", "split", "train_images"]
    averaged = [
        column for column in ("accuracy", "baseline_accuracy", "neighbour_distance") if column in class_accuracies
    ]
    means = class_accuracies.groupby(identity, sort=False, dropna=False)[averaged].mean().reset_index()
    return means.assign(gain=means["accuracy"] - means["baseline_accuracy"])


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign and one decimal; a dash where it is missing."""
    if np.isnan(value):
        return "–"
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def improved(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of experiments, without those of baselines."""
    return table[~table["baseline"].astype(bool)]
