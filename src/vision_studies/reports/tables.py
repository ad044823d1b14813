"""What the tables of a report hold, made from the results table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vision_studies.reports.formatting import is_missing, percent

COMPLETE = "complete"

_TEXTS = ("pipeline", "variant", "condition", "status", "reason", "configuration", "other_metrics")
_NUMBERS = (
    *("trial", "seed", "validation_accuracy", "validation_loss", "test_accuracy", "test_loss"),
    *("test_calibration_error", "test_brier", "best_epoch", "parameters", "macs", "seconds"),
    *("images_per_second", "peak_memory_mb"),
)
METRICS = ("test_accuracy", "test_loss", "test_calibration_error")
"""What the table of variants sums up."""

_VIEWS = "test_accuracy_views_"


def run_rows(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary a run: every column that a report shows (missing: None), its `labels` and its `views`.

    `views` are pairs of a number of test-time views and the accuracy with them.
    """
    known = results.reindex(columns=[*_TEXTS, *_NUMBERS])
    rows = []
    for values in known.to_dict("records"):
        row = {str(name): None if is_missing(value) else value for name, value in values.items()}
        row["labels"] = labels_of(row["configuration"])
        row["views"] = _views(row["other_metrics"])
        rows.append(row)
    return rows


def labels_of(configuration: str | None) -> tuple[str, ...]:
    """What must be said of a run wherever its numbers stand: a protocol that it follows, or that its data are made up.

    Args:
        configuration: JSON object; of dotted keys, the last part counts.
    """
    labels = []
    for key, value in (json.loads(configuration) if configuration else {}).items():
        last = key.rsplit(".", 1)[-1]
        if last == "protocol" and value:
            labels.append(f"protocol: {value}")
        elif last == "mock" and value:
            labels.append("mock")
    return tuple(dict.fromkeys(labels))


def variant_rows(runs: list[dict[str, Any]], comparison: pd.DataFrame | None) -> list[dict[str, Any]]:
    """One dictionary a pipeline and variant: its labels, size, mean training time, and for each of `METRICS` a summary.

    A summary has n, mean, standard_deviation, low and high; the interval comes from `comparison` and is missing where
    that has none.

    Args:
        runs: from `run_rows`.
        comparison: from `analysis.statistics`; without a column `metric` it is of test accuracy, without a column
            `pipeline` it is of all pipelines.
    """
    rows = []
    for (pipeline, variant), own in _by_variant(runs).items():
        row: dict[str, Any] = {"pipeline": pipeline, "variant": variant}
        for metric in METRICS:
            values = pd.Series([run[metric] for run in own if run[metric] is not None], dtype=float)
            row[metric] = {"n": len(values), "mean": values.mean(), "standard_deviation": values.std()}
            row[metric] |= _interval(comparison, pipeline, variant, metric)
        row["labels"] = tuple(dict.fromkeys(label for run in own for label in run["labels"]))
        row["parameters"] = next((run["parameters"] for run in own if run["parameters"] is not None), None)
        row["seconds"] = pd.Series([run["seconds"] for run in own], dtype=float).mean()
        rows.append(row)
    return rows


def of_metric(comparison: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of `comparison` that compare `metric`; without a column `metric` all compare test accuracy."""
    if "metric" in comparison:
        return comparison[comparison["metric"] == metric]
    return comparison if metric == "test_accuracy" else comparison.head(0)


def conclusions(comparison: pd.DataFrame | None, answers: Mapping[str, Sequence[str]]) -> list[str]:
    """What a study has found, in sentences: the pipelines' own answers, then comparisons of pipelines that have none.

    Args:
        comparison: from `analysis.statistics`.
        answers: pipeline -> sentences.
    """
    found = [sentence for own in answers.values() for sentence in own]
    if comparison is None or comparison.empty:
        return found
    compared = of_metric(comparison, "test_accuracy")
    if "pipeline" in compared:
        compared = compared[~compared["pipeline"].isin(list(answers))]
    return found + [sentence for sentence in compared["sentence"] if not is_missing(sentence)]


def gaps(runs: list[dict[str, Any]]) -> list[str]:
    """A sentence for each run without a test result: failed, not scored yet, or never started while others of its seed were."""
    found = []
    for run in runs:
        name = f"{run['variant']}, seed {run['seed']:.0f}"
        if run["status"] != COMPLETE:
            reason = f" ({run['reason']})" if run["reason"] else ""
            found.append(f"{name}: {run['status']}{reason}")
        elif run["test_accuracy"] is None:
            found.append(f"{name}: trained, not scored on test")
    alike: dict[Any, set[Any]] = {}
    for run in runs:
        alike.setdefault((run["pipeline"], run["condition"]), set()).add(run["seed"])
    for (pipeline, variant), own in _by_variant(runs).items():
        lacking = alike[pipeline, own[0]["condition"]] - {run["seed"] for run in own}
        found += [f"{variant}, seed {seed:.0f}: not run" for seed in sorted(lacking)]
    return found


def configuration_table(runs: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Settings of the variants, side by side.

    Returns:
        Names of the variants, and one dictionary a setting: key, values (one a variant, as JSON; None where it has none), value
        (the first there is) and differs: between variants that have it, or between having it and not within one pipeline.
    """
    configurations = {key: json.loads(own[0]["configuration"] or "{}") for key, own in _by_variant(runs).items()}
    keys = sorted({key for settings in configurations.values() for key in settings})
    rows = []
    for key in keys:
        values = [json.dumps(settings[key]) if key in settings else None for settings in configurations.values()]
        by_pipeline: dict[Any, set[str | None]] = {}
        for (pipeline, _), value in zip(configurations, values, strict=True):
            by_pipeline.setdefault(pipeline, set()).add(value)
        known = [value for value in values if value is not None]
        differs = len(set(known)) > 1 or any(len(own) > 1 for own in by_pipeline.values())
        rows.append({"key": key, "values": values, "value": known[0], "differs": differs})
    return [variant for _, variant in configurations], rows


def _by_variant(runs: list[dict[str, Any]]) -> dict[tuple[Any, Any], list[dict[str, Any]]]:
    found: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault((run["pipeline"], run["variant"]), []).append(run)
    return found


def _interval(comparison: pd.DataFrame | None, pipeline: str, variant: str, metric: str) -> dict[str, Any]:
    if comparison is None:
        return {"low": None, "high": None}
    found = of_metric(comparison, metric)
    found = found[found["variant"] == variant]
    if "pipeline" in found:
        found = found[found["pipeline"] == pipeline]
    return found[["low", "high"]].iloc[0].to_dict() if len(found) else {"low": None, "high": None}


def _views(other_metrics: str | None) -> list[tuple[int, str]]:
    metrics = json.loads(other_metrics) if other_metrics else {}
    found = [(int(key.removeprefix(_VIEWS)), value) for key, value in metrics.items() if key.startswith(_VIEWS)]
    return [(views, percent(value)) for views, value in sorted(found)]
