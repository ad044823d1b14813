"""Linear classifiers for classes of uneven size, by logistic regression whose logits or weights are adjusted.

How good they are shows in the accuracy of every class alike: choose hyperparameters by `balanced_accuracy`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vision_studies.classifiers.family import Hyperparameters
from vision_studies.classifiers.fold_statistics import FoldStatistics
from vision_studies.classifiers.linear import LinearFamily
from vision_studies.classifiers.logistic import PENALTIES, solution_path

_MENON = "Menon et al. 2021, Long-Tail Learning via Logit Adjustment"


class AdjustedLoss(LinearFamily):
    """Logistic regression that learns with the logarithm of each class's share added to its logit, and predicts without."""

    name = "logit_adjusted_loss"
    title = "Logistic regression, logit-adjusted loss"
    source = _MENON
    choices = tuple({"C": value} for value in PENALTIES)

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        return solution_path(data, [float(one["C"]) for one in grid], data.train, _priors(data))


class AdjustedLogits(LinearFamily):
    """Plain logistic regression from whose logits `tau` times the logarithm of each class's share is taken afterwards."""

    name = "logit_adjusted"
    title = "Logistic regression, logits adjusted afterwards"
    source = _MENON
    choices = tuple({"C": value, "tau": tau} for value in PENALTIES for tau in (0.5, 1.0, 1.5))

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        weight, bias = _plain(data, grid)
        return weight, bias - _taus(grid)[:, None, None] * _priors(data)


class TauNormalised(LinearFamily):
    """Logistic regression whose weights of each class are divided by their length to the power of `tau`; without intercept.

    Lengths are relative to their mean over classes, so that logits keep their size.
    """

    name = "tau_normalised"
    title = "Logistic regression, tau-normalised"
    source = "Kang et al. 2020, Decoupling Representation and Classifier for Long-Tailed Recognition"
    choices = tuple({"C": value, "tau": tau} for value in PENALTIES for tau in (0.25, 0.5, 0.75, 1.0))

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        weight, bias = _plain(data, grid)
        lengths = weight.norm(dim=2)  # [G, F, C]
        present = (data.counts > 0).sum(dim=1)[:, None]
        relative = lengths / (lengths.sum(dim=2, keepdim=True) / present).clamp_min(1e-30)
        factors = torch.where(relative > 0, relative.clamp_min(1e-30) ** -_taus(grid)[:, None, None], 1.0)
        return weight * factors[:, :, None], torch.zeros_like(bias)


def _plain(data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
    """Logistic regression with the C of each hyperparameters; each C is fitted once."""
    inverses = sorted({float(one["C"]) for one in grid})
    weight, bias = solution_path(data, inverses, data.train, None)
    places = [inverses.index(float(one["C"])) for one in grid]
    return weight[places], bias[places]


def _taus(grid: Sequence[Hyperparameters]) -> Tensor:
    return torch.tensor([float(one["tau"]) for one in grid])


def _priors(data: FoldStatistics) -> Tensor:
    """Logarithms [F, C] of the classes' shares of the images learnt from; of none, as of one image."""
    return (data.counts.clamp_min(1) / data.images[:, None]).log()
