"""Stacks of the perceptron method: train several perceptrons of one shape as one, and score them on test.

Source: the project "Hyperparameter-Experiment" (hyperparameters of MNIST perceptrons tried on each other's shapes).
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vision_studies.data.prepared import PreparedData, image_tensor
from vision_studies.models.mlp import MLP
from vision_studies.models.parametrisation import scale_first_weights
from vision_studies.models.statistics import network_size
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, StackSettings, architecture_name
from vision_studies.predictions import Predictions
from vision_studies.run_folders import WEIGHTS_FILE
from vision_studies.statistics.metrics import measured
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.ensemble import (
    Member,
    Prune,
    TensorData,
    fit_ensemble,
    initial_network,
    member_bytes,
    weights_seed,
)
from vision_studies.training.fit_result import FitResult
from vision_studies.training.precision import autocast, uses_bfloat16
from vision_studies.training.runtime import deterministic, tune_process

logger = logging.getLogger(__name__)


def build_network(settings: MlpRunSettings, data: PreparedData) -> MLP:
    """The perceptron of a run, made to fit the images and the classes of the data."""
    return MLP(
        data.in_channels * data.image_set.images[0, ..., 0].size,
        settings.widths,
        data.num_classes,
        dropout=settings.hyperparameters["dropout"],
        slope=settings.hyperparameters["leaky_relu_alpha"],
    )


def perceptron_bytes(settings: MlpRunSettings, data: PreparedData) -> int:
    """Memory that a perceptron of this shape takes in a stack, estimated."""
    image = torch.zeros(data.image_set.images[0].size)
    return member_bytes(build_network(settings, data), image, settings.training)


def train_stack(
    stack: Sequence[tuple[MlpRunSettings, int]],
    data: PreparedData,
    folder: Path,
    device: torch.device,
    options: StackSettings,
    *,
    on_end: Callable[[int, Outcome], None],
    weights_file: Callable[[int], Path],
    prune: Prune | None = None,
) -> None:
    """Train perceptrons of one shape as one; an interrupted call continues from the checkpoint in `folder`.

    Args:
        stack: settings and seed of each member; all that `training` says must be equal.
        data: images and splits.
        folder: where the checkpoint is kept.
        device: where to train.
        options: checkpoints and determinism.
        on_end: called with the number of a member and what it gave, as soon as it has ended.
        weights_file: number of a member -> where the weights of its best epoch go.
        prune: asked after every validation.
    """
    tune_process()
    deterministic(options.deterministic)
    shared = stack[0][0]
    members = [_member(settings, seed, data) for settings, seed in stack]
    tensors = tensor_data(shared, data, device)
    seeds = ", ".join(map(str, sorted({seed for _, seed in stack})))
    logger.debug("a stack of %d: %s, seed %s", len(stack), architecture_name(shared.widths), seeds)
    size = network_size(members[0].network, (data.in_channels, *data.image_set.images.shape[1:3]))

    def end(number: int, result: FitResult) -> None:
        member = members[number]
        metrics = result.metrics(size, device, images=len(tensors.train))
        seed = weights_seed(member.seed)
        metrics["other_metrics"] = {"terminating_epoch": len(result.history), "seed_of_first_weights": seed}
        if result.best_epoch is not None:
            member.network.load_state_dict(result.weights)
            save_weights(member.network, weights_file(number))
        on_end(number, result.outcome(metrics))

    fit_ensemble(
        members,
        tensors,
        shared.training,
        device=device,
        on_end=end,
        folder=folder,
        checkpoint_seconds=options.checkpoint_seconds,
        prune=prune,
    )


def _member(settings: MlpRunSettings, seed: int, data: PreparedData) -> Member:
    network, scales = initial_network(partial(build_network, settings, data), seed), settings.scales
    scale_first_weights(network, scales)
    steps = {name: scale.step for name, scale in scales.items()}
    return Member(network, settings.optimizer, seed, scales=steps)


def tensor_data(settings: MlpRunSettings, data: PreparedData, device: torch.device) -> TensorData:
    """Training and validation images as the perceptrons of a stack see them; test images are not among them."""
    both = np.concatenate([data.splits.train, data.splits.validation])
    images, labels = _tensors(settings, data, both, device)
    training, validation = torch.arange(len(both), device=device).tensor_split([len(data.splits.train)])
    return TensorData(images.flatten(1), labels, training, validation)


def image_batch(
    settings: MlpRunSettings, data: PreparedData, indices: np.ndarray, device: torch.device
) -> torch.Tensor:
    """Images [N, ...] at `indices` as perceptrons see them."""
    return _tensors(settings, data, indices, device)[0]


def _tensors(
    settings: MlpRunSettings, data: PreparedData, indices: np.ndarray, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = torch.bfloat16 if uses_bfloat16(settings.training, device) else torch.float32
    return image_tensor(data, indices, normalise=settings.normalise, dtype=dtype, device=device)


@torch.inference_mode()
def evaluate_stack(
    stack: Sequence[tuple[MlpRunSettings, Path]], data: PreparedData, device: torch.device
) -> list[Outcome]:
    """Columns of the results table for each of these settings and folders, from its selected weights and the test split, and
    what the perceptron says of these images.

    All that `training` says must be equal.
    """
    tune_process()
    images, labels = _tensors(stack[0][0], data, data.splits.test, device)
    outcomes = []
    for settings, folder in stack:
        network = load_weights(build_network(settings, data), folder / WEIGHTS_FILE).to(device).eval()
        with autocast(settings.training, device):
            parts = [network(batch).float() for batch in images.split(settings.training.batch_size)]
        probabilities = F.softmax(torch.cat(parts).double(), dim=1).cpu().numpy()
        said = Predictions.of("test", data.splits.test, labels.cpu().numpy(), probabilities)
        outcomes.append(Outcome({**measured(probabilities, labels.cpu().numpy())}, predictions=(said,)))
    return outcomes
