"""Whether what a layer gives stays as large when perceptrons get wider: the coordinate check of muP.

Source: Yang and Hu et al. (2022), "Tensor Programs V", appendix D.1. Under muP the size of the activations of every layer
after some steps does not depend on the width; under the standard parametrisation it grows with it, so that a learning rate
that suits a narrow network is too large for a wide one.
"""

from collections.abc import Sequence
from itertools import product

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.config.training import AdamWSettings
from vision_studies.models.mlp import MLP
from vision_studies.models.parametrisation import Parametrisation, scale_first_weights, tensor_scales
from vision_studies.training.ensemble import initial_network
from vision_studies.training.stack import Stack, StackedOptimizer

SLOPE = 0.01
"""Of the rectifiers below zero."""


def coordinate_check(
    images: Tensor,
    labels: Tensor,
    *,
    widths: Sequence[int],
    base_width: int,
    parametrisations: Sequence[Parametrisation] = ("standard", "mup"),
    hidden_layers: int = 2,
    steps: int = 5,
    learning_rate: float = 0.01,
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """Size of every layer's outputs after each step of AdamW on one batch, width by width.

    Args:
        images: float [B, ...], one batch; every step sees it.
        labels: int64 [B].
        widths: units of all hidden layers of a perceptron, one perceptron each.
        base_width: where all parametrisations are the standard one.
        parametrisations: those to compare.
        hidden_layers: how many of that width.
        steps: how many are taken.
        learning_rate: the same at all widths.
        seeds: of the first weights; the networks of all seeds are one stack.

    Returns:
        One row a parametrisation, width, seed, step (0: before the first) and layer (1 to hidden_layers + 1, the last gives
        the logits): columns of these names, and size, the mean absolute value of the layer's outputs on the batch.

    Examples:
        >>> import torch
        >>> from vision_studies.training.coordinate_check import coordinate_check
        >>> images, labels = torch.randn(32, 8), torch.arange(32) % 3
        >>> table = coordinate_check(images, labels, widths=[16, 64], base_width=16, steps=2, seeds=[0])
        >>> list(table.columns), len(table)
        (['parametrisation', 'width', 'seed', 'step', 'layer', 'size'], 36)
    """
    settings = AdamWSettings(name="adamw", learning_rate=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    flat, classes = images.flatten(1), int(labels.max()) + 1
    rows = []
    for parametrisation, width in product(parametrisations, widths):
        hidden = [width] * hidden_layers
        scales = tensor_scales(parametrisation, hidden, base_width)
        networks = []
        for seed in seeds:
            network = initial_network(lambda: MLP(flat.shape[1], hidden, classes, dropout=0.0, slope=SLOPE), seed)  # noqa: B023
            scale_first_weights(network, scales)
            networks.append(network)
        stack = Stack(networks, images.device)
        steps_of = {name: scale.step for name, scale in scales.items()}
        optimizer = StackedOptimizer([settings] * len(seeds), stack.trained(), [steps_of] * len(seeds))
        for step in range(steps + 1):
            for layer, sizes in enumerate(_sizes(stack, flat), start=1):
                rows += [
                    [parametrisation, width, seed, step, layer, size] for seed, size in zip(seeds, sizes, strict=True)
                ]
            if step < steps:
                logits = stack(flat.unsqueeze(0))
                targets = labels.expand(len(seeds), -1)
                F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").div(len(labels)).backward()
                optimizer.step(stack.trained())
    return pd.DataFrame(rows, columns=["parametrisation", "width", "seed", "step", "layer", "size"])


@torch.no_grad()
def _sizes(stack: Stack, images: Tensor) -> list[list[float]]:
    """Mean absolute outputs of each layer, for each network of the stack."""
    sizes, hidden, last = [], images.unsqueeze(0), len(stack.parameters) // 2 - 1
    for layer in range(last + 1):
        weight, bias = (stack.parameters[f"layers.{layer}.{name}"] for name in ("weight", "bias"))
        hidden = torch.matmul(hidden, weight.mT) + bias.unsqueeze(1)
        sizes.append(hidden.abs().mean(dim=(1, 2)).tolist())
        hidden = F.leaky_relu(hidden, SLOPE)
    return sizes
