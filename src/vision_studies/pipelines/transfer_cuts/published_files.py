"""Accuracies and cluster scores in the files of the published project (mp-tl-study), written and read back.

Results are a JSON list: first a mapping of parameters, then a mapping for each run. `baselines_<split>.json` holds the runs
from scratch (cut -1), `cuts_<split>_<MODE>.json` those of one mode. Cluster scores are a list without parameters, in a newer
layout (pairwise precision and recall, accuracy, adjusted Rand index) and an older one (adjusted Rand indices of single
channels, times 100). Shares of the images are called percentages in both, but are fractions.

What is read may come from anywhere, so every value is checked; nothing but plain JSON is understood.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from vision_studies.errors import DataError, ParameterError
from vision_studies.pipelines.transfer_cuts.rankings import BASELINE, BASELINE_CUT

FILE_MODES: Mapping[str, str] = MappingProxyType(
    {"FR": "freeze_reinit", "F": "freeze", "R": "reinit", "FT": "freeze_truncate", "fine-tune": "fine_tune"}
)
"""How names of files end -> mode. The published ones are FR, F, R and FT."""

_CLUSTER = MappingProxyType({"Precision": "precision", "Recall": "recall", "Accuracy": "accuracy", "ARI": "ari"})
_CHANNEL = MappingProxyType({"Max ARI Score": "max_ari", "Avg ARI Score": "mean_ari"})
_DATA = MappingProxyType({"Dataset": "dataset", "Split": "split"})


def results_file(split: str, mode: str) -> str:
    """Name of the published file that holds the runs of a mode ("baseline" among them) on a split of the classes.

    Raises:
        ParameterError: the layout has no name for the mode.
    """
    if mode == BASELINE:
        return f"baselines_{split}.json"
    for code, name in FILE_MODES.items():
        if name == mode:
            return f"cuts_{split}_{code}.json"
    raise ParameterError(
        f"The published layout has no file for the mode '{mode}'; it knows {list(FILE_MODES.values())}."
    )


def results_values(
    table: pd.DataFrame, parameters: Mapping[str, Any], *, mode: str, learning_rate: float
) -> list[dict[str, Any]]:
    """What stands in a file of results: the parameters, then the runs of one mode by fraction, cut and repeat.

    Args:
        table: one row a run: mode, cut, fraction, repeat, train_accuracy, test_accuracy.
        parameters: to stand first; JSON values.
        mode: whose runs are written; "baseline" for the baselines.
        learning_rate: of the runs.
    """
    own = table[table["mode"] == mode].sort_values(["fraction", "cut", "repeat"])
    runs = [
        {
            "lr": float(learning_rate),
            "sampled_percentage": float(run["fraction"]),
            "sampled_cut_point": int(run["cut"]),
            "repeat": int(run["repeat"]),
            "train_acc": float(run["train_accuracy"]),
            "test_acc": float(run["test_accuracy"]),
        }
        for run in own.to_dict("records")
    ]
    return [dict(parameters), *runs]


def read_results(path: Path, *, mode: str | None = None) -> pd.DataFrame:
    """Accuracies in a published file.

    Args:
        path: a file of results.
        mode: of its runs; if missing, the name of the file says it.

    Returns:
        One row a run: mode, cut, fraction, repeat, train_accuracy, validation_accuracy (missing: it was not stored),
        test_accuracy, learning_rate.

    Raises:
        DataError: the file cannot be read, is not such a list, or a row lacks a value or has one that cannot be.
    """
    mode = mode or _mode_in_name(path)
    _, runs = _results(path)
    rows = []
    for number, run in enumerate(runs, start=1):
        cut = _integer(path, number, run, "sampled_cut_point", least=BASELINE_CUT)
        if mode == BASELINE and cut != BASELINE_CUT:
            _refuse(path, number, f"has the cut {cut}, but baselines have {BASELINE_CUT}")
        rows.append(
            {
                "mode": BASELINE if cut == BASELINE_CUT else mode,
                "cut": cut,
                "fraction": _fraction(path, number, run, "sampled_percentage"),
                "repeat": _integer(path, number, run, "repeat", least=0),
                "train_accuracy": _number(path, number, run, "train_acc", 0, 1),
                "validation_accuracy": np.nan,
                "test_accuracy": _number(path, number, run, "test_acc", 0, 1),
                "learning_rate": _number(path, number, run, "lr", 0, math.inf),
            }
        )
    return _without_repetitions(path, rows, ["cut", "fraction", "repeat", "learning_rate"])


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters that stand first in a published file of results.

    Raises:
        DataError: as `read_results`.
    """
    return _results(path)[0]


