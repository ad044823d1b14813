"""Ensembles that are one network: images in, the logits of every member out.

Sources: packed ensembles (Laurent et al. 2023), BatchEnsemble (Wen et al. 2020), Monte Carlo dropout (Gal and Ghahramani 2016).
Each is made of a plain network whose layers with weights are convolutions, linear layers and batch norms.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from vision_studies.errors import ParameterError


class Ensemble(nn.Module):
    """What members say of an image, and last the ensemble: the mean of their probabilities, or one network that decides.

    Args:
        members: images [B, C, H, W] -> logits [B, members, classes].
        decides: images -> logits [B, classes], such as one with the mean of the members' weights; None for the mean.
    """

    def __init__(self, members: nn.Module, decides: nn.Module | None = None) -> None:
        super().__init__()
        self.members, self.decides = members, decides

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, members + 1, classes]; those of a mean are logarithms of probabilities."""
        logits = self.members(images)
        last = log_mean(logits) if self.decides is None else self.decides(images)
        return torch.cat([logits.float(), last.float()[:, None]], dim=1)


def log_mean(logits: Tensor) -> Tensor:
    """Logarithms [B, classes] of the mean probabilities of members with logits [B, members, classes]."""
    return logits.float().log_softmax(dim=2).logsumexp(dim=1) - math.log(logits.shape[1])


class SeparateMembers(nn.Module):
    """Networks that are asked one after the other."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, members, classes] of images [B, C, H, W]."""
        return torch.stack([network(images) for network in self.networks], dim=1)


class PackedMembers(nn.Module):
    """Networks of one architecture as one whose layers have a group of channels for each: the same logits, fewer operations.

    Args:
        networks: with the members' first weights; they are copied.

    Raises:
        ParameterError: they have layers that cannot be divided into groups.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from vision_studies.models.ensembles import PackedMembers, SeparateMembers
        >>> networks = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)) for _ in range(3)]
        >>> images = torch.rand(5, 3, 4, 4)
        >>> bool(torch.allclose(PackedMembers(networks)(images), SeparateMembers(networks)(images), atol=1e-5))
        True
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        _require_plain_layers(networks[0], "packed")
        self.network = _packed(networks)
        self._count = len(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, members, classes] of images [B, C, H, W]."""
        return self.network(images.repeat(1, self._count, 1, 1)).unflatten(1, (self._count, -1))


class GroupedLinear(nn.Module):
    """Linear layers side by side, each on its own part of the features."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        first = layers[0].weight
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]), first.requires_grad)
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases), first.requires_grad) if biases else None

    def forward(self, features: Tensor) -> Tensor:
        """[B, members * outputs] of features [B, members * inputs]."""
        grouped = features.unflatten(1, (len(self.weight), -1)).transpose(0, 1)
        outputs = torch.bmm(grouped, self.weight.transpose(1, 2))
        outputs = outputs if self.bias is None else outputs + self.bias[:, None]
        return outputs.transpose(0, 1).flatten(1)


class BatchEnsemble(nn.Module):
    """A network whose layer of weights W is, for member m, W times the matrix of rank one s_m r_m^T, element by element.

    In training a batch is divided among the members; in evaluation mode every image goes to all of them, side by side in one
    batch. Norms and their statistics are shared. r and s start as random signs.

    Args:
        network: whose weights are shared; it is copied.
        members: how many there are.

    Raises:
        ParameterError: it has layers that cannot be shared so.
    """

    def __init__(self, network: nn.Module, members: int) -> None:
        super().__init__()
        _require_plain_layers(network, "batch_ensemble")
        self.network = _wrapped(network, lambda layer, _: _RankOne(layer, members))
        self._count = members

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, members, classes] of images [B, C, H, W]; in training [B, 1, classes], of the member of each image."""
        if self.training:
            return self.network(images)[:, None]
        return self.network(images.repeat(self._count, 1, 1, 1)).unflatten(0, (self._count, -1)).transpose(0, 1)


