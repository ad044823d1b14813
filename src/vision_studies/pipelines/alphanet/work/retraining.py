"""Classifiers that are trained on fixed features: all values of a method's knob as one, with gradients written out.

Members see the same draws, so that they differ in the knob alone, and each gets the numbers of a training by itself. Their
weights stay in the processor's cache from the first step to the last; autograd, which would take most of the time, is not
needed.

Sources: Kang et al. 2020 (cRT, LWS); Alshammari et al. 2022, "Long-Tailed Recognition via Weight Balancing" (MaxNorm, weight
decay); Zhang et al. 2021, "Distribution Alignment" (DisAlign); Cao et al. 2019 (LDAM on cosines); those of `config.losses`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil, cos, pi

import numpy as np
import torch
from torch import Tensor

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.config.losses import class_shares, log_priors
from vision_studies.data.class_splits import SPLITS, ClassSplits
from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.settings import RetrainedSettings, SelectionMetric
from vision_studies.pipelines.alphanet.work.features import FeatureGroup
from vision_studies.pipelines.alphanet.work.linear_classifier import AlignedClassifier, class_norms
from vision_studies.training.losses import LossTensors, logit_gradients_
from vision_studies.training.samplers import balanced_draws, drawn_images


def retrained(
    settings: RetrainedSettings,
    classifier: LinearClassifier,
    group: FeatureGroup,
    seed: int,
    device: torch.device,
) -> list[LinearClassifier]:
    """A classifier for every value of the knob.

    The seed decides the first weights, then the draws; no global generator is used. With a linear head, plain cross-entropy and
    the class-aware sampler the numbers are those of cRT.

    Args:
        settings: method, knob and training.
        classifier: the backbone's own.
        group: features to learn from.
        seed: of first weights and draws.

    Raises:
        ParameterError: training diverges with every value.
    """
    num_classes = len(classifier.bias)
    counts = np.bincount(group.labels, minlength=num_classes)
    pairs = [settings.at(value) for value in settings.values]
    forms = [loss.form(counts) for loss, _ in pairs]
    decays = torch.tensor([decay for _, decay in pairs], device=device)[:, None, None]
    generator = np.random.default_rng(seed)
    head = _HEADS[settings.head](settings, classifier, len(pairs), generator, device)
    velocities = [torch.zeros_like(values) for values in head.parameters]
    starts = sorted({0.0, *(form.weight_from for form in forms)})
    losses = {start: LossTensors.of(forms, start).to(device) for start in starts}
    steps, step = settings.epochs * ceil(len(group.labels) / settings.batch_size), 0
    for epoch in range(settings.epochs):
        due = losses[max(start for start in starts if start <= epoch / settings.epochs)]
        drawn = _draws(settings, group.labels, counts, epoch, generator)
        for start in range(0, len(drawn), settings.batch_size):
            chosen = drawn[start : start + settings.batch_size]
            rows = torch.from_numpy(np.asarray(group.features[chosen], dtype=np.float32)).to(device)
            labels = torch.from_numpy(group.labels[chosen]).to(device)
            gradients = logit_gradients_(head.logits(rows), labels, due)
            for values, velocity in zip(head.parameters, velocities, strict=True):
                velocity.mul_(settings.momentum).addcmul_(values, decays)
            head.add_gradients(gradients, velocities)
            rate = settings.learning_rate * (1 + cos(pi * step / steps)) / 2
            for values, velocity in zip(head.parameters, velocities, strict=True):
                values.add_(velocity, alpha=-rate)
            head.project()
            step += 1
    found = head.classifiers(forms[0].scale)
    if not any(np.isfinite(each.weight).all() and np.isfinite(each.bias).all() for each in found):
        raise ParameterError(
            f"learning_rate={settings.learning_rate} of the classifier {settings.name} is too high: its weights are not "
            "finite after training, whatever the knob; lower it."
        )
    return found


def adjusted(classifier: LinearClassifier, counts: np.ndarray, taus: Sequence[float]) -> list[LinearClassifier]:
    """The classifier with tau times the logarithm of the classes' shares taken from its logits (Menon et al. 2021)."""
    shifts = log_priors(counts)
    return [LinearClassifier(classifier.weight, (classifier.bias - tau * shifts).astype(np.float32)) for tau in taus]


