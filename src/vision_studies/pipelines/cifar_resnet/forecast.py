"""What the next run of `cifar_resnet` would do."""

from pathlib import Path

import pandas as pd

from vision_studies.config.cifar_resnet import CifarResnetSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.pipelines.cifar_resnet.nodes import EVALUATION, TRAINING, study_runs
from vision_studies.studies.forecast import Forecaster, StageForecast


def forecast(
    settings: CifarResnetSettings,
    study: StudySettings,
    _execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> list[StageForecast]:
    """Training and evaluation of every variant with every seed."""
    from vision_studies.data.prepared import PreparedData

    runs = study_runs(settings, study, PreparedData.from_catalog(image_set, splits, {}))
    told = Forecaster("cifar_resnet", runs_folder, fresh=fresh)
    return [told.stage(runs, TRAINING), told.stage(runs, EVALUATION, verb="score", after=TRAINING)]


def most_runs(settings: CifarResnetSettings) -> int:
    """How many trainings there are, found without data."""
    return len(settings.variants) * len(settings.seeds)
