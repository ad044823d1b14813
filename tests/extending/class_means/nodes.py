"""Nodes of `class_means`."""

from typing import TYPE_CHECKING

import pandas as pd

from vision_studies.config.study import ReportingSettings
from vision_studies.pipelines.class_means.stages import EVALUATION, TRAINING, Means, study_runs
from vision_studies.studies.method import run_stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def take_means(context: Means) -> pd.DataFrame:
    """Take the means that no earlier call has taken."""
    run_stages(context, TRAINING)
    return context.table(study_runs(context), [TRAINING])


def score(context: Means, _training: pd.DataFrame) -> pd.DataFrame:
    """Score every classifier once."""
    run_stages(context, EVALUATION)
    return context.table(study_runs(context), [TRAINING, EVALUATION])


def compare(results: pd.DataFrame, settings: ReportingSettings) -> pd.DataFrame:
    """Shares of the images against the first one, paired by seed."""
    from vision_studies.statistics.comparisons import compare_variants

    table = results[["variant", "seed"]].assign(value=results["test_accuracy"])
    options = {"confidence": settings.confidence, "interval": settings.interval, "test": settings.test}
    return compare_variants(table, baseline=str(table["variant"].iloc[0]), **options)


def conclude(comparison: pd.DataFrame) -> list[str]:
    """The answer in sentences."""
    return list(comparison["sentence"].dropna())


def plot_comparison(results: pd.DataFrame, comparison: pd.DataFrame) -> "Figure":
    """Shares of the images against each other."""
    from vision_studies.figures.comparison import comparison_figure

    return comparison_figure(results, comparison)
