"""Nodes of `stacking` that search, train and score."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.stacking import StackingSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.pipelines.stacking.plan import plan_entries
from vision_studies.pipelines.stacking.work import (
    EVALUATION,
    TRAINING,
    Workplace,
    do_trials,
    evaluate_entries,
    search_of,
    train_entries,
    trial_run,
)
from vision_studies.studies.run_tables import history_table, results_table
from vision_studies.studies.stages import run_folder

Trials = dict[str, Any]


def search_hyperparameters(
    settings: StackingSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    ffcv_files: Mapping[str, Path],
    runs_folder: Path,
) -> tuple[Trials, pd.DataFrame, pd.DataFrame]:
    """Search every variant's hyperparameters, where the study asks for that; several processes may do it at once.

    Returns:
        Variant -> its best trial, all its trials and the importance of what was searched; rows of the results table, one a
        trial; their histories.
    """
    place = workplace(settings, study, execution, image_set, splits, ffcv_files, runs_folder)
    if settings.search is None:
        return {}, results_table([], runs_folder, [TRAINING]), pd.DataFrame({"variant": [], "trial": [], "epoch": []})
    plan_entries(settings, place.data, {})  # what does not fit is told before the first trial
    if fresh:
        for variant in settings.variants:
            for trial in search_of(place, variant).forget():
                shutil.rmtree(run_folder(runs_folder, trial_run(place, variant, trial)), ignore_errors=True)
    found: Trials = {}
    runs = []
    for variant in settings.variants:
        do_trials(place, variant)
        search = search_of(place, variant)
        trials, best = search.trials(), search.best()
        if best is None:
            counts = pd.Series([trial.status for trial in trials]).value_counts()
            told = ", ".join(f"{count} {status}" for status, count in counts.items())
            raise DataError(
                f"No trial of the variant {variant.name} is complete ({told}); narrow the learning rates of "
                "stacking.search.spaces, or raise stacking.search.trials."
            )
        runs += [trial_run(place, variant, trial) for trial in trials]
        found[variant.name] = {
            "best": best.number,
            "drawn": best.drawn,
            "trials": [
                {"number": trial.number, "params": trial.names, "value": trial.value, "status": trial.status}
                for trial in trials
            ],
            "importance": search.importance(),
        }
    return found, results_table(runs, runs_folder, [TRAINING]), history_table(runs, runs_folder)


def train_runs(
    settings: StackingSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    ffcv_files: Mapping[str, Path],
    runs_folder: Path,
    trials: Trials,
) -> tuple[list[dict[str, Any]], pd.DataFrame, pd.DataFrame]:
    """Train every variant and every opponent with every seed, what is finished excepted.

    Returns:
        The rows of the study with their roles; rows of the results table, without test columns; histories.
    """
    place = workplace(settings, study, execution, image_set, splits, ffcv_files, runs_folder)
    entries = plan_entries(settings, place.data, _drawn(settings, trials))
    runs = train_entries(place, entries, fresh=fresh)
    plan = [entry.described() for entry in entries]
    return plan, results_table(runs, runs_folder, [TRAINING]), history_table(runs, runs_folder)


def evaluate_runs(
    settings: StackingSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    ffcv_files: Mapping[str, Path],
    runs_folder: Path,
    trials: Trials,
    training_results: pd.DataFrame,  # noqa: ARG001 - they have to be there first
) -> pd.DataFrame:
    """Score every trained run on the test split, once; return the rows of the results table."""
    place = workplace(settings, study, execution, image_set, splits, ffcv_files, runs_folder)
    runs = evaluate_entries(place, plan_entries(settings, place.data, _drawn(settings, trials)))
    return results_table(runs, runs_folder, [TRAINING, EVALUATION])


def _drawn(settings: StackingSettings, trials: Trials) -> dict[str, dict[str, Any]]:
    if settings.search is None:
        return {}
    missing = [variant.name for variant in settings.variants if variant.name not in trials]
    if missing:
        raise DataError(
            f"Nothing was searched for the variant {missing[0]}; run the search first: the same command with --tags=search."
        )
    return {name: own["drawn"] for name, own in trials.items()}


def workplace(
    settings: StackingSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    ffcv_files: Mapping[str, Path],
    runs_folder: Path,
) -> Workplace:
    """Where the runs of the study are done."""
    from vision_studies.data.prepared import PreparedData

    data = PreparedData.from_catalog(image_set, splits, ffcv_files)
    return Workplace(settings, study, execution, data, runs_folder)
