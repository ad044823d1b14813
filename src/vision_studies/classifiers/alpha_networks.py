"""AlphaNet on fixed features: classifiers of rare classes borrow from those of the frequent classes nearest to them.

A few class's classifier is its own plus a learnt combination of its neighbours'; the sizes of coefficients sum to 1. One small
network, shared by all few classes, finds the coefficients of a class from its own and its neighbours' classifiers. Classifiers
of base classes, and all biases, stay as they are. Source: Chang, Koushik, Tarr, Hebert and Wang 2020, Alpha Net: Adaptation
with Composition in Classifier Space.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.classifiers.family import Hyperparameters
from vision_studies.classifiers.fold_statistics import FoldStatistics
from vision_studies.classifiers.linear import LinearFamily
from vision_studies.classifiers.logistic import PENALTIES, balanced_weights, solution_path

_FEW = 0.5  # of the mean number of images of a class: classes with fewer are few
_NEIGHBOURS = 5
_HIDDEN, _STEPS, _RATE = (32,), 100, 1e-2


class StackedAlphaNetworks(nn.Module):
    """R networks that find coefficients from the classifiers of each few class and its neighbours.

    The input never changes, so that the first layer of all networks is a single matrix product.

    Args:
        sources: float32 [F, (k + 1) * d] or, where networks differ in it, [R, F, (k + 1) * d]: own classifier of each few
            class, then its neighbours', side by side.
        features: d.
        hidden: widths of the hidden layers.
        activation: between the layers; a function of torch.nn.functional of one argument.
        seeds: of each network's first weights.
    """

    sources: Tensor

    def __init__(
        self, sources: Tensor, features: int, hidden: tuple[int, ...], activation: str, seeds: Sequence[int]
    ) -> None:
        super().__init__()
        self.register_buffer("sources", sources, persistent=False)
        neighbours = sources.shape[-1] // features - 1
        single = [first_layers(features, neighbours, hidden, seed) for seed in seeds]
        stacked = list(zip(*single, strict=True))
        self.weights = nn.ParameterList(
            nn.Parameter(torch.stack([layer.weight.detach().flatten(1) for layer in layers])) for layers in stacked
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.stack([layer.bias.detach() for layer in layers])) for layers in stacked
        )
        self.activation = getattr(F, activation)

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


def first_layers(features: int, neighbours: int, hidden: tuple[int, ...], seed: int) -> list[nn.Module]:
    """Layers with torch's own first weights: filters as large as the classifiers of a class, then linear layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(1, hidden[0], (neighbours + 1, features))]
        layers += [nn.Linear(before, after) for before, after in zip(hidden, (*hidden[1:], neighbours), strict=True)]
    return layers


class AlphaNet(LinearFamily):
    """Logistic regression, of which the classifiers of few classes are combined with those of their neighbours.

    Classes with less than half the mean number of images are few, and the five others with the nearest means (all, where there
    are fewer) their neighbours. Coefficients learn from all images at once, every class weighing alike. Where no class is few
    it is logistic regression.
    """

    name = "alphanet"
    title = "Logistic regression, AlphaNet"
    source = "Chang, Koushik, Tarr, Hebert and Wang 2020, Alpha Net: Adaptation with Composition in Classifier Space"
    choices = tuple({"C": value} for value in PENALTIES)

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        weight, bias = solution_path(data, [float(one["C"]) for one in grid], data.train, None)
        shares = balanced_weights(data)
        for fold, counts in enumerate(data.counts):
            limit = _FEW * data.images[fold] / (counts > 0).sum()
            few, base = ((counts > 0) & (counts < limit)).nonzero()[:, 0], (counts >= limit).nonzero()[:, 0]
            if len(few):
                weight[:, fold, :, few] += _borrowed(
                    data, fold, weight[:, fold], bias[:, fold], shares[fold], few, base
                )
        return weight, bias


def _borrowed(
    data: FoldStatistics, fold: int, weight: Tensor, bias: Tensor, shares: Tensor, few: Tensor, base: Tensor
) -> Tensor:
    """What weights [G, D, C] of few classes [F] gain from those of base classes, [G, D, F]; biases are [G, C]."""
    means = (data.class_means[fold] - data.mean[fold]) / data.scale[fold]
    number = min(_NEIGHBOURS, len(base))
    near = base[torch.cdist(means[few], means[base]).topk(number, dim=1, largest=False).indices]  # [F, k]
    rows = data.rows(fold)
    plain = data.centred(fold, within=False) @ weight  # [G, n, C], without biases
    neighbours, scores = plain[:, :, near], plain + bias[:, None]  # [G, n, F, k], [G, n, C]
    labels, share = data.y[rows], shares[rows] / shares[rows].sum()
    # Coordinates in the space that the classifiers span: as many as classes, instead of as features.
    own = torch.linalg.qr(weight).R  # [G, d, C]
    own = (own / own.norm(dim=1).mean(dim=1)[:, None, None].clamp_min(1e-12)).mT
    sources = own[:, torch.cat([few[:, None], near], dim=1)].flatten(2)  # [G, F, (k + 1) * d]
    networks = StackedAlphaNetworks(sources, own.shape[2], _HIDDEN, "leaky_relu", [0] * len(weight))
    optimizer = torch.optim.Adam(networks.parameters(), _RATE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            more = torch.einsum("gnfk,gfk->gnf", neighbours, networks())
            losses = F.cross_entropy(
                scores.index_add(2, few, more).mT, labels.expand(len(weight), -1), reduction="none"
            )
            optimizer.zero_grad()
            (losses @ share).sum().backward()  # leaves each network its own gradient
            optimizer.step()
    with torch.no_grad():
        return torch.einsum("gdfk,gfk->gdf", weight[:, :, near], networks())
