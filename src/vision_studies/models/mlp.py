"""A multilayer perceptron whose activation slope and dropout rate are data, so that many can be computed as one."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NOISE_LEVELS = 2**15
"""Noise is drawn uniformly from so many whole numbers; a dropout rate is rounded to a multiple of their inverse."""

_STEEP = 3e38  # close to the largest float32 and bfloat16: times it, any number is at least 1 or at most -1


class MLP(nn.Module):
    """Linear layers, each but the last followed by a leaky rectifier and dropout.

    Source: the project "Hyperparameter-Experiment" (MNIST perceptrons); weights start as `nn.Linear` draws them.

    Args:
        in_features: numbers of an image; images are flattened.
        widths: units of each hidden layer.
        num_classes: number of logits.
        dropout: share of hidden units zeroed in training; the others are scaled up.
        slope: slope of the rectifier below zero, at most 1.
    """

    dropout: Tensor
    slope: Tensor

    def __init__(
        self, in_features: int, widths: Sequence[int], num_classes: int, *, dropout: float, slope: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise([in_features, *widths, num_classes]))
        self.widths = tuple(widths)
        self.register_buffer("dropout", torch.tensor(dropout))
        self.register_buffer("slope", torch.tensor(slope))

    @property
    def noise_units(self) -> int:
        """Random numbers that dropout takes for an image."""
        return sum(self.widths)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Logits [B, classes] of images [B, ...].

        Args:
            images: any shape after the batch.
            noise: int16 [B, noise_units] below `NOISE_LEVELS`; a unit is kept where its number reaches the dropout rate.
                None draws it in training and does without dropout in evaluation.
        """
        hidden = images.flatten(1)
        if noise is None and self.training:
            shape = (len(images), self.noise_units)
            noise = torch.randint(NOISE_LEVELS, shape, dtype=torch.int16, device=images.device)
        parts = [None] * len(self.widths) if noise is None else noise.split(self.widths, dim=-1)
        for layer, part in zip(self.layers, parts, strict=False):
            hidden = layer(hidden)
            hidden = torch.where(hidden > 0, hidden, hidden * self.slope)
            if part is not None:
                mask = part >= torch.round(self.dropout * NOISE_LEVELS)
                hidden = hidden * mask / (1 - self.dropout)
        return self.layers[-1](hidden)

    def stacked_forward(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], images: Tensor, noise: Tensor | None
    ) -> Tensor:
        """`forward` of M networks at once, without `where`, which is slow on a CPU.

        Args:
            parameters: stacked parameters [M, ...] by name.
            buffers: stacked buffers [M] by name.
            images: [M, B, ...], or [1, B, ...] for all networks alike.
            noise: int16 [M, B, noise_units], or [1, B, noise_units] for all networks alike; None for no dropout.

        Returns:
            Logits [M, B, classes].
        """
        weights = [parameters[f"layers.{layer}.weight"] for layer in range(len(self.layers))]
        biases = [parameters[f"layers.{layer}.bias"] for layer in range(len(self.layers))]
        slope, dropout = (buffers[name].view(-1, 1, 1) for name in ("slope", "dropout"))
        parts = [None] * len(self.widths) if noise is None else noise.split(self.widths, dim=-1)
        hidden = images.flatten(2)
        if noise is not None:
            # Units that are kept are scaled up: in the weights that read them, which are fewer than the units of a batch.
            weights[1:] = [weight / (1 - dropout) for weight in weights[1:]]
        for weight, bias, part in zip(weights, biases, parts, strict=False):
            hidden = _linear(hidden, weight, bias)
            hidden = hidden * _gain(hidden.detach(), slope, dropout, part)
        return _linear(hidden, weights[-1], biases[-1])


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[M or 1, B, in] times [M, out, in], plus [M, out]."""
    if len(inputs) == len(weight):
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)
    # One wide product: `baddbmm` would copy the inputs for every network.
    outputs = F.linear(inputs[0], weight.flatten(0, 1), bias.flatten())
    return outputs.unflatten(1, bias.shape).transpose(0, 1).contiguous()


@torch.no_grad()
def _gain(hidden: Tensor, slope: Tensor, dropout: Tensor, noise: Tensor | None) -> Tensor:
    """What rectifier and dropout multiply `hidden` by, in whole-tensor arithmetic."""
    gain = hidden * _STEEP
    gain = torch.maximum(gain, slope.to(gain.dtype), out=gain).clamp_(max=1.0)  # 1 above zero, the slope below
    if noise is not None:
        threshold = torch.round(dropout * NOISE_LEVELS).to(torch.int16)
        mask = (threshold - 1 - noise).clamp_(-1, 0)  # -1, all bits set, where the unit is kept, else 0
        integer = torch.int16 if gain.dtype == torch.bfloat16 else torch.int32
        gain.view(integer).bitwise_and_(mask.to(integer))
    return gain
