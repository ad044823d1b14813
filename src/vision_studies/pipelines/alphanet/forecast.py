"""What the next run of `alphanet` would do."""

from pathlib import Path

import pandas as pd

from vision_studies.config.alphanet import AlphanetSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.pipelines.alphanet import checks
from vision_studies.pipelines.alphanet.nodes import workplace
from vision_studies.pipelines.alphanet.work import EVALUATION, FITTING, PIPELINE, TRAINING, Workplace
from vision_studies.studies.forecast import LATER, REUSE, TRAIN, Decision, Forecaster, StageForecast, joined
from vision_studies.studies.stages import is_finished


def forecast(
    settings: AlphanetSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet | None,
    splits: pd.DataFrame | None,
    runs_folder: Path,
) -> list[StageForecast]:
    """Backbones, their features, the classifiers on these, and the AlphaNets."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    checks.check(place)
    told = Forecaster(PIPELINE, runs_folder, fresh=fresh)
    classifiers = [own.run for own in place.classifiers()]
    experiments = [own.run for own in place.experiments()]
    backbones = [run for experts in place.backbone_runs() for run in experts]
    return [
        *([told.stage(backbones, TRAINING, title="backbones")] if backbones else []),
        StageForecast(PIPELINE, "features", "extract", tuple(_features(place, fresh=fresh))),
        told.stage(classifiers, FITTING, title="classifiers", verb="fit"),
        told.stage(experiments, TRAINING, title="AlphaNets"),
        joined(
            told.stage(classifiers, EVALUATION, verb="score", after=FITTING),
            told.stage(experiments, EVALUATION, verb="score", after=TRAINING),
        ),
    ]


def most_runs(settings: AlphanetSettings) -> int:
    """How many trainings there are at most, found without data: networks, classifiers on them, and AlphaNets."""
    grid = len(settings.improved) * len(settings.distances) * len(settings.neighbours) * len(settings.rhos)
    networks = 0 if settings.imported is not None else len(settings.backbone.seeds) * settings.backbone.experts
    sets = 1 if settings.imported is not None else len(settings.backbone.seeds)
    return networks + len(settings.classifiers) * sets + grid * settings.repeats


def _features(place: Workplace, *, fresh: bool) -> list[Decision]:
    from vision_studies.methods.alphanet.features import has_feature_set

    found, networks = [], place.backbone_runs()
    for repeat, folder in enumerate(place.source_folders):
        name = f"features, repeat {repeat}"
        needed = networks[repeat] if networks else []
        if needed and (fresh or not all(is_finished(place.folder, run, TRAINING) for run in needed)):
            found.append(Decision(name, LATER, "when their networks have been trained"))
        elif has_feature_set(folder / "features") and not fresh:
            found.append(Decision(name, REUSE, "finished"))
        else:
            found.append(Decision(name, TRAIN, "not made yet"))
    return found
