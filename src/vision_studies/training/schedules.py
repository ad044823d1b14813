"""Learning-rate schedules: the rate of every step as a function of the step's number.

Every schedule starts from the optimiser's own learning rate, which is the highest it reaches, and moves each parameter
group in proportion. Being functions of the step, schedules resume without a state; `plateau` alone remembers something.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from vision_studies.config.training import (
    CosineSettings,
    OneCycleSettings,
    PlateauSettings,
    ScheduleSettings,
    TriangularSettings,
)
from vision_studies.training.selection import Tracker


class Schedule:
    """Moves the learning rates and, where the settings say so, the momenta of optimisers.

    Args:
        settings: which schedule.
        optimizers: the optimisers as built, before any step.
        epochs: epochs of the whole training.
        steps_per_epoch: optimiser steps an epoch.

    Examples:
        >>> import torch
        >>> from vision_studies.config.training import CosineSettings
        >>> from vision_studies.training.schedules import Schedule
        >>> settings = CosineSettings(name="cosine", eta_min=0.0, interval="step", warmup_epochs=0)
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4, momentum=0.9)
        >>> schedule = Schedule(settings, [optimizer], epochs=2, steps_per_epoch=5)
        >>> [round(schedule.apply(step), 3) for step in (0, 5, 10)]
        [0.4, 0.2, 0.0]
    """

    def __init__(
        self, settings: ScheduleSettings, optimizers: Sequence[Optimizer], epochs: int, steps_per_epoch: int
    ) -> None:
        self._settings, self._optimizers = settings, optimizers
        self._epochs, self._steps_per_epoch = epochs, steps_per_epoch
        self._steps = epochs * steps_per_epoch
        self._highest_rates = [group["lr"] for group in self._groups()]
        self._highest_momenta = [_momentum(group) for group in self._groups()]
        self._plateau_factor = 1.0
        self._plateau = Tracker(settings.metric, settings.min_delta) if isinstance(settings, PlateauSettings) else None

    def apply(self, step: int) -> float:
        """Set what holds for step number `step`, counted from 0.

        Returns:
            The learning rate of the first parameter group.
        """
        lowest = self._settings.base_momentum if isinstance(self._settings, OneCycleSettings) else None
        for group, rate, momentum in zip(self._groups(), self._highest_rates, self._highest_momenta, strict=True):
            group["lr"] = self.learning_rate(step, rate)
            if lowest is not None:
                _set_momentum(group, momentum + (lowest - momentum) * self._cycle_height(step))
        return self._groups()[0]["lr"]

    def learning_rate(self, step: int, highest: float) -> float:
        """Learning rate at step number `step` of a group whose optimiser has the rate `highest`."""
        settings = self._settings
        if isinstance(settings, OneCycleSettings | TriangularSettings):
            if isinstance(settings, OneCycleSettings):
                first = highest / settings.div_factor
                last = first / settings.final_div_factor
            else:
                first, last = highest * settings.initial_fraction, highest * settings.final_fraction
            floor = first if step <= self._peak_step() else last
            return floor + (highest - floor) * self._cycle_height(step)
        warmup_steps = round(settings.warmup_epochs * self._steps_per_epoch)
        if step < warmup_steps:
            return highest * (step + 1) / warmup_steps
        if isinstance(settings, CosineSettings):
            if settings.interval == "epoch":
                step = step // self._steps_per_epoch * self._steps_per_epoch
            progress = max(step - warmup_steps, 0) / (self._steps - warmup_steps)
            return settings.eta_min + (highest - settings.eta_min) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        if isinstance(settings, PlateauSettings):
            return max(highest * self._plateau_factor, min(settings.min_learning_rate, highest))
        return highest

    def after_validation(self, row: dict[str, Any]) -> None:
        """Let `plateau` see the history row of a validated epoch; other schedules do not look."""
        if self._plateau is None or not isinstance(self._settings, PlateauSettings):
            return
        self._plateau.update(row)
        if self._plateau.waited > self._settings.patience:
            self._plateau_factor *= self._settings.factor
            self._plateau.waited = 0

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        plateau = None if self._plateau is None else self._plateau.state_dict()
        return {"plateau_factor": self._plateau_factor, "plateau": plateau}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self._plateau_factor = state["plateau_factor"]
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])

    def _groups(self) -> list[dict[str, Any]]:
        # Loading an optimiser's state replaces its groups, so they are looked up again each time.
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def _peak_step(self) -> float:
        # As in torch's OneCycleLR: a length in steps, of which the first has number 0.
        return self._settings.pct_start * self._epochs * self._steps_per_epoch - 1  # type: ignore[union-attr]

    def _cycle_height(self, step: int) -> float:
        """Where between its lowest (0) and its highest (1) point the cycle is, on either side of the peak."""
        peak, last = self._peak_step(), self._steps - 1
        rising = step / peak if peak > 0 else 1.0
        height = rising if step <= peak else max(last - step, 0) / (last - peak)
        return height if isinstance(self._settings, TriangularSettings) else (1 - math.cos(math.pi * height)) / 2


def _momentum(group: dict[str, Any]) -> float:
    return group["betas"][0] if "betas" in group else group["momentum"]


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, group["betas"][1])
    else:
        group["momentum"] = value
