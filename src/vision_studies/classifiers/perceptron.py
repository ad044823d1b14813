"""Classifiers that learn by gradient steps: a small multilayer perceptron, and a linear one of balanced classes.

All folds and hyperparameters see one stream of images; an image that a fold does not learn from has the weight 0 there. So the
first layer of all of them is one matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.classifiers.family import ABSENT, Fitted, Hyperparameters, check_features, largest_part
from vision_studies.classifiers.fold_statistics import FoldStatistics
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.classifiers.logistic import balanced_weights

_BATCH = 128
_RATE = 2e-3
_EPOCHS = 40
_LEAST_STEPS = 200
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class PerceptronClassifier:
    """Logits are `relu(x @ first.T + first_bias) @ second.T + second_bias`.

    Attributes:
        first: float32 [H, D].
        first_bias: float32 [H].
        second: float32 [C, H].
        second_bias: float32 [C].
    """

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features [N, D]."""
        hidden = np.maximum(np.asarray(x, dtype=np.float32) @ self.first.T + self.first_bias, 0)
        found: np.ndarray = softmax(hidden @ self.second.T + self.second_bias, axis=1)
        return found

    def module(self) -> nn.Module:
        """Features -> logits."""
        layers = (
            LinearClassifier(self.first, self.first_bias).module(),
            nn.ReLU(),
            LinearClassifier(self.second, self.second_bias).module(),
        )
        return nn.Sequential(*layers).eval()

    def tensors(self) -> dict[str, np.ndarray]:
        """`first`, `first_bias`, `second` and `second_bias`."""
        return {name: getattr(self, name) for name in ("first", "first_bias", "second", "second_bias")}


