"""Learning some classes, cutting the network, and learning other classes with what is kept of it.

Source: the project "mp-tl-study" (which layers transfer to classes never seen, and with how many images).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from vision_studies.config.training import EnsembleSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.data.subsets import ClassData, balanced_subset, class_data, held_out
from vision_studies.errors import DataError
from vision_studies.models.convnet import ConvNet
from vision_studies.models.statistics import count_parameters, network_size
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.transfer_cuts.cut_networks import (
    WEIGHTS_FILE,
    FrozenLayers,
    build_convnet,
    cut_network,
    load_pretrained,
    pretraining_network,
    tensor_data,
)
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, CutStackSettings, PretrainingRunSettings
from vision_studies.statistics.metrics import measured
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.ensemble import BYTES_A_PARAMETER, Member, fit_ensemble
from vision_studies.training.fit_result import FitResult
from vision_studies.training.precision import autocast
from vision_studies.training.progress import stack_progress
from vision_studies.training.runtime import deterministic, tune_process

logger = logging.getLogger(__name__)


_TEST_IMAGES_AT_ONCE = 256


class _FeatureStore:
    """What the layers before one cut give for all images of the new classes; that of the latest cut is kept."""

    def __init__(self) -> None:
        self._latest: tuple[tuple[Any, ...], Tensor] | None = None

    def get(self, run: "CutRun", layers: FrozenLayers, data: PreparedData, positions: np.ndarray) -> Tensor:
        """Features [N, C, H, W] of the images at `positions`, which the run's classes and protocol decide."""
        key = (data.fingerprint, run.settings.classes, run.settings.protocol, *layers.identity(), run.pretrained)
        if self._latest is None or self._latest[0] != key:
            self._latest = None  # two cuts at once may not fit
            self._latest = (key, layers.features(data, positions))
        return self._latest[1]


_FEATURES = _FeatureStore()


@dataclass(frozen=True)
class CutRun:
    """One fine-tuning.

    Attributes:
        settings: all that decides its numbers, besides repeat and data.
        repeat: seed of subset, new weights and order of images.
        pretrained: file of the weights that it starts from; None where nothing of them is kept.
        pretraining: what they were trained with; None likewise.
    """

    settings: CutRunSettings
    repeat: int
    pretrained: Path | None
    pretraining: PretrainingRunSettings | None

    def pretrained_network(self, data: PreparedData) -> ConvNet | None:
        """The network that it starts from."""
        if self.pretrained is None or self.pretraining is None:
            return None
        return load_pretrained(self.settings.network, data, self.pretraining.classes, self.pretrained)


def pretrain(
    settings: PretrainingRunSettings,
    seed: int,
    data: PreparedData,
    folder: Path,
    device: torch.device,
    options: CutStackSettings,
) -> Outcome:
    """Train a network on the first classes and score it on their test images, once.

    Args:
        settings: of the run.
        seed: of first weights and order of images.
        data: images and splits.
        folder: the run's own; an interrupted call is continued by the same call.
        device: where to train.
        options: memory, checkpoints and determinism.
    """
    tune_process()
    deterministic(options.deterministic)
    own = class_data(data, settings.classes, published=settings.protocol == "published")
    network = pretraining_network(settings, data, seed)
    layers = FrozenLayers(None, 0, settings.training, device)
    pool = np.concatenate([own.train, own.validation])
    rows = np.arange(len(pool))
    tensors = tensor_data(
        layers.features(data, pool), own.labels(data, pool), rows[: len(own.train)], rows[len(own.train) :], device
    )
    ended: list[FitResult] = []
    with stack_progress(1, settings.training.epochs) as advance:
        fit_ensemble(
            [Member(network, settings.optimizer, seed)],
            tensors,
            settings.training,
            device=device,
            on_end=lambda _, result: ended.append(result),
            folder=folder,
            checkpoint_seconds=options.checkpoint_seconds,
            on_epoch=advance,
            images_at_once=options.images_at_once,
        )
    metrics = _metrics(ended[0], network, data, device)
    if ended[0].weights:
        network.load_state_dict(ended[0].weights)
        save_weights(network, folder / WEIGHTS_FILE)
        logits = _logits([network.eval().to(device)], layers, data, own.test, settings.training, device)
        metrics |= _test_metrics(logits[0], own.labels(data, own.test))
    return ended[0].outcome(metrics)


