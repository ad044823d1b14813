"""From settings to one function that augments a batch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vision_studies.config.augmentation import AugmentationSettings, Step
from vision_studies.data.augmentation.erasing import cutout
from vision_studies.data.augmentation.geometry import random_crop, random_flip

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def build_augmentation(settings: AugmentationSettings, *, normalisation_mean: tuple[float, ...]) -> Augmentation | None:
    """A function uint8 [B, C, H, W], generator -> uint8 [B, C, H, W] that does all steps in order; None for no steps.

    Args:
        settings: the steps.
        normalisation_mean: what erased pixels are filled with: after normalisation they are about 0.
    """
    steps = [_build(step, normalisation_mean) for step in settings.steps]
    if not steps:
        return None

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        for step in steps:
            images = step(images, generator)
        return images

    return augment


def _build(step: Step, fill: tuple[float, ...]) -> Augmentation:
    match step.name:
        case "random_crop":
            return partial(random_crop, padding=step.padding, mode=step.mode)
        case "random_flip":
            return partial(random_flip, probability=step.probability)
        case "cutout":
            return partial(cutout, size=step.size, fill=fill)
