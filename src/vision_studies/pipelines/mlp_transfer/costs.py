"""What perceptrons cost."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vision_studies.config.training import EnsembleSettings
from vision_studies.costs import Cost
from vision_studies.data.prepared import PreparedData
from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, StackSettings
from vision_studies.pipelines.mlp_transfer.work import build_network, image_batch, train_stack
from vision_studies.training.precision import autocast
from vision_studies.training.timing import seconds_of, stack_costs

_HARMLESS = 1e-6  # a learning rate
_TIMED_IMAGES = 2048


def training_costs(
    settings: MlpRunSettings, members: int, data: PreparedData, device: torch.device, options: StackSettings
) -> list[Cost]:
    """What a stack of perceptrons of one shape costs."""

    def rehearse(training: EnsembleSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
        slow = {**settings.hyperparameters, "lr": _HARMLESS}
        few = settings.model_copy(update={"training": training, "hyperparameters": slow})
        histories: dict[int, pd.DataFrame] = {}

        def end(member: int, outcome: Any) -> None:
            histories[member] = outcome.history

        stack = [(few, seed) for seed in range(members)]
        train_stack(
            stack,
            small,
            folder,
            device,
            options,
            on_end=end,
            weights_file=lambda member: folder / f"{member}.safetensors",
        )
        return histories[0]

    return stack_costs(
        _shape(settings, device),
        settings.training,
        rehearse,
        data,
        lambda: _operations(settings, data),
        members=members,
        images=len(data.splits.train),
        validated=len(data.splits.validation),
    )


def scoring_costs(settings: MlpRunSettings, members: int, data: PreparedData, device: torch.device) -> list[Cost]:
    """What it costs to score them on the test images."""

    def forward() -> Any:
        images = image_batch(settings, data, data.splits.test[:_TIMED_IMAGES], device)
        network = build_network(settings, data).to(device).eval()

        def go() -> Any:
            with torch.inference_mode(), autocast(settings.training, device):
                return network(images)

        return go, len(images)

    shape = {**_shape(settings, device), "images": list(data.image_set.images.shape[1:])}
    shape["precision"] = settings.training.precision
    units = members * len(data.splits.test)
    return [Cost("predict", shape, units, lambda: _operations(settings, data), lambda: seconds_of(forward))]


def _shape(settings: MlpRunSettings, device: torch.device) -> dict[str, Any]:
    return {"widths": list(settings.widths), "parametrisation": settings.parametrisation, "device": device.type}


def _operations(settings: MlpRunSettings, data: PreparedData) -> float:
    widths = [data.image_set.images[0].size, *settings.widths, data.num_classes]
    return float(sum(before * after for before, after in pairwise(widths)))
