"""Logistic regression of many folds and penalties as one problem.

All folds of a penalty are one batch of L-BFGS (Liu and Nocedal 1989): each step is two matrix products of all features with
the weights of all folds that are not done, and the step length is Newton's along the direction, for which no further product is
needed, since logits are linear in it. What L-BFGS takes for the inverse Hessian before it has seen anything is that of a
quadratic with the features' own second moments (Boehning 1992), of which one does for all folds: a twentieth of the steps of a
multiple of the identity. A penalty begins where the stronger one before it ended. Where images are few beside their
features, each fold works in the space that its images span, in which the best weights lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vision_studies.classifiers.family import ABSENT, Hyperparameters
from vision_studies.classifiers.fold_statistics import FoldStatistics
from vision_studies.classifiers.linear import LinearClassifier, LinearFamily
from vision_studies.classifiers.nested import refitted

PENALTIES = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""C of scikit-learn: the inverse of the penalty on weights of standardised features."""

_FOLDS = 5
_MEMORY = 10
_MOST_STEPS = 300
_TOLERANCE = 1e-5  # of the largest element of the mean loss's gradient; less for a penalty weaker than C = 0.016
_HALVINGS = 12
_MOST_NUMBERS = 100_000_000  # of the coordinates and bases of several folds


class Logistic(LinearFamily):
    """Multinomial logistic regression with a penalty on squared weights; the intercept is free."""

    name = "logistic"
    title = "Logistic regression"
    source = "Cox 1958, The Regression Analysis of Binary Sequences; penalised as in le Cessie and van Houwelingen 1992"
    choices = tuple({"C": value} for value in PENALTIES)

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        return solution_path(data, [float(one["C"]) for one in grid], data.train, None)


class BalancedLogistic(Logistic):
    """Logistic regression in which every class has the same weight, however many images it has."""

    name = "balanced_logistic"
    title = "Balanced logistic regression"
    source = "King and Zeng 2001, Logistic Regression in Rare Events Data"

    def solutions(self, data: FoldStatistics, grid: Sequence[Hyperparameters]) -> tuple[Tensor, Tensor]:
        """Weights [G, F, D, C] and biases [G, F, C] on standardised features."""
        return solution_path(data, [float(one["C"]) for one in grid], balanced_weights(data), None)


def chosen_logistic(x: np.ndarray, y: np.ndarray, classes: int) -> LinearClassifier:
    """Logistic regression whose penalty is chosen by its accuracy on images of five folds that it has not learnt from.

    Every class is dealt out to the folds evenly; an image alone in its class is missing from the classifier of one fold.

    Args:
        x: float32 [N, D], features.
        y: int64 [N], from 0 to classes - 1.
        classes: how many there are.

    Raises:
        DataError: features are not finite, or there are fewer than two classes.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.logistic import chosen_logistic
        >>> y = np.arange(30) % 3
        >>> classifier = chosen_logistic(np.eye(3, dtype=np.float32)[y], y, 3)
        >>> bool((classifier.probabilities(np.eye(3)).argmax(axis=1) == [0, 1, 2]).all())
        True
    """
    family, folds = Logistic(), np.empty(len(y), np.int64)
    folds[np.argsort(y, kind="stable")] = np.arange(len(y)) % min(_FOLDS, len(y))
    chosen = refitted(family, x, y, folds, classes).hyperparameters
    return family.fit(x, y, chosen, classes)


def balanced_weights(data: FoldStatistics) -> Tensor:
    """Weight of each image, [F, N]: that of all classes is equal, and their sum the number of images."""
    present = (data.counts > 0).sum(dim=1, keepdim=True)
    of_class = data.images[:, None] / (present * data.counts.clamp_min(1))
    return data.train * of_class[:, data.y]