def selection_score(predictions: np.ndarray, labels: np.ndarray, splits: ClassSplits, metric: SelectionMetric) -> float:
    """How good predictions int [N] of images with labels int [N] are, as validation images choose by it.

    All but "accuracy" take every class that has an image for equally frequent, as it is on test images, however few it has
    here: rows of the matrix of confusions are shares.
    """
    if metric == "accuracy":
        return float((predictions == labels).mean())
    classes = splits.num_classes
    confusions = np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)
    images = confusions.sum(axis=1, keepdims=True)
    there = images[:, 0] > 0
    shares = confusions / np.maximum(images, 1)
    right = np.diag(shares)
    if metric == "balanced_accuracy":
        return float(right[there].mean())
    if metric == "worst_group":
        groups = [getattr(splits, split) for split in SPLITS]
        return float(min(right[group[there[group]]].mean() for group in groups if there[group].any()))
    scores = 2 * right / np.maximum(shares.sum(axis=0) + there, 1e-30)
    return float(scores[there].mean())


def best_of(
    classifiers: Sequence[LinearClassifier], validation: FeatureGroup, splits: ClassSplits, metric: SelectionMetric
) -> int:
    """Which classifier is the best on validation images; of equals the first."""
    scores = [
        selection_score(each.scores(validation.features).argmax(axis=1), validation.labels, splits, metric)
        if np.isfinite(each.weight).all()
        else -1.0
        for each in classifiers
    ]
    return int(np.argmax(np.round(scores, 12)))  # means of the same numbers in another order differ in the last digits


def _draws(
    settings: RetrainedSettings, labels: np.ndarray, counts: np.ndarray, epoch: int, generator: np.random.Generator
) -> np.ndarray:
    """Positions of an epoch's images; the class-aware draw is that of cRT."""
    if settings.sampler == "instance":
        return generator.permutation(len(labels))
    if settings.sampler == "class_aware":
        return balanced_draws(labels, len(labels), generator)
    shares = class_shares(counts, settings.sampler, epoch / max(settings.epochs - 1, 1))
    return drawn_images(labels, shares, len(labels), generator)


class _Head(ABC):
    """How scores of M members come about: logits of rows [B, d], and what their gradients are for its parameters [M, ...]."""

    parameters: list[Tensor]

    @abstractmethod
    def logits(self, rows: Tensor) -> Tensor:
        """[B, M, classes]; what is needed for the gradients is remembered."""

    @abstractmethod
    def add_gradients(self, gradients: Tensor, sums: list[Tensor]) -> None:
        """Add to `sums`, shaped as the parameters, what gradients [B, M, classes] of the last logits make of them."""

    def project(self) -> None:  # noqa: B027 - most may be anywhere
        """Bring the parameters back to where they may be."""

    @abstractmethod
    def classifiers(self, scale: float) -> list[LinearClassifier]:
        """One a member; `scale` is what the loss multiplies logits by."""


class _Linear(_Head):
    """Weights and biases, side by side [M, classes, d + 1]: one matrix product gives the logits of all members."""

    def __init__(
        self,
        settings: RetrainedSettings,
        classifier: LinearClassifier,
        members: int,
        generator: np.random.Generator,
        device: torch.device,
    ) -> None:
        weight, bias = classifier.weight, classifier.bias
        if settings.start == "new":
            bound = weight.shape[1] ** -0.5
            weight, bias = (generator.uniform(-bound, bound, values.shape) for values in (weight, bias))
        joined = np.concatenate([weight, bias[:, None]], axis=1).astype(np.float32)
        self.parameters = [torch.from_numpy(joined).to(device).repeat(members, 1, 1)]
        self._limit: float | None = None
        if settings.max_norm is not None:
            norms = class_norms(classifier)
            self._limit = float(norms.min() + settings.max_norm * (norms.max() - norms.min()))

    def logits(self, rows: Tensor) -> Tensor:
        members, classes, width = self.parameters[0].shape
        self._rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
        return (self._rows @ self.parameters[0].view(-1, width).T).view(-1, members, classes)

    def add_gradients(self, gradients: Tensor, sums: list[Tensor]) -> None:
        sums[0].view(-1, sums[0].shape[2]).addmm_(gradients.flatten(1).T, self._rows)

    def project(self) -> None:
        if self._limit is not None:
            weight = self.parameters[0][:, :, :-1]
            weight *= (self._limit / weight.norm(dim=2, keepdim=True).clamp_min(1e-30)).clamp_max(1)

    def classifiers(self, scale: float) -> list[LinearClassifier]:
        values = self.parameters[0].cpu().numpy() * np.float32(scale)
        return [LinearClassifier(each[:, :-1].copy(), each[:, -1].copy()) for each in values]


