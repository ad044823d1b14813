"""What goes into a stack of networks, and what comes out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from vision_studies.config.ensemble import EnsembleSettings
from vision_studies.training.runtime import derived_seed
from vision_studies.training.stacked_optimizers import StackedSettings

BYTES_A_PARAMETER = 26
"""Memory of a parameter in training: float32 weight, gradient, two moments, a temporary, the best; a copy in bfloat16."""

Prune = Callable[[int, int, float], bool]
"""`prune(member, epoch, value)`: whether a member ends here, seen from a validation's value of the selection metric."""

Item = TypeVar("Item")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Member:
    """One network of a stack.

    Attributes:
        network: with its first weights; it is copied, not trained in place.
        optimizer: the network's own hyperparameters.
        seed: seed of the order of images and of dropout.
        subset: int64, the training images that this network sees, as positions in `TensorData.images`; None for all
            of them. Subsets of one stack have one size.
        validation: likewise, the images that this network is validated with; None for `TensorData.validation`.
    """

    network: nn.Module
    optimizer: StackedSettings
    seed: int
    subset: Tensor | None = None
    validation: Tensor | None = None


@dataclass(frozen=True)
class TensorData:
    """Images in the memory of the device.

    Attributes:
        images: [N, ...], normalised, of the type that networks compute with; [N, C, H, W] in any memory format.
        labels: int64 [N].
        train: int64, positions of the training images.
        validation: int64, positions of the validation images.
    """

    images: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor

    def take(self, positions: Tensor) -> Tensor:
        """Images [..., C, H, W] at `positions` [...], in the memory format of all of them."""
        if self.images.ndim == 4 and self.images.is_contiguous(memory_format=torch.channels_last):
            # Taken as rows of memory: indexing the view that torch calls channels_last is ten times slower.
            rows = self.images.permute(0, 2, 3, 1).index_select(0, positions.flatten())
            return rows.permute(0, 3, 1, 2).unflatten(0, positions.shape)
        return self.images.index_select(0, positions.flatten()).unflatten(0, positions.shape)


def weights_seed(seed: int) -> int:
    """Seed of a network's first weights. Order and dropout come from the seed and the epoch, each in a way of its own."""
    return derived_seed(seed)


def initial_network(build: Callable[[], Network], seed: int) -> Network:
    """A network whose first weights depend on `seed` alone; torch's own generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(weights_seed(seed))
        return build()


def divide_into_stacks(items: Sequence[Item], bytes_each: int, memory_mb: int) -> list[Sequence[Item]]:
    """Stacks of nearly equal size, in order, that each stay within the memory; a single network may exceed it.

    Args:
        items: what is to be stacked.
        bytes_each: memory of one of them, from `member_bytes`.
        memory_mb: memory of a stack, in millions of bytes.
    """
    largest = max(1, int(memory_mb * 1e6) // bytes_each)
    number = -(-len(items) // largest)
    edges = [len(items) * part // number for part in range(number + 1)]
    return [items[start:end] for start, end in pairwise(edges)]


def member_bytes(network: nn.Module, image: Tensor, settings: EnsembleSettings) -> int:
    """Memory that a member of a stack takes, estimated: weights with all that training keeps of them, and activations.

    Args:
        network: one member; it is run on the image in evaluation mode to see its activations.
        image: one image, as the network takes it.
        settings: batch size and precision.
    """
    sizes: list[int] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.numel()))
        for module in network.modules()
        if not list(module.children())
    ]
    was_training = network.training
    try:
        with torch.inference_mode():
            network.eval()(image.float().unsqueeze(0))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    weights = parameters * BYTES_A_PARAMETER
    # An activation is kept with its gradient, its gain and the noise behind it, in four bytes at most.
    return weights + settings.batch_size * (sum(sizes) * 16 + image.numel() * 4)
