"""Networks of the cut study: first weights, images as they see them, and what the layers before a cut give.

Source: the project "mp-tl-study".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision_studies.data.prepared import PreparedData
from vision_studies.models.architectures.convnet import ConvNetSettings
from vision_studies.models.convnet import ConvNet
from vision_studies.models.cut_backbone import CutBackbone
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, Pretraining
from vision_studies.training.checkpoints import load_weights
from vision_studies.training.ensemble import TensorData, initial_network
from vision_studies.training.precision import HasPrecision, autocast, uses_bfloat16

HALF = 127.5  # brings pixels from 0 .. 255 to -1 .. 1
_IMAGES_AT_ONCE = 256


CutNet = ConvNet | CutBackbone
"""A network that can be cut: convolutions, or blocks of a backbone, and what is behind them."""


def build_network(
    settings: ConvNetSettings | BackboneNetSettings,
    data: PreparedData,
    num_classes: int,
    start: int = 0,
    stop: int | None = None,
) -> CutNet:
    """Convolutions, or blocks, `start` to `stop` of the network and its dense layers, with random weights.

    Raises:
        ParameterError: the images are too small for the network.
        BackboneError: the weights of a backbone are gone, or others.
    """
    if isinstance(settings, BackboneNetSettings):
        from vision_studies.pipelines.transfer_cuts.backbones import build_backbone

        return build_backbone(settings, data, num_classes, start, stop)
    return ConvNet(settings, **{**data.sizes, "num_classes": num_classes}, start=start, stop=stop)


def rest_of_network(settings: CutRunSettings, data: PreparedData) -> CutNet:
    """The layers of a run after its cut, with random weights."""
    return build_network(settings.network, data, len(settings.classes), settings.cut.frozen, settings.cut.kept)


def pretraining_network(settings: Pretraining, data: PreparedData, seed: int) -> CutNet:
    """The network that learns the first classes, before it has."""
    build = partial(build_network, settings.network, data, len(settings.classes))
    return initial_network(build, seed)


def cut_network(
    settings: CutRunSettings, data: PreparedData, seed: int, pretrained: CutNet | None, start: int | None = None
) -> CutNet:
    """The network of a run before it learns the new classes, from convolution `start` on.

    Layers that are new get the weights that a network of these layers alone would get from the seed. So a network in which
    nothing is kept equals one that was never cut, and new layers do not depend on what stands before them.

    Args:
        pretrained: the network that has learnt the first classes; None where nothing of it is kept.
        start: first convolution; None for the first that learns. Those below the cut that come along do not learn.

    Raises:
        ValueError: layers are to be kept of a network that was not given.
    """
    cut, classes = settings.cut, len(settings.classes)
    first = cut.frozen if start is None else start
    network = build_network(settings.network, data, classes, first, cut.kept)
    fresh_from = min(cut.transferred, cut.kept)
    fresh = initial_network(partial(build_network, settings.network, data, classes, fresh_from, cut.kept), seed)
    weights = {name: value for name, value in fresh.state_dict().items() if name in network.state_dict()}
    wanted = [name for name in network.state_dict() if name not in weights]
    if cut.new_dense == "last" and fresh_from > 0:
        wanted += [name for name in weights if name.startswith("fc.")]
    if wanted:
        if pretrained is None:
            raise ValueError(f"a network with {wanted[0]} of an earlier one needs that network")
        weights |= {name: pretrained.state_dict()[name] for name in wanted}
    network.load_state_dict(weights)
    layers = list(network.children())
    for layer in range(first, cut.frozen):
        layers[layer - first].requires_grad_(False)
    return network


def load_pretrained(
    settings: ConvNetSettings | BackboneNetSettings, data: PreparedData, classes: Sequence[str], file: Path
) -> CutNet:
    """A network that has learnt the first classes. Raises CheckpointError where the file is missing or of another."""
    network = build_network(settings, data, len(classes))
    load_weights(network, file)
    return network.requires_grad_(False).eval()


def pixel_tensor(data: PreparedData, positions: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Images [N, C, H, W] with pixels from -1 to 1, channels last in memory."""
    height, width = data.image_set.images.shape[1:3]
    pixels = torch.empty((len(positions), height, width, data.in_channels), dtype=dtype, device=device)
    for start in range(0, len(positions), _IMAGES_AT_ONCE):
        raw = torch.from_numpy(data.image_set.images[positions[start : start + _IMAGES_AT_ONCE]])
        pixels[start : start + len(raw)] = (raw.to(device).float() / HALF - 1).to(dtype)
    return pixels.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class FrozenLayers:
    """The first `layers` convolutions of a network, which give every image the same features however often it is seen."""

    network: CutNet | None  # that has learnt the first classes; None for no layers
    layers: int
    training: HasPrecision
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the features."""
        return torch.bfloat16 if uses_bfloat16(self.training, self.device) else torch.float32

    @torch.no_grad()
    def features(self, data: PreparedData, positions: np.ndarray) -> Tensor:
        """What the layers hand on, [N, C, H, W], channels last in memory; the images themselves where there are none."""
        if not self.layers or self.network is None:
            return pixel_tensor(data, positions, self.dtype, self.device)
        if not len(positions):
            raise ValueError("features of no images were asked for")
        network, features = self.network.to(self.device), torch.empty(0)
        for start in range(0, len(positions), _IMAGES_AT_ONCE):
            images = pixel_tensor(data, positions[start : start + _IMAGES_AT_ONCE], self.dtype, self.device)
            with autocast(self.training, self.device):
                maps = network.features(images, stop=self.layers).permute(0, 2, 3, 1)
            if not start:
                features = torch.empty((len(positions), *maps.shape[1:]), dtype=self.dtype, device=self.device)
            features[start : start + len(maps)] = maps
        return features.permute(0, 3, 1, 2)

    def identity(self) -> tuple[int, str, str]:
        """What features depend on besides images and weights."""
        return self.layers, str(self.dtype), str(self.device)

    def bytes(self, data: PreparedData, positions: np.ndarray) -> int:
        """Memory that the features of the images at `positions` take."""
        one = self.features(data, positions[:1])
        return len(positions) * one.numel() * one.element_size()


def tensor_data(
    features: Tensor, labels: np.ndarray, train: np.ndarray, validation: np.ndarray, device: torch.device
) -> TensorData:
    """Features with their labels, and the rows that are for training and for validation."""
    integers = (torch.from_numpy(np.asarray(each, dtype=np.int64)).to(device) for each in (labels, train, validation))
    return TensorData(features, *integers)
