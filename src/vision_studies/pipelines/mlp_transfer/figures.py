"""Nodes of `mlp_transfer` that draw."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.mlp_transfer import HYPERPARAMETERS, MlpTransferSettings, RangeSettings


def plot_search(
    settings: MlpTransferSettings,
    search_histories: pd.DataFrame,
    best: dict[str, Any],
    search_files: Mapping[str, Any],
    importance: pd.DataFrame,
    results: pd.DataFrame,
) -> tuple[Figure, Figure, Figure, Figure]:
    """Loss curves of the best trials, test losses over seeds, what decides the loss, and every trial."""
    from vision_studies.plots import mlp_transfer as plots

    chosen = best["architectures"]
    curves = [_trial(search_histories, name, own["trial"]) for name, own in chosen.items()]
    trials = []
    for name, own in chosen.items():
        table = _loaded(search_files[f"{name}/search_results"])
        trials.append(table.assign(architecture=name, best=table["trial"] == own["trial"]))
    domains = {name: getattr(settings.search.space, name) for name in HYPERPARAMETERS}
    logarithmic = [name for name, own in domains.items() if isinstance(own, RangeSettings) and own.scale == "log"]
    return (
        _labelled(plots.loss_curves(pd.concat(curves)), settings),
        _labelled(plots.seed_losses(results), settings),
        _labelled(plots.importance_heat_map(importance), settings),
        _labelled(plots.hyperparameter_slices(pd.concat(trials), HYPERPARAMETERS, logarithmic), settings),
    )


def plot_best_trials(
    settings: MlpTransferSettings, search_histories: pd.DataFrame, best: dict[str, Any]
) -> dict[str, Figure]:
    """The loss curve of each architecture's best trial, in a file of its own as the published project has it."""
    from vision_studies.plots.mlp_transfer import loss_curve

    return {
        f"{name}/best_trial/loss_curve": _labelled(
            loss_curve(_trial(search_histories, name, own["trial"]), f"{name}, trial {own['trial']}"), settings
        )
        for name, own in best["architectures"].items()
    }


def plot_transfer(settings: MlpTransferSettings, transfer_files: Mapping[str, Any]) -> tuple[Figure, Figure, Figure]:
    """Test loss, regret and relative regret of every pair."""
    from vision_studies.plots.mlp_transfer import transfer_heat_map

    kinds = {"test_loss": "loss", "regret": "regret", "relative_regret": "relative"}
    tables = {name: _loaded(transfer_files[f"matrices/{name}"]).set_index("target_arch") for name in kinds}
    drawn = [_labelled(transfer_heat_map(tables[name], kind=kind), settings) for name, kind in kinds.items()]
    return drawn[0], drawn[1], drawn[2]


def _labelled(drawn: Figure, settings: MlpTransferSettings) -> Figure:
    """The figure, which says so where it follows the published protocol."""
    from vision_studies.plots.style import stamp

    if settings.protocol == "published":
        stamp(drawn, "protocol: published")
    return drawn


def _trial(histories: pd.DataFrame, architecture: str, trial: int) -> pd.DataFrame:
    return histories[(histories["variant"] == architecture) & (histories["trial"] == trial)]


def _loaded(partition: Any) -> pd.DataFrame:
    """A partition of the catalog is a function that loads it; straight from a node it is the table itself."""
    return partition() if callable(partition) else partition
