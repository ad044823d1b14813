"""The k nearest neighbours, by the angle between features.

The similarity of all pairs of images is computed once; each fold looks for the nearest that it learns from, as many as the
largest k asks for, and every k counts a part of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_studies.classifiers.family import SMALLEST, Hyperparameters, check_features, largest_part

_ROWS = 1024  # images whose similarities to all others are looked at together
_NEAREST = 1e-6  # the least squared distance; float32 knows none below


@dataclass(frozen=True, eq=False)
class NeighboursClassifier:
    """Votes of the k images with the most similar features, weighted by the inverse of their distance.

    Attributes:
        examples: float32 [N, D], features of length 1.
        labels: int64 [N].
        k: how many have a vote.
        classes: C.
    """

    examples: np.ndarray
    labels: np.ndarray
    k: int
    classes: int

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C] of features [N, D]."""
        module = self.module()
        parts = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).split(_ROWS)
        found: np.ndarray = torch.cat([module(part).softmax(dim=1) for part in parts]).numpy()
        return found

    def module(self) -> nn.Module:
        """Features -> logarithms of the shares of votes."""
        return _NeighboursModule(torch.from_numpy(self.examples), torch.from_numpy(self.labels), self.k, self.classes)

    def tensors(self) -> dict[str, np.ndarray]:
        """`examples`, `labels` and `size`: k and the number of classes."""
        return {"examples": self.examples, "labels": self.labels, "size": np.array([self.k, self.classes])}


class Neighbours:
    """k nearest neighbours by the angle between features, weighted by the inverse of their distance."""

    name = "nearest_neighbours"
    title = "k nearest neighbours"
    source = "Cover and Hart 1967, Nearest Neighbor Pattern Classification; weighted as in Dudani 1976"

    def grid(self, n: int, d: int, c: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """`k`: of the largest, which is the simplest, to 1; none larger than n."""
        several = [k for k in (50, 20, 10, 5, 3, 1) if k <= n]
        return [{"k": k} for k in several]

    def fold_probabilities(
        self,
        x: np.ndarray,
        y: np.ndarray,
        train: np.ndarray,
        classes: int,
        grid: Sequence[Hyperparameters] | None = None,
    ) -> np.ndarray:
        """float32 [G, F, N, C]; see `Family`. A k larger than a training part counts all of it."""
        check_features(x, y, train, classes)
        several = self.grid(largest_part(train), x.shape[1], classes) if grid is None else grid
        numbers = [int(one["k"]) for one in several]
        rows, labels = _directions(x), torch.from_numpy(np.ascontiguousarray(y, dtype=np.int64))
        result = torch.empty(len(numbers), len(train), len(x), classes)
        parts = [torch.from_numpy(part).nonzero().squeeze(1) for part in train]
        for start in range(0, len(x), _ROWS):
            block = slice(start, start + _ROWS)
            similar = rows[block] @ rows.T
            for fold, part in enumerate(parts):
                votes = _votes(similar[:, part], labels[part], numbers, classes)
                result[:, fold, block] = votes
        return result.numpy()

    def fit(self, x: np.ndarray, y: np.ndarray, hyperparameters: Hyperparameters, classes: int) -> NeighboursClassifier:
        """A classifier from all images; see `Family`."""
        check_features(x, y, np.ones((1, len(y)), dtype=bool), classes)
        k = min(int(hyperparameters["k"]), len(y))
        return NeighboursClassifier(_directions(x).numpy(), np.ascontiguousarray(y, dtype=np.int64), k, classes)


def _directions(x: np.ndarray) -> Tensor:
    """Features of length 1; those of length 0 stay."""
    return nn.functional.normalize(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), dim=1)


def _votes(similar: Tensor, labels: Tensor, numbers: Sequence[int], classes: int) -> Tensor:
    """Shares of votes [G, B, C] of each number of neighbours, from similarities [B, n] to images with labels [n].

    One vote more than there are neighbours is divided among the classes that have images, so that none is impossible.
    """
    nearest, places = similar.topk(min(max(numbers), similar.shape[1]), dim=1)
    weights = (2 - 2 * nearest).clamp_min(_NEAREST).rsqrt()
    votes = nn.functional.one_hot(labels[places], classes).float() * weights[:, :, None]
    counted = torch.stack([votes[:, :k].sum(dim=1) for k in numbers])
    shares = counted / counted.sum(dim=2, keepdim=True)
    there = nn.functional.one_hot(labels, classes).amax(dim=0)
    sizes = torch.tensor([min(k, similar.shape[1]) for k in numbers])[:, None, None]
    return (shares * sizes + there / there.sum()) / (sizes + 1)


class _NeighboursModule(nn.Module):
    """Features [N, D] -> logits [N, C]."""

    examples: Tensor
    labels: Tensor

    def __init__(self, examples: Tensor, labels: Tensor, k: int, classes: int):
        super().__init__()
        self.register_buffer("examples", examples)
        self.register_buffer("labels", labels)
        self.k, self.classes = k, classes

    def forward(self, features: Tensor) -> Tensor:
        similar = nn.functional.normalize(features, dim=1) @ self.examples.T
        return _votes(similar, self.labels, [self.k], self.classes)[0].clamp_min(SMALLEST).log()
