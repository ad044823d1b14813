"""Nodes of `stacking` that draw."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.stacking import StackingSettings
from vision_studies.pipelines.stacking.plan import STACK


def plot_comparison(
    settings: StackingSettings, results: pd.DataFrame, plan: list[dict[str, Any]], comparison: dict[str, Any]
) -> tuple[Figure, Figure, Figure]:
    """The variants against each other, the best of them against its opponents, and accuracy against cost."""
    from vision_studies.plots.comparison import comparison_figure
    from vision_studies.plots.stacking import efficiency_figure

    best = comparison["best_by_validation"]
    opposing = pd.DataFrame(comparison["opponents"][best])
    roles = {entry["name"]: "stack" if entry["role"] == STACK else "opponent" for entry in plan}
    return (
        _labelled(comparison_figure(results, pd.DataFrame(comparison["variants"])), settings),
        _labelled(comparison_figure(results, opposing), settings),
        _labelled(efficiency_figure(results.assign(role=results["variant"].map(roles))), settings),
    )


def plot_training(
    settings: StackingSettings, histories: pd.DataFrame, plan: list[dict[str, Any]]
) -> tuple[Figure, Figure]:
    """Learning curves of the variants, and what their parts do: base learners, meta-learner and diversity by epoch."""
    from vision_studies.plots.stacking import parts_figure
    from vision_studies.plots.training import learning_curves

    stacks = [entry["name"] for entry in plan if entry["role"] == STACK]
    own = histories[histories["variant"].isin(stacks)]
    return _labelled(learning_curves(own), settings), _labelled(parts_figure(own), settings)


def plot_search(settings: StackingSettings, trials: dict[str, Any], trial_histories: pd.DataFrame) -> dict[str, Figure]:
    """Of every variant that was searched: the histories of its trials, where they looked, and what mattered.

    Returns:
        `<variant>/training_histories`, `<variant>/hyperparameters` and `<variant>/importance`; nothing without a search.
    """
    from vision_studies.plots import stacking as plots

    found: dict[str, Figure] = {}
    for name, own in trials.items():
        table = pd.DataFrame([{**trial["params"], **_without_params(trial)} for trial in own["trials"]])
        parameters = list(dict.fromkeys(key for trial in own["trials"] for key in trial["params"]))
        status = {trial["number"]: trial["status"] for trial in own["trials"]}
        histories = trial_histories[trial_histories["variant"] == name]
        figures = {
            "training_histories": plots.trial_histories(histories.assign(status=histories["trial"].map(status)), name),
            "hyperparameters": plots.hyperparameter_figure(table, parameters, own["best"], name),
        }
        if own["importance"]:
            figures["importance"] = plots.importance_figure(own["importance"], name)
        found |= {f"{name}/{kind}": _labelled(drawn, settings) for kind, drawn in figures.items()}
    return found


def _labelled(drawn: Figure, settings: StackingSettings) -> Figure:
    """The figure, which says so where its numbers are made up."""
    from vision_studies.plots.style import stamp

    if any(settings.configured(variant).trainer == "mock" for variant in settings.variants):
        stamp(drawn, "mock trainer: made-up numbers")
    return drawn


def _without_params(trial: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in trial.items() if key != "params"}
