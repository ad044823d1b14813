"""Nodes of `transfer_cuts` that train."""

import json
from pathlib import Path

import pandas as pd

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.config.transfer_cuts import TransferCutsSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.pipelines.transfer_cuts.work import (
    EVALUATION,
    PRETRAINING,
    TRAINING,
    Workplace,
    check_subsets,
    evaluate_runs,
    pretrain_runs,
    share_name,
    train_runs,
)
from vision_studies.studies.run_tables import history_table, results_table


def pretrain_networks(
    settings: TransferCutsSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a network on the first classes with every pretraining seed; return rows and histories of all."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    check_subsets(place, [cell.run for cell in place.cells()])
    runs = pretrain_runs(place, fresh=fresh)
    return results_table(runs, runs_folder, [PRETRAINING]), history_table(runs, runs_folder)


def fine_tune_networks(
    settings: TransferCutsSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    pretraining: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the networks and train them on the new classes; return a row a place of the table, and histories of runs."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    wanted = {run.fingerprint for run in place.pretraining_runs()}
    missing = wanted - set(pretraining["run_fingerprint"])
    if missing:
        raise DataError(
            "The study's pretraining was made with another configuration; run it first: the same command without --tags."
        )
    cells = place.cells()
    train_runs(place, [cell.run for cell in cells], fresh=fresh)
    unique = {cell.run.fingerprint: cell.run for cell in cells}
    runs = [cell.run for cell in cells]
    return results_table(runs, runs_folder, [TRAINING]), history_table([*unique.values()], runs_folder)


def evaluate_networks(
    settings: TransferCutsSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    _training: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every fine-tuned network once.

    Returns:
        The results table, and accuracies by mode, cut, fraction and repeat.
    """
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    cells = place.cells()
    evaluate_runs(place, [cell.run for cell in cells])
    results = results_table([cell.run for cell in cells], runs_folder, [TRAINING, EVALUATION])
    places = {(cell.run.variant, cell.run.seed): cell for cell in cells}
    rows = []
    for row in results.to_dict("records"):
        cell = places[row["variant"], row["seed"]]
        other = json.loads(row["other_metrics"]) if isinstance(row["other_metrics"], str) else {}
        rows.append(
            {
                "mode": cell.mode,
                "cut": cell.cut,
                "fraction": cell.fraction,
                "repeat": row["seed"],
                "images": other.get("training_images", 0) + _counted(settings, other),
                "train_accuracy": other.get("train_accuracy"),
                "validation_accuracy": row["validation_accuracy"],
                "test_accuracy": row["test_accuracy"],
                "status": row["status"],
            }
        )
    conditions = [share_name(places[row["variant"], row["seed"]].fraction) for row in results.to_dict("records")]
    return results.assign(condition=conditions), pd.DataFrame(rows)


def _counted(settings: TransferCutsSettings, other: dict[str, int]) -> int:
    """Validation images that belong to the fraction."""
    return other.get("validation_images", 0) if settings.fine_tuning.validation == "counted" else 0


def workplace(
    settings: TransferCutsSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> Workplace:
    """Where the runs of the study are done."""
    from vision_studies.data.prepared import PreparedData

    return Workplace(settings, study, execution, PreparedData.from_catalog(image_set, splits, {}), runs_folder)
