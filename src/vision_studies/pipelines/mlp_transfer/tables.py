"""Nodes of `mlp_transfer` that turn finished runs into statistics and into the published project's files."""

import json
import math
from typing import Any

import pandas as pd

from vision_studies.config.study import ReportingSettings
from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.mlp_transfer.settings import HYPERPARAMETERS, MlpTransferSettings

Files = dict[str, pd.DataFrame]
Descriptions = dict[str, Any]


def compare_architectures(results: pd.DataFrame, settings: ReportingSettings) -> dict[str, Any]:
    """Whether architectures differ after tuning: one-way test, every pair, loss and accuracy beside parameters."""
    from dataclasses import asdict

    from vision_studies.pipelines.mlp_transfer.regret import compare_pairs, one_way_test, tuning_sentence
    from vision_studies.statistics.intervals import summary

    scored = results.dropna(subset=["test_loss"])
    if scored.empty:
        raise DataError(
            "No architecture has a test loss; see the reasons in the study's results table, and run it again."
        )
    table = scored[["variant", "seed"]].assign(value=scored["test_loss"])
    pairs = compare_pairs(table, confidence=settings.confidence, interval=settings.interval, test=settings.test)
    rows = []
    for name, runs in scored.groupby("variant", sort=False):
        described: dict[str, Any] = {"architecture": name, "parameters": int(runs["parameters"].iloc[0])}
        for metric in ("test_loss", "test_accuracy"):
            statistics = summary(runs[metric], confidence=settings.confidence, interval=settings.interval)
            described |= {f"{metric}_{key}": value for key, value in asdict(statistics).items()}
        rows.append(described)
    return _plain(
        {
            "architectures": pd.DataFrame(rows).to_dict("records"),
            "one_way_test": asdict(one_way_test(table)),
            "pairs": pairs.to_dict("records"),
            "conclusions": [tuning_sentence(table, pairs, confidence=settings.confidence)],
        }
    )


def tabulate_search(
    settings: MlpTransferSettings,
    search_results: pd.DataFrame,
    search_histories: pd.DataFrame,
    best: dict[str, Any],
    results: pd.DataFrame,
) -> tuple[Files, Descriptions]:
    """The search's files in the layout of the published project: tables and descriptions, by path without suffix."""
    files: Files = {}
    descriptions: Descriptions = {
        "search_meta": {"search_training_seed": settings.search.training_seed, "protocol": settings.protocol}
    }
    losses, spreads = [], []
    degrees = 0 if settings.protocol == "published" else 1
    for name, chosen in best["architectures"].items():
        trials = search_results[search_results["variant"] == name].sort_values("trial")
        files[f"{name}/search_results"] = _trials_table(trials)
        history = trial_history(search_histories, name, chosen["trial"])[["epoch", "train_loss", "validation_loss"]]
        files[f"{name}/best_trial/metrics"] = history.rename(columns={"train_loss": "training_loss"})
        identity = {
            "architecture": {"name": name, "layers": chosen["layers"]},
            "hyperparameters": chosen["hyperparameters"],
        }
        descriptions[f"{name}/best_hyperparameters"] = {
            **identity,
            "best_trial_idx": chosen["trial"],
            "best_validation_loss": chosen["validation_loss"],
            "best_epoch": chosen["best_epoch"],
            "terminating_epoch": chosen["terminating_epoch"],
        }
        own = results[(results["variant"] == name) & (results["status"] == COMPLETE)].sort_values("seed")
        for row in own.to_dict("records"):
            descriptions[f"{name}/retrain/seed_{row['seed']}/config"] = {
                **identity,
                "seed": int(row["seed"]),
                "best_validation_loss": float(row["validation_loss"]),
                "best_epoch": int(row["best_epoch"]),
                "terminating_epoch": int(json.loads(row["other_metrics"])["terminating_epoch"]),
                "test_loss": float(row["test_loss"]),
            }
        files[f"{name}/retrain/seed_losses"] = own[["seed", "test_loss"]]
        spread = _spread(own["test_loss"], degrees)
        descriptions[f"{name}/summary"] = {
            "architecture": name,
            "best_validation_loss": chosen["validation_loss"],
            "test_loss_stats": spread,
        }
        losses.append(own[["seed", "test_loss"]].assign(architecture=name))
        spreads.append({"architecture": name, **spread})
    descriptions["summary"] = {"architectures": [descriptions[f"{name}/summary"] for name in best["architectures"]]}
    files["search_seed_losses"] = pd.concat(losses)[["architecture", "seed", "test_loss"]]
    files["search_test_loss_stats"] = pd.DataFrame(spreads)
    return files, _plain(descriptions)


