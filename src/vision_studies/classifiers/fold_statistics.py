"""Sufficient statistics of features, for all folds at once: counts, means, deviations, class means, scatter matrices.

Features are standardised within each fold, by the images that it learns from. All of them are first brought to mean 0 and
deviation 1 over all images: a change of units that standardisation within the fold undoes, so that no fold learns from it, and
that float32 is grateful for.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vision_studies.classifiers.family import ABSENT

_CONSTANT = 1e-10  # a feature whose variance over a fold is below this share of that over all images is constant there


@dataclass(frozen=True, eq=False)
class FoldStatistics:
    """What closed forms and solvers need of N images with D features and C classes in F folds.

    Attributes:
        x: float32 [N, D], features with mean 0 and deviation 1 over all images.
        offset: float32 [D], mean of the features as they came.
        unit: float32 [D], their deviation; 1 in place of 0.
        y: int64 [N].
        one_hot: float32 [N, C].
        train: float32 [F, N], 1 where a fold learns from the image, else 0.
        counts: float32 [F, C], images of each class.
        mean: float32 [F, D], of `x` over the training part.
        scale: float32 [F, D], deviation likewise; 1 in place of 0.
        class_means: float32 [F, C, D]; the mean of all where a class has no image.
    """

    x: Tensor
    offset: Tensor
    unit: Tensor
    y: Tensor
    one_hot: Tensor
    train: Tensor
    counts: Tensor
    mean: Tensor
    scale: Tensor
    class_means: Tensor

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, train: np.ndarray, classes: int) -> "FoldStatistics":
        """From features [N, D], labels int64 [N] and training parts bool [F, N]."""
        exact = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
        variance, offset = torch.var_mean(exact, dim=0, correction=0)
        deviation = variance.sqrt()
        unit = torch.where(deviation > 1e-6 * offset.abs() + 1e-30, deviation, 1.0)
        scaled = (exact - offset) / unit
        labels = torch.from_numpy(np.ascontiguousarray(y, dtype=np.int64))
        one_hot = torch.nn.functional.one_hot(labels, classes).float()
        masks = torch.from_numpy(np.ascontiguousarray(train)).double()
        wide = scaled.double()
        images = masks.sum(dim=1, keepdim=True)
        mean = masks @ wide / images
        spread = masks @ wide.square() / images - mean.square()
        scale = torch.where(spread > _CONSTANT * (1 + mean.square()), spread.clamp_min(0).sqrt(), 1.0)
        counts = masks @ one_hot.double()
        members = (masks[:, None] * one_hot.double().T[None]).flatten(0, 1).float()  # [F * C, N]
        sums = (members @ scaled).unflatten(0, (len(masks), classes))
        there = counts[:, :, None] > 0
        class_means = torch.where(there, sums / counts.clamp_min(1)[:, :, None].float(), mean[:, None].float())
        return cls(
            scaled,
            offset,
            unit,
            labels,
            one_hot,
            masks.float(),
            counts.float(),
            mean.float(),
            scale.float(),
            class_means,
        )

    def part(self, folds: slice) -> "FoldStatistics":
        """Those of some folds."""
        names = ("train", "counts", "mean", "scale", "class_means")
        return replace(self, **{name: getattr(self, name)[folds] for name in names})

    @property
    def images(self) -> Tensor:
        """float32 [F], images that a fold learns from."""
        return self.counts.sum(dim=1)

    @property
    def absent(self) -> Tensor:
        """bool [F, C], classes without an image to learn from."""
        return self.counts == 0

    @cached_property
    def products(self) -> Tensor:
        """Sums of products [D, D] of `x` over all images."""
        return self.x.T @ self.x

    def rows(self, fold: int) -> Tensor:
        """Positions of the images that a fold learns from."""
        return self.train[fold].nonzero().squeeze(1)

    def scatter(self, fold: int, *, within: bool) -> Tensor:
        """Sum of squares and products [D, D] of a fold's standardised features, about class means (`within`) or the mean.

        The products of all images are formed once; of a fold that leaves out few, theirs are taken off.
        """
        left_out = (self.train[fold] == 0).nonzero().squeeze(1)
        if 2 * len(left_out) <= len(self.x):
            others = self.x[left_out]
            products = torch.addmm(self.products, others.T, others, alpha=-1)
        else:
            own = self.x[self.rows(fold)]
            products = own.T @ own
        means = self.class_means[fold] if within else self.mean[fold][None]
        weights = self.counts[fold] if within else self.images[fold][None]
        products.addmm_((means * weights[:, None]).T, means, alpha=-1)
        return products.div_(self.scale[fold][:, None]).div_(self.scale[fold][None])

    def centred(self, fold: int, *, within: bool) -> Tensor:
        """A fold's standardised features [n, D] about class means (`within`) or the mean."""
        rows = self.rows(fold)
        centre = self.class_means[fold][self.y[rows]] if within else self.mean[fold]
        return (self.x[rows] - centre) / self.scale[fold]

    def unscaled(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on a fold's standardised features, turned into such on `x`."""
        own = weight / self.scale[:, :, None]
        shifted = bias - torch.einsum("fd,gfdc->gfc", self.mean, own)
        return own, torch.where(self.absent, ABSENT, shifted)

    def logits(self, weight: Tensor, bias: Tensor) -> Tensor:
        """[G, F, N, C] of all images, from weights [G, F, D, C] and biases [G, F, C] on `x`."""
        shape = bias.shape
        stacked = weight.permute(2, 0, 1, 3).flatten(1)  # [D, G * F * C]
        found = torch.addmm(bias.flatten(), self.x, stacked)
        return found.unflatten(1, shape).permute(1, 2, 0, 3).contiguous()