def cluster_values(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """What stands in a file of cluster scores in the newer layout.

    Args:
        scores: one row a clustering: fraction, repeat, layer, precision, recall, accuracy, ari, dataset, split.
    """
    return [
        {
            "Percentage": float(row["fraction"]),
            "Repeat": int(row["repeat"]),
            "Layer": str(row["layer"]),
            **{key: float(row[name]) for key, name in _CLUSTER.items()},
            **{key: str(row[name]) for key, name in _DATA.items()},
        }
        for row in scores.to_dict("records")
    ]


def read_clusters(path: Path) -> pd.DataFrame:
    """Cluster scores in a published file of the newer layout, in the columns of `cluster_values`.

    Raises:
        DataError: the file cannot be read, is not such a list, or a row lacks a value or has one that cannot be.
    """

    def scores(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
        lowest = {"ARI": -1}
        return {name: _number(path, number, row, key, lowest.get(key, 0), 1) for key, name in _CLUSTER.items()}

    return _read_scores(path, scores)


def channel_values(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """What stands in a file of cluster scores in the older layout, whose adjusted Rand indices are times 100.

    Args:
        scores: one row a clustering: fraction, repeat, samples (0 where all were used), layer, max_ari and mean_ari (over
            the channels), dataset, split.
    """
    return [
        {
            "Percentage": float(row["fraction"]),
            "Repeat": int(row["repeat"]),
            "Num Samples": int(row["samples"]),
            "Layer": str(row["layer"]),
            **{key: 100 * float(row[name]) for key, name in _CHANNEL.items()},
            **{key: str(row[name]) for key, name in _DATA.items()},
        }
        for row in scores.to_dict("records")
    ]


def read_channels(path: Path) -> pd.DataFrame:
    """Cluster scores in a published file of the older layout, in the columns of `channel_values`.

    In the files of the project these are wrong: numbers of channels are mixed into the maximum and the mean.

    Raises:
        DataError: the file cannot be read, is not such a list, or a row lacks a value or has one that cannot be.
    """

    def scores(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
        samples = {"samples": _integer(path, number, row, "Num Samples", least=0)}
        return samples | {name: _number(path, number, row, key, -100, 100) / 100 for key, name in _CHANNEL.items()}

    return _read_scores(path, scores)


def _read_scores(path: Path, scores: Callable[[int, Mapping[str, Any]], dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for number, row in enumerate(_mappings(path, _list(path)), start=1):
        identity = {
            "fraction": _fraction(path, number, row, "Percentage"),
            "repeat": _integer(path, number, row, "Repeat", least=0),
            "layer": _text(path, number, row, "Layer"),
        }
        data = {name: _text(path, number, row, key) for key, name in _DATA.items()}
        rows.append(identity | scores(number, row) | data)
    identity_columns = ["fraction", "repeat", "layer", *_DATA.values()]
    return _without_repetitions(path, rows, identity_columns)


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


def _results(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    values = _list(path)
    parameters = values[0]
    if not isinstance(parameters, dict) or "sampled_cut_point" in parameters:
        raise DataError(f"{path} does not begin with the parameters of its runs; put a mapping of them first.")
    if len(values) == 1:
        raise DataError(f"{path} holds parameters but no runs.")
    return parameters, list(_mappings(path, values[1:]))


def _list(path: Path) -> list[Any]:
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
    return values


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _mappings(path: Path, values: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            _refuse(path, number, "is no mapping")
        yield value


def _number(path: Path, row: int, values: Mapping[str, Any], key: str, low: float, high: float) -> float:
    value = _value(path, row, values, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(path, row, f"has no number as '{key}'")
    if not low <= value <= high or math.isinf(value):
        wanted = f"between {low:g} and {high:g}" if math.isfinite(high) else f"a finite number of {low:g} or more"
        _refuse(path, row, f"has {str(value)[:20]} as '{key}', which must be {wanted}")
    return float(value)


def _integer(path: Path, row: int, values: Mapping[str, Any], key: str, *, least: int) -> int:
    value = _value(path, row, values, key)
    whole = isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31
    if not whole:
        _refuse(path, row, f"has no whole number of {least} or more as '{key}'")
    return value


def _fraction(path: Path, row: int, values: Mapping[str, Any], key: str) -> float:
    fraction = _number(path, row, values, key, 0, 1)
    if fraction == 0:
        _refuse(path, row, f"has 0 as '{key}', which must be a fraction above 0")
    return fraction


def _text(path: Path, row: int, values: Mapping[str, Any], key: str) -> str:
    value = _value(path, row, values, key)
    if not isinstance(value, str):
        _refuse(path, row, f"has no text as '{key}'")
    return value


def _value(path: Path, row: int, values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        _refuse(path, row, f"lacks '{key}'")
    return values[key]


def _refuse(path: Path, row: int, what: str) -> NoReturn:
    raise DataError(f"Row {row} of {path} {what}.")


def _without_repetitions(path: Path, rows: list[dict[str, Any]], identity: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    again = table.duplicated(identity)
    if again.any():
        _refuse(path, int(again.to_numpy().argmax()) + 1, f"has the same {', '.join(identity)} as one before it")
    return table
