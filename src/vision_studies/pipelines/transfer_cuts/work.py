"""Learning some classes, cutting the network, and learning other classes with what is kept of it.

Source: the project "mp-tl-study" (which layers transfer to classes never seen, and with how many images).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor, nn

from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import units_of_images
from vision_studies.data.subsets import ClassData, balanced_subset, class_data, held_out
from vision_studies.errors import CheckpointError, DataError
from vision_studies.models.initialisation import read_weights
from vision_studies.models.statistics import count_parameters, network_size
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.pipelines.transfer_cuts.backbones import first_network, pretrained_blocks
from vision_studies.pipelines.transfer_cuts.cut_networks import (
    CutNet,
    FrozenLayers,
    build_network,
    cut_network,
    load_pretrained,
    pretraining_network,
    rest_of_network,
    tensor_data,
)
from vision_studies.pipelines.transfer_cuts.settings import (
    CutRunSettings,
    CutStackSettings,
    ImportedRunSettings,
    Pretraining,
    PretrainingRunSettings,
)
from vision_studies.predictions import Predictions
from vision_studies.statistics.metrics import Split, measured
from vision_studies.studies.method import WEIGHTS_FILE
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.ensemble import BYTES_A_PARAMETER, Member, fit_ensemble
from vision_studies.training.fit_result import FitResult
from vision_studies.training.precision import HasPrecision, autocast
from vision_studies.training.runtime import deterministic, tune_process

logger = logging.getLogger(__name__)

_TEST_IMAGES_AT_ONCE = 256
_LIMITS = {"checkpoint_seconds", "images_at_once"}  # of a stack's settings, that the loop of training asks for
_FEATURES: dict[tuple[Any, ...], Tensor] = {}
"""What the layers before the latest cut give for all images of the new classes."""


@dataclass(frozen=True)
class CutRun:
    """One fine-tuning."""

    settings: CutRunSettings  # all that decides its numbers, besides repeat and data
    repeat: int  # seed of subset, new weights and order of images
    pretrained: Path | None  # file of the weights that it starts from; None where nothing of them is kept
    pretraining: Pretraining | None  # what they were trained with; None likewise

    def pretrained_network(self, data: PreparedData) -> CutNet | None:
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

    `seed` decides first weights and order of images; `folder` is the run's own, so that an interrupted call is continued by
    the same call; `options` says memory, checkpoints and determinism.
    """
    tune_process()
    deterministic(options.deterministic)
    images = classes_of(settings, data)
    network = pretraining_network(settings, data, seed)
    layers = FrozenLayers(None, 0, settings.training, device)
    pool = np.concatenate([images.train, images.validation])
    learns, validates = np.split(np.arange(len(pool)), [len(images.train)])
    tensors = tensor_data(layers.features(data, pool), images.labels(data, pool), learns, validates, device)
    members = [Member(network, settings.optimizer, seed)]
    ended: dict[int, FitResult] = {}
    shared: dict[str, Any] = {"device": device, "folder": folder, **options.model_dump(include=_LIMITS)}
    fit_ensemble(members, tensors, settings.training, on_end=ended.__setitem__, **shared)
    result = ended[0]
    metrics = _metrics(result, network, data, device)
    if result.weights:
        network.load_state_dict(result.weights)
        save_weights(network, folder / WEIGHTS_FILE)
        logits = _logits([network.eval().to(device)], layers, data, images.test, settings.training, device)
        measures, said = _scored(logits[0], data, images, images.test)
        return replace(result.outcome(metrics | measures), predictions=(said,))
    return result.outcome(metrics)