class GradientFamily:
    """A family that learns by AdamW (Loshchilov and Hutter 2019) with a cosine schedule; `weight_decay` is chosen.

    Attributes:
        hidden: units of the hidden layer; 0 for a linear classifier.
        is_balanced: every class weighs alike, as on average where classes are drawn alike and then an image of the class.
    """

    def __init__(self, name: str, title: str, source: str, hidden: int, *, is_balanced: bool):
        self.name, self.title, self.source = name, title, source
        self.hidden, self.is_balanced = hidden, is_balanced

    def grid(self, n: int, d: int, c: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """The share of weights by which each step shrinks them, over the learning rate."""
        return [{"weight_decay": value} for value in (10.0, 3.0, 0.3)]

    def fold_probabilities(
        self,
        x: np.ndarray,
        y: np.ndarray,
        train: np.ndarray,
        classes: int,
        grid: Sequence[Hyperparameters] | None = None,
    ) -> np.ndarray:
        """float32 [G, F, N, C]; see `Family`."""
        check_features(x, y, train, classes)
        data = FoldStatistics.of(x, y, train, classes)
        several = self.grid(largest_part(train), x.shape[1], classes) if grid is None else grid
        model = self._learnt(data, several)
        with torch.inference_mode():
            logits = torch.cat([model(model.standardised(rows)) for rows in data.x.split(_ROWS)], dim=1)  # [F, N, G, C]
            return logits.softmax(dim=3).permute(2, 0, 1, 3).contiguous().numpy()

    def fit(self, x: np.ndarray, y: np.ndarray, hyperparameters: Hyperparameters, classes: int) -> Fitted:
        """A classifier from all images; see `Family`."""
        train = np.ones((1, len(y)), dtype=bool)
        check_features(x, y, train, classes)
        data = FoldStatistics.of(x, y, train, classes)
        model = self._learnt(data, [hyperparameters])
        with torch.inference_mode():
            first = model.first[0] / data.scale[0][:, None]  # [D, H]
            bias = model.first_bias[0, 0, 0] - data.mean[0] @ first
            own = first.double() / data.unit[:, None]
            shifted = bias - data.offset.double() @ own
            weight, offset = own.T.float().contiguous().numpy(), shifted.float().numpy()
            absent = model.fixed[0, 0, 0].numpy()
            if not self.hidden:
                return LinearClassifier(weight, offset + absent)
            last = model.second_bias[0, 0].numpy() + absent
            return PerceptronClassifier(weight, offset, model.second[0].T.contiguous().numpy(), last)

    def _learnt(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> "_Perceptrons":
        """One perceptron for each hyperparameters and fold, in this order."""
        random = torch.Generator().manual_seed(0)
        model = _Perceptrons(data, len(grid), self.hidden, random)
        decay = torch.tensor([float(one["weight_decay"]) for one in grid])
        weights = balanced_weights(data) if self.is_balanced else data.train
        count, size = len(data.x), min(_BATCH, len(data.x))
        epochs = max(_EPOCHS, math.ceil(_LEAST_STEPS * size / count))
        steps = epochs * math.ceil(count / size)
        optimizer = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        expected = weights.sum(dim=1) / count
        for _ in range(epochs):
            order = torch.randperm(count, generator=random)
            for start in range(0, count, size):
                rows = order[start : start + size]
                logits = model(model.standardised(data.x[rows]))  # [F, B, G, C]
                labels = data.y[rows][None, :, None].expand(logits.shape[:3])
                losses = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view(labels.shape)
                own = weights[:, rows] / (expected * len(rows))[:, None]
                # The sum over folds and hyperparameters leaves each its own gradient.
                optimizer.zero_grad()
                (losses * own[:, :, None]).sum().backward()
                model.shrink((1 - schedule.get_last_lr()[0] * decay).clamp_min(0))
                optimizer.step()
                schedule.step()
        return model


class _Perceptrons(nn.Module):
    """G perceptrons of each of F folds as one; each standardises features as its fold does."""

    def __init__(self, data: FoldStatistics, several: int, hidden: int, random: torch.Generator):
        super().__init__()
        (folds, width), classes = data.mean.shape, data.one_hot.shape[1]
        self.mean, self.scale = data.mean, data.scale
        self.fixed = torch.where(data.absent, ABSENT, 0.0)[:, None, None]  # [F, 1, 1, C]
        self.hidden, units = hidden, hidden or classes
        # All begin alike, so that they differ by what they learn from.
        first = torch.randn(width, units, generator=random) / width**0.5 if hidden else torch.zeros(width, units)
        self.first = nn.Parameter(first.repeat(folds, 1, several))  # [F, D, G * H]
        self.first_bias = nn.Parameter(torch.zeros(folds, 1, several, units))
        if hidden:
            second = torch.randn(hidden, classes, generator=random) / hidden**0.5
            self.second = nn.Parameter(second.repeat(folds * several, 1, 1))  # [F * G, H, C]
            self.second_bias = nn.Parameter(torch.zeros(folds * several, 1, classes))

    def standardised(self, features: Tensor) -> Tensor:
        """Features [F, B, D] of each fold, from [B, D]."""
        return (features - self.mean[:, None]) / self.scale[:, None]

    def shrink(self, factors: Tensor) -> None:
        """Multiply weights of the perceptrons by factors [G]; biases stay."""
        with torch.no_grad():
            self.first.unflatten(2, self.first_bias.shape[2:]).mul_(factors[:, None])
            if self.hidden:
                self.second.mul_(factors.repeat(len(self.first))[:, None, None])

    def forward(self, features: Tensor) -> Tensor:
        """Logits [F, B, G, C] of features [F, B, D]."""
        linear = torch.bmm(features, self.first).unflatten(2, self.first_bias.shape[2:]) + self.first_bias
        if not self.hidden:
            return linear + self.fixed
        hidden = linear.relu().transpose(1, 2).flatten(0, 1)  # [F * G, B, H]
        logits = torch.baddbmm(self.second_bias, hidden, self.second)
        return logits.unflatten(0, (len(features), -1)).transpose(1, 2) + self.fixed
