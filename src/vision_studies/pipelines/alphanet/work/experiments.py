"""AlphaNets on one classifier: several settings and seeds over the same logits."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision_studies.classifiers.alpha_networks import StackedAlphaNetworks
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings
from vision_studies.pipelines.alphanet.work.cached_logits import cache_logits
from vision_studies.pipelines.alphanet.work.features import FeatureSet, class_means
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours, few_neighbours, nearest
from vision_studies.pipelines.alphanet.work.network import source_matrix
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, epoch_length
from vision_studies.pipelines.alphanet.work.training import TrainedAlphaNet, train_stack
from vision_studies.training.checkpoints import load_state
from vision_studies.training.runtime import tune_process

_BYTES_A_WEIGHT = 16  # itself, its gradient and two moments
_STACK_BYTES = 1_000_000_000
"""Memory of a stack's weights with their gradients and moments; one network after the other would take twice the time."""


@dataclass(frozen=True)
class Combination:
    """An AlphaNet to train; the seed is of first weights, draws, orders and random neighbours, and settings decide the rest."""

    settings: CombinationRunSettings
    seed: int


def learn(
    asked: Sequence[Combination],
    features: FeatureSet,
    classifier: LinearClassifier,
    folder: Path | None,
    device: torch.device,
    *,
    checkpoints: int = 2,
    finished: Collection[int] = (),
) -> Iterator[tuple[int, TrainedAlphaNet]]:
    """Train AlphaNets that improve a classifier; each is given as (position in `asked`, what it has learnt) when it ends.

    Args:
        asked: what to train; those that differ in the seed alone may share a stack.
        features: training images and, where an epoch is chosen by them, validation images.
        folder: of the checkpoints of as many epochs as `checkpoints`; None writes none.
        finished: positions in `asked` of those that an earlier call has given; stacks of nothing else are left out.

    Raises:
        DataError: features and classifier do not fit.
        ParameterError: there are fewer base classes than neighbours.
    """
    tune_process()
    check_fit(features, classifier)
    means = class_means(features.groups["train"], features.num_classes)
    neighbours = [
        few_neighbours(means, features.splits, each.settings.neighbours, each.settings.distance, each.seed)
        for each in asked
    ]

    def scale(position: int) -> float:
        return asked[position].settings.training.prediction_scale

    for value, alike in groupby(sorted(range(len(asked)), key=scale), key=scale):
        positions = list(alike)
        stacks = [stack for stack in _stacks(asked, positions, features) if not set(stack) <= set(finished)]
        if not stacks:
            continue
        near = [neighbours[position] for position in positions]
        cached = {
            name: cache_logits(group, classifier, features.splits, near, value).to(device)
            for name, group in features.groups.items()
            if name != "test"
        }
        for stack in stacks:
            settings, seeds = asked[stack[0]].settings, [asked[position].seed for position in stack]
            near = [neighbours[position] for position in stack]
            # Neighbours, and with them what networks are given, are the same for all seeds unless they are random.
            matrices = [
                source_matrix(classifier, each) for each in (near if settings.distance == "random" else near[:1])
            ]
            sources = torch.stack(matrices) if len(matrices) > 1 else matrices[0]
            networks = StackedAlphaNetworks(
                sources, features.num_features, settings.network.hidden, settings.network.activation, seeds
            ).to(device)
            saved = folder and folder / hash_json([settings.model_dump(mode="json"), seeds])[:12]
            logits = cached["train"], cached.get("validation")
            results = train_stack(networks, near, settings, seeds, *logits, folder=saved, checkpoints=checkpoints)
            yield from zip(stack, results, strict=True)
            if saved is not None:
                shutil.rmtree(saved, ignore_errors=True)


def _stacks(asked: Sequence[Combination], positions: Sequence[int], features: FeatureSet) -> list[list[int]]:
    """Positions of AlphaNets that are trained as one: those with the same settings, as many as fit.

    Networks of a stack take their steps together, so that their epochs must be as long.
    """
    index = ClassIndex(features.groups["train"].labels, features.splits)

    def configuration(position: int) -> str:
        return hash_json(asked[position].settings.model_dump(mode="json"))

    stacks: list[list[int]] = []
    for _, alike in groupby(sorted(positions, key=configuration), key=configuration):
        members = list(alike)
        settings = asked[members[0]].settings
        inputs = (settings.neighbours + 1) * features.num_features
        largest = max(1, _STACK_BYTES // (_BYTES_A_WEIGHT * inputs * settings.network.hidden[0]))
        at_once = largest if epoch_length(settings.training.samplers, index) is not None else 1
        stacks += [members[start : start + at_once] for start in range(0, len(members), at_once)]
    return stacks


def check_fit(features: FeatureSet, classifier: LinearClassifier) -> None:
    """Raise a DataError where a classifier is not one of these features and classes."""
    classes, width = classifier.weight.shape
    if width != features.num_features:
        raise DataError(
            f"The features of '{features.name}' have {features.num_features} numbers an image, but the classifier takes "
            f"{width}; use the classifier that belongs to them."
        )
    if classes != features.num_classes:
        raise DataError(
            f"'{features.name}' has {features.num_classes} classes, but the classifier knows {classes}; use the classifier "
            "that belongs to them."
        )


def read_combinations(path: Path, splits: ClassSplits) -> tuple[Neighbours, Tensor]:
    """Neighbours of the few classes and coefficients [F, k] of a trained AlphaNet.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    state = load_state(path)
    neighbours = Neighbours(splits.few, state["neighbours"].numpy(), state["distances"].numpy())
    return neighbours, state["coefficients"]


def side_distances(features: FeatureSet, number: int, distance: str) -> np.ndarray:
    """Mean distance (euclidean or cosine) of each class to its nearest of the other side, float [classes].

    Few classes look at base classes, and base classes at few ones; fewer than `number` where there are fewer.
    """
    means = class_means(features.groups["train"], features.num_classes)
    few, base = features.splits.few, features.splits.base
    distances = np.empty(features.num_classes)
    for classes, others in ((few, base), (base, few)):
        distances[classes] = nearest(means, classes, others, number, distance).distances.mean(axis=1)
    return distances
