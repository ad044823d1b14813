"""Accuracies and cluster scores in the files of the published project (mp-tl-study), written and read back.

Results are a JSON list: first a mapping of parameters, then a mapping for each run. `baselines_<split>.json` holds the runs
from scratch (cut -1), `cuts_<split>_<MODE>.json` those of one mode. Cluster scores are a list without parameters, in a newer
layout (pairwise precision and recall, accuracy, adjusted Rand index) and an older one (adjusted Rand indices of single
channels, times 100). Shares of the images are called percentages in both, but are fractions.

What is read may come from anywhere, so every value is checked; nothing but plain JSON is understood.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from sys import float_info
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import pandas as pd

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, BASELINE_CUT

FILE_MODES: Mapping[str, str] = MappingProxyType(
    {"FR": "freeze_reinit", "F": "freeze", "R": "reinit", "FT": "freeze_truncate", "fine-tune": "fine_tune"}
)
"""How names of files end -> mode. The published ones are FR, F, R and FT."""


class _Value(NamedTuple):
    """A value of a row: its key in the file, its column in the table, and what it may be."""

    key: str
    column: str
    kind: Literal["number", "fraction", "whole", "text"] = "number"  # a fraction is a number above 0
    low: int = 0
    high: float = 1  # of numbers
    times: int = 1  # what the file multiplies it by


_RUN = (
    _Value("lr", "learning_rate", high=float_info.max),
    _Value("sampled_percentage", "fraction", "fraction"),
    _Value("sampled_cut_point", "cut", "whole", BASELINE_CUT),
    _Value("repeat", "repeat", "whole"),
    _Value("train_acc", "train_accuracy"),
    _Value("test_acc", "test_accuracy"),
)
_SUBSET = (_Value("Percentage", "fraction", "fraction"), _Value("Repeat", "repeat", "whole"))
_LAYER = _Value("Layer", "layer", "text")
_IMAGES = (_Value("Dataset", "dataset", "text"), _Value("Split", "split", "text"))
_CLUSTERS = (
    *(*_SUBSET, _LAYER),
    _Value("Precision", "precision"),
    _Value("Recall", "recall"),
    _Value("Accuracy", "accuracy"),
    _Value("ARI", "ari", low=-1),
    *_IMAGES,
)
_CHANNELS = (
    *(*_SUBSET, _Value("Num Samples", "samples", "whole"), _LAYER),
    _Value("Max ARI Score", "max_ari", low=-100, high=100, times=100),
    _Value("Avg ARI Score", "mean_ari", low=-100, high=100, times=100),
    *_IMAGES,
)


def results_file(split: str, mode: str) -> str:
    """Name of the published file that holds the runs of a mode ("baseline" among them) on a split of the classes. Raises
    ParameterError where the layout has no name for the mode.
    """
    if mode == BASELINE:
        return f"baselines_{split}.json"
    codes = {name: code for code, name in FILE_MODES.items()}
    if mode not in codes:
        raise ParameterError(f"The published layout has no file for the mode '{mode}'; it knows {list(codes)}.")
    return f"cuts_{split}_{codes[mode]}.json"


def results_values(
    table: pd.DataFrame, parameters: Mapping[str, Any], *, mode: str, learning_rate: float
) -> list[dict[str, Any]]:
    """What stands in a file of results: the parameters, then the runs of one mode by fraction, cut and repeat.

    Args:
        table: one row a run: mode, cut, fraction, repeat, train_accuracy, test_accuracy.
        mode: whose runs are written; "baseline" for the baselines.
    """
    runs = table[table["mode"] == mode].sort_values(["fraction", "cut", "repeat"])
    return [dict(parameters), *_written(runs.assign(learning_rate=learning_rate), _RUN)]


def read_results(path: Path, *, mode: str | None = None) -> pd.DataFrame:
    """Accuracies in a published file.

    Args:
        mode: of its runs; if missing, the name of the file says it.

    Returns:
        One row a run: mode, cut, fraction, repeat, train_accuracy, validation_accuracy (missing: it was not stored),
        test_accuracy, learning_rate.

    Raises:
        DataError: the file cannot be read, is not such a list, or a row lacks a value or has one that cannot be.
    """
    mode = mode or _mode_in_name(path)
    table = _table(path, _results(path)[1:], _RUN, ["cut", "fraction", "repeat", "learning_rate"])
    if mode == BASELINE:
        for row, cut in enumerate(table["cut"], start=1):
            if cut != BASELINE_CUT:
                _refuse(path, row, f"has the cut {cut}, but baselines have {BASELINE_CUT}")
    modes = np.where(table["cut"] == BASELINE_CUT, BASELINE, mode)
    columns = ["mode", "cut", "fraction", "repeat", "train_accuracy", "validation_accuracy", "test_accuracy"]
    return table.assign(mode=modes, validation_accuracy=np.nan)[[*columns, "learning_rate"]]


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters that stand first in a published file of results. Raises DataError as `read_results`."""
    return _results(path)[0]


