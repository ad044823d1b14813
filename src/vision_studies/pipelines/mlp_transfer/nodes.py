"""Nodes of `mlp_transfer` that train: search, retraining at home, transfer to other shapes."""

from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.mlp_transfer.settings import architecture_name
from vision_studies.pipelines.mlp_transfer.stages import (
    EVALUATION,
    RETRAINING,
    SEARCH,
    TRAINING,
    TRANSFER,
    TRANSFER_SCORES,
    TRIAL_SCORES,
    Perceptrons,
    home_runs,
    search_identity,
    transfer_cells,
)
from vision_studies.studies.method import run_stages


def search_hyperparameters(context: Perceptrons) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every trial of every architecture; return rows and histories of all, earlier calls' included."""
    scored = context.settings.protocol == "published"
    done = run_stages(context, SEARCH, *([TRIAL_SCORES] if scored else []))
    names = [architecture_name(widths) for widths in context.settings.architectures]
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
    _check_search(context, best)
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


def _search_outcome(search_results: pd.DataFrame, best: dict[str, Any]) -> dict[str, Any]:
    return {"best": best, "trials": set(search_results["run_fingerprint"])}


def _check_search(context: Perceptrons, best: dict[str, Any]) -> None:
    differing = [name for name, value in search_identity(context).items() if best["search"].get(name) != value]
    if differing:
        raise DataError(
            f"The study's best hyperparameters were searched for with another configuration ({', '.join(differing)} "
            "differ); run the search of this one first: the same command with --tags=search."
        )