class _Cosine(_Head):
    """Weights [M, classes, d], of which the direction counts."""

    def __init__(
        self,
        settings: RetrainedSettings,
        classifier: LinearClassifier,
        members: int,
        generator: np.random.Generator,
        device: torch.device,
    ) -> None:
        weight = classifier.weight
        if settings.start == "new":
            weight = generator.uniform(-1, 1, weight.shape)
        self.parameters = [torch.from_numpy(_unit(weight).astype(np.float32)).to(device).repeat(members, 1, 1)]

    def logits(self, rows: Tensor) -> Tensor:
        self._rows = torch.nn.functional.normalize(rows)
        self._norms = self.parameters[0].norm(dim=2, keepdim=True).clamp_min(1e-12)
        self._directions = self.parameters[0] / self._norms
        members, classes, width = self._directions.shape
        return (self._rows @ self._directions.view(-1, width).T).view(-1, members, classes)

    def add_gradients(self, gradients: Tensor, sums: list[Tensor]) -> None:
        slopes = (gradients.flatten(1).T @ self._rows).view_as(self._directions)
        along = (slopes * self._directions).sum(dim=2, keepdim=True)
        sums[0] += (slopes - along * self._directions) / self._norms

    def classifiers(self, scale: float) -> list[LinearClassifier]:
        directions = _unit(self.parameters[0].cpu().numpy()) * np.float32(scale)
        return [LinearClassifier(each, np.zeros(len(each), np.float32)) for each in directions]


class _Scales(_Head):
    """A factor [M, 1, classes] for each class's scores, from 1."""

    def __init__(
        self,
        settings: RetrainedSettings,  # noqa: ARG002
        classifier: LinearClassifier,
        members: int,
        generator: np.random.Generator,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        self._own = classifier
        self._weight, self._bias = (
            torch.from_numpy(values).to(device) for values in (classifier.weight, classifier.bias)
        )
        self.parameters = [torch.ones(members, 1, len(classifier.bias), device=device)]

    def logits(self, rows: Tensor) -> Tensor:
        self._scores = torch.nn.functional.linear(rows, self._weight, self._bias)
        return self._scores[:, None] * self.parameters[0][:, 0]

    def add_gradients(self, gradients: Tensor, sums: list[Tensor]) -> None:
        sums[0][:, 0] += (gradients * self._scores[:, None]).sum(dim=0)

    def classifiers(self, scale: float) -> list[LinearClassifier]:
        factors = self.parameters[0][:, 0].cpu().numpy() * np.float32(scale)
        return [LinearClassifier(self._own.weight * each[:, None], self._own.bias * each) for each in factors]


class _Aligned(_Scales):
    """Factors and shifts [M, 1, classes] of the scores, and what decides how much of them an image gets, [M, 1, d + 1]."""

    def __init__(
        self,
        settings: RetrainedSettings,
        classifier: LinearClassifier,
        members: int,
        generator: np.random.Generator,
        device: torch.device,
    ) -> None:
        super().__init__(settings, classifier, members, generator, device)
        classes, width = classifier.weight.shape
        self.parameters = [torch.zeros(members, 1, size, device=device) for size in (classes, classes, width + 1)]

    def logits(self, rows: Tensor) -> Tensor:
        factors, shifts, gate = (values[:, 0] for values in self.parameters)
        self._rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
        self._scores = torch.nn.functional.linear(rows, self._weight, self._bias)
        self._shares = (self._rows @ gate.T).sigmoid()  # [B, M]
        self._changes = self._scores[:, None] * factors + shifts
        return self._scores[:, None] + self._shares[:, :, None] * self._changes

    def add_gradients(self, gradients: Tensor, sums: list[Tensor]) -> None:
        shared = gradients * self._shares[:, :, None]
        sums[0][:, 0] += (shared * self._scores[:, None]).sum(dim=0)
        sums[1][:, 0] += shared.sum(dim=0)
        slopes = (gradients * self._changes).sum(dim=2) * self._shares * (1 - self._shares)
        sums[2][:, 0] += slopes.T @ self._rows

    def classifiers(self, scale: float) -> list[LinearClassifier]:
        del scale  # the scores of the backbone's classifier are what they are
        factors, shifts, gates = (values[:, 0].cpu().numpy() for values in self.parameters)
        own = (self._own.weight, self._own.bias)
        return [AlignedClassifier(*own, *learnt) for learnt in zip(factors, shifts, gates, strict=True)]


_HEADS: dict[str, type[_Linear] | type[_Cosine] | type[_Scales] | type[_Aligned]] = {
    "linear": _Linear,
    "cosine": _Cosine,
    "scales": _Scales,
    "aligned": _Aligned,
}


def _unit(weight: np.ndarray) -> np.ndarray:
    return weight / np.maximum(np.linalg.norm(weight, axis=-1, keepdims=True), 1e-12)
