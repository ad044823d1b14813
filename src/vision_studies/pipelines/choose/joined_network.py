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
from vision_studies.pipelines.choose.candidates import Part, part_of, recipe_of
from vision_studies.pipelines.choose.colours import ColourHistogram
from vision_studies.serving.backbone_features import BackboneFeatures
from vision_studies.serving.trained_backbones import open_any_backbone
from vision_studies.training.fine_tuning import small_network

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData

_NONE = ABSENT / 2  # of a class that had no image to learn from


def part_features(part: Part, image_size: int, opened: OpenedBackbone | None) -> nn.Module:
    """Images [N, 1 or 3, H, W], pixels from 0 to 1 -> features [N, D] of a part, whose backbone was opened; None of colours."""
    if opened is None:
        return ColourHistogram()
    normalisation = Normalisation(opened.backbone.mean, opened.backbone.std)
    return BackboneFeatures(opened.network, normalisation, part.pixels, mirror=part.mirror, image_size=image_size)


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
        opened = opened_part(part)
        cut = cut_network(opened.network, recipe.share)
        cut.behind.load_state_dict(body)
        whole = cut.behind if cut.before is None else nn.Sequential(cut.before, cut.behind)
        return part_features(part, image_size, opened._replace(network=whole.eval()))
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
        return self.classified([part(images) for part in self.parts])

    def classified(self, features: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes] of the features [N, d] of each part."""
        if self._root is not None:
            features = [self._root(part) for part in features]
        elif len(features) > 1:  # as `training.feature_store.joined_features` does
            features = [part / part.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12) for part in features]
        return tempered_logits(self.head(torch.cat(list(features), dim=1)), self._temperature)


def tempered_logits(logits: Tensor, temperature: float) -> Tensor:
    """Logits whose softmax is what `classifiers.nested.tempered` makes of that of `logits` [N, classes]."""
    logarithms = logits.log_softmax(dim=1)
    return torch.where(logarithms > _NONE, logarithms.clamp_min(math.log(SMALLEST)) / temperature, ABSENT)


class _Members(nn.Module):
    """Networks that are asked the same images; features of a part that several of them have are computed once."""

    def __init__(self, networks: Sequence[ClassifiedFeatures]) -> None:
        super().__init__()
        self.networks, self._members = nn.ModuleList(networks), tuple(networks)
        self._parts = tuple(dict.fromkeys(part for network in networks for part in network.parts))
        self._taken = [[self._parts.index(part) for part in network.parts] for network in networks]

    def said(self, images: Tensor) -> list[Tensor]:
        """Probabilities [N, classes] of each member, of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        features = [part(images) for part in self._parts]
        return [
            network.classified([features[position] for position in taken]).softmax(dim=1)
            for network, taken in zip(self._members, self._taken, strict=True)
        ]


class MeanOfNetworks(_Members):
    """Weighted mean of what several networks say, as logits.

    Args:
        networks: members, which may have parts in common.
        weights: one each, their sum is 1.
    """

    def __init__(self, networks: Sequence[ClassifiedFeatures], weights: Sequence[float], temperature: float) -> None:
        super().__init__(networks)
        self._weights, self._temperature = tuple(weights), temperature

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        said = [weight * own for own, weight in zip(self.said(images), self._weights, strict=True)]
        mean = torch.stack(said).sum(dim=0)
        return tempered_logits(mean.clamp_min(torch.finfo(mean.dtype).tiny).log(), self._temperature)


class StackOfNetworks(_Members):
    """A linear classifier of the logarithms of what several networks say, as logits; see `classifiers.averaging.said_of`.

    Args:
        networks: M members, which may have parts in common.
        weight: float32 [classes, M * classes].
        bias: float32 [classes].
    """

    def __init__(
        self, networks: Sequence[ClassifiedFeatures], weight: Tensor, bias: Tensor, temperature: float
    ) -> None:
        super().__init__(networks)
        # Turned round, it is not taken for a layer that decides for classes by features: those are the members'.
        self.register_buffer("turned", weight.T.contiguous())
        self.register_buffer("bias", bias)
        self._temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        said = [own.clamp_min(LEAST_SAID).log() for own in self.said(images)]
        logits = torch.cat(said, dim=1) @ self.get_buffer("turned") + self.get_buffer("bias")
        return tempered_logits(logits, self._temperature)
