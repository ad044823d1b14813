"""Nodes of `stacking` that search, train and score."""

from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.pipelines.stacking.stages import (
    COMBINATIONS,
    EVALUATION,
    SEARCH,
    TRAINING,
    Entry,
    Stacking,
    entry_runs,
    plan_entries,
    trials_of,
)
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
    results: SearchResults = {}
    runs = []
    for variant in settings.variants:
        described = trials_of(context, variant)
        search = described.search()
        trials, best = search.trials(), search.best()
        assert best is not None  # noqa: S101 - a search without one says so when it ends
        runs += [described.run(trial.number, trial.drawn) for trial in trials]
        shown = [
            {"number": trial.number, "params": trial.names, "value": trial.value, "status": trial.status}
            for trial in trials
        ]
        importance = search.importance()
        results[variant.name] = {"best": best.number, "drawn": best.drawn, "trials": shown, "importance": importance}
    return results, context.table(runs, [TRAINING]), context.histories(runs)


def train_runs(context: Stacking, trials: SearchResults) -> tuple[list[dict[str, Any]], pd.DataFrame, pd.DataFrame]:
    """Train every variant and every opponent with every seed, what is finished excepted.

    Returns:
        The rows of the study with their roles; rows of the results table, without test columns; histories.
    """
    entries = _done(context, trials, TRAINING, COMBINATIONS)
    runs = entry_runs(context, entries)
    plan = [entry.described() for entry in entries]
    return plan, context.table(runs, [TRAINING]), context.histories(runs)


def evaluate_runs(context: Stacking, trials: SearchResults, _training: pd.DataFrame) -> pd.DataFrame:
    """Score every trained run on the test split, once; return the rows of the results table."""
    entries = _done(context, trials, EVALUATION)
    return context.table(entry_runs(context, entries), [TRAINING, EVALUATION])


def _done(context: Stacking, trials: SearchResults, *labels: str) -> list[Entry]:
    """Do stages with what was searched; return all variants and opponents."""
    settings, hyperparameters = context.settings, {}
    for variant in settings.variants if settings.search is not None else ():
        if variant.name not in trials:
            raise DataError(
                f"Nothing was searched for the variant {variant.name}; run the search first: the same command with "
                "--tags=search."
            )
        hyperparameters[variant.name] = trials[variant.name]["drawn"]
    run_stages(context, *labels, known={"drawn": hyperparameters})
    return plan_entries(settings, context.images, hyperparameters)
