"""Nodes of `stacking` that search, train and score."""

from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.stacking.plan import Entry, entry_runs, plan_entries
from vision_studies.pipelines.stacking.settings import StackingSettings
from vision_studies.pipelines.stacking.stages import COMBINATIONS, EVALUATION, SEARCH, TRAINING, Stacking, trials_of
from vision_studies.studies.method import run_stages

SearchResults = dict[str, Any]


def search_hyperparameters(context: Stacking) -> tuple[SearchResults, pd.DataFrame, pd.DataFrame]:
    """Search every variant's hyperparameters, where the study asks for that; several processes may do it at once.

    Returns:
        Variant -> its best trial, all its trials and the importance of what was searched; rows of the results table, one a
        trial; their histories.
    """
    settings = context.settings
    if settings.search is None:
        return {}, context.table([], [TRAINING]), pd.DataFrame({"variant": [], "trial": [], "epoch": []})
    run_stages(context, SEARCH)
    found: SearchResults = {}
    runs = []
    for variant in settings.variants:
        described = trials_of(context, variant)
        search = described.search()
        trials, best = search.trials(), search.best()
        assert best is not None  # noqa: S101 - a search without one is told of when it ends
        runs += [described.run(trial.number, trial.drawn) for trial in trials]
        found[variant.name] = {
            "best": best.number,
            "drawn": best.drawn,
            "trials": [
                {"number": trial.number, "params": trial.names, "value": trial.value, "status": trial.status}
                for trial in trials
            ],
            "importance": search.importance(),
        }
    return found, context.table(runs, [TRAINING]), context.histories(runs)


def train_runs(context: Stacking, trials: SearchResults) -> tuple[list[dict[str, Any]], pd.DataFrame, pd.DataFrame]:
    """Train every variant and every opponent with every seed, what is finished excepted.

    Returns:
        The rows of the study with their roles; rows of the results table, without test columns; histories.
    """
    drawn = _drawn(context.settings, trials)
    run_stages(context, TRAINING, COMBINATIONS, known={"drawn": drawn})
    entries = _entries(context, drawn)
    runs = entry_runs(context, entries)
    plan = [entry.described() for entry in entries]
    return plan, context.table(runs, [TRAINING]), context.histories(runs)


def evaluate_runs(context: Stacking, trials: SearchResults, _training: pd.DataFrame) -> pd.DataFrame:
    """Score every trained run on the test split, once; return the rows of the results table."""
    drawn = _drawn(context.settings, trials)
    run_stages(context, EVALUATION, known={"drawn": drawn})
    return context.table(entry_runs(context, _entries(context, drawn)), [TRAINING, EVALUATION])


def _entries(context: Stacking, drawn: dict[str, dict[str, Any]]) -> list[Entry]:
    return plan_entries(context.settings, context.images, drawn)


def _drawn(settings: StackingSettings, trials: SearchResults) -> dict[str, dict[str, Any]]:
    if settings.search is None:
        return {}
    missing = [variant.name for variant in settings.variants if variant.name not in trials]
    if missing:
        raise DataError(
            f"Nothing was searched for the variant {missing[0]}; run the search first: the same command with --tags=search."
        )
    return {name: searched["drawn"] for name, searched in trials.items()}
