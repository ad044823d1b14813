"""What the next run of `transfer_cuts` would do."""

from pathlib import Path

import pandas as pd

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.config.transfer_cuts import TransferCutsSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.pipelines.transfer_cuts.nodes import workplace
from vision_studies.pipelines.transfer_cuts.work import EVALUATION, PIPELINE, PRETRAINING, TRAINING, check_subsets
from vision_studies.studies.forecast import Forecaster, StageForecast


def forecast(
    settings: TransferCutsSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> list[StageForecast]:
    """Pretraining, fine-tuning and evaluation."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    runs = [cell.run for cell in place.cells()]
    check_subsets(place, runs)
    told = Forecaster(PIPELINE, runs_folder, fresh=fresh)
    return [
        told.stage(place.pretraining_runs(), PRETRAINING),
        told.stage(runs, TRAINING, title="fine-tuning"),
        told.stage(runs, EVALUATION, verb="score", after=TRAINING),
    ]


def most_runs(settings: TransferCutsSettings) -> int:
    """How many trainings there are at most, found without data: places of the table may be one run."""
    points = 1 + sum(len(settings.cut_points(mode)) for mode in settings.modes)
    return len(settings.pretraining.seeds) + points * sum(subset.repeats for subset in settings.subsets)
