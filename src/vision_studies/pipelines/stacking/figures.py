"""Nodes of `stacking` that draw."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.pipelines.stacking.settings import StackingSettings
from vision_studies.pipelines.stacking.stages import STACK


def plot_comparison(
    settings: StackingSettings, results: pd.DataFrame, plan: list[dict[str, Any]], comparison: dict[str, Any]
) -> tuple[Figure, Figure, Figure]:
    """The variants against each other, the best of them against its opponents, and accuracy against cost."""
    from vision_studies.figures.comparison import comparison_figure
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.stacking.plots import efficiency_figure

    best = comparison["best_by_validation"]
    opposing = pd.DataFrame(comparison["opponents"][best])
    roles = {entry["name"]: "stack" if entry["role"] == STACK else "opponent" for entry in plan}
    figures = (
        comparison_figure(results, pd.DataFrame(comparison["variants"])),
        comparison_figure(results, opposing),
        efficiency_figure(results.assign(role=results["variant"].map(roles))),
    )
    return stamped(figures, _notice(settings))


def plot_training(
    settings: StackingSettings, histories: pd.DataFrame, plan: list[dict[str, Any]]
) -> tuple[Figure, Figure]:
    """Learning curves of the variants, and what their parts do: base learners, meta-learner and diversity by epoch."""
    from vision_studies.figures.style import stamped
    from vision_studies.figures.training import learning_curves
    from vision_studies.pipelines.stacking.plots import parts_figure

    stacks = [entry["name"] for entry in plan if entry["role"] == STACK]
    stack_histories = histories[histories["variant"].isin(stacks)]
    return stamped((learning_curves(stack_histories), parts_figure(stack_histories)), _notice(settings))


def plot_search(settings: StackingSettings, trials: dict[str, Any], trial_histories: pd.DataFrame) -> dict[str, Figure]:
    """Of every variant that was searched: the histories of its trials, where they looked, and what mattered.

    Returns:
        `<variant>/training_histories`, `<variant>/hyperparameters` and `<variant>/importance`; nothing without a search.
    """
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.stacking import plots

    figures: dict[str, Figure] = {}
    for name, searched in trials.items():
        table = pd.DataFrame([{**trial["params"], **trial} for trial in searched["trials"]])
        parameters = list(dict.fromkeys(key for trial in searched["trials"] for key in trial["params"]))
        histories = trial_histories[trial_histories["variant"] == name]
        statuses = histories["trial"].map(table.set_index("number")["status"])
        figures[f"{name}/training_histories"] = plots.trial_histories(histories.assign(status=statuses), name)
        figures[f"{name}/hyperparameters"] = plots.hyperparameter_figure(table, parameters, searched["best"], name)
        if searched["importance"]:
            figures[f"{name}/importance"] = plots.importance_figure(searched["importance"], name)
    return stamped(figures, _notice(settings))


def _notice(settings: StackingSettings) -> str:
    """What figures say where their numbers are made up."""
    mock = any(settings.configured(variant).trainer == "mock" for variant in settings.variants)
    return "mock trainer: made-up numbers" if mock else ""
