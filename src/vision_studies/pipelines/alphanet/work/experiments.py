"""AlphaNets on one classifier: several settings and seeds over the same logits."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings
from vision_studies.pipelines.alphanet.work.cached_logits import CachedLogits, cache_logits
from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier
from vision_studies.pipelines.alphanet.work.features import FeatureSet, class_means
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours, few_neighbours, nearest
from vision_studies.pipelines.alphanet.work.network import StackedAlphaNetworks, source_matrix
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, epoch_length
from vision_studies.pipelines.alphanet.work.training import TrainedAlphaNet, discard_checkpoints, train_stack
from vision_studies.training.checkpoints import load_state
from vision_studies.training.runtime import tune_process

_BYTES_A_WEIGHT = 16  # itself, its gradient and two moments
_STACK_BYTES = 1_000_000_000
"""Memory of a stack's weights with their gradients and moments; one network after the other would take twice the time."""


@dataclass(frozen=True)
class Combination:
    """An AlphaNet to train.

    Attributes:
        settings: all that decides its numbers besides the seed.
        seed: of first weights, draws, orders and random neighbours.
    """

    settings: CombinationRunSettings
    seed: int


@dataclass(frozen=True)
class TrainedCombination:
    """A trained AlphaNet.

    Attributes:
        neighbours: of the few classes.
        trained: coefficients and history.
        metrics: columns of the results table.
    """

    neighbours: Neighbours
    trained: TrainedAlphaNet
    metrics: dict[str, Any]

    def state(self) -> dict[str, Any]:
        """What is kept of it; `read_combinations` reads it."""
        return {
            "neighbours": torch.from_numpy(self.neighbours.labels),
            "distances": torch.from_numpy(self.neighbours.distances),
            "coefficients": self.trained.coefficients,
            "layers": self.trained.layers,
            "batch_losses": self.trained.batch_losses,
        }


def learn(
    asked: Sequence[Combination],
    features: FeatureSet,
    classifier: LinearClassifier,
    folder: Path | None,
    device: torch.device,
    *,
    checkpoints: int = 2,
    finished: Collection[int] = (),
) -> Iterator[tuple[int, TrainedCombination]]:
    """Train AlphaNets; each is given as (position in `asked`, what it has learnt) when it ends.

    Args:
        asked: what to train; those that differ in the seed alone may share a stack.
        features: training images and, where an epoch is chosen by them, validation images.
        classifier: what is improved.
        folder: of checkpoints; None writes none.
        device: where networks are trained.
        checkpoints: epochs that are kept.
        finished: positions in `asked` of those that an earlier call has given; stacks of nothing else are left out.

    Raises:
        DataError: features and classifier do not fit.
        ParameterError: there are fewer base classes than neighbours.
    """
    tune_process()
    check_fit(features, classifier)
    means = class_means(features.groups["train"], features.num_classes)
    neighbours = [
        few_neighbours(means, features.splits, own.settings.neighbours, own.settings.distance, own.seed)
        for own in asked
    ]
    scale = {own.settings.training.prediction_scale for own in asked}
    for value in sorted(scale):
        places = [place for place, own in enumerate(asked) if own.settings.training.prediction_scale == value]
        stacks = [own for own in _stacks(asked, places, features) if not set(own) <= set(finished)]
        if not stacks:
            continue
        cached = {
            name: cache_logits(group, classifier, features.splits, [neighbours[place] for place in places], value).to(
                device
            )
            for name, group in features.groups.items()
            if name != "test"
        }
        for stack in stacks:
            yield from _learn_stack(asked, neighbours, stack, cached, features, classifier, folder, device, checkpoints)


def _learn_stack(
    asked: Sequence[Combination],
    neighbours: Sequence[Neighbours],
    stack: Sequence[int],
    cached: dict[str, CachedLogits],
    features: FeatureSet,
    classifier: LinearClassifier,
    folder: Path | None,
    device: torch.device,
    checkpoints: int,
) -> Iterator[tuple[int, TrainedCombination]]:
    settings, seeds = asked[stack[0]].settings, [asked[place].seed for place in stack]
    own = [neighbours[place] for place in stack]
    sources = [source_matrix(classifier, each) for each in (own if settings.distance == "random" else own[:1])]
    networks = StackedAlphaNetworks(
        torch.stack(sources) if len(sources) > 1 else sources[0], features.num_features, settings.network, seeds
    ).to(device)
    place = folder / hash_json([settings.model_dump(mode="json"), seeds])[:12] if folder is not None else None
    results = train_stack(
        networks,
        own,
        settings,
        seeds,
        cached["train"],
        cached.get("validation"),
        features.splits,
        folder=place,
        checkpoints=checkpoints,
    )
    size = sum(parameter.numel() for parameter in networks.parameters()) // len(seeds)
    for position, found, near in zip(stack, results, own, strict=True):
        yield position, TrainedCombination(near, found, found.metrics({"parameters": size}, device))
    if place is not None:
        discard_checkpoints(place)


def _stacks(asked: Sequence[Combination], places: Sequence[int], features: FeatureSet) -> list[list[int]]:
    """Positions of AlphaNets that are trained as one: those with the same settings, as many as fit.

    Networks of a stack take their steps together, so that their epochs must be as long.
    """
    index = ClassIndex(features.groups["train"].labels, features.splits)

    def settings(place: int) -> str:
        return hash_json(asked[place].settings.model_dump(mode="json"))

    stacks = []
    for _, alike in groupby(sorted(places, key=settings), key=settings):
        members = list(alike)
        own = asked[members[0]].settings
        inputs = (own.neighbours + 1) * features.num_features
        largest = max(1, _STACK_BYTES // (_BYTES_A_WEIGHT * inputs * own.network.hidden[0]))
        at_once = largest if epoch_length(own.training.samplers, index) is not None else 1
        stacks += [members[start : start + at_once] for start in range(0, len(members), at_once)]
    return stacks


def check_fit(features: FeatureSet, classifier: LinearClassifier) -> None:
    """Whether a classifier is one of these features and classes.

    Raises:
        DataError: it is not.
    """
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
    """Mean distance of each class to its nearest of the other side, float [classes].

    Few classes look at base classes, and base classes at few ones; fewer than `number` where there are fewer.

    Args:
        features: training images.
        number: neighbours of each.
        distance: euclidean or cosine.
    """
    means = class_means(features.groups["train"], features.num_classes)
    found = np.empty(features.num_classes)
    for classes, others in (
        (features.splits.few, features.splits.base),
        (features.splits.base, features.splits.few),
    ):
        found[classes] = nearest(means, classes, others, number, distance).distances.mean(axis=1)
    return found
