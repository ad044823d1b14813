"""What the runs of AlphaNet cost: features of images, classifiers on features, and networks that combine these."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.costs import Cost, Costs, Measured
from vision_studies.data.class_splits import ClassSplits
from vision_studies.data.prepared import PreparedData
from vision_studies.models.pretrained import OpenedBackbone
from vision_studies.models.statistics import count_macs
from vision_studies.pipelines.alphanet.settings import (
    ClassifierSettings,
    CombinationRunSettings,
    CrtSettings,
    LwsSettings,
    MultiExpertSettings,
    RetrainedSettings,
)
from vision_studies.pipelines.alphanet.work.classifiers import fit
from vision_studies.pipelines.alphanet.work.experiments import Combination, learn
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, draw_epoch
from vision_studies.training.frozen_features import FeatureExtractor
from vision_studies.training.progress import without_progress
from vision_studies.training.timing import seconds_of

_TIMED_EPOCHS = 3
_TIMED_IMAGES = 128


@dataclass(frozen=True)
class MadeUpFeatures:
    """Numbers in the place of features that are not there yet.

    Attributes:
        width: numbers of an image.
        labels: of the training images, int64 [N].
        validation: labels of the validation images; None where nothing validates.
        splits: few, medium and many.
        class_names: one a label.
    """

    width: int
    labels: np.ndarray
    validation: np.ndarray | None
    splits: ClassSplits
    class_names: tuple[str, ...]

    @cached_property
    def features(self) -> FeatureSet:
        """All of them."""
        groups = {"train": self._group(self.labels)}
        if self.validation is not None:
            groups["validation"] = self._group(self.validation)
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return FeatureSet("made up", self.class_names, self.splits, counts, groups, "")

    @cached_property
    def classifier(self) -> LinearClassifier:
        """A classifier on them."""
        generator = np.random.default_rng(0)
        weight = generator.normal(0, 0.1, (len(self.class_names), self.width)).astype(np.float32)
        return LinearClassifier(weight, np.zeros(len(self.class_names), dtype=np.float32))

    def _group(self, labels: np.ndarray) -> FeatureGroup:
        generator = np.random.default_rng(1)
        return FeatureGroup(generator.normal(size=(len(labels), self.width)).astype(np.float32), labels)


def pretrained_feature_cost(
    data: PreparedData, opened: OpenedBackbone, pixels: int, device: torch.device, share: int
) -> Cost:
    """What it costs to show the images of all splits to a pretrained network, of which each of so many sets of features has its
    `share`.
    """
    images = data.image_set.images[:_TIMED_IMAGES]

    def ready() -> Any:
        extract = FeatureExtractor(opened, pixels, mirror=False, device=device)
        return lambda: extract(images), len(images)

    shape = {"backbone": opened.backbone.name, "pixels": pixels, "device": device.type}
    operations = lambda: float(count_macs(copy.deepcopy(opened.network).to("meta"), (3, pixels, pixels)))  # noqa: E731
    number = sum(len(getattr(data.splits, split)) for split in ("train", "validation", "test"))
    return Cost("features", shape, number / share, operations, lambda: seconds_of(ready, most=3))


def fitting_costs(settings: ClassifierSettings, made_up: MadeUpFeatures, experts: int, device: torch.device) -> Costs:
    """What it costs to fit a classifier; those that need no training cost next to nothing."""
    if isinstance(settings, MultiExpertSettings):
        own = () if settings.crt is None else fitting_costs(settings.crt, made_up, 1, device)
        return [replace(cost, units=cost.units * experts) for cost in own]
    if not isinstance(settings, CrtSettings | LwsSettings | RetrainedSettings):
        return ()
    trained: CrtSettings | LwsSettings | RetrainedSettings = settings
    width, classes = made_up.width, len(made_up.class_names)
    values = len(trained.values) if isinstance(trained, RetrainedSettings) else 1  # a classifier each
    images = len(made_up.labels) * values

    def ready() -> Any:
        short = trained.model_copy(update={"epochs": 1, "learning_rate": 1e-6})
        features, classifier = made_up.features, made_up.classifier
        return lambda: fit(short, features, [classifier], 0, device), images

    shape = {
        "kind": trained.name,
        "width": width,
        "classes": classes,
        "batch": trained.batch_size,
        "device": device.type,
    }
    operations = lambda: 3.0 * width * classes  # noqa: E731
    return [Cost("fit", shape, images * trained.epochs, operations, lambda: seconds_of(ready, most=3))]


def learning_costs(
    asked: Sequence[tuple[CombinationRunSettings, int]], made_up: MadeUpFeatures, device: torch.device
) -> Costs:
    """What it costs to learn combinations on one classifier: those of equal settings are learnt as one.

    Args:
        asked: settings and seed of each.
        made_up: features.
        device: where they are learnt.
    """
    alike: dict[str, list[tuple[CombinationRunSettings, int]]] = {}
    for settings, seed in asked:
        alike.setdefault(settings.model_dump_json(), []).append((settings, seed))
    return [
        _combination_cost(members[0][0], [seed for _, seed in members], made_up, device) for members in alike.values()
    ]


def _combination_cost(
    settings: CombinationRunSettings, seeds: Sequence[int], made_up: MadeUpFeatures, device: torch.device
) -> Cost:
    training = settings.training
    index = ClassIndex(made_up.labels, made_up.splits)
    images = len(draw_epoch(training.samplers, index, np.random.default_rng(0)))

    def measure() -> Measured:
        slow = {**training.optimizer.parameters, "lr": 1e-6}
        optimizer = training.optimizer.model_copy(update={"parameters": slow})
        few = {"epochs": _TIMED_EPOCHS, "minimum_epochs": 1, "optimizer": optimizer, "scheduler": None}
        short = settings.model_copy(update={"training": training.model_copy(update=few)})
        combinations = [Combination(short, seed) for seed in seeds]
        taken = []
        with without_progress():
            for _ in range(3):
                learnt = list(learn(combinations, made_up.features, made_up.classifier, None, device))
                taken.append(sum(network.seconds for _, network in learnt) / (_TIMED_EPOCHS * images))
        return Measured((min(taken[1:]), max(taken[1:])))  # without what comes once

    shape = {
        **settings.model_dump(mode="json", include={"neighbours", "network"}),
        **training.model_dump(mode="json", include={"batch_size", "evaluation_batch_size", "samplers"}),
        "optimizer": training.optimizer.name,
        "members": len(seeds),
        "width": made_up.width,
        "classes": len(made_up.class_names),
        "images": [len(made_up.labels), 0 if made_up.validation is None else len(made_up.validation)],
        "device": device.type,
    }
    width = (settings.neighbours + 1) * made_up.width * settings.network.hidden[0] * len(seeds)
    return Cost("learn combinations", shape, images * training.epochs, lambda: float(width), measure)
