"""What the tables of a report hold, made from the results table."""

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import pandas as pd

from vision_studies.outcomes import COMPLETE
from vision_studies.reports.formatting import count, duration, is_missing, number, percent
from vision_studies.statistics.metrics import COMPARED, METRICS, Metric

_TEXTS = (
    *("pipeline", "study", "variant", "condition", "status", "reason", "configuration", "other_metrics"),
    *("run_fingerprint", "data_fingerprint", "git_commit", "device", "finished_at"),
)
_NUMBERS = ("trial", "seed", *(metric.column for metric in METRICS))


def run_rows(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary a run: every column that a report shows (missing: None), and its `labels`."""
    rows = []
    for values in results.reindex(columns=[*_TEXTS, *_NUMBERS]).to_dict("records"):
        row = {str(name): None if is_missing(value) else value for name, value in values.items()}
        rows.append(row | {"labels": labels_of(row["configuration"])})
    return rows


def labels_of(configuration: str | None) -> tuple[str, ...]:
    """What must be said of a run wherever its numbers stand: a protocol that it follows, or that its data are made up.

    Args:
        configuration: JSON object; of dotted keys, the last part counts.
    """
    settings = json.loads(configuration) if configuration else {}
    ends = [(key.rsplit(".", 1)[-1], value) for key, value in settings.items() if value]
    labels = ["mock" if end == "mock" else f"protocol: {value}" for end, value in ends if end in ("mock", "protocol")]
    return tuple(dict.fromkeys(labels))


def labels_among(runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """All labels of some rows, each once."""
    return tuple(dict.fromkeys(label for run in runs for label in run["labels"]))


def labelled(name: str, labels: Sequence[str]) -> str:
    """A name with what must be said of it, as plain text."""
    return " ".join([name, *(f"[{label}]" for label in labels)])


def writer_of(metric: Metric) -> Callable[[Any], str]:
    """What turns values of a metric into text."""
    if metric.is_fraction:
        return percent
    if metric.unit in ("nats", "score"):
        return lambda value: number(value, 4)
    return {"operations": count, "seconds": duration}.get(metric.unit, number)


def variant_rows(runs: list[dict[str, Any]], comparison: pd.DataFrame | None) -> list[dict[str, Any]]:
    """One dictionary a pipeline and variant: its labels, size, mean training time, and a summary of each of `COMPARED`.

    A summary has n, mean, standard_deviation, low and high; the interval comes from `comparison` and is missing where
    that has none.

    Args:
        runs: from `run_rows`.
        comparison: from `statistics.comparisons`; without a column `metric` it is of test accuracy, without a column
            `pipeline` it is of all pipelines.
    """
    intervals = {
        (row.get("pipeline"), row["variant"], row.get("metric", "test_accuracy")): (row["low"], row["high"])
        for row in ([] if comparison is None else comparison.to_dict("records"))
    }
    rows = []
    for (pipeline, variant), own in _by_variant(runs).items():
        row: dict[str, Any] = {"pipeline": pipeline, "variant": variant, "labels": labels_among(own)}
        for metric in (compared.column for compared in COMPARED):
            values = _known(own, metric)
            key = (pipeline, variant, metric)
            low, high = intervals.get(key) or intervals.get((None, *key[1:])) or (None, None)
            middle, deviation = mean(values) if values else None, stdev(values) if len(values) > 1 else None
            row[metric] = {"n": len(values), "mean": middle, "standard_deviation": deviation, "low": low, "high": high}
        seconds = _known(own, "seconds")
        row |= {
            "parameters": next(iter(_known(own, "parameters")), None),
            "seconds": mean(seconds) if seconds else None,
        }
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
        comparison: from `statistics.comparisons`; without a column `pipeline` its sentences stand under the name "".
        written: pipeline -> sentences.
    """
    found = {pipeline: list(sentences) for pipeline, sentences in written.items()}
    if comparison is not None and not comparison.empty:
        compared = of_metric(comparison, "test_accuracy")
        pipelines = compared["pipeline"] if "pipeline" in compared else pd.Series("", index=compared.index)
        for pipeline, sentences in compared["sentence"].groupby(pipelines, sort=False):
            found.setdefault(str(pipeline), sentences.dropna().tolist())
    return {pipeline: sentences for pipeline, sentences in found.items() if sentences}


def gaps(runs: list[dict[str, Any]]) -> list[str]:
    """A sentence for each run without a test result: failed, not scored yet, or never started while others of its seed were."""
    found = []
    alike: dict[Any, set[Any]] = {}
    for run in runs:
        name = f"{run['variant']}, seed {run['seed']:.0f}"
        if run["status"] != COMPLETE:
            reason = f" ({run['reason']})" if run["reason"] else ""
            found.append(f"{name}: {run['status']}{reason}")
        elif run["test_accuracy"] is None:
            found.append(f"{name}: trained, not scored on test")
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


def _known(runs: list[dict[str, Any]], column: str) -> list[Any]:
    return [run[column] for run in runs if run[column] is not None]


def _by_variant(runs: list[dict[str, Any]]) -> dict[tuple[Any, Any], list[dict[str, Any]]]:
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["pipeline"], run["variant"]), []).append(run)
    return groups
