"""Configurations of many studies beside each other: what they reach, what they cost, and the best of each pipeline."""

from dataclasses import astuple

import pandas as pd

from vision_studies.statistics.interval_kinds import Interval
from vision_studies.statistics.intervals import summary
from vision_studies.statistics.metrics import METRICS

_GROUP = ["study", "pipeline", "data", "variant"]
_CHOICES = tuple(metric for metric in METRICS if metric.of == "validation")  # the first that was measured chooses


def configurations(results: pd.DataFrame, *, confidence: float = 0.95, interval: Interval = "t") -> pd.DataFrame:
    """Sum up every configuration that has been scored on test images.

    Args:
        results: rows of the results tables of any number of studies, with a further column `data`: what the training images
            are called. A configuration is a variant of a pipeline of a study on one set of images.
        confidence: of the intervals of mean test accuracy.
        interval: their kind.

    Returns:
        One row a configuration: study, pipeline, data, variant, condition, n (scored runs), accuracy (mean test accuracy, a
        fraction), standard_deviation, low, high, validation_accuracy, validation_loss, test_loss, parameters, macs, seconds
        (of one run; means) and configuration (JSON of the first run), best accuracy first.
    """
    scored = results.dropna(subset=["test_accuracy"]).astype(dict.fromkeys(_MEANS, float))
    grouped = scored.groupby(_GROUP, sort=False)
    firsts = grouped[["condition", "configuration"]].head(1).reset_index(drop=True)
    rows = [
        astuple(summary(values.to_numpy(), confidence=confidence, interval=interval, fractions=True))
        for _, values in grouped["test_accuracy"]
    ]
    parts = [grouped[_MEANS].mean().reset_index(), pd.DataFrame(rows, columns=_SUMMARY), firsts]
    table = pd.concat(parts, axis=1)[[*_GROUP, "condition", *_SUMMARY, *_MEANS, "configuration"]]
    return table.sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)


def best_configurations(table: pd.DataFrame) -> pd.DataFrame:
    """The configuration of each pipeline with the best mean validation result on each set of images.

    Validation accuracy decides, or validation loss where a pipeline knows no accuracy. Within one study, conditions (such as
    shares of the images) are different questions: the one that serves best is kept.

    Args:
        table: from `configurations`.

    Returns:
        Its rows, with `among`: how many configurations each was chosen from. What has no validation result is not chosen.
    """
    best = []
    for _, rows in table.groupby(["data", "pipeline"], sort=True):
        for metric in _CHOICES:
            values = rows[metric.column].dropna()
            if len(values):
                chosen = values.idxmax() if metric.better == "higher" else values.idxmin()
                best.append(rows.loc[[chosen]].assign(among=len(values)))
                break
    return pd.concat(best, ignore_index=True) if best else table.head(0).assign(among=pd.Series(dtype=int))


_MEANS = ["validation_accuracy", "validation_loss", "test_loss", "parameters", "macs", "seconds"]
_SUMMARY = ["n", "accuracy", "standard_deviation", "low", "high"]