def import_network(
    settings: ImportedRunSettings, file: Path, data: PreparedData, folder: Path, device: torch.device
) -> Outcome:
    """Take a network over that has learnt the first classes elsewhere, and score it on their validation and test images, once.

    Args:
        file: safetensors, or a file of torch with tensors only, under the names of the published project: conv0, conv1, ...,
            fc and, where there are two dense layers, fc_2, each with weight and bias.

    Raises:
        CheckpointError: the file cannot be read, holds more or other things than such tensors, or is of another network.
    """
    tune_process()
    network = build_network(settings.network, data, len(settings.classes))
    weights = read_weights(file, "transfer_cuts.pretraining.weights_files:")
    expected = network.state_dict()
    odd = next((name for name in {**expected, **weights} if _shape(expected, name) != _shape(weights, name)), None)
    if odd is not None:
        raise CheckpointError(
            f"transfer_cuts.pretraining.weights_files: in {file}, {odd} is {_shape(weights, odd) or 'missing'}, and "
            f"transfer_cuts.network with {len(settings.classes)} classes has {_shape(expected, odd) or 'nothing of that name'};"
            " name a file of this network, or describe that one."
        )
    if not all(value.isfinite().all() for value in weights.values()):
        raise CheckpointError(
            f"transfer_cuts.pretraining.weights_files: {file} has weights that are no finite numbers; name another."
        )
    network.load_state_dict(weights)
    return _taken_over(settings, network, data, folder, device)


def take_backbone(settings: ImportedRunSettings, data: PreparedData, folder: Path, device: torch.device) -> Outcome:
    """Take a pretrained network with logistic regression of the first classes' training images on its features, and score it on
    their validation and test images, once. Raises BackboneError where its weights are gone, or others.
    """
    tune_process()
    assert isinstance(settings.network, BackboneNetSettings)  # noqa: S101 - of such runs alone
    images = classes_of(settings, data)
    body = FrozenLayers(pretrained_blocks(settings.network, data), settings.network.depth, settings.training, device)
    features = body.features(data, images.train).mean((2, 3)).float().cpu().numpy()
    return _taken_over(settings, first_network(settings.network, data, images, features), data, folder, device)


def _taken_over(
    settings: ImportedRunSettings, network: CutNet, data: PreparedData, folder: Path, device: torch.device
) -> Outcome:
    """Keep the weights of a network that is not trained here, and score it."""
    images = classes_of(settings, data)
    save_weights(network, folder / WEIGHTS_FILE)
    layers = FrozenLayers(None, 0, settings.training, device)
    scores: dict[str, Any] = {}
    predictions = []
    parts: dict[Split, np.ndarray] = {"validation": images.validation, "test": images.test}
    for split, positions in parts.items():
        logits = _logits([network.eval().to(device)], layers, data, positions, settings.training, device)
        measures, said = _scored(logits[0], data, images, positions, split)
        scores |= measures
        predictions.append(said)
    size = network_size(network.cpu(), data.image_shape)
    told = {"best_epoch": 0, "seconds": 0.0, "device": str(device), "other_metrics": {"epochs": 0, "ended": "complete"}}
    history = {"epoch": 0, **dict.fromkeys(("train_loss", "train_accuracy", "learning_rate"), np.nan), "seconds": 0.0}
    history |= {name: scores[name] for name in ("validation_loss", "validation_accuracy")}
    return Outcome({**size, **told, **scores}, history=pd.DataFrame([history]), predictions=tuple(predictions))


def draw_subset(labels: np.ndarray, fraction: float, seed: int, *, balanced: bool) -> list[np.ndarray]:
    """Places in `labels` for each class; the subsets of one seed are nested across fractions.

    Args:
        labels: int64 [N], from 0 to the number of classes less one.
        balanced: as many of each class, by `balanced_subset`; otherwise `any_images`, class by class.
    """
    if balanced:
        return balanced_subset(labels, fraction, seed)
    places = any_images(len(labels), fraction, seed)
    return [places[labels[places] == label] for label in range(int(labels.max()) + 1)]


