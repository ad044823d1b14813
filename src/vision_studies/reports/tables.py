"""A study's tables: what they hold, made from the results table; and as papers ("Stacked Generalization for Deep Learning")
and the terminal show them.
"""

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import mean, stdev
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from vision_studies.outcomes import COMPLETE
from vision_studies.reports.formatting import MISSING, count, duration, is_missing, number, percent, spread
from vision_studies.reports.table import Table
from vision_studies.statistics.metrics import COMPARED, METRICS, Metric

if TYPE_CHECKING:
    from vision_studies.statistics.verdict import Answer

_TEXTS = (
    *("pipeline", "study", "variant", "condition", "status", "reason", "configuration", "other_metrics"),
    *("run_fingerprint", "data_fingerprint", "git_commit", "device", "finished_at"),
)
_NUMBERS = ("trial", "seed", *(metric.column for metric in METRICS))

CAPTIONS = {
    "configuration_comparison": "Configuration comparison",
    "efficiency_metrics": "Efficiency metrics",
    "training_time_and_accuracy": "Training time and accuracy",
    "architecture_details": "Model architecture details",
    "reliability": "How far probabilities can be trusted",
}
"""Name of a table -> its heading."""

_WIDTH = 100
_VARIANTS = 30
_SENTENCES = 3  # the page has all of them


def run_rows(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary a run: every column that a report shows (missing: None), and its `labels`."""
    rows = []
    for values in results.reindex(columns=[*_TEXTS, *_NUMBERS]).to_dict("records"):
        row = {str(name): None if is_missing(value) else value for name, value in values.items()}
        rows.append(row | {"labels": labels_of(row["configuration"])})
    return rows


def same_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Variant -> an earlier one of the same pipeline that has the very same runs under another name."""
    known: dict[tuple[Any, ...], str] = {}
    same = {}
    for (pipeline, variant), repeats in _by_variant([*map(dict, runs)]).items():
        fingerprints = [repeat.get("run_fingerprint") for repeat in repeats]
        if all(fingerprints):
            first = known.setdefault((pipeline, *sorted(map(str, fingerprints))), variant)
            if first != variant:
                same[variant] = first
    return same


@lru_cache(maxsize=4096)  # all seeds of a variant have one configuration
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
    for (pipeline, variant), repeats in _by_variant(runs).items():
        row: dict[str, Any] = {"pipeline": pipeline, "variant": variant, "labels": labels_among(repeats)}
        for metric in (compared.column for compared in COMPARED):
            values = _values(repeats, metric)
            key = (pipeline, variant, metric)
            low, high = intervals.get(key) or intervals.get((None, *key[1:])) or (None, None)
            middle, deviation = mean(values) if values else None, stdev(values) if len(values) > 1 else None
            row[metric] = {"n": len(values), "mean": middle, "standard_deviation": deviation, "low": low, "high": high}
        seconds = _values(repeats, "seconds")
        row |= {
            "parameters": next(iter(_values(repeats, "parameters")), None),
            "seconds": mean(seconds) if seconds else None,
        }
        rows.append(row)
    return rows


def with_estimates(rows: list[dict[str, Any]], answers: "Sequence[Answer]") -> list[dict[str, Any]]:
    """Rows from `variant_rows` with `test_images`, how many stand behind their values (None where that is not known), and with
    the interval of test accuracy that covers them, where a verdict has it.
    """
    standings = {
        (standing.candidate.pipeline, standing.candidate.name): (standing.estimate, answer.measure)
        for answer in answers
        for standing in answer.standings
    }
    found = []
    for row in rows:
        estimate, measure = standings.get((row["pipeline"], row["variant"]), (None, ""))
        ends = {} if estimate is None or measure != "accuracy" else {"low": estimate.low, "high": estimate.high}
        images = None if estimate is None else estimate.images or None
        found.append(row | {"test_images": images, "test_accuracy": row["test_accuracy"] | ends})
    return found


def images_behind(answers: "Sequence[Answer]") -> dict[tuple[str, str], int]:
    """Pipeline and variant -> how many test images stand behind its values, of those of which it is known."""
    standings = [standing for answer in answers for standing in answer.standings]
    return {
        (one.candidate.pipeline, one.candidate.name): one.estimate.images for one in standings if one.estimate.images
    }


def of_test_accuracy(comparison: pd.DataFrame) -> pd.DataFrame:
    """Rows of `comparison` that compare test accuracy, as all do without a column `metric`."""
    return comparison[comparison["metric"] == "test_accuracy"] if "metric" in comparison else comparison


def answers(comparison: pd.DataFrame | None, written: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What each pipeline of a study has found, in sentences: its own answer or, where it has none, its comparisons.

    Args:
        comparison: from `statistics.comparisons`; without a column `pipeline` its sentences stand under the name "".
        written: pipeline -> sentences.
    """
    sentences_of = {pipeline: list(sentences) for pipeline, sentences in written.items()}
    if comparison is not None and not comparison.empty:
        compared = of_test_accuracy(comparison)
        pipelines = compared["pipeline"] if "pipeline" in compared else pd.Series("", index=compared.index)
        for pipeline, sentences in compared["sentence"].groupby(pipelines, sort=False):
            sentences_of.setdefault(str(pipeline), sentences.dropna().tolist())
    return {pipeline: sentences for pipeline, sentences in sentences_of.items() if sentences}


def gaps(runs: list[dict[str, Any]]) -> list[str]:
    """A sentence for each run without a test result: failed, not scored yet, or never started while others of its seed were."""
    sentences = []
    alike: dict[Any, set[Any]] = {}
    for run in runs:
        name = f"{run['variant']}, seed {run['seed']:.0f}"
        if run["status"] != COMPLETE:
            reason = f" ({run['reason']})" if run["reason"] else ""
            sentences.append(f"{name}: {run['status']}{reason}")
        elif run["test_accuracy"] is None:
            sentences.append(f"{name}: trained, not scored on test")
        alike.setdefault((run["pipeline"], run["condition"]), set()).add(run["seed"])
    for (pipeline, variant), repeats in _by_variant(runs).items():
        lacking = alike[pipeline, repeats[0]["condition"]] - {run["seed"] for run in repeats}
        sentences += [f"{variant}, seed {seed:.0f}: not run" for seed in sorted(lacking)]
    return sentences


def configuration_table(runs: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Settings of a pipeline's variants, side by side.

    Returns:
        Names of the variants, and one dictionary a setting: key, values (one a variant, as JSON; None where it has none), value
        (the first there is) and differs (having it or not is a difference, too).
    """
    configurations = {
        key: json.loads(repeats[0]["configuration"] or "{}") for key, repeats in _by_variant(runs).items()
    }
    rows = []
    for key in sorted({key for settings in configurations.values() for key in settings}):
        values = [json.dumps(settings[key]) if key in settings else None for settings in configurations.values()]
        first = next(value for value in values if value is not None)
        rows.append({"key": key, "values": values, "value": first, "differs": len(set(values)) > 1})
    return [variant for _, variant in configurations], rows


def _values(runs: list[dict[str, Any]], column: str) -> list[Any]:
    return [run[column] for run in runs if run[column] is not None]


def _by_variant(runs: list[dict[str, Any]]) -> dict[tuple[Any, Any], list[dict[str, Any]]]:
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["pipeline"], run["variant"]), []).append(run)
    return groups


