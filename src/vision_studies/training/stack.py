"""Networks of one architecture held as one: every parameter is a tensor with the networks as its first dimension."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Stack:
    """M networks of one architecture.

    A network may bring a `stacked_forward` of its own; others are mapped by `torch.vmap`, convolutions and norms included.

    Args:
        networks: the networks, with their first weights; they are copied.
        device: where the stack lives.

    Raises:
        ValueError: the networks differ in the names or shapes of their tensors, or in which of them are trained.
    """

    def __init__(self, networks: Sequence[nn.Module], device: torch.device) -> None:
        first = _layout(networks[0])
        if any(_layout(network) != first for network in networks):
            raise ValueError("networks of a stack must have one architecture")
        self.network = copy.deepcopy(networks[0]).to(device)
        named: list[dict[str, Tensor]] = [dict(network.named_parameters()) for network in networks]
        self.parameters = {name: _stacked(named, name, device) for name in named[0]}
        for name, parameter in named[0].items():
            self.parameters[name].requires_grad_(parameter.requires_grad)
        buffered = [dict(network.named_buffers()) for network in networks]
        self.buffers = {name: _stacked(buffered, name, device) for name in buffered[0]}

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    @property
    def noise_units(self) -> int:
        """Random numbers that a network takes for a training image; 0 for most."""
        return getattr(self.network, "noise_units", 0)

    def train(self, mode: bool = True) -> None:
        """Put the networks into training or evaluation mode."""
        self.network.train(mode)

    def __call__(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Logits [M, B, classes].

        Args:
            images: [M, B, ...], or [1, B, ...] for all networks alike.
            noise: int16 [M, B, noise_units], or [1, B, noise_units]; None for networks without dropout.
        """
        if hasattr(self.network, "stacked_forward"):
            stacked: Callable[..., Tensor] = self.network.stacked_forward  # type: ignore[assignment]
            return stacked(self.parameters, self.buffers, images, noise)
        arguments = [images] if noise is None else [images, noise]
        shared = [len(argument) == 1 for argument in arguments]
        flat = [argument[0] if one else argument for argument, one in zip(arguments, shared, strict=True)]
        dimensions = (0, 0, *(None if one else 0 for one in shared))
        mapped = torch.vmap(self._single, in_dims=dimensions)
        return mapped(self.parameters, self.buffers, *flat)

    def keep(self, places: Sequence[int]) -> None:
        """Let all networks go but those at `places`."""
        self.parameters = {
            name: _chosen(parameter, places).requires_grad_(parameter.requires_grad)
            for name, parameter in self.parameters.items()
        }
        self.buffers = {name: _chosen(buffer, places) for name, buffer in self.buffers.items()}

    def weights(self, place: int) -> dict[str, Tensor]:
        """Copies of the parameters and buffers of one network, on the CPU."""
        tensors = {**self.parameters, **self.buffers}
        return {name: tensor[place].detach().cpu().clone() for name, tensor in tensors.items()}

    def trained(self) -> dict[str, Tensor]:
        """Stacked parameters that are trained, by name."""
        return {name: parameter for name, parameter in self.parameters.items() if parameter.requires_grad}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """All tensors."""
        return {"parameters": self.parameters, "buffers": self.buffers}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take over what `state_dict` gave, which may be of fewer networks."""
        for name, parameter in self.parameters.items():
            stored = state["parameters"][name].to(parameter.device)
            self.parameters[name] = stored.requires_grad_(parameter.requires_grad)
        self.buffers = {name: state["buffers"][name].to(buffer.device) for name, buffer in self.buffers.items()}

    def _single(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], *arguments: Tensor) -> Tensor:
        return functional_call(self.network, (parameters, buffers), arguments)


def _layout(network: nn.Module) -> list[tuple[str, torch.Size, bool]]:
    parameters = [(name, value.shape, value.requires_grad) for name, value in network.named_parameters()]
    return parameters + [(name, value.shape, False) for name, value in network.named_buffers()]


def _stacked(tensors: Sequence[dict[str, Tensor]], name: str, device: torch.device) -> Tensor:
    return torch.stack([own[name].detach() for own in tensors]).to(device)


def _chosen(tensor: Tensor, places: Sequence[int]) -> Tensor:
    return tensor.detach()[torch.tensor(places, device=tensor.device)]
