"""What a training gives, be it of one network or of a member of a stack, and what a run's row has of it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from vision_studies.outcomes import COMPLETE, DIVERGED, PRUNED, Outcome
from vision_studies.statistics.metrics import METRICS
from vision_studies.training.runtime import peak_memory_mb

Ended = Literal["complete", "stopped", "diverged", "pruned"]

REASONS = {"diverged": "the training loss was not finite", "pruned": "the search ended it"}
"""Why a training ended before its time, in words."""

MEMBER_REASONS = {"diverged": "the loss was not finite", "pruned": "worse than other trials at the same epoch"}
"""The same of members of a stack."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training gave.

    Attributes:
        history: one row an epoch: epoch (from 1), train_loss, train_accuracy (both as the network saw the images: augmented,
            mixed, with dropout and smoothed labels), validation_loss, validation_accuracy (missing where not validated),
            learning_rate (after the epoch's last step), seconds (since the start, all calls together; of a member: its share
            of the stack's); of `fit` also images_per_second, peak_memory_mb and the further metrics of the objective.
        best_epoch: epoch of the weights: the one with the best value of the selection metric, or the last one where the
            settings restore the best only after an early stop; None if there is none with finite values.
        best_value: the selection metric then.
        weights: parameters and buffers of that epoch; empty if there is none.
        seconds: time spent training and validating, all calls together; of a member: its share.
        ended: why it ended: `complete` after all epochs, `stopped` early, `diverged` as a loss was not finite, or `pruned`
            by the caller.
        reason: in words, where it diverged or was pruned.
        final_weights: parameters and buffers after the last epoch; `fit` alone gives them.
    """

    history: pd.DataFrame
    best_epoch: int | None
    best_value: float | None
    weights: dict[str, Tensor]
    seconds: float
    ended: Ended
    reason: str | None
    final_weights: dict[str, Tensor] = field(default_factory=dict)

    def best(self) -> dict[str, Any]:
        """Columns of the results table: `best_epoch` and the validation metrics then; none without such an epoch."""
        if self.best_epoch is None:
            return {}
        row = self.history.set_index("epoch").loc[self.best_epoch]
        columns = [metric.column for metric in METRICS if metric.of == "validation" and metric.column in row]
        return {"best_epoch": int(self.best_epoch), **{column: float(row[column]) for column in columns}}

    def metrics(self, size: dict[str, int], device: torch.device, *, images: int | None = None) -> dict[str, Any]:
        """Columns of the results table that are known before the test split is touched.

        Args:
            size: parameters and macs of the network.
            device: where it was trained.
            images: of an epoch; None where epochs differ.
        """
        columns: dict[str, Any] = {**size, "seconds": self.seconds}
        if images is not None:
            columns["images_per_second"] = len(self.history) * images / max(self.seconds, 1e-9)
        return {**columns, "peak_memory_mb": peak_memory_mb(device), "device": str(device), **self.best()}

    def outcome(self, metrics: dict[str, Any]) -> Outcome:
        """What a run's stage found, with these columns of the results table."""
        status = self.ended if self.ended in (DIVERGED, PRUNED) else COMPLETE
        return Outcome(metrics, status, self.reason, self.history if len(self.history) else None)
