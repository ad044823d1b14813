"""Features and classifier of a trained network: its last linear layer, and what that layer is given."""

from typing import Any

import numpy as np
import torch
from torch import nn

from vision_studies.config.network_run import RunSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier
from vision_studies.pipelines.alphanet.work.features import FeatureGroup
from vision_studies.training.precision import autocast, place_images


def classifier_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer of a network, which takes the features and gives the logits.

    Raises:
        ParameterError: the network has no linear layer.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        name = getattr(model, "network", model)
        raise ParameterError(
            f"model: {type(name).__name__} has no linear layer, so that it has no classifier of features; choose a network "
            "that ends in one."
        )
    return layers[-1]


def own_classifier(model: nn.Module, logit_scale: float) -> LinearClassifier:
    """The classifier that a network was trained with; what its outputs are multiplied by is part of the weights.

    Args:
        model: the network.
        logit_scale: see `models.architecture.Architecture`.

    Raises:
        ParameterError: the network has no linear layer.
    """
    layer = classifier_layer(model)
    weight = layer.weight.detach().float() * logit_scale
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().float() * logit_scale
    return LinearClassifier(weight.cpu().numpy(), bias.cpu().numpy())


@torch.inference_mode()
def extract_features(
    model: nn.Module, data: PreparedData, split: str, *, settings: RunSettings, device: torch.device
) -> FeatureGroup:
    """What the classifier of a network is given for every image of a split, in evaluation mode and without augmentation.

    Args:
        model: a trained network; it is moved to `device`, and its mode is left as it was.
        data: prepared images.
        split: "train", "validation" or "test".
        settings: of the run that the network comes from; decides loader, batch size and number format.
        device: where the network computes.

    Returns:
        Features [N, d] and labels [N], in the order of the split.

    Raises:
        ParameterError: the network has no linear layer.
    """
    layer = classifier_layer(model.to(device))
    loader = data.loader(split, kind=settings.loader, batch_size=settings.evaluation.batch_size, device=device)
    features = np.empty((loader.num_samples, layer.in_features), dtype=np.float32)
    labels = np.empty(loader.num_samples, dtype=np.int64)
    start, stop = 0, 0

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        features[start:stop] = inputs[0].float().cpu().numpy()

    was_training = model.training
    hook = layer.register_forward_pre_hook(keep)
    model.eval()
    try:
        for batch in loader.epoch(0):
            stop = start + len(batch.labels)
            with autocast(settings.training, device):
                model(place_images(batch.images, settings.training, device))
            labels[start:stop] = batch.labels.cpu().numpy()
            start = stop
    finally:
        hook.remove()
        model.train(was_training)
    return FeatureGroup(features, labels)
