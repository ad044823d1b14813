"""The most frequent class, whatever the image: what every classifier has to beat."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vision_studies.classifiers.family import Hyperparameters
from vision_studies.classifiers.fold_statistics import FoldStatistics
from vision_studies.classifiers.linear import LinearFamily


class Majority(LinearFamily):
    """Each class as probable as it is frequent among the images learnt from."""

    name = "majority"
    title = "Most frequent class"
    source = "the share of each class; no method"

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights of 0 [G, F, D, C], and logarithms of the classes' shares [G, F, C]."""
        shares = (data.counts / data.images[:, None]).clamp_min(1e-30).log()
        weight = torch.zeros(1, 1, 1, 1).expand(len(grid), len(shares), data.x.shape[1], data.counts.shape[1])
        return weight, shares[None].expand(len(grid), -1, -1)