def study_tables(
    results: pd.DataFrame,
    name_network: Callable[[str, str], str],
    test_images: Mapping[tuple[str, str], int] = MappingProxyType({}),
    reliability: Mapping[str, Sequence[Mapping[str, str]]] = MappingProxyType({}),
) -> dict[str, list[dict[str, str]]]:
    """Rows of texts, one a configuration that has been scored on test images, in the order of the results.

    Args:
        results: rows of one study's results tables.
        name_network: pipeline and configuration (JSON) of a run -> what its network is called; empty where it has no name.
        test_images: pipeline and variant -> how many test images stand behind its accuracy, of those of which it is known;
            without any, no table has a column for them.
        reliability: pipeline -> rows on how far probabilities can be trusted.

    Returns:
        `configuration_comparison`, `efficiency_metrics`, `training_time_and_accuracy`, `architecture_details` and
        `reliability`. Means have the standard deviation of the sample behind them. With several pipelines, each row names its
        own.
    """
    tables: dict[str, list[dict[str, str]]] = {name: [] for name in CAPTIONS}
    several = results["pipeline"].nunique() > 1
    scored = results.dropna(subset=["test_accuracy"])
    for (pipeline, variant), runs in scored.groupby(["pipeline", "variant"], sort=False):
        named = {"Pipeline": str(pipeline)} if several else {}
        labels = labels_among([{"labels": labels_of(configuration)} for configuration in runs["configuration"]])
        named["Configuration"] = labelled(str(variant), labels)
        accuracy, seconds = 100 * runs["test_accuracy"], runs["seconds"]
        parameters, macs = runs["parameters"].iloc[0], runs["macs"].iloc[0]
        final = {"Final Accuracy (%)": _mean_and_deviation(accuracy, 2)}
        time = {"Training Time (s)": _mean_and_deviation(seconds, 1)}
        size = {"Total Parameters": count(parameters), "Operations (MACs)": count(macs)}
        per_cost = {
            "Accuracy per million parameters": _ratio(accuracy.mean(), parameters / 1e6),
            "Accuracy per second": _ratio(accuracy.mean(), seconds.mean()),
        }
        training = {
            "Images per second": _mean_and_deviation(runs["images_per_second"], 0),
            "Best epoch": _mean_and_deviation(runs["best_epoch"].astype(float), 1),
            "Validation Accuracy (%)": _mean_and_deviation(100 * runs["validation_accuracy"], 2),
        }
        networks = {"Networks": name_network(str(pipeline), runs["configuration"].iloc[0]) or MISSING}
        images = test_images.get((str(pipeline), str(variant)))
        behind = {"Test images": f"{images:,}" if images else MISSING} if test_images else {}
        tables["configuration_comparison"].append(named | {"n": str(len(runs))} | behind | final | size | time)
        tables["efficiency_metrics"].append(named | per_cost)
        tables["training_time_and_accuracy"].append(named | time | training | final)
        tables["architecture_details"].append(named | networks | size)
    tables["reliability"] = [
        ({"Pipeline": pipeline} if several else {}) | dict(row) for pipeline, own in reliability.items() for row in own
    ]
    return tables


