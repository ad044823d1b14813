"""Weights that follow the trained ones more calmly: exponential moving average and lookahead."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vision_studies.config.training import LookaheadSettings, TrainingSettings


class Averaging(ABC):
    """A second set of weights, beside those of `model` that the optimiser moves; it starts at these."""

    def __init__(self, model: nn.Module) -> None:
        self._followed = [parameter.detach() for parameter in model.parameters()]
        self._steps = 0
        self.weights = [parameter.clone() for parameter in self._followed]

    def update(self) -> None:
        """Follow the model after a step of its optimiser."""
        self._steps += 1
        self._follow()

    @abstractmethod
    def _follow(self) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"weights": self.weights, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        _copy_all(state["weights"], self.weights)
        self._steps = state["steps"]


class ExponentialMovingAverage(Averaging):
    """Mean of all past weights, the recent ones weighing most (Polyak and Juditsky 1992).

    The decay, the share of the average that a step keeps, starts small, min(decay, (1 + steps) / (10 + steps)), so that short
    trainings forget their first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    def _follow(self) -> None:
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self.weights, self._followed, 1 - decay)


class Lookahead(Averaging):
    """Slow weights that go part of the way to the fast ones every few steps, and call those back to them.

    Source: Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back".
    """

    def __init__(self, model: nn.Module, settings: LookaheadSettings) -> None:
        super().__init__(model)
        self._settings = settings

    def _follow(self) -> None:
        if self._steps % self._settings.steps == 0:
            torch._foreach_lerp_(self.weights, self._followed, self._settings.step_size)
            _copy_all(self.weights, self._followed)


def build_averaging(model: nn.Module, settings: TrainingSettings) -> Averaging | None:
    """The average that the settings ask for, starting at the model's weights."""
    if settings.ema_decay is not None:
        return ExponentialMovingAverage(model, settings.ema_decay)
    return None if settings.lookahead is None else Lookahead(model, settings.lookahead)


@contextmanager
def averaged_weights(model: nn.Module, averaging: Averaging | None) -> Iterator[None]:
    """Lend `model` its averaged weights for the length of the block; without an average, nothing happens.

    Running statistics of norms stay those of the trained model.
    """
    if averaging is None:
        yield
        return
    weights = [parameter.detach() for parameter in model.parameters()]
    trained = [weight.clone() for weight in weights]
    _copy_all(averaging.weights, weights)
    try:
        yield
    finally:
        _copy_all(trained, weights)


def _copy_all(sources: list[Tensor], targets: list[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(targets, sources)
