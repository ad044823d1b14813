"""Which epoch is the best so far, and how long ago it was."""

import math
from dataclasses import dataclass, field
from typing import Any

from vision_studies.config.training import EarlyStoppingSettings, ValidationMetric
from vision_studies.statistics.metrics import BETTER


@dataclass
class Tracker:
    """The best value of a validation metric and the number of validations since.

    Args:
        metric: accuracy is to rise, loss is to fall.
        min_delta: a value has to beat the best by more than this to count as an improvement.
    """

    metric: ValidationMetric
    min_delta: float = 0.0
    best: float | None = field(default=None, init=False)
    best_epoch: int | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)

    def update(self, row: dict[str, Any]) -> bool:
        """Take note of a validated epoch.

        Args:
            row: history row with the metric and `epoch`.

        Returns:
            Whether it is the best so far: strictly better than every one before. A value that is not finite never is.
        """
        value = row[self.metric]
        sign = 1.0 if BETTER[self.metric] == "higher" else -1.0
        gained = self.best is None or sign * (value - self.best) > self.min_delta
        if math.isfinite(value) and gained:
            self.best, self.best_epoch, self.waited = value, row["epoch"], 0
            return True
        self.waited += 1
        return False

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]


class EarlyStopping(Tracker):
    """Says when a training has waited long enough for a better value."""

    def __init__(self, settings: EarlyStoppingSettings) -> None:
        super().__init__(settings.metric, settings.min_delta)
        self._patience = settings.patience

    def ends(self, row: dict[str, Any]) -> bool:
        """Take note of a validated epoch, and say whether it is the last."""
        self.update(row)
        return self.waited >= self._patience
