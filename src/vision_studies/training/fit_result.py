"""What the training loop gives back."""

from dataclasses import dataclass

import pandas as pd
from torch import Tensor


@dataclass(frozen=True)
class FitResult:
    """What a training gave.

    Attributes:
        history: one row an epoch: epoch (from 1), train_loss, train_accuracy (both on augmented, mixed images with smoothed
            labels), validation_loss, validation_accuracy (missing where not validated), learning_rate (after the epoch's
            last step), seconds (since the start, all calls together), images_per_second, peak_memory_mb, and the further
            metrics of the objective.
        best_epoch: epoch with the best value of the selection metric; None if no epoch had a finite one.
        best_value: that value.
        weights: parameters and buffers of the best epoch; empty if there is none.
        final_weights: parameters and buffers after the last epoch.
        seconds: time spent training and validating, all calls together.
        stopped_early: early stopping ended the training.
        diverged: a training loss was not finite, which ended the training.
        pruned: the caller ended the training.
    """

    history: pd.DataFrame
    best_epoch: int | None
    best_value: float | None
    weights: dict[str, Tensor]
    final_weights: dict[str, Tensor]
    seconds: float
    stopped_early: bool
    diverged: bool
    pruned: bool
