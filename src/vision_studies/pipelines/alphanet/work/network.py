"""The networks of several AlphaNets as one, stacked weights over a shared input; and AlphaNet class by class, as it is
described: what the fast form is tested and timed against.

Source: Chang, Koushik, Tarr, Hebert and Wang, "Alpha Net: Adaptation with Composition in Classifier Space" (2020), and the
project "alphanet".
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.pipelines.alphanet.settings import AlphaNetworkSettings
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
        single = [_first_layers(features, neighbours, settings.hidden, seed) for seed in seeds]
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

    def member(self, number: int) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of one network, layer by layer."""
        return [
            (weight.detach()[number].clone(), bias.detach()[number].clone())
            for weight, bias in zip(self.weights, self.biases, strict=True)
        ]


def source_matrix(classifier: LinearClassifier, neighbours: Neighbours) -> Tensor:
    """Own classifier of each few class, then its neighbours', side by side, float32 [F, (k + 1) * d]."""
    few = torch.from_numpy(neighbours.classes)[:, None]
    rows = torch.cat([few, torch.from_numpy(neighbours.labels)], dim=1)
    return torch.from_numpy(classifier.weight)[rows].flatten(1)


class LiteralAlphaNet(nn.Module):
    """A few class's classifier is its own plus a learnt combination of its neighbours'; the sizes of coefficients sum to 1.

    One small network, shared by all few classes, finds the coefficients of a class from its own and its neighbours'
    classifiers. Classifiers of base classes, and all biases, stay as they are.

    Args:
        classifier: of all classes.
        neighbours: of the few classes.
        settings: widths and activation of the network.
        prediction_scale: what scores are multiplied by.
        seed: of the network's first weights.
    """

    def __init__(
        self,
        classifier: LinearClassifier,
        neighbours: Neighbours,
        settings: AlphaNetworkSettings,
        *,
        prediction_scale: float,
        seed: int,
    ) -> None:
        super().__init__()
        weight, bias = torch.from_numpy(classifier.weight), torch.from_numpy(classifier.bias)
        self.few = torch.from_numpy(neighbours.classes)
        self.base = torch.from_numpy(np.setdiff1d(np.arange(len(bias)), neighbours.classes))
        few = neighbours.classes[:, None]
        # Parameters, as in the original: they take gradients that nobody uses.
        self.sources = nn.ParameterList(
            nn.Parameter(weight[torch.from_numpy(rows)]) for rows in np.concatenate([few, neighbours.labels], axis=1)
        )
        self.layers = nn.ModuleList(_first_layers(weight.shape[1], neighbours.number, settings.hidden, seed))
        self.activation = getattr(F, settings.activation)
        self.prediction_scale = prediction_scale
        self.few_bias, self.base_weight, self.base_bias = bias[self.few], weight[self.base], bias[self.base]

    def coefficients(self, source: Tensor) -> Tensor:
        """Coefficients of one class's neighbours, [k], from its own and their classifiers, [k + 1, d]."""
        hidden = self.layers[0](source[None, None]).flatten()
        for layer in self.layers[1:]:
            hidden = layer(self.activation(hidden))
        return hidden / hidden.abs().sum()

    def few_weight(self) -> Tensor:
        """Classifiers of the few classes, [few, d]."""
        return torch.stack([source[0] + self.coefficients(source) @ source[1:] for source in self.sources])

    def forward(self, features: Tensor) -> Tensor:
        """Scores of all classes, [N, classes], of features [N, d]."""
        few = features @ self.few_weight().T + self.few_bias
        base = features @ self.base_weight.T + self.base_bias
        order = torch.argsort(torch.cat([self.few, self.base]))
        return torch.cat([few, base], dim=1)[:, order] * self.prediction_scale


def _first_layers(features: int, neighbours: int, hidden: tuple[int, ...], seed: int) -> list[nn.Module]:
    """Layers with torch's own first weights: filters as large as the classifiers of a class, then linear layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(1, hidden[0], (neighbours + 1, features))]
        layers += [nn.Linear(before, after) for before, after in zip(hidden, (*hidden[1:], neighbours), strict=True)]
    return layers
