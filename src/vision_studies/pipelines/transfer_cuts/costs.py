"""What cut networks cost: pretraining, what frozen layers give, and stacks of what learns behind them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vision_studies.config.training import EnsembleSettings
from vision_studies.costs import Cost
from vision_studies.data.prepared import PreparedData
from vision_studies.data.subsets import ClassData, class_data
from vision_studies.models.statistics import count_macs, without_values
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.pipelines.transfer_cuts.cut_networks import CutNet, FrozenLayers, build_network, pretraining_network
from vision_studies.pipelines.transfer_cuts.settings import (
    CutRunSettings,
    CutStackSettings,
    ImportedRunSettings,
    Pretraining,
)
from vision_studies.pipelines.transfer_cuts.work import CutRun, classes_of, pretrain, subset, train_stack
from vision_studies.training.checkpoints import save_weights
from vision_studies.training.precision import HasPrecision, autocast
from vision_studies.training.timing import harmless, seconds_of, stack_costs

_TIMED_IMAGES = 256
_BYTES: dict[tuple[Any, ...], int] = {}
"""What has been found of the features of an image, by what they depend on."""


@dataclass(frozen=True)
class CutCosts:
    """What runs with these settings cost on some images; `options` says memory of a stack and of features."""

    settings: CutRunSettings | Pretraining
    data: PreparedData
    device: torch.device
    options: CutStackSettings

    def pretraining(self) -> list[Cost]:
        """What it costs to learn the first classes, or to score a network that has."""
        settings, images = self.settings, self._images
        assert not isinstance(settings, CutRunSettings)  # noqa: S101 - asked for only of pretrainings
        depth = settings.network.depth
        scoring = self._forward(depth=depth, images=len(images.test))
        if isinstance(settings, ImportedRunSettings):
            fitted = len(images.train) if isinstance(settings.network, BackboneNetSettings) else 0
            return [replace(scoring, units=len(images.test) + len(images.validation) + fitted)]
        whole = settings

        def rehearse(training: EnsembleSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
            changes = {"training": training, "optimizer": harmless(whole.optimizer), "protocol": None}
            few = whole.model_copy(update=changes)
            history = pretrain(few, 0, small, folder, self.device, self.options).history
            assert history is not None  # noqa: S101 - a training has one
            return history

        sizes = {"members": 1, "images": len(images.train), "validated": len(images.validation)}
        operations = self._operations(0, depth)
        return [
            *stack_costs(self._shape, whole.training, rehearse, self._data_of_classes, operations, **sizes),
            scoring,
        ]

    def fine_tuning(self, pretraining: Pretraining, members: int, repeat: int, shared: int) -> list[Cost]:
        """What a stack of fine-tunings, the first of this repeat, costs; `shared` share what the layers before the cut give."""
        settings, options = self.settings, self.options
        assert isinstance(settings, CutRunSettings)  # noqa: S101 - asked for only of such runs
        learns, validates = subset(settings, repeat, self.data)
        pool, frozen = len(self._images.train) + len(self._images.validation), settings.cut.frozen
        kept = frozen > 0 and pool * self._feature_bytes(frozen) <= options.features_mb * 1e6
        memory = options if kept else options.model_copy(update={"features_mb": 0})

        def rehearse(training: EnsembleSettings, small: PreparedData, folder: Path) -> pd.DataFrame:
            optimizer = harmless(settings.fine_tuning.optimizer)
            changes = {"training": training, "optimizer": optimizer, "validation": "whole"}
            tuning = {"fine_tuning": settings.fine_tuning.model_copy(update=changes)}
            few = settings.model_copy(update={**tuning, "fraction": 1.0, "balanced": False, "protocol": None})
            first = pretraining.model_copy(update={"protocol": None})
            file = folder / "first.safetensors"
            save_weights(pretraining_network(first, small, 0), file)
            # One file: a stack is of one pretrained network.
            runs = [CutRun(few, number, file, first) for number in range(members)]
            histories: dict[int, pd.DataFrame] = {}

            def end(member: int, outcome: Any) -> None:
                histories[member] = outcome.history

            def place(member: int) -> Path:
                return folder / "members" / f"{member}.safetensors"

            train_stack(runs, small, folder, self.device, memory, on_end=end, weights_file=place)
            file.unlink()
            return histories[0]

        shape = self._shape | {"cut": settings.cut.model_dump(mode="json"), "features": kept}
        operations = self._operations(frozen if kept else 0, settings.cut.kept)
        sizes = {"members": members, "images": len(learns), "validated": len(validates)}
        training, data = settings.fine_tuning.training, self._data_of_classes
        costs = stack_costs(shape, training, rehearse, data, operations, **sizes)
        return [*costs, *([self._forward(depth=frozen, images=pool / max(1, shared))] if kept else [])]

    def scoring(self, members: int, repeat: int) -> list[Cost]:
        """What it costs to score networks behind the same layers on test images, and on those that they have learnt from."""
        settings, images = self.settings, self._images
        assert isinstance(settings, CutRunSettings)  # noqa: S101 - asked for only of such runs
        published, cut = settings.protocol is not None, settings.cut
        test = len(images.train) + len(images.validation) if published else len(images.test)
        more = 0 if published else len(subset(settings, repeat, self.data)[0])
        costs = [self._forward(depth=cut.kept, images=members * (test + more), start=cut.frozen)]
        return [*costs, *([self._forward(depth=cut.frozen, images=test + members * more)] if cut.frozen else [])]

    def _forward(self, *, depth: int, images: float, start: int = 0) -> Cost:
        """What layers from `start` to `depth` give, of so many images."""
        training, device, data = self._training, self.device, self.data
        shape = {
            "network": self.settings.network.model_dump(mode="json"),
            "layers": [start, depth],
            "images": list(data.image_set.images.shape[1:]),
            "precision": training.precision,
            "device": device.type,
        }

        def forward() -> Any:
            positions = np.arange(min(_TIMED_IMAGES, len(data.image_set.labels)))
            layers = FrozenLayers(self._network().eval(), start or depth, training, device)
            if not start:
                return lambda: layers.features(data, positions), len(positions)
            features, rest = layers.features(data, positions), self._network(start, depth).eval().to(device)

            def go() -> Any:
                with torch.inference_mode(), autocast(training, device):
                    return rest(features)

            return go, len(positions)

        return Cost("predict", shape, images, self._operations(start, depth), lambda: seconds_of(forward))

    @property
    def _images(self) -> ClassData:
        return classes_of(self.settings, self.data)

    @property
    def _training(self) -> HasPrecision:
        settings = self.settings
        return settings.fine_tuning.training if isinstance(settings, CutRunSettings) else settings.training

    @property
    def _shape(self) -> dict[str, Any]:
        return {
            "network": self.settings.network.model_dump(mode="json"),
            "classes": len(self.settings.classes),
            "images_at_once": self.options.images_at_once,
            "device": self.device.type,
        }

    @property
    def _data_of_classes(self) -> PreparedData:
        """The same images, in splits of the run's classes alone."""
        images, splits = class_data(self.data, self.settings.classes, published=False), type(self.data.splits)
        parts = (images.train, images.validation, images.test)
        return replace(self.data, splits=splits(*(np.sort(part) for part in parts)))

    def _network(self, start: int = 0, stop: int | None = None) -> CutNet:
        return build_network(self.settings.network, self.data, len(self.settings.classes), start, stop)

    def _operations(self, start: int, stop: int) -> Callable[[], float]:
        def of(layers: int) -> int:
            with without_values():
                return count_macs(self._network(0, layers), self.data.image_shape)

        return lambda: float(max(1, of(stop) - (of(start) if start else 0)))

    def _feature_bytes(self, frozen: int) -> int:
        """Memory of what the layers before a cut give of an image."""
        settings, data, training = self.settings, self.data, self._training
        shape = data.image_set.images.shape[1:]
        key = (settings.network.model_dump_json(), shape, frozen, training.precision, self.device.type)
        if key not in _BYTES:
            layers = FrozenLayers(self._network().eval(), frozen, training, self.device)
            _BYTES[key] = layers.bytes(data, np.arange(1))
        return _BYTES[key]
