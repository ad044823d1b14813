"""Classifiers whose logits are linear in the features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from vision_studies.classifiers.family import Hyperparameters, check_features, largest_part
from vision_studies.classifiers.fold_statistics import FoldStatistics


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Logits are `x @ weight.T + bias`.

    Attributes:
        weight: float32 [C, D].
        bias: float32 [C].
    """

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Logits float32 [N, C] of features [N, D], which may be memory-mapped."""
        return np.asarray(x, dtype=np.float32) @ self.weight.T + self.bias

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features [N, D]."""
        found: np.ndarray = softmax(self.scores(x), axis=1)
        return found

    def module(self) -> nn.Module:
        """Features -> logits."""
        layer = nn.Linear(self.weight.shape[1], len(self.weight))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer.eval().requires_grad_(False)

    def tensors(self) -> dict[str, np.ndarray]:
        """Its arrays by name."""
        return dict(vars(self))


class LinearFamily(ABC):
    """A family whose classifiers are linear: what is left to say of one is `choices` and `solutions`."""

    name: str
    title: str
    source: str
    choices: Sequence[Hyperparameters] = ({},)  # from simple to complex; nothing to choose is one

    def grid(self, n: int, d: int, c: int) -> list[dict[str, Any]]:  # noqa: ARG002 (a family may go by them)
        """Hyperparameters worth trying, from simple to complex."""
        return [dict(one) for one in self.choices]

    @abstractmethod
    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights float32 [G, F, D, C] and biases [G, F, C] on features that are standardised within the fold."""

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
        logits = data.logits(*data.unscaled(*self.solutions(data, several)))
        return torch.softmax(logits, dim=3, out=logits).numpy()

    def fit(self, x: np.ndarray, y: np.ndarray, hyperparameters: Hyperparameters, classes: int) -> LinearClassifier:
        """A classifier from all images; see `Family`."""
        train = np.ones((1, len(y)), dtype=bool)
        check_features(x, y, train, classes)
        data = FoldStatistics.of(x, y, train, classes)
        weight, bias = (found[0, 0] for found in data.unscaled(*self.solutions(data, [hyperparameters])))
        own = weight.double() / data.unit[:, None]
        shifted = bias - data.offset.double() @ own
        return LinearClassifier(own.T.float().contiguous().numpy(), shifted.float().numpy())
