"""The networks of several AlphaNets as one: stacked weights over a shared input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.pipelines.alphanet.settings import AlphaNetworkSettings
from vision_studies.pipelines.alphanet.work.classifiers import LinearClassifier
from vision_studies.pipelines.alphanet.work.literal import first_layers
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours


class StackedAlphaNetworks(nn.Module):
    """R networks that find coefficients from the classifiers of each few class and its neighbours.

    The input never changes, so that the first layer of all networks is a single matrix product.

    Args:
        sources: float32 [F, (k + 1) * d] or, where networks differ in it, [R, F, (k + 1) * d]; see `source_matrix`.
        features: d.
        settings: widths and activation.
        seeds: of each network's first weights.
    """

    sources: Tensor

    def __init__(self, sources: Tensor, features: int, settings: AlphaNetworkSettings, seeds: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("sources", sources, persistent=False)
        neighbours = sources.shape[-1] // features - 1
        single = [first_layers(features, neighbours, settings.hidden, seed) for seed in seeds]
        stacked = list(zip(*single, strict=True))
        self.weights = nn.ParameterList(
            nn.Parameter(torch.stack([layer.weight.detach().flatten(1) for layer in layers])) for layers in stacked
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.stack([layer.bias.detach() for layer in layers])) for layers in stacked
        )
        self.activation = getattr(F, settings.activation)

    def forward(self) -> Tensor:
        """Coefficients [R, F, k] of all networks; their sizes sum to 1 for each class."""
        members, width, inputs = self.weights[0].shape
        if self.sources.ndim == 2:
            flat = self.sources @ self.weights[0].view(members * width, inputs).T
            hidden = flat.view(-1, members, width).transpose(0, 1) + self.biases[0][:, None]
        else:
            hidden = torch.baddbmm(self.biases[0][:, None], self.sources, self.weights[0].mT)
        for weight, bias in zip(list(self.weights)[1:], list(self.biases)[1:], strict=True):
            hidden = torch.baddbmm(bias[:, None], self.activation(hidden), weight.mT)
        # An output of zeros has no direction: all its coefficients are zero, instead of not being numbers.
        return hidden / hidden.abs().sum(dim=-1, keepdim=True).clamp_min(torch.finfo(hidden.dtype).tiny)

    def member(self, place: int) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of one network, layer by layer."""
        return [
            (weight.detach()[place].clone(), bias.detach()[place].clone())
            for weight, bias in zip(self.weights, self.biases, strict=True)
        ]


def source_matrix(classifier: LinearClassifier, neighbours: Neighbours) -> Tensor:
    """Own classifier of each few class, then its neighbours', side by side, float32 [F, (k + 1) * d]."""
    own = torch.from_numpy(neighbours.classes)[:, None]
    rows = torch.cat([own, torch.from_numpy(neighbours.labels)], dim=1)
    return torch.from_numpy(classifier.weight)[rows].flatten(1)
