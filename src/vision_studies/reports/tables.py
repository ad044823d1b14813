"""What the tables of a report hold, made from the results table."""

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import pandas as pd

from vision_studies.outcomes import COMPLETE
from vision_studies.reports.formatting import is_missing
from vision_studies.statistics.metrics import COMPARED, METRICS

_TEXTS = (
    *("pipeline", "study", "variant", "condition", "status", "reason", "configuration", "other_metrics"),
    *("run_fingerprint", "data_fingerprint", "git_commit", "device", "finished_at"),
)
_NUMBERS = ("trial", "seed", *(metric.column for metric in METRICS))


def run_rows(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary a run: every column that a report shows (missing: None), and its `labels`."""
    known = results.reindex(columns=[*_TEXTS, *_NUMBERS])
    rows = []
    for values in known.to_dict("records"):
        row = {str(name): None if is_missing(value) else value for name, value in values.items()}
        row["labels"] = labels_of(row["configuration"])
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
    """One dictionary a pipeline and variant: its labels, size, mean training time, and a summary of each of `COMPARED`.

    A summary has n, mean, standard_deviation, low and high; the interval comes from `comparison` and is missing where
    that has none.

    Args:
        runs: from `run_rows`.
        comparison: from `analysis.comparisons`; without a column `metric` it is of test accuracy, without a column
            `pipeline` it is of all pipelines.
    """
    rows = []
    intervals = _intervals(comparison)
    for (pipeline, variant), own in _by_variant(runs).items():
        row: dict[str, Any] = {"pipeline": pipeline, "variant": variant}
        for metric in (compared.column for compared in COMPARED):
            values = [run[metric] for run in own if run[metric] is not None]
            row[metric] = {
                "n": len(values),
                "mean": mean(values) if values else None,
                "standard_deviation": stdev(values) if len(values) > 1 else None,
            }
            found = intervals.get((pipeline, variant, metric)) or intervals.get((None, variant, metric)) or (None, None)
            row[metric] |= dict(zip(("low", "high"), found, strict=True))
        row["labels"] = tuple(dict.fromkeys(label for run in own for label in run["labels"]))
        row["parameters"] = next((run["parameters"] for run in own if run["parameters"] is not None), None)
        seconds = [run["seconds"] for run in own if run["seconds"] is not None]
        row["seconds"] = mean(seconds) if seconds else None
        rows.append(row)
    return rows


def of_metric(comparison: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of `comparison` that compare `metric`; without a column `metric` all compare test accuracy."""
    if "metric" in comparison:
        return comparison[comparison["metric"] == metric]
    return comparison if metric == "test_accuracy" else comparison.head(0)


def answers(comparison: pd.DataFrame | None, written: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What each pipeline of a study has found, in sentences: its own answer or, where it has none, its comparisons.

    Args:
        comparison: from `analysis.comparisons`; without a column `pipeline` its sentences stand under the name "".
        written: pipeline -> sentences.
    """
    found = {pipeline: list(sentences) for pipeline, sentences in written.items()}
    if comparison is None or comparison.empty:
        return found
    compared = of_metric(comparison, "test_accuracy")
    pipelines = compared["pipeline"] if "pipeline" in compared else pd.Series("", index=compared.index)
    for pipeline, rows in compared.groupby(pipelines, sort=False):
        if pipeline not in written:
            found[str(pipeline)] = [sentence for sentence in rows["sentence"] if not is_missing(sentence)]
    return {pipeline: sentences for pipeline, sentences in found.items() if sentences}


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
    """Settings of a pipeline's variants, side by side.

    Returns:
        Names of the variants, and one dictionary a setting: key, values (one a variant, as JSON; None where it has none), value
        (the first there is) and differs (having it or not is a difference, too).
    """
    configurations = {key: json.loads(own[0]["configuration"] or "{}") for key, own in _by_variant(runs).items()}
    rows = []
    for key in sorted({key for settings in configurations.values() for key in settings}):
        values = [json.dumps(settings[key]) if key in settings else None for settings in configurations.values()]
        known = next(value for value in values if value is not None)
        rows.append({"key": key, "values": values, "value": known, "differs": len(set(values)) > 1})
    return [variant for _, variant in configurations], rows


def _by_variant(runs: list[dict[str, Any]]) -> dict[tuple[Any, Any], list[dict[str, Any]]]:
    found: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault((run["pipeline"], run["variant"]), []).append(run)
    return found


def _intervals(comparison: pd.DataFrame | None) -> dict[tuple[str | None, str, str], tuple[float, float]]:
    """Pipeline (None: not known), variant and metric -> ends of the interval."""
    rows = [] if comparison is None else comparison.to_dict("records")
    return {
        (row.get("pipeline"), row["variant"], row.get("metric", "test_accuracy")): (row["low"], row["high"])
        for row in rows
    }
