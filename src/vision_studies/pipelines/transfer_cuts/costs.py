"""What cut networks cost: pretraining, what frozen layers give, and stacks of what learns behind them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from vision_studies.config.training import EnsembleSettings
from vision_studies.costs import Cost
from vision_studies.data.prepared import PreparedData
from vision_studies.data.subsets import class_data
from vision_studies.models.statistics import count_macs, without_values
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.pipelines.transfer_cuts.cut_networks import FrozenLayers, build_network, pretraining_network
from vision_studies.pipelines.transfer_cuts.settings import (
    CutRunSettings,
    CutStackSettings,
    ImportedRunSettings,
    Pretraining,
    PretrainingRunSettings,
)
from vision_studies.pipelines.transfer_cuts.work import CutRun, pretrain, subset, train_stack
from vision_studies.training.checkpoints import save_weights
from vision_studies.training.precision import HasPrecision, autocast
from vision_studies.training.timing import harmless, seconds_of, stack_costs

_TIMED_IMAGES = 256
_BYTES: dict[tuple[Any, ...], int] = {}
"""What has been found of the features of an image, by what they depend on."""


def pretraining_costs(
    settings: Pretraining, data: PreparedData, device: torch.device, options: CutStackSettings
) -> list[Cost]:
    """What it costs to learn the first classes, or to score a network that has."""
    images = class_data(data, settings.classes, published=settings.protocol == "published")
    network = settings.network
    scoring = forward_cost(settings, data, device, depth=network.depth, images=len(images.test), start=0)
    if isinstance(settings, ImportedRunSettings):
        fitted = len(images.train) if isinstance(network, BackboneNetSettings) else 0
        return [replace(scoring, units=len(images.test) + len(images.validation) + fitted)]
    whole: PretrainingRunSettings = settings

    def rehearse(training: EnsembleSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
        few = whole.model_copy(update={"training": training, "optimizer": harmless(whole.optimizer), "protocol": None})
        history = pretrain(few, 0, small, folder, device, options).history
        assert history is not None  # noqa: S101 - a training has one
        return history

    costs = stack_costs(
        _shape(settings, device, options),
        whole.training,
        rehearse,
        _of_classes(data, settings.classes),
        _operations(settings, data, 0, network.depth),
        members=1,
        images=len(images.train),
        validated=len(images.validation),
    )
    return [*costs, scoring]


def stack_of_cuts_costs(
    settings: CutRunSettings,
    pretraining: Pretraining,
    members: int,
    repeat: int,
    data: PreparedData,
    device: torch.device,
    options: CutStackSettings,
    *,
    shared: int,
) -> list[Cost]:
    """What a stack of fine-tunings costs.

    Args:
        settings: of its members.
        pretraining: of the networks that are cut.
        members: how many there are.
        repeat: of the first of them.
        data: images and splits.
        device: where they are trained.
        options: memory of the stack and of features.
        shared: how many stacks share what the layers before the cut give.
    """
    learns, validates = subset(settings, repeat, data)
    images = class_data(data, settings.classes, published=settings.protocol == "published")
    pool = len(images.train) + len(images.validation)
    frozen = settings.cut.frozen
    kept = frozen > 0 and _feature_bytes(settings, data, frozen, pool, device) <= options.features_mb * 1e6
    memory = options if kept else options.model_copy(update={"features_mb": 0})

    def rehearse(training: EnsembleSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
        tuning = settings.fine_tuning.model_copy(
            update={
                "training": training,
                "optimizer": harmless(settings.fine_tuning.optimizer),
                "validation": "whole",
            }
        )
        few = settings.model_copy(update={"fine_tuning": tuning, "fraction": 1.0, "balanced": False, "protocol": None})
        first = pretraining.model_copy(update={"protocol": None})
        file = folder / "first.safetensors"
        save_weights(pretraining_network(first, small, 0), file)
        # One file: a stack is of one pretrained network.
        runs = [CutRun(few, number, file, first) for number in range(members)]
        histories: dict[int, pd.DataFrame] = {}

        def end(member: int, outcome: Any) -> None:
            histories[member] = outcome.history

        place = folder / "members"
        train_stack(
            runs, small, folder, device, memory, on_end=end, weights_file=lambda member: place / f"{member}.safetensors"
        )
        file.unlink()
        return histories[0]

    shape = _shape(settings, device, options) | {
        "cut": settings.cut.model_dump(mode="json"),
        "features": kept,
    }
    start = frozen if kept else 0
    operations = _operations(settings, data, start, settings.cut.kept)
    costs = stack_costs(
        shape,
        settings.fine_tuning.training,
        rehearse,
        _of_classes(data, settings.classes),
        operations,
        members=members,
        images=len(learns),
        validated=len(validates),
    )
    if kept:
        features = forward_cost(settings, data, device, depth=frozen, images=pool / max(1, shared), start=0)
        costs.append(features)
    return costs


def cut_scoring_costs(
    settings: CutRunSettings, members: int, repeat: int, data: PreparedData, device: torch.device
) -> list[Cost]:
    """What it costs to score networks behind the same layers on test images, and on those that they have learnt from."""
    images = class_data(data, settings.classes, published=settings.protocol == "published")
    published = settings.protocol is not None
    test = len(images.train) + len(images.validation) if published else len(images.test)
    more = 0 if published else len(subset(settings, repeat, data)[0])
    frozen = settings.cut.frozen
    costs = [
        forward_cost(settings, data, device, depth=settings.cut.kept, images=members * (test + more), start=frozen)
    ]
    if frozen:
        costs.append(forward_cost(settings, data, device, depth=frozen, images=test + members * more, start=0))
    return costs


def forward_cost(
    settings: CutRunSettings | Pretraining,
    data: PreparedData,
    device: torch.device,
    *,
    depth: int,
    images: float,
    start: int,
) -> Cost:
    """What layers from `start` to `depth` give, of so many images."""
    training = _training(settings)
    shape = {
        "network": settings.network.model_dump(mode="json"),
        "layers": [start, depth],
        "images": list(data.image_set.images.shape[1:]),
        "precision": training.precision,
        "device": device.type,
    }

    def forward() -> Any:
        positions = np.arange(min(_TIMED_IMAGES, len(data.image_set.labels)))
        whole = build_network(settings.network, data, len(settings.classes)).eval()
        layers = FrozenLayers(whole, start or depth, training, device)
        if not start:
            return lambda: layers.features(data, positions), len(positions)
        features = layers.features(data, positions)
        rest: nn.Module = build_network(settings.network, data, len(settings.classes), start, depth).eval().to(device)

        def go() -> Any:
            with torch.inference_mode(), autocast(training, device):
                return rest(features)

        return go, len(positions)

    operations = _operations(settings, data, start, depth)
    return Cost("predict", shape, images, operations, lambda: seconds_of(forward))


def _training(settings: CutRunSettings | Pretraining) -> HasPrecision:
    return settings.fine_tuning.training if isinstance(settings, CutRunSettings) else settings.training


def _shape(settings: CutRunSettings | Pretraining, device: torch.device, options: CutStackSettings) -> dict[str, Any]:
    return {
        "network": settings.network.model_dump(mode="json"),
        "classes": len(settings.classes),
        "images_at_once": options.images_at_once,
        "device": device.type,
    }


def _operations(
    settings: CutRunSettings | Pretraining, data: PreparedData, start: int, stop: int
) -> Callable[[], float]:
    def operations() -> float:
        def of(layers: int) -> int:
            with without_values():
                return count_macs(
                    build_network(settings.network, data, len(settings.classes), 0, layers), data.image_shape
                )

        return float(max(1, of(stop) - (of(start) if start else 0)))

    return operations


def _of_classes(data: PreparedData, classes: Sequence[str]) -> PreparedData:
    """The same images, in splits of these classes alone."""
    images = class_data(data, classes, published=False)
    splits = type(data.splits)(*(np.sort(each) for each in (images.train, images.validation, images.test)))
    return replace(data, splits=splits)


def _feature_bytes(settings: CutRunSettings, data: PreparedData, frozen: int, images: int, device: torch.device) -> int:
    """Memory of what the layers before a cut give."""
    shape = data.image_set.images.shape[1:]
    key = (settings.network.model_dump_json(), shape, frozen, settings.fine_tuning.training.precision, device.type)
    if key not in _BYTES:
        whole = build_network(settings.network, data, len(settings.classes)).eval()
        layers = FrozenLayers(whole, frozen, settings.fine_tuning.training, device)
        _BYTES[key] = layers.bytes(data, np.arange(1))
    return images * _BYTES[key]
