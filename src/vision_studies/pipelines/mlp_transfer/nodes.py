"""The steps of `mlp_transfer`: those that search, train, compare, write down and draw."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vision_studies.config.study import ReportingSettings
from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE
from vision_studies.pipelines.mlp_transfer.plan import (
    EVALUATION,
    RETRAINING,
    SEARCH,
    TRAINING,
    TRANSFER,
    TRANSFER_SCORES,
    TRIAL_SCORES,
    Perceptrons,
)
from vision_studies.pipelines.mlp_transfer.settings import HYPERPARAMETERS, MlpTransferSettings, architecture_name
from vision_studies.pipelines.mlp_transfer.stages import home_runs, search_identity, transfer_cells
from vision_studies.pipelines.partitions import loaded
from vision_studies.studies.method import run_stages

Files = dict[str, pd.DataFrame]
Descriptions = dict[str, Any]
CELL = ["target_arch", "source_arch"]
"""Columns that name a pair of architectures."""


def search_hyperparameters(context: Perceptrons) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every trial of every architecture; return rows and histories of all, earlier calls' included."""
    scored = context.settings.protocol == "published"
    done = run_stages(context, SEARCH, *([TRIAL_SCORES] if scored else []))
    names = [perceptron.name for perceptron in context.settings.perceptrons]
    runs = sorted(done[SEARCH], key=lambda run: names.index(run.variant))
    stages = [TRAINING, *([EVALUATION] if scored else [])]
    return context.table(runs, stages), context.histories(runs)


def retrain_architectures(
    context: Perceptrons, search_results: pd.DataFrame, best: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every architecture anew with its own best hyperparameters and every seed, and score it once on test."""
    _check_search(context, best)
    run_stages(context, RETRAINING, EVALUATION, known=_search_outcome(search_results, best))
    runs = home_runs(context, best)
    return context.table(runs, [TRAINING, EVALUATION]), context.histories(runs)


def transfer_hyperparameters(
    context: Perceptrons, search_results: pd.DataFrame, best: dict[str, Any], results: pd.DataFrame
) -> pd.DataFrame:
    """Train every architecture with every other's best hyperparameters and every seed; score each once on test.

    Returns:
        One row a target, source and seed, the architectures at home included: target_arch, source_arch, seed, status,
        test_loss, test_accuracy, validation_loss, best_epoch, run_fingerprint, and reused: whether the same perceptron was
        there already under another name.
    """
    _check_retraining(context, best, results)
    run_stages(context, TRANSFER, TRANSFER_SCORES, known=_search_outcome(search_results, best))
    rows = []
    trained = {*search_results["run_fingerprint"], *results["run_fingerprint"]}
    for target, source, run in transfer_cells(context, best):
        table = context.table([run], [TRAINING, EVALUATION])
        row: dict[str, Any] = table.iloc[0].to_dict() if len(table) else {"status": "failed"}
        names = ("seed", "status", "test_loss", "test_accuracy", "validation_loss", "best_epoch", "run_fingerprint")
        measured = {name: row.get(name) for name in names}
        rows.append({"target_arch": target, "source_arch": source, **measured, "reused": run.fingerprint in trained})
        trained.add(run.fingerprint)
    return pd.DataFrame(rows)


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
    context: Perceptrons,
    search_results: pd.DataFrame,
    search_histories: pd.DataFrame,
    best: dict[str, Any],
    results: pd.DataFrame,
) -> tuple[Files, Descriptions]:
    """The search's files in the layout of the published project: tables and descriptions, by path without suffix."""
    _check_retraining(context, best, results)
    settings = context.settings
    degrees = 0 if settings.protocol == "published" else 1
    files, descriptions = search_files(search_results, search_histories, best, results, degrees)
    meta = {"search_training_seed": settings.search.training_seed, "protocol": settings.protocol}
    return files, {"search_meta": meta, **descriptions}


def search_files(
    search_results: pd.DataFrame,
    search_histories: pd.DataFrame,
    best: dict[str, Any],
    results: pd.DataFrame,
    degrees: int,
) -> tuple[Files, Descriptions]:
    """As `tabulate_search`, without what settings alone say.

    Args:
        degrees: what variances divide by is so much less than the number of losses.
    """
    files: Files = {}
    descriptions: Descriptions = {}
    losses, spreads = [], []
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
        complete = results[(results["variant"] == name) & (results["status"] == COMPLETE)].sort_values("seed")
        for row in complete.to_dict("records"):
            descriptions[f"{name}/retrain/seed_{row['seed']}/config"] = {
                **identity,
                "seed": int(row["seed"]),
                "best_validation_loss": float(row["validation_loss"]),
                "best_epoch": int(row["best_epoch"]),
                "terminating_epoch": int(json.loads(row["other_metrics"])["terminating_epoch"]),
                "test_loss": float(row["test_loss"]),
            }
        files[f"{name}/retrain/seed_losses"] = complete[["seed", "test_loss"]]
        spread = _spread(complete["test_loss"], degrees)
        descriptions[f"{name}/summary"] = {
            "architecture": name,
            "best_validation_loss": chosen["validation_loss"],
            "test_loss_stats": spread,
        }
        losses.append(complete[["seed", "test_loss"]].assign(architecture=name))
        spreads.append({"architecture": name, **spread})
    descriptions["summary"] = {"architectures": [descriptions[f"{name}/summary"] for name in best["architectures"]]}
    files["search_seed_losses"] = pd.concat(losses)[["architecture", "seed", "test_loss"]]
    files["search_test_loss_stats"] = pd.DataFrame(spreads)
    return files, _plain(descriptions)


def tabulate_transfer(
    context: Perceptrons, reporting: ReportingSettings, best: dict[str, Any], transfer_runs: pd.DataFrame
) -> tuple[Files, dict[str, Any]]:
    """The transfer's files in the layout of the published project and as matrices, and what follows from them."""
    from vision_studies.pipelines.mlp_transfer import regret as transfer

    _check_transfer(context, best, transfer_runs)
    regrets = transfer.regrets_by_seed(transfer_runs)
    paired = transfer.regret_table(regrets, confidence=reporting.confidence, interval=reporting.interval)
    published = context.settings.protocol == "published"
    table = transfer.published_regret_table(transfer_runs) if published else paired
    relative = [name for name in table if "relative" in name]
    files = {
        **loss_files(transfer_runs, 0 if published else 1),
        "regret_matrix": table.drop(columns=relative),
        "relative_regret_matrix": table[[*CELL, *relative]],
        "regret_paired_by_seed": paired,
        "matrices/test_loss": transfer.matrix(transfer_runs, "test_loss").reset_index(),
        "matrices/regret": transfer.matrix(table, "mean_regret").reset_index(),
        "matrices/relative_regret": transfer.matrix(table, "mean_relative_regret").reset_index(),
    }
    kinds = {perceptron.name: perceptron.parametrisation for perceptron in context.settings.perceptrons}
    sentences = [
        (f"{kind}: " if len(context.settings.parametrisations) > 1 else "")
        + transfer.transfer_sentence(
            regrets[regrets["target_arch"].map(kinds) == kind],
            confidence=reporting.confidence,
            interval=reporting.interval,
        )
        for kind in context.settings.parametrisations
    ]
    trained, reused = int((~transfer_runs["reused"]).sum()), int(transfer_runs["reused"].sum())
    return files, {"conclusions": sentences, "cells_trained": trained, "cells_reused": reused}


def loss_files(transfer_runs: pd.DataFrame, degrees: int) -> Files:
    """Test losses of the transfer, summed up and seed by seed; `degrees` as for `search_files`."""
    spread = [
        {**dict(zip(CELL, names, strict=True)), **_spread(runs["test_loss"], degrees)}
        for names, runs in transfer_runs.groupby(CELL, sort=False)
    ]
    losses = transfer_runs[[*CELL, "seed", "test_loss"]]
    return {"transfer_results": pd.DataFrame(spread), "transfer_seed_losses": losses}


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
    settings: MlpTransferSettings, search_results: pd.DataFrame, search_histories: pd.DataFrame, best: dict[str, Any]
) -> dict[str, Figure]:
    """The loss curve of each architecture's best trial, in a file of its own as the published project has it.

    Beside them, where several parametrisations are studied: which learning rate serves which width in each.
    """
    from vision_studies.figures.style import stamped
    from vision_studies.pipelines.mlp_transfer.plots import loss_curve
    from vision_studies.pipelines.mlp_transfer.width_plots import learning_rates

    figures = {
        f"{name}/best_trial/loss_curve": loss_curve(
            trial_history(search_histories, name, best_trial["trial"]), f"{name}, trial {best_trial['trial']}"
        )
        for name, best_trial in best["architectures"].items()
    }
    if len(settings.parametrisations) > 1:
        figures["learning_rates"] = learning_rates(rate_table(settings, search_results))
    return stamped(figures, _notice(settings))