class MonteCarloDropout(nn.Module):
    """A network with channels dropped before every layer of weights but the first, in training and afterwards.

    In training each image loses channels of its own. In evaluation mode it is asked in several passes; what a pass drops is
    drawn once and is the same for all images, so that a pass is a member like any other.

    Args:
        network: it is copied.
        passes: how many there are.
        rate: share of the channels that are zeroed; the others grow by 1 / (1 - rate).

    Raises:
        ParameterError: it has layers other than convolutions, linear layers and batch norms.
    """

    def __init__(self, network: nn.Module, passes: int, rate: float) -> None:
        super().__init__()
        _require_plain_layers(network, "mc_dropout")
        self.network = _wrapped(network, lambda layer, first: layer if first else _Thinned(layer, passes, rate))
        self._count = passes

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, passes, classes] of images [B, C, H, W]; in training of one pass."""
        if self.training:
            return self.network(images)[:, None]
        return self.network(images.repeat(self._count, 1, 1, 1)).unflatten(0, (self._count, -1)).transpose(0, 1)


class _RankOne(nn.Module):
    """A layer that members share. What is a member's own lies in vectors, which optimisers treat as they treat biases."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, members: int) -> None:
        super().__init__()
        self.layer = layer
        inputs, outputs = _channels(layer)
        self.inputs, self.outputs = (nn.Parameter(_signs(members * count)) for count in (inputs, outputs))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().repeat(members))
        layer.bias = None
        self._count = members

    def forward(self, features: Tensor) -> Tensor:
        """[B, outputs, ...] of features [B, inputs, ...], of which the members have equal parts, one after the other."""
        outputs = self.layer(features * self._of_rows(self.inputs, features))
        outputs = outputs * self._of_rows(self.outputs, outputs)
        return outputs if self.bias is None else outputs + self._of_rows(self.bias, outputs)

    def _of_rows(self, values: Tensor, features: Tensor) -> Tensor:
        count = len(features)
        rows = values.view(self._count, -1)[torch.arange(count, device=values.device) * self._count // count]
        return rows.view(*rows.shape, *(1 for _ in features.shape[2:]))


class _Thinned(nn.Module):
    """A layer that does not see some of its channels."""

    masks: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, passes: int, rate: float) -> None:
        super().__init__()
        self.layer, self._rate = layer, rate
        inputs, _ = _channels(layer)
        self.register_buffer("masks", F.dropout(torch.ones(passes, inputs, device=layer.weight.device), rate))

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            rows = F.dropout(features.new_ones(features.shape[:2]), self._rate)
        else:
            rows = self.masks.to(features.dtype).repeat_interleave(len(features) // len(self.masks), dim=0)
        return self.layer(features * rows.view(*rows.shape, *(1 for _ in features.shape[2:])))


def _packed(modules: Sequence[nn.Module]) -> nn.Module:
    """One module with the channels of all, one after the other."""
    first, count = modules[0], len(modules)
    if isinstance(first, nn.Linear):
        return GroupedLinear(modules)  # type: ignore[arg-type] # all are of the first one's architecture
    joined = copy.deepcopy(first)
    if isinstance(joined, nn.Conv2d):
        joined.groups, joined.in_channels = count * joined.groups, count * joined.in_channels
        joined.out_channels *= count
    if isinstance(joined, _BatchNorm):
        joined.num_features *= count
    for name, parameter in list(joined.named_parameters(recurse=False)):
        values = torch.cat([module.get_parameter(name).detach() for module in modules])
        setattr(joined, name, nn.Parameter(values, parameter.requires_grad))
    for name, buffer in list(joined.named_buffers(recurse=False)):
        if buffer.ndim:
            setattr(joined, name, torch.cat([module.get_buffer(name) for module in modules]))
    for name, _ in first.named_children():
        joined.add_module(name, _packed([module.get_submodule(name) for module in modules]))
    return joined


def _wrapped(network: nn.Module, wrap: Callable[[nn.Conv2d | nn.Linear, bool], nn.Module]) -> nn.Module:
    """A copy with every convolution and linear layer replaced by `wrap` of it and of whether it is the first."""
    copied = copy.deepcopy(network)
    layers = [(name, layer) for name, layer in copied.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for number, (name, layer) in enumerate(layers):
        parent, _, last = name.rpartition(".")
        copied.get_submodule(parent).add_module(last, wrap(layer, number == 0))
    return copied


def _require_plain_layers(network: nn.Module, opponent: str) -> None:
    plain = (nn.Conv2d, nn.Linear, _BatchNorm)
    for module in network.modules():
        if not isinstance(module, plain) and next(_own_tensors(module), None) is not None:
            raise ParameterError(
                f"stacking.opponents: {opponent} takes networks of convolutions, linear layers and batch norms, and "
                f"{type(network).__name__} has a {type(module).__name__}; leave {opponent} out, or choose another first "
                "network of stacking.run.base_learners."
            )


def _own_tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _channels(layer: nn.Conv2d | nn.Linear) -> tuple[int, int]:
    return (
        (layer.in_channels, layer.out_channels)
        if isinstance(layer, nn.Conv2d)
        else (
            layer.in_features,
            layer.out_features,
        )
    )


def _signs(count: int) -> Tensor:
    return 2.0 * torch.randint(0, 2, (count,)) - 1
