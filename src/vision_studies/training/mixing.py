"""CutMix and MixUp: training on mixtures of two images with the mixture of their labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.config.training import MixingSettings
from vision_studies.training.collectives import BatchPart
from vision_studies.training.runtime import derived_seed


@dataclass(frozen=True)
class MixedBatch:
    """A batch whose images may be mixtures.

    Attributes:
        images: float [B, C, H, W].
        labels: int64 [B], of the images that each mixture starts from.
        other_labels: int64 [B], of the images mixed in; None where nothing was mixed.
        weight: share of `labels` in each mixture; 1 where nothing was mixed.
    """

    images: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    weight: float = 1.0

    def split(self, parts: int) -> "list[MixedBatch]":
        """The batch in so many parts of nearly equal size."""
        others = self.other_labels.tensor_split(parts) if self.other_labels is not None else [None] * parts
        pieces = zip(self.images.tensor_split(parts), self.labels.tensor_split(parts), others, strict=True)
        return [MixedBatch(images, labels, other, self.weight) for images, labels, other in pieces]

    def weighted(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """What `measure` gives for both labels of the mixtures, weighted by their shares."""
        if self.other_labels is None:
            return measure(self.labels)
        return self.weight * measure(self.labels) + (1 - self.weight) * measure(self.other_labels)


def mix_batch(
    images: Tensor,
    labels: Tensor,
    settings: MixingSettings | None,
    *,
    seed: int,
    epoch: int,
    batch: int,
    part: BatchPart | None = None,
) -> MixedBatch:
    """Mix a batch with a shuffled copy of itself, with the chance that the settings give.

    One weight holds for the whole batch, as in the published code of both methods. The draw depends on (seed, epoch,
    batch) alone, so that a resumed training mixes as an uninterrupted one does.

    Args:
        images: float [B, C, H, W]; left as they are.
        labels: int64 [B].
        settings: what to do; None for nothing.
        seed: seed of the run.
        epoch: its number.
        batch: its number in the epoch.
        part: where the images stand in a batch that other processes have the rest of; partners come from all of it, so that
            the processes exchange their images. None where these are all.
    """
    if settings is None:
        return MixedBatch(images, labels)
    generator = np.random.default_rng(derived_seed(seed, epoch, batch))
    if generator.random() >= settings.probability:
        return MixedBatch(images, labels)
    weight = float(generator.beta(settings.alpha, settings.alpha))
    partners = torch.from_numpy(generator.permutation(part.count if part else len(images))).to(images.device)
    all_images, all_labels = images, labels
    if part:
        partners, all_images, all_labels = partners[part.places], part.whole(images), part.whole(labels)
    if settings.name == "mixup":
        return MixedBatch(torch.lerp(all_images[partners], images, weight), labels, all_labels[partners], weight)
    height, width = images.shape[2:]
    top, bottom, left, right = cut_box(height, width, weight, generator)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = all_images[partners, :, top:bottom, left:right]
    # The border may have cut the box: what counts is the area that was really pasted.
    weight = 1 - (bottom - top) * (right - left) / (height * width)
    return MixedBatch(mixed, labels, all_labels[partners], weight)


def mixed_loss(logits: Tensor, mixed: MixedBatch, label_smoothing: float) -> Tensor:
    """Cross-entropy of logits [B, classes] with both labels of each mixture, weighted by their shares."""
    return mixed.weighted(lambda labels: F.cross_entropy(logits, labels, label_smoothing=label_smoothing))


def mixed_hits(logits: Tensor, mixed: MixedBatch) -> Tensor:
    """Number of right predictions, each counted by the weight of the label it hits."""
    predictions = logits.argmax(dim=1)
    return mixed.weighted(lambda labels: (predictions == labels).sum())


def cut_box(height: int, width: int, weight: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Box of about (1 - weight) of the image's area around a random point, cut off at the border (Yun et al. 2019).

    Returns:
        First row, row after the last, first column, column after the last.
    """
    side = np.sqrt(1 - weight)
    box_height, box_width = int(height * side), int(width * side)
    row, column = int(generator.integers(height)), int(generator.integers(width))
    top, left = row - box_height // 2, column - box_width // 2
    return max(top, 0), min(top + box_height, height), max(left, 0), min(left + box_width, width)