def tabulate_transfer(
    settings: MlpTransferSettings, reporting: ReportingSettings, transfer_runs: pd.DataFrame
) -> tuple[Files, dict[str, Any]]:
    """The transfer's files in the layout of the published project and as matrices, and what follows from them."""
    from vision_studies.pipelines.mlp_transfer import regret as transfer

    regrets = transfer.regrets_by_seed(transfer_runs)
    paired = transfer.regret_table(regrets, confidence=reporting.confidence, interval=reporting.interval)
    published = settings.protocol == "published"
    degrees = 0 if published else 1
    cells = ["target_arch", "source_arch"]
    spread = [
        {**dict(zip(cells, names, strict=True)), **_spread(runs["test_loss"], degrees)}
        for names, runs in transfer_runs.groupby(cells, sort=False)
    ]
    table = transfer.published_regret_table(transfer_runs) if published else paired
    relative = [name for name in table if "relative" in name]
    files = {
        "transfer_results": pd.DataFrame(spread),
        "transfer_seed_losses": transfer_runs[[*cells, "seed", "test_loss"]],
        "regret_matrix": table.drop(columns=relative),
        "relative_regret_matrix": table[[*cells, *relative]],
        "regret_paired_by_seed": paired,
        "matrices/test_loss": transfer.matrix(transfer_runs, "test_loss").reset_index(),
        "matrices/regret": transfer.matrix(table, "mean_regret").reset_index(),
        "matrices/relative_regret": transfer.matrix(table, "mean_relative_regret").reset_index(),
    }
    sentence = transfer.transfer_sentence(regrets, confidence=reporting.confidence, interval=reporting.interval)
    trained, reused = int((~transfer_runs["reused"]).sum()), int(transfer_runs["reused"].sum())
    return files, {"conclusions": [sentence], "cells_trained": trained, "cells_reused": reused}


def hyperparameter_importance(settings: MlpTransferSettings, search_results: pd.DataFrame) -> pd.DataFrame:
    """Which hyperparameters decide the validation loss: one row an architecture and hyperparameter.

    Returns:
        Columns architecture, hyperparameter, importance (shares of the variance, which sum to 1 in an architecture), trials
        (how many they were computed from).
    """
    from vision_studies.studies.search import ended_trial, importance

    space, rows = dict(settings.search.space), []
    for name, runs in search_results.groupby("variant", sort=False):
        table = _trials_table(runs[runs["status"] == COMPLETE]).dropna(subset=["best_val_loss"])
        # The loss itself would tell of the few diverging trials alone.
        trials = [
            ended_trial(space, {key: row[key] for key in space}, COMPLETE, math.log(row["best_val_loss"] or math.inf))
            for row in table.to_dict("records")
        ]
        shares = importance(trials, settings.search.seed)
        rows += [[name, hyperparameter, share, len(trials)] for hyperparameter, share in shares.items()]
    return pd.DataFrame(rows, columns=["architecture", "hyperparameter", "importance", "trials"])


def conclude(architectures: dict[str, Any], transfer: dict[str, Any]) -> list[str]:
    """The study's answer, in sentences."""
    return [*architectures["conclusions"], *transfer["conclusions"]]


def trial_history(histories: pd.DataFrame, architecture: str, trial: int) -> pd.DataFrame:
    """The rows of one trial."""
    return histories[(histories["variant"] == architecture) & (histories["trial"] == trial)]


def _trials_table(trials: pd.DataFrame) -> pd.DataFrame:
    configurations = [json.loads(configuration) for configuration in trials["configuration"]]
    other = [json.loads(metrics or "{}") for metrics in trials["other_metrics"]]
    return pd.DataFrame(
        {
            "trial": trials["trial"].to_list(),
            "best_val_loss": trials["validation_loss"].to_list(),
            "test_loss": trials["test_loss"].to_list(),
            "best_epoch": trials["best_epoch"].to_list(),
            "terminating_epoch": [metrics.get("terminating_epoch") for metrics in other],
            **{name: [values[f"hyperparameters.{name}"] for values in configurations] for name in HYPERPARAMETERS},
            "status": trials["status"].to_list(),
        }
    )


def _spread(losses: pd.Series, degrees: int) -> dict[str, float]:
    """Mean, variance and extremes; the published project's variance is the population's (`degrees` 0)."""
    statistics = {"mean": losses.mean(), "var": losses.var(ddof=degrees), "min": losses.min(), "max": losses.max()}
    return {name: float(value) for name, value in statistics.items()}


def _plain(value: Any) -> Any:
    """The value as JSON has it: missing numbers are null."""
    if isinstance(value, dict):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and pd.isna(value) else value
