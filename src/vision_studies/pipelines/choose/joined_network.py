"""One network from pixels to logits: images are brought to each backbone's size, and their features are classified."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_studies.classifiers.averaging import LEAST_SAID
from vision_studies.classifiers.family import ABSENT, SMALLEST
from vision_studies.classifiers.transforms import Rooted
from vision_studies.config.fine_tuning import FineTuning
from vision_studies.data.loaders import Normalisation
from vision_studies.errors import BackboneError
from vision_studies.models.cut_network import cut_network
from vision_studies.models.pretrained import OpenedBackbone
from vision_studies.models.statistics import count_macs, count_parameters
from vision_studies.pipelines.choose.candidates import COLOURS, Part, part_of, recipe_of
from vision_studies.pipelines.choose.colours import ColourHistogram
from vision_studies.serving.backbone_features import BackboneFeatures
from vision_studies.serving.trained_backbones import open_any_backbone
from vision_studies.training.fine_tuning import small_network

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

_NONE = ABSENT / 2  # of a class that had no image to learn from


def part_features(part: Part, image_size: int, body: nn.Module | None = None) -> nn.Module:
    """Images [N, 1 or 3, H, W], pixels from 0 to 1 -> features [N, D] of a part; with another network than the backbone's own
    where there is a `body`.
    """
    if part.source == COLOURS:
        return ColourHistogram()
    backbone, network, _ = opened_part(part)
    normalisation = Normalisation(backbone.mean, backbone.std)
    return BackboneFeatures(
        network if body is None else body, normalisation, part.pixels, mirror=part.mirror, image_size=image_size
    )


def opened_part(part: Part) -> OpenedBackbone:
    """The backbone of a part. Raises BackboneError where its weights are others than those of the part."""
    opened = open_any_backbone(part.source)
    if opened.weights != part.weights:
        raise BackboneError(
            f"The weights of {part.source} are others than those that the classifier was fitted with; run the study again."
        )
    return opened


def trained_features(configuration: Mapping[str, Any], body: Mapping[str, Tensor], image_size: int) -> nn.Module:
    """Images -> features, by a network that was trained.

    Args:
        body: its weights, and by what its images are normalised where it began with random ones.
    """
    recipe = recipe_of(configuration)
    if isinstance(recipe, FineTuning):
        part = part_of(configuration["features"][0])
        cut = cut_network(opened_part(part).network, recipe.share)
        cut.behind.load_state_dict(body)
        whole = cut.behind if cut.before is None else nn.Sequential(cut.before, cut.behind)
        return part_features(part, image_size, whole.eval())
    mean, std = (tuple(body[name].tolist()) for name in ("mean", "std"))
    network = small_network(len(mean), recipe.pixels)
    network.load_state_dict({name: value for name, value in body.items() if name not in ("mean", "std")})
    mirror = configuration["mirror"]
    return BackboneFeatures(
        network.eval(), Normalisation(mean, std), recipe.pixels, mirror=mirror, image_size=image_size
    )


def network_size(
    configuration: Mapping[str, Any],
    data: "PreparedData",
    body: Mapping[str, Tensor],
    head: Mapping[str, np.ndarray],
) -> dict[str, int]:
    """Parameters of a network that was trained, and operations for an image as it comes in."""
    network = trained_features(configuration, body, data.image_size)
    numbers = sum(int(value.size) for value in head.values())
    return {"parameters": count_parameters(network) + numbers, "macs": count_macs(network, data.image_shape) + numbers}


class ClassifiedFeatures(nn.Module):
    """Features side by side, and a classifier on them.

    Args:
        parts: each gives features [N, d] of images.
        head: features [N, D] -> logits [N, classes].
        roots: take square roots of the features of each part, as `classifiers.transforms.rooted` does.
    """

    def __init__(self, parts: Sequence[nn.Module], head: nn.Module, temperature: float, *, roots: bool = False) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.head, self._temperature = head, temperature
        self._root = Rooted() if roots else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        own = [part(images) for part in self.parts]
        if self._root is not None:
            own = [self._root(part) for part in own]
        elif len(own) > 1:  # as `training.feature_store.joined_features` does
            own = [part / part.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12) for part in own]
        features = torch.cat(own, dim=1)
        return tempered_logits(self.head(features), self._temperature)


def tempered_logits(logits: Tensor, temperature: float) -> Tensor:
    """Logits whose softmax is what `classifiers.nested.tempered` makes of that of `logits` [N, classes]."""
    logarithms = logits.log_softmax(dim=1)
    return torch.where(logarithms > _NONE, logarithms.clamp_min(math.log(SMALLEST)) / temperature, ABSENT)


class MeanOfNetworks(nn.Module):
    """Weighted mean of what several networks say, as logits.

    Args:
        networks: each gives logits [N, classes].
        weights: one each, their sum is 1.
    """

    def __init__(self, networks: Sequence[nn.Module], weights: Sequence[float], temperature: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._weights, self._temperature = tuple(weights), temperature

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        said = [
            weight * network(images).softmax(dim=1)
            for network, weight in zip(self.networks, self._weights, strict=True)
        ]
        mean = torch.stack(said).sum(dim=0)
        return tempered_logits(mean.clamp_min(torch.finfo(mean.dtype).tiny).log(), self._temperature)


class StackOfNetworks(nn.Module):
    """A linear classifier of the logarithms of what several networks say, as logits; see `classifiers.averaging.said_of`.

    Args:
        networks: M; each gives logits [N, classes].
        weight: float32 [classes, M * classes].
        bias: float32 [classes].
    """

    def __init__(self, networks: Sequence[nn.Module], weight: Tensor, bias: Tensor, temperature: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        # Turned round, it is not taken for a layer that decides for classes by features: those are the members'.
        self.register_buffer("turned", weight.T.contiguous())
        self.register_buffer("bias", bias)
        self._temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        said = [network(images).softmax(dim=1).clamp_min(LEAST_SAID).log() for network in self.networks]
        logits = torch.cat(said, dim=1) @ self.get_buffer("turned") + self.get_buffer("bias")
        return tempered_logits(logits, self._temperature)
