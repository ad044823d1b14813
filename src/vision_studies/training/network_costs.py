"""What it costs to train one network alone, and to score it; see `network_run`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from vision_studies.config.network_run import RandomnessSettings, RunSettings
from vision_studies.config.training import TrainingSettings
from vision_studies.costs import Cost
from vision_studies.data.prepared import PreparedData
from vision_studies.models.statistics import count_macs, without_values
from vision_studies.training import network_run
from vision_studies.training.timing import fit_costs


def training_costs(settings: RunSettings, data: PreparedData, device: torch.device, processes: int = 1) -> list[Cost]:
    """What a network costs that is trained alone, from nothing."""

    def rehearse(training: TrainingSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
        few = {"training": training, "randomness": RandomnessSettings(), "loader": "device"}
        outcome = network_run.train(settings.model_copy(update=few), 0, small, folder, device)
        assert outcome.history is not None  # noqa: S101 - a training has one
        return outcome.history

    shape = settings.model_dump(mode="json", include={"model", "augmentation", "loader"})
    shape |= {"classes": data.num_classes, "device": device.type, "processes": processes}
    return fit_costs(shape, settings.training, rehearse, data, operations_of(settings, data))


def scoring_costs(settings: RunSettings, data: PreparedData, device: torch.device) -> Sequence[Cost]:
    """What it costs to score such a network on the test images, in all its views, and on the validation images."""
    *_, predict = training_costs(settings, data, device)
    views = max(1, *settings.evaluation.views)
    return [replace(predict, units=len(data.splits.test) * views + len(data.splits.validation), least=None)]


def operations_of(settings: RunSettings, data: PreparedData) -> Callable[[], float]:
    """Multiply-adds of the network for an image."""

    def operations() -> float:
        with without_values():
            return float(count_macs(network_run.build_network(settings, data), data.image_shape))

    return operations
