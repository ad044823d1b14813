"""Networks of one architecture held as one: every parameter is a tensor with the networks as its first dimension.

With them, optimisers in which every network has hyperparameters of its own, and noise that belongs to a network's seed.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from vision_studies.config.training import AdamWSettings, SgdSettings
from vision_studies.models.parametrisation import StepScale
from vision_studies.training.runtime import derived_seed

StackedSettings = SgdSettings | AdamWSettings

_BITS = 0x7FFF  # the sign is left out: numbers from 0 to 2 ** 15 - 1
_STREAM = 1  # tells this randomness from the order of the images, which comes from the same seed


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
        parameters, buffers = stack_module_state(list(networks))
        self.parameters = {
            name: stacked.detach().to(device).requires_grad_(stacked.requires_grad)
            for name, stacked in parameters.items()
        }
        self.buffers = {name: stacked.to(device) for name, stacked in buffers.items()}

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
        flat = [argument[0] if len(argument) == 1 else argument for argument in arguments]
        dimensions = (0, 0, *(None if len(argument) == 1 else 0 for argument in arguments))
        return torch.vmap(self._single, in_dims=dimensions)(self.parameters, self.buffers, *flat)

    def keep(self, slots: Sequence[int]) -> None:
        """Let all networks go but those at `slots`."""
        self.parameters = {
            name: _chosen(parameter, slots).requires_grad_(parameter.requires_grad)
            for name, parameter in self.parameters.items()
        }
        self.buffers = {name: _chosen(buffer, slots) for name, buffer in self.buffers.items()}

    def weights(self, slot: int) -> dict[str, Tensor]:
        """Copies of the parameters and buffers of one network, on the CPU."""
        tensors = {**self.parameters, **self.buffers}
        return {name: tensor[slot].detach().cpu().clone() for name, tensor in tensors.items()}

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


class StackedOptimizer:
    """One step for all networks of a stack; updates are those of `torch.optim`, with numbers [M, 1, ...] for its scalars.

    Args:
        settings: one a network, all of one kind.
        parameters: stacked parameters [M, ...] by name, with gradients.
        scales: one mapping a network: how the steps of a parameter of this name differ from those of the others; AdamW
            alone has them.

    Raises:
        ValueError: the settings are of different kinds, or scales are given to another optimiser than AdamW.
    """

    def __init__(
        self,
        settings: Sequence[StackedSettings],
        parameters: Mapping[str, Tensor],
        scales: Sequence[Mapping[str, StepScale]] = (),
    ) -> None:
        if len({(each.name, getattr(each, "nesterov", None)) for each in settings}) > 1:
            raise ValueError("networks of a stack must have one kind of optimiser")
        if any(scales) and settings[0].name != "adamw":
            raise ValueError(f"steps that differ between parameters are AdamW's, not those of {settings[0].name}")
        self._settings = list(settings)
        self._scales = list(scales) or [{} for _ in settings]
        self._steps = 0
        kinds = {"sgd": ("momentum",), "adamw": ("mean", "square")}[settings[0].name]
        self._state = {name: {kind: torch.zeros_like(value) for kind in kinds} for name, value in parameters.items()}

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor]) -> None:
        """Update `parameters` in place by their gradients, and forget the gradients."""
        self._steps += 1
        device = next(iter(parameters.values())).device
        alike = (self._sgd if self._settings[0].name == "sgd" else self._adamw)(device)
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                scaled = any(name in scales for scales in self._scales)
                update = self._adamw(device, [scales.get(name, _PLAIN) for scales in self._scales]) if scaled else alike
                update(parameter, parameter.grad, self._state[name], (-1, *[1] * (parameter.ndim - 1)))
                parameter.grad = None

    def keep(self, slots: Sequence[int]) -> None:
        """Let the networks go that are not at `slots`."""
        self._settings = [self._settings[slot] for slot in slots]
        self._scales = [self._scales[slot] for slot in slots]
        for state in self._state.values():
            state.update({kind: _chosen(value, slots) for kind, value in state.items()})

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"steps": self._steps, "state": self._state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called, with the networks that were there then."""
        self._steps = state["steps"]
        for name, moments in self._state.items():
            moments.update({kind: state["state"][name][kind].to(value.device) for kind, value in moments.items()})

    def _sgd(self, device: torch.device) -> "_Update":
        rate, momentum, decay = (
            _numbers([getattr(each, name) for each in self._settings], device)
            for name in ("learning_rate", "momentum", "weight_decay")
        )
        nesterov = self._settings[0].nesterov  # type: ignore[union-attr] # all are of sgd

        def update(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], shape: tuple[int, ...]) -> None:
            gradient = gradient + decay.view(shape) * parameter
            buffer = state["momentum"].mul_(momentum.view(shape)).add_(gradient)
            direction = gradient + momentum.view(shape) * buffer if nesterov else buffer
            parameter.sub_(rate.view(shape) * direction)

        return update

    def _adamw(self, device: torch.device, scales: Sequence[StepScale] = ()) -> "_Update":
        settings = [
            _scaled(each, scale)
            for each, scale in zip(self._settings, scales or [_PLAIN] * len(self._settings), strict=True)
            if isinstance(each, AdamWSettings)
        ]
        mean_share, square_share = (_numbers([1 - each.betas[i] for each in settings], device) for i in (0, 1))
        shrink = _numbers([1 - each.learning_rate * each.weight_decay for each in settings], device)
        correction = _numbers([(1 - each.betas[1] ** self._steps) ** 0.5 for each in settings], device)
        rate = _numbers([each.learning_rate / (1 - each.betas[0] ** self._steps) for each in settings], device)
        eps = _numbers([each.eps for each in settings], device)

        def update(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], shape: tuple[int, ...]) -> None:
            mean = state["mean"].lerp_(gradient, mean_share.view(shape))
            square = state["square"].lerp_(gradient.square(), square_share.view(shape))
            denominator = square.sqrt().div_(correction.view(shape)).add_(eps.view(shape))
            parameter.mul_(shrink.view(shape)).sub_(mean.div(denominator).mul_(rate.view(shape)))

        return update


