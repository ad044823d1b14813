"""Optimisers over stacked parameters, in which every network has hyperparameters of its own.

The updates are those of `torch.optim`, with numbers [M, 1, ...] where that has scalars.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vision_studies.config.training import AdamWSettings, SgdSettings

StackedSettings = SgdSettings | AdamWSettings


class StackedOptimizer:
    """One step for all networks of a stack.

    Args:
        settings: one a network, all of one kind.
        parameters: stacked parameters [M, ...] by name, with gradients.

    Raises:
        ValueError: the settings are of different kinds.
    """

    def __init__(self, settings: Sequence[StackedSettings], parameters: Mapping[str, Tensor]) -> None:
        if len({(own.name, getattr(own, "nesterov", None)) for own in settings}) > 1:
            raise ValueError("networks of a stack must have one kind of optimiser")
        self._settings = list(settings)
        self._steps = 0
        kinds = {"sgd": ("momentum",), "adamw": ("mean", "square")}[settings[0].name]
        self._state = {name: {kind: torch.zeros_like(value) for kind in kinds} for name, value in parameters.items()}

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor]) -> None:
        """Update `parameters` in place by their gradients, and forget the gradients."""
        self._steps += 1
        device = next(iter(parameters.values())).device
        update = _sgd(self._settings, device) if self._settings[0].name == "sgd" else self._adamw(device)
        for name, parameter in parameters.items():
            if parameter.grad is None:
                continue
            shape = (-1, *[1] * (parameter.ndim - 1))
            update(parameter, parameter.grad, self._state[name], shape)
            parameter.grad = None

    def keep(self, places: Sequence[int]) -> None:
        """Let the networks go that are not at `places`."""
        self._settings = [self._settings[place] for place in places]
        for state in self._state.values():
            for kind, value in state.items():
                state[kind] = value[torch.tensor(places, device=value.device)]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"steps": self._steps, "state": self._state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called, with the networks that were there then."""
        self._steps = state["steps"]
        for name, own in self._state.items():
            device = next(iter(own.values())).device
            self._state[name] = {kind: value.to(device) for kind, value in state["state"][name].items()}

    def _adamw(self, device: torch.device) -> "_Update":
        settings = [own for own in self._settings if isinstance(own, AdamWSettings)]
        first, second = ([own.betas[place] for own in settings] for place in (0, 1))
        step = [own.learning_rate / (1 - own.betas[0] ** self._steps) for own in settings]
        mean_share, square_share = (_numbers([1 - beta for beta in betas], device) for betas in (first, second))
        shrink = _numbers([1 - own.learning_rate * own.weight_decay for own in settings], device)
        correction = _numbers([(1 - beta**self._steps) ** 0.5 for beta in second], device)
        eps, rate = _numbers([own.eps for own in settings], device), _numbers(step, device)

        def update(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], shape: tuple[int, ...]) -> None:
            mean = state["mean"].lerp_(gradient, mean_share.view(shape))
            square = state["square"].lerp_(gradient.square(), square_share.view(shape))
            denominator = square.sqrt().div_(correction.view(shape)).add_(eps.view(shape))
            parameter.mul_(shrink.view(shape)).sub_(mean.div(denominator).mul_(rate.view(shape)))

        return update


_Update = Callable[[Tensor, Tensor, dict[str, Tensor], tuple[int, ...]], None]


def _sgd(settings: Sequence[StackedSettings], device: torch.device) -> _Update:
    own = [each for each in settings if isinstance(each, SgdSettings)]
    rate, momentum, decay = (
        _numbers([getattr(each, name) for each in own], device)
        for name in ("learning_rate", "momentum", "weight_decay")
    )
    nesterov = own[0].nesterov

    def update(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], shape: tuple[int, ...]) -> None:
        gradient = gradient + decay.view(shape) * parameter
        buffer = state["momentum"].mul_(momentum.view(shape)).add_(gradient)
        direction = gradient + momentum.view(shape) * buffer if nesterov else buffer
        parameter.sub_(rate.view(shape) * direction)

    return update


def _numbers(values: Sequence[float], device: torch.device) -> Tensor:
    # Formed in double precision: 1 - .9999 in single precision is off by a hundredth of a percent.
    return torch.tensor(values, dtype=torch.float64).float().to(device)