def subset(settings: CutRunSettings, repeat: int, data: PreparedData) -> tuple[np.ndarray, np.ndarray]:
    """Positions, in the image set, of the images that a run learns from and of those that it validates with.

    Neither holds a test image, save that `protocol: published` tests on all training images.

    Raises:
        DataError: the fraction leaves a class without an image.
    """
    own = _class_data(settings, data)
    labels = own.labels(data, own.train)
    drawn = balanced_subset(labels, settings.fraction, repeat)
    counted = settings.fine_tuning.validation == "counted"
    if min(map(len, drawn)) < (2 if counted else 1):
        needed = "two images (one to learn from, one to validate with)" if counted else "one image"
        raise DataError(
            f"transfer_cuts.subsets: a fraction of {settings.fraction:g} of {len(labels)} training images is "
            f"{min(map(len, drawn))} a class, and {needed} are needed; raise it."
        )
    if not counted:
        return own.train[np.concatenate(drawn)], own.validation
    training, validation = held_out(drawn, settings.fine_tuning.validation_share)
    return own.train[training], own.train[validation]


def train_stack(
    stack: Sequence[CutRun],
    data: PreparedData,
    folder: Path,
    device: torch.device,
    options: CutStackSettings,
    *,
    on_end: Callable[[int, Outcome], None],
    weights_file: Callable[[int], Path],
) -> None:
    """Train networks of one cut, fraction and pretraining as one; an interrupted call continues from its checkpoint.

    Layers before the cut do not learn: what they give for an image is computed once where that fits the memory, and
    otherwise again with every step, without gradients.

    Args:
        stack: the runs, alike in all but the repeat.
        data: images and splits.
        folder: where the checkpoint is kept.
        device: where to train.
        options: memory, checkpoints and determinism.
        on_end: called with the place of a member and what it gave, as soon as it has ended.
        weights_file: place of a member -> where the weights of its layers after the cut go.
    """
    tune_process()
    deterministic(options.deterministic)
    settings = stack[0].settings
    training, frozen = settings.fine_tuning.training, settings.cut.frozen
    pretrained = stack[0].pretrained_network(data)
    own = _class_data(settings, data)
    pool = np.concatenate([own.train, own.validation])
    layers = FrozenLayers(pretrained, frozen, training, device)
    fits = layers.bytes(data, pool) <= options.features_mb * 1e6
    features = _FEATURES.get(stack[0], layers if fits else FrozenLayers(None, 0, training, device), data, pool)
    start = frozen if fits else 0
    row = np.full(len(data.image_set.labels), -1)
    row[pool] = np.arange(len(pool))
    tensors = tensor_data(features, own.labels(data, pool), row[own.train], row[own.validation], device)
    shared = settings.fine_tuning.validation == "whole"
    drawn = [subset(run.settings, run.repeat, data) for run in stack]
    members = []
    for run, parts in zip(stack, drawn, strict=True):
        learns, validates = (torch.from_numpy(row[positions]).to(device) for positions in parts)
        network = cut_network(run.settings, data, run.repeat, pretrained, start)
        members.append(
            Member(network, settings.fine_tuning.optimizer, run.repeat, learns, None if shared else validates)
        )
    whole = build_convnet(settings.network, data, len(settings.classes), 0, settings.cut.kept)

    def end(place: int, result: FitResult) -> None:
        metrics = _metrics(result, whole, data, device)
        learns, validates = drawn[place]
        metrics["other_metrics"] |= {"training_images": len(learns), "validation_images": len(validates)}
        if result.weights:
            network = cut_network(settings, data, stack[place].repeat, pretrained)
            kept = network.state_dict().keys()
            network.load_state_dict({name: value for name, value in result.weights.items() if name in kept})
            save_weights(network, weights_file(place))
        on_end(place, result.outcome(metrics))

    logger.debug(
        "a stack of %d: %.4g %% of the images, %s", len(stack), 100 * settings.fraction, settings.cut.model_dump()
    )
    with stack_progress(len(members), training.epochs) as advance:
        fit_ensemble(
            members,
            tensors,
            training,
            device=device,
            on_end=end,
            folder=folder,
            checkpoint_seconds=options.checkpoint_seconds,
            on_epoch=advance,
            images_at_once=options.images_at_once,
        )


