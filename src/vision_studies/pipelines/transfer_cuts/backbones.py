"""Pretrained networks that are cut: their blocks, and a classifier of the first classes on their features."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from vision_studies.classifiers.logistic import chosen_logistic
from vision_studies.data.prepared import PreparedData
from vision_studies.data.subsets import ClassData
from vision_studies.errors import BackboneError
from vision_studies.models.cut_backbone import CutBackbone
from vision_studies.models.cut_network import network_blocks
from vision_studies.models.pretrained import Backbone
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.serving.trained_backbones import open_any_backbone, pixels_for

_LEAST_BLOCKS = 2
_MAPS = 4  # dimensions of maps


class Blocks(NamedTuple):
    """A backbone in blocks.

    Attributes:
        backbone: what it is.
        weights: SHA-256 of its weights.
        blocks: that follow one another, in evaluation mode.
        channels: what each of them gives.
    """

    backbone: Backbone
    weights: str
    blocks: Sequence[nn.Module]
    channels: tuple[int, ...]


@cache
def opened_blocks(name: str) -> Blocks:
    """A backbone by its name, in blocks.

    Raises:
        BackboneError: it cannot be cut; and as `open_any_backbone`.
    """
    opened = open_any_backbone(name)
    pixels = opened.backbone.pixels
    blocks = _handing_on_maps(network_blocks(opened.network), pixels)
    if len(blocks) < _LEAST_BLOCKS:
        raise BackboneError(
            f"{name} cannot be cut: it does not consist of blocks that hand on maps of the image; choose a convolutional "
            "network, such as efficientnet_lite0."
        )
    channels = tuple(shape[1] for shape in _shapes(blocks, pixels))
    return Blocks(opened.backbone, opened.weights, blocks, channels)


def _handing_on_maps(blocks: Sequence[nn.Module], pixels: int) -> list[nn.Module]:
    """Blocks, of which those behind the last that hands on maps are one."""
    shapes = _shapes(blocks, pixels)
    maps = next((number for number, shape in enumerate(shapes) if len(shape) != _MAPS), len(blocks))
    return [*blocks[:maps], *([nn.Sequential(*blocks[maps:])] if maps < len(blocks) else [])]


def _shapes(blocks: Sequence[nn.Module], pixels: int) -> list[tuple[int, ...]]:
    """What blocks hand on of an image of this side."""
    shapes = []
    with torch.inference_mode():
        maps = torch.zeros(1, 3, pixels, pixels)
        for block in blocks:
            maps = block(maps)
            shapes.append(tuple(maps.shape))
    return shapes


@cache
def described(name: str, pixels: int | None) -> BackboneNetSettings:
    """What a run knows of a backbone that images are shown to at this height and width; None for its own.

    Raises:
        ParameterError: it takes images of another size; and as `opened_blocks`.
    """
    opened = open_any_backbone(name)
    shown = pixels_for(opened, pixels, "transfer_cuts.pretrained.pixels")
    return BackboneNetSettings(
        name="backbone", backbone=name, weights=opened.weights, pixels=shown, depth=len(opened_blocks(name).blocks)
    )


def build_backbone(
    settings: BackboneNetSettings, data: PreparedData, num_classes: int, start: int, stop: int | None
) -> CutBackbone:
    """Blocks `start` to `stop` of a backbone and a dense layer, with random weights. Raises BackboneError where the weights are
    gone, or others than those of the settings.
    """
    opened = opened_blocks(settings.backbone)
    if opened.weights != settings.weights:
        raise BackboneError(
            f"The weights of {settings.backbone} are others than those that the study began with; run the study again."
        )
    sizes = {**data.sizes, "num_classes": num_classes}
    return CutBackbone(
        opened.backbone, opened.blocks, opened.channels, pixels=settings.pixels, **sizes, start=start, stop=stop
    )


def pretrained_blocks(settings: BackboneNetSettings, data: PreparedData, num_classes: int = 1) -> CutBackbone:
    """The backbone itself, with random weights in its dense layer."""
    network = build_backbone(settings, data, num_classes, 0, None)
    for number, block in enumerate(opened_blocks(settings.backbone).blocks):
        network.get_submodule(f"block{number}").load_state_dict(block.state_dict())
    return network.eval().requires_grad_(False)


def first_network(
    settings: BackboneNetSettings, data: PreparedData, images: ClassData, features: np.ndarray
) -> CutBackbone:
    """The backbone itself, with logistic regression on features as its dense layer.

    Args:
        images: those of the classes that the dense layer tells apart.
        features: float32 [N, D], of the training images among them.
    """
    network = pretrained_blocks(settings, data, len(images.classes))
    classifier = chosen_logistic(features, images.labels(data, images.train), len(images.classes))
    network.fc.load_state_dict({name: torch.from_numpy(values) for name, values in classifier.tensors().items()})
    return network