def cluster_values(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """What stands in a file of cluster scores in the newer layout.

    Args:
        scores: one row a clustering: fraction, repeat, layer, precision, recall, accuracy, ari, dataset, split.
    """
    return _written(scores, _CLUSTERS)


def read_clusters(path: Path) -> pd.DataFrame:
    """Cluster scores in a published file of the newer layout, in the columns of `cluster_values`. Raises DataError where the
    file cannot be read, is not such a list, or a row lacks a value or has one that cannot be.
    """
    return _table(path, _list(path), _CLUSTERS, ["fraction", "repeat", "layer", "dataset", "split"])


def channel_values(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """What stands in a file of cluster scores in the older layout, whose adjusted Rand indices are times 100.

    Args:
        scores: one row a clustering: fraction, repeat, samples (0 where all were used), layer, max_ari and mean_ari (over
            the channels), dataset, split.
    """
    return _written(scores, _CHANNELS)


def read_channels(path: Path) -> pd.DataFrame:
    """Cluster scores in a published file of the older layout, in the columns of `channel_values`.

    In the files of the project these are wrong: numbers of channels are mixed into the maximum and the mean.

    Raises:
        DataError: the file cannot be read, is not such a list, or a row lacks a value or has one that cannot be.
    """
    return _table(path, _list(path), _CHANNELS, ["fraction", "repeat", "layer", "dataset", "split"])


def _mode_in_name(path: Path) -> str:
    if path.stem.startswith("baselines_"):
        return BASELINE
    code = path.stem.rpartition("_")[2]
    if path.stem.startswith("cuts_") and code in FILE_MODES:
        return FILE_MODES[code]
    raise DataError(
        f"The name of {path} does not say the mode of its runs; call it baselines_<split>.json or cuts_<split>_<MODE>.json "
        f"with one of {list(FILE_MODES)}, or give the mode."
    )


def _written(table: pd.DataFrame, layout: Sequence[_Value]) -> list[dict[str, Any]]:
    kinds = {"whole": int, "text": str}
    return [
        {value.key: kinds.get(value.kind, float)(row[value.column]) * value.times for value in layout}
        for row in table.to_dict("records")
    ]


def _results(path: Path) -> list[Any]:
    """Parameters, then at least one run."""
    values = _list(path, first_row=1)
    if not isinstance(values[0], dict) or "sampled_cut_point" in values[0]:
        raise DataError(f"{path} does not begin with the parameters of its runs; put a mapping of them first.")
    if len(values) == 1:
        raise DataError(f"{path} holds parameters but no runs.")
    return values


def _list(path: Path, *, first_row: int = 0) -> list[Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_a_number)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its name and permissions.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not plain JSON; make it anew from its source.") from error
    if not isinstance(values, list) or not values:
        raise DataError(
            f"{path} must hold a list of results, but holds {'none' if values == [] else 'something else'}."
        )
    for number, row in enumerate(values[first_row:], start=1):
        if not isinstance(row, dict):
            _refuse(path, number, "is no mapping")
    return values


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _table(path: Path, rows: Sequence[Any], layout: Sequence[_Value], identity: list[str]) -> pd.DataFrame:
    """The rows of a file, each of which has its own `identity`."""
    table = pd.DataFrame(
        [{value.column: _checked(path, number, row, value) for value in layout} for number, row in enumerate(rows, 1)]
    )
    again = table.duplicated(identity)
    if again.any():
        _refuse(path, int(again.to_numpy().argmax()) + 1, f"has the same {', '.join(identity)} as one before it")
    return table


def _checked(path: Path, row: int, values: Mapping[str, Any], wanted: _Value) -> float | int | str:
    key, low, high = wanted.key, wanted.low, wanted.high
    if key not in values:
        _refuse(path, row, f"lacks '{key}'")
    value = values[key]
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted.kind == "text":
        if not isinstance(value, str):
            _refuse(path, row, f"has no text as '{key}'")
        return value
    if wanted.kind == "whole":
        if not (numeric and isinstance(value, int) and low <= value < 2**31):
            _refuse(path, row, f"has no whole number of {low} or more as '{key}'")
        return value
    if not numeric:
        _refuse(path, row, f"has no number as '{key}'")
    if not low <= value <= high:
        finite = high == float_info.max
        bounds = f"a finite number of {low:g} or more" if finite else f"between {low:g} and {high:g}"
        _refuse(path, row, f"has {str(value)[:20]} as '{key}', which must be {bounds}")
    if wanted.kind == "fraction" and value == 0:
        _refuse(path, row, f"has 0 as '{key}', which must be a fraction above 0")
    return float(value) / wanted.times


def _refuse(path: Path, row: int, what: str) -> NoReturn:
    raise DataError(f"Row {row} of {path} {what}.")
