"""A study's tables for papers, in the formats of the project "Stacked Generalization for Deep Learning"."""

from collections.abc import Callable

import pandas as pd

from vision_studies.reports.formatting import MISSING, count, is_missing, spread
from vision_studies.reports.table import Table
from vision_studies.reports.tables import labels_of

CAPTIONS = {
    "configuration_comparison": "Configuration comparison",
    "efficiency_metrics": "Efficiency metrics",
    "training_time_and_accuracy": "Training time and accuracy",
    "architecture_details": "Model architecture details",
}
"""Name of a table -> its heading."""


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
        named["Configuration"] = " ".join([str(variant), *_labels(runs)])
        accuracy, seconds = 100 * runs["test_accuracy"], runs["seconds"]
        parameters, macs = runs["parameters"].iloc[0], runs["macs"].iloc[0]
        final = {"Final Accuracy (%)": mean_and_deviation(accuracy, 2)}
        time = {"Training Time (s)": mean_and_deviation(seconds, 1)}
        size = {"Total Parameters": count(parameters), "Operations (MACs)": count(macs)}
        per_cost = {
            "Accuracy per million parameters": _ratio(accuracy.mean(), parameters / 1e6),
            "Accuracy per second": _ratio(accuracy.mean(), seconds.mean()),
        }
        training = {
            "Images per second": mean_and_deviation(runs["images_per_second"], 0),
            "Best epoch": mean_and_deviation(runs["best_epoch"].astype(float), 1),
            "Validation Accuracy (%)": mean_and_deviation(100 * runs["validation_accuracy"], 2),
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
        name: Table(
            rows, CAPTIONS[name], caption=f"{CAPTIONS[name]} of the study {study}.", label=f"tab:{study}_{name}"
        )
        for name, rows in tables.items()
        if rows
    }
    return {
        "md": {name: table.markdown() for name, table in filled.items()},
        "tex": {name: table.latex() for name, table in filled.items()},
        "csv": {name: table.csv() for name, table in filled.items()},
    }


def mean_and_deviation(values: pd.Series, decimals: int) -> str:
    """Mean ± standard deviation of the sample; the mean alone of one value."""
    return spread(values.mean(), values.std(), decimals)


def _labels(runs: pd.DataFrame) -> list[str]:
    labels = dict.fromkeys(label for text in runs["configuration"] for label in labels_of(text))
    return [f"[{label}]" for label in labels]


def _ratio(accuracy: float, cost: float) -> str:
    return MISSING if is_missing(cost) or not cost else f"{accuracy / cost:.3f}"
