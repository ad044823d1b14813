"""Linear discriminant analysis with shrinkage, ridge regression and the nearest class mean: closed forms.

Each fold needs one matrix of sums of squares and products, which is what all images have less what is left out, and one
Cholesky factor for each of its penalties: of D features, or of n images where these are fewer (Woodbury's identity).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.linalg.lapack import sposv
from torch import Tensor

from vision_studies.classifiers.family import Hyperparameters
from vision_studies.classifiers.fold_statistics import FoldStatistics
from vision_studies.classifiers.linear import LinearFamily
from vision_studies.statistics.calibration import fitted_temperature

AUTOMATIC = "automatic"
_LEAST_VARIANCE = 0.05  # of a ridge regression's residuals; smaller ones are those of images learnt by heart


class LinearDiscriminant(LinearFamily):
    """Gaussian classes of one covariance, which is shrunk towards a multiple of the identity.

    `shrinkage` of the within-class covariance of standardised features is a number from 0 to 1, or automatic (Ledoit and Wolf).
    """

    name = "lda"
    title = "LDA with shrinkage"
    source = (
        "Fisher 1936, The Use of Multiple Measurements in Taxonomic Problems; Ledoit and Wolf 2004, A Well-Conditioned "
        "Estimator for Large-Dimensional Covariance Matrices"
    )
    choices = tuple({"shrinkage": value} for value in (AUTOMATIC, 0.9, 0.7, 0.5, 0.3, 0.1))

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        weights, biases = [], []
        for fold, images in enumerate(data.images.tolist()):
            means = (data.class_means[fold] - data.mean[fold]) / data.scale[fold]
            matrix, is_dual, rows = _products(data, fold, within=True)
            trace = matrix.diagonal().sum() / images
            level = trace / data.x.shape[1]
            asked = [one["shrinkage"] for one in grid]
            automatic = _ledoit_wolf(matrix, trace, data, fold, rows) if AUTOMATIC in asked else 0.0
            shrinkages = [automatic if value == AUTOMATIC else float(value) for value in asked]
            level = float(level) or 1.0  # all images of a class alike: the nearest class mean is left
            pairs = [(value * level, (1 - value) / images) for value in shrinkages]
            weight = _solve(matrix, is_dual, rows, means.T, pairs)
            priors = (data.counts[fold] / images).clamp_min(1e-30).log()
            weights.append(weight)
            biases.append(priors - torch.einsum("cd,gdc->gc", means, weight) / 2)
        return torch.stack(weights, dim=1), torch.stack(biases, dim=1)


class Ridge(LinearFamily):
    """Least squares on one-hot labels with a penalty on squared weights.

    Probabilities are those of normal noise with the variance of the residuals around one-hot labels.
    """

    name = "ridge"
    title = "Ridge regression"
    source = "Hoerl and Kennard 1970, Ridge Regression: Biased Estimation for Nonorthogonal Problems"

    def grid(self, n: int, d: int, c: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """The penalty `alpha` on weights of standardised features, 100 to 0.03 times the number of images."""
        return [{"alpha": float(n * factor)} for factor in (100, 30, 10, 3, 1, 0.3, 0.1, 0.03)]

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        alphas = torch.tensor([float(one["alpha"]) for one in grid])
        weights, biases = [], []
        for fold, images in enumerate(data.images.tolist()):
            counts = data.counts[fold]
            right = ((data.class_means[fold] - data.mean[fold]) / data.scale[fold] * counts[:, None]).T
            matrix, is_dual, rows = _products(data, fold, within=False)
            weight = _solve(matrix, is_dual, rows, right, [(float(alpha), 1.0) for alpha in alphas])
            share = counts / images
            total = images * (share * (1 - share)).sum()
            residual = total - (weight * right).sum(dim=(1, 2)) - alphas * weight.square().sum(dim=(1, 2))
            variance = (residual / (images * len(counts))).clamp_min(_LEAST_VARIANCE)
            weights.append(weight / variance[:, None, None])
            biases.append(share[None] / variance[:, None])
        return torch.stack(weights, dim=1), torch.stack(biases, dim=1)


class NearestClassMean(LinearFamily):
    """The class with the nearest mean, by Euclidean distance of standardised features.

    Probabilities fall with the squared distance, by the one factor that suits the images learnt from.
    """

    name = "nearest_class_mean"
    title = "Nearest class mean"
    source = "Mensink et al. 2013, Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost"

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        means = (data.class_means - data.mean[:, None]) / data.scale[:, None]
        # Of correlated features a distance counts several times what it tells; the square root of D is a place to start.
        weight = means.mT / data.x.shape[1] ** 0.5
        bias = -torch.einsum("fcd,fdc->fc", means, weight) / 2
        own, shifted = data.unscaled(weight[None], bias[None])
        logits = data.logits(own, shifted)[0]  # [F, N, C]
        temperatures = []
        for fold in range(len(logits)):
            rows = data.rows(fold)
            temperatures.append(fitted_temperature(logits[fold, rows].numpy(), data.y[rows].numpy()))
        factor = 1 / torch.tensor(temperatures, dtype=torch.float32)
        size = len(grid)
        return (
            (weight * factor[:, None, None])[None].expand(size, -1, -1, -1),
            (bias * factor[:, None])[None].expand(size, -1, -1),
        )


def _products(data: FoldStatistics, fold: int, *, within: bool) -> tuple[Tensor, bool, Tensor | None]:
    """Products of features [D, D], or of images [n, n] where these are fewer, then with their rows [n, D]."""
    if data.images[fold] < data.x.shape[1]:
        rows = data.centred(fold, within=within)
        return rows @ rows.T, True, rows
    return data.scatter(fold, within=within), False, None


def _solve(
    matrix: Tensor, is_dual: bool, rows: Tensor | None, right: Tensor, pairs: Sequence[tuple[float, float]]
) -> Tensor:
    """(a I + b Z'Z)^-1 right, [G, D, C], of each pair (a, b), from Z'Z, or from ZZ' and the rows Z."""
    if not is_dual or rows is None:
        return torch.stack([_positive_solve(matrix * b, a, right) for a, b in pairs])
    seen = rows @ right
    solved = [
        right / a if b == 0 else (right - rows.T @ _positive_solve(matrix * (b / a), 1.0, seen * (b / a))) / a
        for a, b in pairs
    ]
    return torch.stack(solved)


def _positive_solve(matrix: Tensor, ridge: float, right: Tensor) -> Tensor:
    """(matrix + ridge I)^-1 right; `matrix` is overwritten. float64 where float32 has no Cholesky factor."""
    matrix.diagonal().add_(ridge)
    diagonal = matrix.diagonal().clone()
    # LAPACK's own: torch would copy the factor, to clear the half that is not used. The lower half is left as it was.
    _, solved, failed = sposv(matrix.numpy().T, right.numpy(), lower=1, overwrite_a=True)
    if not failed:
        return torch.from_numpy(np.ascontiguousarray(solved))
    lower = matrix.tril(-1)
    whole = (lower + lower.T + torch.diag(diagonal)).double()
    return torch.linalg.lstsq(whole, right.double(), driver="gelsd").solution.float()


def _ledoit_wolf(matrix: Tensor, trace: Tensor, data: FoldStatistics, fold: int, rows: Tensor | None) -> float:
    """The shrinkage with the least expected squared error, of features about class means, [D, D] or [n, n] products."""
    images, width = float(data.images[fold]), data.x.shape[1]
    if rows is None:
        rows = data.centred(fold, within=True)
    fourth = float(rows.square().sum(dim=1).double().square().sum())
    squared = float(matrix.double().square().sum()) / images**2
    beta = (fourth / images - squared) / (width * images)
    delta = (squared - float(trace) ** 2 / width) / width
    return 1.0 if delta <= 0 else min(max(beta, 0.0), delta) / delta
