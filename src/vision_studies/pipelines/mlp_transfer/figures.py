"""Nodes of `mlp_transfer` that draw."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.pipelines.mlp_transfer.settings import HYPERPARAMETERS, MlpTransferSettings
from vision_studies.pipelines.mlp_transfer.tables import trial_history
from vision_studies.pipelines.partitions import loaded


def plot_search(
    settings: MlpTransferSettings,
    search_histories: pd.DataFrame,
    best: dict[str, Any],
    search_files: Mapping[str, Any],
    importance: pd.DataFrame,
    results: pd.DataFrame,
) -> tuple[Figure, Figure, Figure, Figure]:
    """Loss curves of the best trials, test losses over seeds, what decides the loss, and every trial."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.mlp_transfer import plots

    curves, trials = [], []
    for name, chosen in best["architectures"].items():
        curves.append(trial_history(search_histories, name, chosen["trial"]))
        table = loaded(search_files[f"{name}/search_results"])
        trials.append(table.assign(architecture=name, best=table["trial"] == chosen["trial"]))
    logarithmic = [name for name, domain in settings.search.space if getattr(domain, "scale", "") == "log"]
    figures = (
        plots.loss_curves(pd.concat(curves)),
        plots.seed_losses(results),
        plots.importance_heat_map(importance),
        plots.hyperparameter_slices(pd.concat(trials), HYPERPARAMETERS, logarithmic),
    )
    return stamped(figures, _notice(settings))


def plot_best_trials(
    settings: MlpTransferSettings, search_histories: pd.DataFrame, best: dict[str, Any]
) -> dict[str, Figure]:
    """The loss curve of each architecture's best trial, in a file of its own as the published project has it."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.mlp_transfer.plots import loss_curve

    figures = {
        f"{name}/best_trial/loss_curve": loss_curve(
            trial_history(search_histories, name, best_trial["trial"]), f"{name}, trial {best_trial['trial']}"
        )
        for name, best_trial in best["architectures"].items()
    }
    return stamped(figures, _notice(settings))


def plot_transfer(settings: MlpTransferSettings, transfer_files: Mapping[str, Any]) -> tuple[Figure, Figure, Figure]:
    """Test loss, regret and relative regret of every pair."""
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.mlp_transfer.plots import transfer_heat_map

    kinds = (("test_loss", "loss"), ("regret", "regret"), ("relative_regret", "relative"))
    loss, regret, relative_regret = (
        transfer_heat_map(loaded(transfer_files[f"matrices/{name}"]).set_index("target_arch"), kind=kind)
        for name, kind in kinds
    )
    return stamped((loss, regret, relative_regret), _notice(settings))


def _notice(settings: MlpTransferSettings) -> str:
    """What figures say where they follow the published protocol."""
    return "protocol: published" if settings.protocol == "published" else ""