def rate_table(settings: MlpTransferSettings, search_results: pd.DataFrame) -> pd.DataFrame:
    """Every trial's learning rate and validation loss: columns parametrisation, widths, lr, validation_loss."""
    named = pd.DataFrame(
        [(each.name, each.parametrisation, architecture_name(each.widths)) for each in settings.perceptrons],
        columns=["variant", "parametrisation", "widths"],
    )
    rates = [json.loads(configuration)["hyperparameters.lr"] for configuration in search_results["configuration"]]
    trials = search_results[["variant", "validation_loss"]].assign(lr=rates)
    return named.merge(trials, on="variant")[["parametrisation", "widths", "lr", "validation_loss"]]


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


def _search_outcome(search_results: pd.DataFrame, best: dict[str, Any]) -> dict[str, Any]:
    return {"best": best, "trials": set(search_results["run_fingerprint"])}


def _check_search(context: Perceptrons, best: dict[str, Any]) -> None:
    differing = [name for name, value in search_identity(context).items() if best["search"].get(name) != value]
    if differing:
        raise DataError(
            f"The study's best hyperparameters were searched for with another configuration ({', '.join(differing)} "
            "differ); run the search of this one first: the same command with --tags=search."
        )


def _check_retraining(context: Perceptrons, best: dict[str, Any], results: pd.DataFrame) -> None:
    _check_search(context, best)
    if {run.fingerprint for run in home_runs(context, best)} - {*results["run_fingerprint"]}:
        raise DataError(
            "The study's architectures have not been retrained with these seeds and the hyperparameters that its search has "
            "chosen; do it first: the same command with --tags=retrain."
        )


def _check_transfer(context: Perceptrons, best: dict[str, Any], transfer_runs: pd.DataFrame) -> None:
    _check_search(context, best)
    cells = [run.fingerprint for *_, run in transfer_cells(context, best)]
    if len(transfer_runs) != len(cells) or {*transfer_runs["run_fingerprint"].dropna()} - {*cells}:
        raise DataError(
            "The study's transfer was done with other seeds, or with hyperparameters of an earlier search; do it again first: "
            "the same command with --tags=transfer."
        )


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
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and pd.isna(value) else value


def _notice(settings: MlpTransferSettings) -> str:
    """What figures say where they follow the published protocol."""
    return "protocol: published" if settings.protocol == "published" else ""