def solution_path(
    data: FoldStatistics, inverses: Sequence[float], weights: Tensor, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Weights [G, F, D, C] and biases [G, F, C] with the least penalised mean loss, on standardised features.

    Args:
        data: features, labels and folds.
        inverses: G values of scikit-learn's C, in any order.
        weights: float32 [F, N], of the images; 0 for those that a fold does not learn from.
        offsets: float32 [F, C], added to logits while learning; none where it is None.
    """
    folds, most = len(weights), int(data.images.max())
    spans = 2 * most <= data.x.shape[1]
    together = max(1, _MOST_NUMBERS // (most * (most + data.x.shape[1]))) if spans else folds
    if together < folds:  # what each fold has of its own would not fit into memory
        parts = [slice(start, start + together) for start in range(0, folds, together)]
        each = [
            solution_path(data.part(own), inverses, weights[own], None if offsets is None else offsets[own])
            for own in parts
        ]
        return torch.cat([found for found, _ in each], dim=1), torch.cat([biases for _, biases in each], dim=1)
    order = sorted(range(len(inverses)), key=lambda place: inverses[place])
    fixed = torch.where(data.absent, ABSENT, 0.0 if offsets is None else offsets)
    # Two columns of weights share what scikit-learn gives to one: of two classes the penalty is twice as large.
    present = (data.counts > 0).sum(dim=1)
    factor = torch.where(present == 2, 2.0, 1.0) / weights.sum(dim=1)
    shares = weights / weights.sum(dim=1, keepdim=True)
    design: _Design
    if spans:
        design, bases, rows = _spanned(data)
        targets = data.one_hot[rows].permute(1, 2, 0)
        shares = shares.gather(1, rows) * (torch.arange(rows.shape[1]) < data.images[:, None])
    else:
        design, bases, targets = _Shared(data.x, data.products, data.mean, data.scale), None, data.one_hot[:, :, None]
    points = torch.zeros(len(weights), design.width + 1, data.one_hot.shape[1])
    found: list[Tensor] = [points] * len(inverses)
    for place in order:
        problem = _Problem(design, targets, shares, fixed, factor / inverses[place])
        points = _minimised(problem, points, _TOLERANCE * min(1.0, (0.016 / inverses[place]) ** 0.5))
        found[place] = points
    several = torch.stack(found)
    own = several[:, :, :-1]
    return own if bases is None else torch.matmul(bases, own), several[:, :, -1]


class _Design(Protocol):
    """Features of folds, as a linear map from weights and biases [F, width + 1, C] to logits."""

    @property
    def width(self) -> int: ...

    def part(self, kept: Tensor) -> "_Design":
        """That of the folds at some positions."""
        ...

    def logits(self, points: Tensor) -> Tensor:
        """[N, C, F]."""
        ...

    def transposed(self, residuals: Tensor) -> Tensor:
        """Weights and biases [F, width + 1, C] that the transposed map gives for [N, C, F]."""
        ...

    def inverse(self, bend: float, penalty: float) -> "_Inverse":
        """Of the Hessian of `bend / 2 * mean squared logits + penalty / 2 * squared weights`."""
        ...


class _Inverse(Protocol):
    """An approximate inverse Hessian."""

    def part(self, kept: Tensor) -> "_Inverse":
        """That of the folds at some positions."""
        ...

    def times(self, points: Tensor) -> Tensor:
        """The product with weights and biases [F, width + 1, C]."""
        ...


@dataclass(frozen=True, eq=False)
class _Shared:
    """One matrix [N, D] for all folds, each of which standardises it with its mean and scale [F, D]."""

    x: Tensor
    products: Tensor  # of `x` with itself, [D, D]
    mean: Tensor
    scale: Tensor

    @property
    def width(self) -> int:
        return self.x.shape[1]

    def part(self, kept: Tensor) -> "_Shared":
        return replace(self, mean=self.mean[kept], scale=self.scale[kept])

    def logits(self, points: Tensor) -> Tensor:
        own = points[:, :-1] / self.scale[:, :, None]
        bias = (points[:, -1] - (self.mean[:, None] @ own)[:, 0]).T
        return torch.addmm(bias.flatten(), self.x, own.permute(1, 2, 0).flatten(1)).unflatten(1, bias.shape)

    def transposed(self, residuals: Tensor) -> Tensor:
        products = (self.x.T @ residuals.flatten(1)).unflatten(1, residuals.shape[1:]).permute(2, 0, 1)
        biases = residuals.sum(dim=0).T
        result = torch.empty(len(self.mean), self.width + 1, residuals.shape[1])
        slopes = torch.addcmul(products, self.mean[:, :, None], biases[:, None], value=-1, out=result[:, :-1])
        slopes.div_(self.scale[:, :, None])
        result[:, -1] = biases
        return result

    def inverse(self, bend: float, penalty: float) -> "_SharedInverse":
        """That of all images together: folds differ little from it."""
        hessian = self.products * (bend / len(self.x))
        # The second part is what float32 takes for nought beside the largest eigenvalue, which is `width` at most.
        hessian.diagonal().add_(penalty + 1e-6 * bend * self.width)
        return _SharedInverse(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), bend)


@dataclass(frozen=True, eq=False)
class _SharedInverse:
    """One matrix [D, D] for all folds."""

    matrix: Tensor
    bend: float

    def part(self, kept: Tensor) -> "_SharedInverse":  # noqa: ARG002 (it is that of any)
        return self

    def times(self, points: Tensor) -> Tensor:
        slopes = points[:, :-1].permute(1, 0, 2)
        result = torch.empty_like(points)
        result[:, :-1] = (self.matrix @ slopes.flatten(1)).view(slopes.shape).permute(1, 0, 2)
        result[:, -1] = points[:, -1] / self.bend
        return result


@dataclass(frozen=True, eq=False)
class _Own:
    """A matrix of its own [n, r] for each fold, [F, n, r]."""

    rows: Tensor

    @property
    def width(self) -> int:
        return self.rows.shape[2]

    def part(self, kept: Tensor) -> "_Own":
        return _Own(self.rows[kept])

    def logits(self, points: Tensor) -> Tensor:
        return torch.baddbmm(points[:, -1:], self.rows, points[:, :-1]).permute(1, 2, 0).contiguous()

    def transposed(self, residuals: Tensor) -> Tensor:
        own = residuals.permute(2, 0, 1).contiguous()
        return torch.cat([self.rows.mT @ own, own.sum(dim=1, keepdim=True)], dim=1)

    def inverse(self, bend: float, penalty: float) -> "_OwnInverse":
        """Of each fold its own: its coordinates are along principal axes."""
        moments = self.rows.square().sum(dim=1, keepdim=True).mT  # [F, r, 1]
        biases = torch.full((len(moments), 1, 1), bend)
        return _OwnInverse(1 / torch.cat([bend / self.rows.shape[1] * moments + penalty, biases], dim=1))


@dataclass(frozen=True, eq=False)
class _OwnInverse:
    """A diagonal [F, r + 1, 1] for each fold."""

    diagonal: Tensor

    def part(self, kept: Tensor) -> "_OwnInverse":
        return _OwnInverse(self.diagonal[kept])

    def times(self, points: Tensor) -> Tensor:
        return points * self.diagonal


def _spanned(data: FoldStatistics) -> tuple[_Own, Tensor, Tensor]:
    """Coordinates [F, n, n] of each fold's standardised images in the space that they span, bases [F, D, n], and positions of
    the images [F, n].

    The best weights lie in that space: penalised by their length, they gain nothing outside. A fold with fewer images than the
    largest is filled up with the first image and coordinates of 0.
    """
    most = int(data.images.max())
    rows = torch.zeros(len(data.train), most, dtype=torch.int64)
    coordinates = torch.zeros(len(rows), most, most)
    bases = torch.zeros(len(rows), data.x.shape[1], most)
    for fold in range(len(rows)):
        own, standard = data.rows(fold), data.centred(fold, within=False)
        values, vectors = torch.linalg.eigh(standard @ standard.T)
        lengths = values.clamp_min(0).sqrt()
        # Centred images span one dimension less than they are.
        inverse = torch.where(values > 1e-6 * values[-1], 1 / lengths, 0.0)
        count = len(own)
        rows[fold, :count] = own
        coordinates[fold, :count, :count] = torch.where(inverse > 0, vectors * lengths, 0.0)
        bases[fold, :, :count] = standard.T @ (vectors * inverse)
    return _Own(coordinates), bases, rows


@dataclass(frozen=True, eq=False)
class _Problem:
    """Losses of some folds.

    Attributes:
        design: of these folds.
        targets: [N, C, 1], one-hot labels, or those of each fold [N, C, F].
        weights: [F, N], which sum to 1.
        fixed: [F, C], added to logits.
        penalty: [F], on half the squared weights.
    """

    design: _Design
    targets: Tensor
    weights: Tensor
    fixed: Tensor
    penalty: Tensor

    def part(self, kept: Tensor) -> "_Problem":
        """The folds at some positions."""
        targets = self.targets if self.targets.shape[2] == 1 else self.targets[:, :, kept]
        return _Problem(self.design.part(kept), targets, self.weights[kept], self.fixed[kept], self.penalty[kept])

    def gradient(self, points: Tensor, probabilities: Tensor) -> Tensor:
        """[F, D + 1, C] of the losses, from probabilities [N, C, F]; these are overwritten."""
        residuals = probabilities.sub_(self.targets).mul_(self.weights.T[:, None])
        gradient = self.design.transposed(residuals)
        gradient[:, :-1].addcmul_(points[:, :-1], self.penalty[:, None, None])
        return gradient

    def losses(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Mean losses [F] without the penalty, float64, and probabilities [N, C, F], of logits without what is fixed."""
        whole = logits + self.fixed.T
        own = (whole * self.targets).sum(dim=1)
        highest = whole.amax(dim=1, keepdim=True)
        # Written out: over a middle axis this is several times as fast as torch's own over a last axis of few classes.
        probabilities = whole.sub_(highest).exp_()
        total = probabilities.sum(dim=1, keepdim=True)
        probabilities.div_(total)
        surprise = total.log_().add_(highest)[:, 0].sub_(own)
        return (surprise.double() * self.weights.T).sum(dim=0), probabilities

    def curvature(self, probabilities: Tensor, along: Tensor) -> Tensor:
        """Second derivative [F] of the mean losses in the direction whose logits are `along` [N, C, F]."""
        weighted = probabilities * along
        first = weighted.sum(dim=1)
        second = weighted.mul_(along).sum(dim=1)
        return (second.addcmul_(first, first, value=-1) * self.weights.T).sum(dim=0)


def _minimised(problem: _Problem, start: Tensor, tolerance: float) -> Tensor:
    """Points [F, D + 1, C] of least loss, by L-BFGS from a start; folds that are done leave the batch."""
    result = start.clone()
    place = torch.arange(len(start))
    points = start.clone()
    logits = problem.design.logits(points)
    losses, probabilities = problem.losses(logits)
    losses = losses + _penalties(problem, points)
    gradient = problem.gradient(points, probabilities.clone())
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    inverse = problem.design.inverse(_bend(problem, probabilities), float(problem.penalty.mean()))
    for _ in range(_MOST_STEPS):
        going = gradient.abs().amax(dim=(1, 2)) > tolerance
        if not going.all():
            result[place[~going]] = points[~going]
            if not going.any():
                return result
            kept = going.nonzero().squeeze(1)
            problem, place, points, gradient, losses = (
                problem.part(kept),
                place[kept],
                points[kept],
                gradient[kept],
                losses[kept],
            )
            logits, probabilities = logits[:, :, kept], probabilities[:, :, kept]
            history = [(step[kept], change[kept], inner[kept]) for step, change, inner in history]
            inverse = inverse.part(kept)
        direction = -_times_inverse(gradient, history, inverse)
        slope = _dots(gradient, direction)
        along = problem.design.logits(direction)
        bend = problem.curvature(probabilities, along) + problem.penalty * _dots(direction[:, :-1], direction[:, :-1])
        length = (-slope / bend.clamp_min(1e-30)).clamp(0, 1e6)
        moved, losses, probabilities, length = _searched(
            problem, points, direction, logits, along, losses, slope, length
        )
        step = direction * length[:, None, None]
        points, logits = points + step, moved
        after = problem.gradient(points, probabilities.clone())
        change = after - gradient
        inner = _dots(step, change)
        history = [*history[1 - _MEMORY :], (step, change, inner)]
        gradient = after
    result[place] = points
    return result


def _searched(
    problem: _Problem,
    points: Tensor,
    direction: Tensor,
    logits: Tensor,
    along: Tensor,
    losses: Tensor,
    slope: Tensor,
    length: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, losses, probabilities and lengths of steps that lower the losses: those asked for, or halved until they do."""
    for _ in range(_HALVINGS):
        moved = torch.addcmul(logits, along, length)
        loss, probabilities = problem.losses(moved)
        loss = loss + _penalties(problem, points + direction * length[:, None, None])
        too_far = loss > losses + 1e-4 * length * slope + 1e-6 * losses.abs()
        if not too_far.any():
            break
        length = torch.where(too_far, length / 2, length)
    return moved, loss, probabilities, length


def _penalties(problem: _Problem, points: Tensor) -> Tensor:
    own = points[:, :-1]
    return problem.penalty * _dots(own, own) / 2


def _dots(first: Tensor, second: Tensor) -> Tensor:
    """Inner products [F] of two stacks of arrays."""
    return torch.bmm(first.reshape(len(first), 1, -1), second.reshape(len(second), -1, 1))[:, 0, 0]


def _bend(problem: _Problem, probabilities: Tensor) -> float:
    """Second derivative of the mean loss by a logit, the mean over folds, classes and images."""
    classes = probabilities.shape[1]
    several = (1 - probabilities.square().sum(dim=1)) / max(1, classes - 1)
    return max(float((several * problem.weights.T).sum(dim=0).mean()), 1e-4)


def _times_inverse(gradient: Tensor, history: Sequence[tuple[Tensor, Tensor, Tensor]], inverse: _Inverse) -> Tensor:
    """The gradient times what is known of the inverse Hessian (two loops; Nocedal and Wright 2006, algorithm 7.4)."""
    result = gradient.clone()
    factors = []
    for step, change, inner in reversed(history):
        factor = torch.where(inner > 0, _dots(step, result) / inner, 0.0)
        factors.append(factor)
        result.addcmul_(change, factor[:, None, None], value=-1)
    result = inverse.times(result)
    for (step, change, inner), factor in zip(history, reversed(factors), strict=True):
        back = torch.where(inner > 0, _dots(change, result) / inner, 0.0)
        result.addcmul_(step, (factor - back)[:, None, None])
    return result
