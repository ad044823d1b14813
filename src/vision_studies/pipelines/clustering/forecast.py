"""What the next run of `clustering` would do."""

from pathlib import Path

import pandas as pd

from vision_studies.config.clustering import ClusteringSettings
from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.study import StudySettings
from vision_studies.config.transfer_cuts import TransferCutsSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.pipelines.clustering.nodes import Clustering, clusterings
from vision_studies.pipelines.transfer_cuts.nodes import workplace
from vision_studies.pipelines.transfer_cuts.work import PRETRAINING
from vision_studies.studies.forecast import LATER, REUSE, TRAIN, Decision, StageForecast
from vision_studies.studies.stages import is_finished


def forecast(
    cuts: TransferCutsSettings,
    settings: ClusteringSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> list[StageForecast]:
    """Every method on every pretrained network; the networks are those of `transfer_cuts`."""
    place = workplace(cuts, study, execution, image_set, splits, runs_folder)

    def decide(own: Clustering) -> Decision:
        name = f"{own.method.name} of {own.classes} classes, network {own.run.seed}"
        if fresh or not is_finished(runs_folder, own.run, PRETRAINING):
            return Decision(name, LATER, "when its network has been pretrained")
        if own.file.exists():
            return Decision(name, REUSE, "finished")
        earlier = any(own.file.parent.glob("clusters-*.parquet"))
        return Decision(name, TRAIN, "no such clustering of this network yet" if earlier else "not clustered yet")

    found = tuple(decide(own) for own in clusterings(place, settings))
    return [StageForecast("clustering", "clustering", "cluster", found)]


def most_runs(cuts: TransferCutsSettings, settings: ClusteringSettings) -> int:
    """How many clusterings there are, found without data."""
    return len(cuts.pretraining.seeds) * len(settings.classes) * len(settings.methods)
