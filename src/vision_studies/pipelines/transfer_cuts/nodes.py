"""Nodes of `transfer_cuts` that train."""

import json

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.transfer_cuts.plan import Cuts, pretraining_runs, share_name, study_cells
from vision_studies.pipelines.transfer_cuts.settings import TransferCutsSettings
from vision_studies.pipelines.transfer_cuts.stages import EVALUATION, FINE_TUNING, PRETRAINING, TRAINING
from vision_studies.studies.method import run_stages


def pretrain_networks(context: Cuts) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a network on the first classes with every pretraining seed; return rows and histories of all."""
    run_stages(context, PRETRAINING)
    runs = pretraining_runs(context)
    return context.table(runs, [PRETRAINING]), context.histories(runs)


def fine_tune_networks(context: Cuts, pretraining: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the networks and train them on the new classes; return a row a place of the table, and histories of runs."""
    missing = {run.fingerprint for run in pretraining_runs(context)} - set(pretraining["run_fingerprint"])
    if missing:
        raise DataError(
            "The study's pretraining was made with another configuration; run it first: the same command without --tags."
        )
    run_stages(context, FINE_TUNING)
    runs = [cell.run for cell in study_cells(context)]
    unique = {run.fingerprint: run for run in runs}
    return context.table(runs, [TRAINING]), context.histories([*unique.values()])


def evaluate_networks(context: Cuts, _training: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every fine-tuned network once.

    Returns:
        The results table, and accuracies by mode, cut, fraction and repeat.
    """
    run_stages(context, EVALUATION)
    cells = study_cells(context)
    results = context.table([cell.run for cell in cells], [TRAINING, EVALUATION])
    cell_of = {(cell.run.variant, cell.run.seed): cell for cell in cells}
    rows, conditions = [], []
    for row in results.to_dict("records"):
        cell = cell_of[row["variant"], row["seed"]]
        other = json.loads(row["other_metrics"]) if isinstance(row["other_metrics"], str) else {}
        conditions.append(share_name(cell.fraction))
        rows.append(
            {
                "mode": cell.mode,
                "cut": cell.cut,
                "fraction": cell.fraction,
                "repeat": row["seed"],
                "images": other.get("training_images", 0) + _counted(context.settings, other),
                "train_accuracy": other.get("train_accuracy"),
                "validation_accuracy": row["validation_accuracy"],
                "test_accuracy": row["test_accuracy"],
                "status": row["status"],
            }
        )
    return results.assign(condition=conditions), pd.DataFrame(rows)


def _counted(settings: TransferCutsSettings, other: dict[str, int]) -> int:
    """Validation images that belong to the fraction."""
    return other.get("validation_images", 0) if settings.fine_tuning.validation == "counted" else 0
