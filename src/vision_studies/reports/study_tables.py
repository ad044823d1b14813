"""A study's tables: for papers, in the formats of "Stacked Generalization for Deep Learning", and for the terminal."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from vision_studies.reports.formatting import MISSING, count, duration, is_missing, percent, spread
from vision_studies.reports.table import Table
from vision_studies.reports.tables import (
    answers,
    gaps,
    labelled,
    labels_among,
    labels_of,
    run_rows,
    variant_rows,
    writer_of,
)
from vision_studies.statistics.metrics import COMPARED

CAPTIONS = {
    "configuration_comparison": "Configuration comparison",
    "efficiency_metrics": "Efficiency metrics",
    "training_time_and_accuracy": "Training time and accuracy",
    "architecture_details": "Model architecture details",
}
"""Name of a table -> its heading."""

_WIDTH = 100
_VARIANTS = 30
_SENTENCES = 3  # the page has all of them


def study_tables(results: pd.DataFrame, name_network: Callable[[str, str], str]) -> dict[str, list[dict[str, str]]]:
    """Rows of texts, one a configuration that has been scored on test images, in the order of the results.

    Args:
        results: rows of one study's results tables.
        name_network: pipeline and configuration (JSON) of a run -> what its network is called; empty where it has no name.

    Returns:
        `configuration_comparison`, `efficiency_metrics`, `training_time_and_accuracy` and `architecture_details`. Means have
        the standard deviation of the sample behind them. With several pipelines, each row names its own.
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
        tables["configuration_comparison"].append(named | {"n": str(len(runs))} | final | size | time)
        tables["efficiency_metrics"].append(named | per_cost)
        tables["training_time_and_accuracy"].append(named | time | training | final)
        tables["architecture_details"].append(named | networks | size)
    return tables


def as_texts(tables: dict[str, list[dict[str, str]]], study: str) -> dict[str, dict[str, str]]:
    """Tables as files: `md`, `tex` (booktabs) and `csv`, each name -> text; empty tables are left out."""
    filled = {
        name: Table(rows, title, caption=f"{title} of the study {study}.", label=f"tab:{study}_{name}")
        for name, title in CAPTIONS.items()
        if (rows := tables[name])
    }
    kinds: dict[str, Callable[[Table], str]] = {"md": Table.markdown, "tex": Table.latex, "csv": Table.csv}
    return {kind: {name: write(table) for name, table in filled.items()} for kind, write in kinds.items()}


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