def as_texts(tables: dict[str, list[dict[str, str]]], study: str, title: str) -> dict[str, dict[str, str]]:
    """Tables as files: `md`, `tex` (booktabs) and `csv`, each name -> text; empty tables are left out.

    Args:
        tables: from `study_tables`.
        study: its name, which captions and labels say.
        title: of the study, which captions say, too.
    """
    filled = {
        name: study_table(rows, heading, study, title, label=f"tab:{study}_{name}")
        for name, heading in CAPTIONS.items()
        if (rows := tables[name])
    }
    kinds: dict[str, Callable[[Table], str]] = {"md": Table.markdown, "tex": Table.latex, "csv": Table.csv}
    return {kind: {name: write(table) for name, table in filled.items()} for kind, write in kinds.items()}


def study_table(
    rows: Sequence[Mapping[str, str]], heading: str, study: str, title: str, *, label: str, note: str = ""
) -> Table:
    """A table whose heading and caption say of which study it is."""
    named = study if title == study else f"{study} ({title})"
    return Table(rows, f"{heading}: {named}", caption=f"{heading} of the study {named}.", label=label, note=note)


def _mean_and_deviation(values: pd.Series, decimals: int) -> str:
    return spread(values.mean(), values.std(), decimals)


def _ratio(accuracy: float, cost: float) -> str:
    return MISSING if is_missing(cost) or not cost else f"{accuracy / cost:.3f}"


def summary_text(
    results: pd.DataFrame,
    comparison: pd.DataFrame | None = None,
    conclusions: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """What a study found, for the terminal: variants with their test metrics, what follows from them, and what is missing.

    Args:
        results: rows of the results table.
        comparison: from `statistics.comparisons`: it gives the intervals, and its sentences follow the table.
        conclusions: pipeline -> sentences that take the place of the comparison's.
    """
    compared = None if comparison is None or comparison.empty else comparison
    interval = "interval" if compared is None else f"{100 * float(compared['confidence'].iloc[0]):g} % interval"
    runs = run_rows(results)
    several_pipelines = len({run["pipeline"] for run in runs}) > 1
    variants = variant_rows(runs, compared)
    if not variants:
        return "There are no runs yet."
    first, *others = COMPARED
    rows = []
    for row in variants[:_VARIANTS]:
        accuracy = row[first.column]
        low, high = accuracy["low"], accuracy["high"]
        cells = {
            "pipeline": row["pipeline"],
            "variant": labelled(row["variant"], row["labels"]),
            "n": accuracy["n"],
            first.short: percent(accuracy["mean"]),
            "sd": percent(accuracy["standard_deviation"]),
            interval: MISSING if is_missing(low) else f"{100 * low:.2f} to {percent(high)}",
            **{metric.short: writer_of(metric)(row[metric.column]["mean"]) for metric in others},
            "parameters": count(row["parameters"]),
            "time a run": duration(row["seconds"]),
        }
        rows.append({name: cell for name, cell in cells.items() if several_pipelines or name != "pipeline"})
    texts = 2 if several_pipelines else 1
    lines = [Table(rows, align="l" * texts + "r" * (len(rows[0]) - texts)).terminal(), ""]
    lines += [f"({len(variants) - _VARIANTS} more variants in the report)"] if len(variants) > _VARIANTS else []
    for pipeline, sentences in answers(compared, conclusions).items():
        lines += [f"{pipeline}:"] if several_pipelines and pipeline else []
        lines += _shortened(sentences, 1 if several_pipelines else _SENTENCES)
    lines += _shortened([f"Missing: {gap}." for gap in gaps(runs)], _SENTENCES)
    return "\n".join(lines if len(lines) > 2 else lines[:1])


def _shortened(sentences: Sequence[str], shown: int) -> list[str]:
    filled = [f"  {textwrap.fill(sentence, _WIDTH - 2, subsequent_indent='    ')}" for sentence in sentences[:shown]]
    return [*filled, f"  ({len(sentences) - shown} more in the report)"] if len(sentences) > shown else filled
