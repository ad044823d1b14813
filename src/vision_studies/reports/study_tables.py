"""A study's tables for papers, in the formats of the project "Stacked Generalization for Deep Learning"."""

from collections.abc import Callable

import pandas as pd

from vision_studies.reports.booktabs import csv_table, latex_table, markdown_table
from vision_studies.reports.formatting import MISSING, count, is_missing
from vision_studies.reports.tables import labels_of

CAPTIONS = {
    "configuration_comparison": "Configuration comparison",
    "efficiency_metrics": "Efficiency metrics",
    "training_time_and_accuracy": "Training time and accuracy",
    "architecture_details": "Model architecture details",
}
"""Name of a table -> its heading."""


def study_tables(results: pd.DataFrame, name_network: Callable[[str, str], str]) -> dict[str, pd.DataFrame]:
    """Tables of texts, one row a configuration that has been scored on test images, in the order of the results.

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
    for (pipeline, variant), own in scored.groupby(["pipeline", "variant"], sort=False):
        named = {"Pipeline": str(pipeline)} if several else {}
        named["Configuration"] = " ".join([str(variant), *_labels(own)])
        accuracy, seconds = 100 * own["test_accuracy"], own["seconds"]
        parameters, macs = own["parameters"].iloc[0], own["macs"].iloc[0]
        final = {"Final Accuracy (%)": mean_and_deviation(accuracy, 2)}
        time = {"Training Time (s)": mean_and_deviation(seconds, 1)}
        size = {"Total Parameters": count(parameters), "Operations (MACs)": count(macs)}
        tables["configuration_comparison"].append(named | {"n": str(len(own))} | final | size | time)
        tables["efficiency_metrics"].append(
            named
            | {
                "Accuracy per million parameters": _ratio(accuracy.mean(), parameters / 1e6),
                "Accuracy per second": _ratio(accuracy.mean(), seconds.mean()),
            }
        )
        tables["training_time_and_accuracy"].append(
            named
            | time
            | {"Images per second": mean_and_deviation(own["images_per_second"], 0)}
            | {"Best epoch": mean_and_deviation(own["best_epoch"].astype(float), 1)}
            | {"Validation Accuracy (%)": mean_and_deviation(100 * own["validation_accuracy"], 2)}
            | final
        )
        tables["architecture_details"].append(
            named | {"Networks": name_network(str(pipeline), own["configuration"].iloc[0]) or MISSING} | size
        )
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def as_texts(tables: dict[str, pd.DataFrame], study: str) -> dict[str, dict[str, str]]:
    """Tables as files: `md`, `tex` (booktabs) and `csv`, each name -> text; empty tables are left out."""
    filled = {name: table for name, table in tables.items() if len(table)}
    return {
        "md": {name: markdown_table(table, CAPTIONS[name]) for name, table in filled.items()},
        "tex": {
            name: latex_table(table, f"{CAPTIONS[name]} of the study {study}.", f"tab:{study}_{name}")
            for name, table in filled.items()
        },
        "csv": {name: csv_table(table) for name, table in filled.items()},
    }


def mean_and_deviation(values: pd.Series, decimals: int) -> str:
    """Mean ± standard deviation of the sample; the mean alone of one value."""
    known = values.dropna()
    if known.empty:
        return MISSING
    mean = f"{known.mean():.{decimals}f}"
    return f"{mean} ± {known.std():.{decimals}f}" if len(known) > 1 else mean


def _labels(own: pd.DataFrame) -> list[str]:
    return [
        f"[{label}]" for label in dict.fromkeys(label for text in own["configuration"] for label in labels_of(text))
    ]


def _ratio(accuracy: float, cost: float) -> str:
    return MISSING if is_missing(cost) or not cost else f"{accuracy / cost:.3f}"