def any_images(count: int, fraction: float, seed: int) -> np.ndarray:
    """Places of a share of so many images, drawn whatever their class, in the order in which they were drawn."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    return order[: int(count * fraction)]


def subset(settings: CutRunSettings, repeat: int, data: PreparedData) -> tuple[np.ndarray, np.ndarray]:
    """Positions, in the image set, of the images that a run learns from and of those that it validates with.

    Neither holds a test image, save that `protocol: published` tests on all training images.

    Raises:
        DataError: the fraction leaves a class without an image or, where any images are drawn, leaves none at all.
    """
    images = classes_of(settings, data)
    labels = images.labels(data, images.train)
    # Of any images, those that validate are likewise any: as many in every repeat.
    draws = [any_images(len(labels), settings.fraction, repeat)]
    if settings.balanced:
        draws = balanced_subset(labels, settings.fraction, repeat)
    fewest, counted = min(map(len, draws)), settings.fine_tuning.validation == "counted"
    if fewest < (2 if counted else 1):
        needed = "two images (one to learn from, one to validate with)" if counted else "one image"
        raise DataError(
            f"transfer_cuts.subsets: a fraction of {settings.fraction:g} of {len(labels)} training images is "
            f"{fewest}{' a class' if settings.balanced else ''}, and {needed} are needed; raise it."
        )
    if not counted:
        return images.train[np.concatenate(draws)], images.validation
    units = units_of_images(data.image_set)
    of_training = None if units is None else units[images.train]
    training, validation = held_out(draws, settings.fine_tuning.validation_share, of_training)
    return images.train[training], images.train[validation]


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
        on_end: called with the number of a member and what it gave, as soon as it has ended.
        weights_file: number of a member -> where the weights of its layers after the cut go.
    """
    tune_process()
    deterministic(options.deterministic)
    settings = stack[0].settings
    tuning, frozen = settings.fine_tuning, settings.cut.frozen
    pretrained = stack[0].pretrained_network(data)
    images = classes_of(settings, data)
    pool = np.concatenate([images.train, images.validation])
    layers = FrozenLayers(pretrained, frozen, tuning.training, device)
    if layers.bytes(data, pool) > options.features_mb * 1e6:
        layers, frozen = FrozenLayers(None, 0, tuning.training, device), 0
    features = _features(stack[0], layers, data, pool)
    row = np.full(len(data.image_set.labels), -1)
    row[pool] = np.arange(len(pool))
    tensors = tensor_data(features, images.labels(data, pool), row[images.train], row[images.validation], device)
    subsets = [subset(run.settings, run.repeat, data) for run in stack]
    members = []
    for run, parts in zip(stack, subsets, strict=True):
        learns, validates = (torch.from_numpy(row[positions]).to(device) for positions in parts)
        network = cut_network(run.settings, data, run.repeat, pretrained, frozen)
        validation = None if tuning.validation == "whole" else validates
        members.append(Member(network, tuning.optimizer, run.repeat, learns, validation))
    whole = build_network(settings.network, data, len(settings.classes), 0, settings.cut.kept)

    def end(member: int, result: FitResult) -> None:
        metrics = _metrics(result, whole, data, device)
        learns, validates = subsets[member]
        metrics["other_metrics"] |= {"training_images": len(learns), "validation_images": len(validates)}
        if result.weights:
            network = cut_network(settings, data, stack[member].repeat, pretrained)
            names = network.state_dict().keys()
            network.load_state_dict({name: value for name, value in result.weights.items() if name in names})
            save_weights(network, weights_file(member))
        on_end(member, result.outcome(metrics))

    logger.debug(
        "a stack of %d: %.4g %% of the images, %s", len(stack), 100 * settings.fraction, settings.cut.model_dump()
    )
    shared: dict[str, Any] = {"device": device, "folder": folder, **options.model_dump(include=_LIMITS)}
    fit_ensemble(members, tensors, tuning.training, on_end=end, **shared)