_PLAIN = StepScale()


def _scaled(settings: AdamWSettings, scale: StepScale) -> AdamWSettings:
    """AdamW as it steps a tensor of this scale."""
    if scale == _PLAIN:
        return settings
    changes = {
        "learning_rate": settings.learning_rate * scale.rate,
        "eps": settings.eps * scale.eps,
        "weight_decay": settings.weight_decay / scale.rate,
    }
    return settings.model_copy(update=changes)


_Update = Callable[[Tensor, Tensor, dict[str, Tensor], tuple[int, ...]], None]


class EpochNoise:
    """Noise of one epoch for dropout, batch by batch, for several seeds.

    The numbers of a seed depend on the seed, the epoch, the batches before and the kind of device, whoever else is trained.

    Args:
        seeds: one a stream.
        epoch: number of the epoch, from 0.
        device: where the noise is wanted.
    """

    def __init__(self, seeds: Sequence[int], epoch: int, device: torch.device) -> None:
        self._device = device
        mixed = [derived_seed(seed, _STREAM, epoch) for seed in seeds]
        if device.type == "cpu":
            # Sixteen bits at a third of the price that torch's generator asks for them.
            self._bits = [np.random.SFC64(seed) for seed in mixed]
        else:
            self._generators = [torch.Generator(device).manual_seed(seed) for seed in mixed]

    def draw(self, images: int, units: int) -> Tensor:
        """Noise int16 [seeds, images, units] from 0 to 2 ** 15 - 1."""
        if self._device.type == "cpu":
            words = -(-images * units // 4)  # four numbers in 64 bits
            streams = [bits.random_raw(words).view(np.int16)[: images * units] for bits in self._bits]
            noise = torch.from_numpy(streams[0] if len(streams) == 1 else np.concatenate(streams))
            noise &= _BITS
        else:
            options: dict[str, Any] = {"dtype": torch.int16, "device": self._device}
            streams_of = (
                torch.randint(0, _BITS + 1, (images, units), generator=g, **options) for g in self._generators
            )
            noise = torch.stack([*streams_of])
        return noise.view(-1, images, units)


def _layout(network: nn.Module) -> list[tuple[str, torch.Size, bool]]:
    parameters = [(name, value.shape, value.requires_grad) for name, value in network.named_parameters()]
    return parameters + [(name, value.shape, False) for name, value in network.named_buffers()]


def _chosen(tensor: Tensor, slots: Sequence[int]) -> Tensor:
    return tensor.detach()[torch.tensor(slots, device=tensor.device)]


def _numbers(values: Sequence[float], device: torch.device) -> Tensor:
    # Formed in double precision: 1 - .9999 in single precision is off by a hundredth of a percent.
    return torch.tensor(values, dtype=torch.float64).float().to(device)