def evaluate_stack(
    stack: Sequence[tuple[CutRun, Path]], data: PreparedData, device: torch.device
) -> list[dict[str, Any]]:
    """Score trained networks of one cut and pretraining, of any fraction: on test, and on what they learnt from.

    Args:
        stack: runs, and the weights of their layers after the cut.
        data: images and splits.
        device: where to compute.

    Returns:
        Columns of the results table, for each; the accuracy on the images learnt from stands in `other_metrics`.
    """
    tune_process()
    first, settings = stack[0][0], stack[0][0].settings
    training = settings.fine_tuning.training
    own = _class_data(settings, data)
    test = own.test if settings.protocol is None else np.sort(np.concatenate([own.train, own.validation]))
    pretrained = first.pretrained_network(data)
    layers = FrozenLayers(pretrained, settings.cut.frozen, training, device)
    networks = []
    for _, file in stack:
        network = build_convnet(settings.network, data, len(settings.classes), settings.cut.frozen, settings.cut.kept)
        load_weights(network, file)
        networks.append(network.to(device).eval())
    logits = _logits(networks, layers, data, test, training, device)
    scores = []
    for place, (run, _) in enumerate(stack):
        learns, _ = subset(run.settings, run.repeat, data)
        if np.isin(learns, test).all():  # as published
            learnt = logits[place][np.searchsorted(test, learns)]
        else:
            learnt = _logits([networks[place]], layers, data, learns, training, device)[0]
        right = float((learnt.argmax(axis=1) == own.labels(data, learns)).mean())
        found = _test_metrics(logits[place], own.labels(data, test))
        scores.append(found | {"other_metrics": {"train_accuracy": right, "test_images": len(test)}})
    return scores


def _class_data(settings: CutRunSettings, data: PreparedData) -> ClassData:
    return class_data(data, settings.classes, published=settings.protocol == "published")


@torch.inference_mode()
def _logits(
    networks: Sequence[ConvNet],
    layers: FrozenLayers,
    data: PreparedData,
    positions: np.ndarray,
    training: EnsembleSettings,
    device: torch.device,
) -> np.ndarray:
    """Logits [M, N, classes] of networks behind the same layers, a part of the images at a time."""
    parts = []
    for start in range(0, len(positions), _TEST_IMAGES_AT_ONCE):
        features = layers.features(data, positions[start : start + _TEST_IMAGES_AT_ONCE])
        with autocast(training, device):
            parts.append(torch.stack([network(features).float() for network in networks]))
    return torch.cat(parts, dim=1).cpu().numpy()


def _test_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return measured(softmax(logits.astype(np.float64), axis=1), labels)


def _metrics(result: FitResult, network: ConvNet, data: PreparedData, device: torch.device) -> dict[str, Any]:
    """What is known of a run before the test split is touched."""
    metrics = result.metrics(network_size(network, data.image_shape), device)
    return metrics | {"other_metrics": {"epochs": len(result.history), "ended": result.ended}}


def member_bytes(run: CutRun, data: PreparedData) -> int:
    """Memory that a run takes in a stack beside what all of them compute at a time, estimated."""
    settings = run.settings
    network = build_convnet(settings.network, data, len(settings.classes), settings.cut.frozen, settings.cut.kept)
    return count_parameters(network) * BYTES_A_PARAMETER