def evaluate_stack(stack: Sequence[tuple[CutRun, Path]], data: PreparedData, device: torch.device) -> list[Outcome]:
    """Score runs of one cut and pretraining, by the weights of their layers after the cut: on test, and on what they learnt.

    Returns:
        Columns of the results table, for each, of which the accuracy on the images learnt from stands in `other_metrics`; and
        what the network says of the test images.
    """
    tune_process()
    first, settings = stack[0][0], stack[0][0].settings
    training = settings.fine_tuning.training
    images = classes_of(settings, data)
    published = settings.protocol is not None
    test = np.sort(np.concatenate([images.train, images.validation])) if published else images.test
    layers = FrozenLayers(first.pretrained_network(data), settings.cut.frozen, training, device)
    networks = [load_weights(rest_of_network(settings, data), file).to(device).eval() for _, file in stack]
    logits = _logits(networks, layers, data, test, training, device)
    outcomes = []
    for member, (run, _) in enumerate(stack):
        learns, _ = subset(run.settings, run.repeat, data)
        if np.isin(learns, test).all():  # as published
            learnt = logits[member][np.searchsorted(test, learns)]
        else:
            learnt = _logits([networks[member]], layers, data, learns, training, device)[0]
        right = float((learnt.argmax(axis=1) == images.labels(data, learns)).mean())
        other = {"train_accuracy": right, "test_images": len(test)}
        metrics, said = _scored(logits[member], data, images, test)
        outcomes.append(Outcome(metrics | {"other_metrics": other}, predictions=(said,)))
    return outcomes


def member_bytes(run: CutRun, data: PreparedData) -> int:
    """Memory that a run takes in a stack beside what all of them compute at a time, estimated."""
    return count_parameters(rest_of_network(run.settings, data)) * BYTES_A_PARAMETER


def _shape(weights: Mapping[str, Tensor], name: str) -> list[int]:
    return list(weights[name].shape) if name in weights else []


def classes_of(settings: CutRunSettings | Pretraining, data: PreparedData) -> ClassData:
    """The images of a run's classes, divided as its protocol says."""
    return class_data(data, settings.classes, published=settings.protocol == "published")


def _features(run: CutRun, layers: FrozenLayers, data: PreparedData, positions: np.ndarray) -> Tensor:
    """Features [N, C, H, W] of the images at `positions`, which the run's classes and protocol decide; kept for the next."""
    key = (data.fingerprint, run.settings.classes, run.settings.protocol, *layers.identity(), run.pretrained)
    features = _FEATURES.get(key)
    if features is None:
        _FEATURES.clear()  # two cuts at once may not fit
        features = _FEATURES[key] = layers.features(data, positions)
    return features


@torch.inference_mode()
def _logits(
    networks: Sequence[nn.Module],
    layers: FrozenLayers,
    data: PreparedData,
    positions: np.ndarray,
    training: HasPrecision,
    device: torch.device,
) -> np.ndarray:
    """Logits [M, N, classes] of networks behind the same layers, a part of the images at a time."""
    parts = []
    for start in range(0, len(positions), _TEST_IMAGES_AT_ONCE):
        features = layers.features(data, positions[start : start + _TEST_IMAGES_AT_ONCE])
        with autocast(training, device):
            parts.append(torch.stack([network(features).float() for network in networks]))
    return torch.cat(parts, dim=1).cpu().numpy()


def _scored(
    logits: np.ndarray, data: PreparedData, images: ClassData, positions: np.ndarray, split: Split = "test"
) -> tuple[dict[str, Any], Predictions]:
    """Columns of the results table from the logits [N, classes] of the images at `positions`, and the predictions."""
    probabilities, labels = softmax(logits.astype(np.float64), axis=1), images.labels(data, positions)
    said = Predictions.of(split, positions, labels, probabilities, classes=images.classes)
    return {**measured(probabilities, labels, split)}, said


def _metrics(result: FitResult, network: CutNet, data: PreparedData, device: torch.device) -> dict[str, Any]:
    """What is known of a run before the test split is touched."""
    metrics = result.metrics(network_size(network, data.image_shape), device)
    return metrics | {"other_metrics": {"epochs": len(result.history), "ended": result.ended}}
