"""What the next run of `mlp_transfer` would do."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.mlp_transfer import MlpTransferSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.pipelines.mlp_transfer.nodes import home_runs, select_hyperparameters, transfer_cells, workplace
from vision_studies.pipelines.mlp_transfer.work import EVALUATION, TRAINING, pruned_otherwise, search_batches
from vision_studies.studies.forecast import REUSE, TRAIN, Decision, Forecaster, StageForecast, Unknown
from vision_studies.studies.run_tables import results_table
from vision_studies.studies.runs import Run


def forecast(
    settings: MlpTransferSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> list[StageForecast]:
    """Search, then retraining at home and elsewhere, which are known when the search has ended."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    told = Forecaster("mlp_transfer", runs_folder, fresh=fresh)
    trials: list[Run] = []
    for batch, _ in search_batches(place):
        trials += batch
        begun = any(decision.action != REUSE for decision in told.stage(batch, TRAINING).decisions)
        if begun and settings.search.sampler.name == "tpe":
            break
    missing = settings.search.trials * len(settings.architectures) - len(trials)
    undrawn = [Unknown(missing, "drawn from what the trials before them find")] if missing else []
    search = told.stage(trials, TRAINING, title="search", unknown=undrawn)
    again = {run.fingerprint for run in pruned_otherwise(place, trials)}
    search = replace(
        search, decisions=tuple(_spared(own) if own.fingerprint in again else own for own in search.decisions)
    )
    scored = []
    if settings.protocol == "published":
        scored = [told.stage(trials, EVALUATION, title="trial scores", verb="score", after=TRAINING)]
    if missing or any(decision.action != REUSE for decision in search.decisions):
        return [search, *scored, *_unknown(settings, "the search chooses their hyperparameters")]
    try:
        found = results_table(trials, runs_folder, [TRAINING])
        best = select_hyperparameters(settings, image_set, splits, found)
    except DataError as error:  # the run would stop here and say so
        return [search, *scored, *_unknown(settings, str(error))]
    home = home_runs(place, best)
    known = {run.fingerprint for run in [*trials, *home]}
    elsewhere = [run for _, _, run in transfer_cells(place, best) if run.fingerprint not in known]
    return [
        search,
        *scored,
        told.stage(home, TRAINING, title="retraining"),
        told.stage(elsewhere, TRAINING, title="transfer"),
        told.stage([*home, *elsewhere], EVALUATION, verb="score", after=TRAINING),
    ]


def _spared(decision: Decision) -> Decision:
    if decision.action != REUSE:
        return decision
    return replace(decision, action=TRAIN, reason="a search with another pruner had ended it", finished_at=None)


def _unknown(settings: MlpTransferSettings, reason: str) -> list[StageForecast]:
    architectures, seeds = len(settings.architectures), len(settings.seeds)
    counts = {"retraining": architectures * seeds, "transfer": architectures * (architectures - 1) * seeds}
    return [
        StageForecast("mlp_transfer", stage, "train", unknown=(Unknown(count, reason),))
        for stage, count in counts.items()
        if count
    ]


def most_runs(settings: MlpTransferSettings) -> int:
    """How many trainings there are at most, found without data."""
    architectures = len(settings.architectures)
    return architectures * settings.search.trials + architectures**2 * len(settings.seeds)
