"""Several trained networks as one that gives logits: what studies combine in tables, combined image by image."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.models.convnet import ConvNet
from vision_studies.models.cut_backbone import CutBackbone
from vision_studies.models.stacked import MetaLearner


class LastHead(nn.Module):
    """The decision of a network that also tells what its base learners say: images -> logits [N, heads, classes], it comes
    last.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, C, H, W]."""
        return self.network(images)[:, -1]


class WeightedMean(nn.Module):
    """The mean of the probabilities of several networks (images -> logits [N, classes]) by weights at or above 0 with sum 1."""

    def __init__(self, networks: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._weights = tuple(weights)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms [N, classes] of the mean probabilities of normalised images [N, C, H, W]."""
        probabilities = [network(images).float().softmax(dim=1) for network in self.networks]
        return _logarithm(sum(w * p for w, p in zip(self._weights, probabilities, strict=True)))


class FoldedStack(nn.Module):
    """A stack whose base learners were trained by folds: the meta-learner judges every set of them.

    Args:
        sets: of base learners, images -> logits [N, classes] each.
        weights: of the sets' decisions, with sum 1.
        meta_learner: decides by what a set says.
        meta_input: logits [N, learners, classes] -> what the meta-learner is given [N, learners * classes].
    """

    def __init__(
        self,
        sets: Sequence[Sequence[nn.Module]],
        weights: Sequence[float],
        meta_learner: MetaLearner,
        meta_input: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.sets = nn.ModuleList(nn.ModuleList(learners) for learners in sets)
        self.meta_learner = meta_learner
        self._weights, self._meta_input = tuple(weights), meta_input

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms [N, classes] of the mean probabilities of normalised images [N, C, H, W]."""
        total: Tensor | int = 0
        for weight, learners in zip(self._weights, self.sets, strict=True):
            assert isinstance(learners, nn.ModuleList)  # noqa: S101 - made above
            logits = torch.stack([learner(images).float() for learner in learners], dim=1)
            decision = self.meta_learner(self._meta_input(logits), images)
            total = total + weight * decision.float().softmax(dim=1)
        return _logarithm(total)


class LastLayer(nn.Module):
    """A linear layer that computes in float32, whatever the network before it computes in, as classifiers of features do.

    Args:
        weight: [classes, d].
        bias: [classes].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())

    def forward(self, features: Tensor) -> Tensor:
        """Scores [N, classes] of features [N, d]."""
        if not torch.is_autocast_enabled(features.device.type):
            return F.linear(features.float(), self.weight, self.bias)
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features.float(), self.weight, self.bias)


class AlignedLayer(LastLayer):
    """A linear layer whose scores z become z + s (factor z + shift), s the sigmoid of what the gate says of the image.

    Args:
        weight: [classes, d].
        bias: [classes].
        factors: [classes].
        shifts: [classes].
        gate: [d + 1], its bias last.
        logit_scale: what the network multiplies its outputs by, and these are divided by.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, factors: Tensor, shifts: Tensor, gate: Tensor, *, logit_scale: float
    ) -> None:
        super().__init__(weight, bias)
        self.factors, self.shifts = nn.Parameter(factors.float()), nn.Parameter(shifts.float())
        self.gate, self._logit_scale = nn.Parameter(gate.float()), logit_scale

    def forward(self, features: Tensor) -> Tensor:
        """Scores [N, classes] of features [N, d]."""
        if not torch.is_autocast_enabled(features.device.type):
            return self._aligned(features.float())
        with torch.autocast(features.device.type, enabled=False):
            return self._aligned(features.float())

    def _aligned(self, features: Tensor) -> Tensor:
        scores = F.linear(features, self.weight, self.bias)
        shares = (features @ self.gate[:-1] + self.gate[-1]).sigmoid()[:, None]
        return (scores + shares * (self.factors * scores + self.shifts)) / self._logit_scale


class SummedLogits(nn.Module):
    """The sum of the logits of several networks (images -> logits [N, classes])."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, C, H, W]."""
        return torch.stack([network(images).float() for network in self.networks]).sum(dim=0)


class Cut(nn.Module):
    """The features after some layers of the `first` network, then the `rest` of another from there on."""

    def __init__(self, first: ConvNet | CutBackbone, layers: int, rest: ConvNet | CutBackbone) -> None:
        super().__init__()
        self.first, self.rest = first, rest
        self._layers = layers

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, C, H, W]."""
        return self.rest(self.first.features(images, stop=self._layers))


def _logarithm(probabilities: Tensor | int) -> Tensor:
    """Logits whose softmax gives the probabilities back; what is 0 becomes the smallest number instead."""
    assert isinstance(probabilities, Tensor)  # noqa: S101 - the sum of one network at least
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
