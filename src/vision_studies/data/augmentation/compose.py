"""From settings to one function that augments a batch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vision_studies.config.augmentation import AugmentationSettings, Step
from vision_studies.data.augmentation.erasing import cutout, random_erasing
from vision_studies.data.augmentation.geometry import alternating_flip, random_crop, random_flip
from vision_studies.data.loaders import Augmentation, Occasion


def build_augmentation(settings: AugmentationSettings, *, normalisation_mean: tuple[float, ...]) -> Augmentation | None:
    """A function uint8 [B, C, H, W], generator, occasion -> uint8 [B, C, H, W] that does all steps in order; None for no steps.

    Args:
        settings: the steps.
        normalisation_mean: what erased pixels are filled with: after normalisation they are about 0.

    Examples:
        >>> import torch
        >>> from vision_studies.config.augmentation import AugmentationSettings
        >>> from vision_studies.data.augmentation.compose import build_augmentation
        >>> from vision_studies.data.loaders import Occasion
        >>> settings = AugmentationSettings.model_validate(
        ...     {"steps": [{"name": "random_crop", "padding": 2, "mode": "zero"}, {"name": "random_flip", "probability": 1}]}
        ... )
        >>> augment = build_augmentation(settings, normalisation_mean=(0.0,))
        >>> images = torch.full((3, 1, 8, 8), 255, dtype=torch.uint8)
        >>> occasion = Occasion(seed=0, epoch=0, indices=torch.arange(3))
        >>> changed = augment(images, torch.Generator().manual_seed(0), occasion)
        >>> changed.shape == images.shape, changed.unique().tolist()
        (True, [0, 255])
    """
    steps = [_build(step, normalisation_mean) for step in settings.steps]
    if not steps:
        return None

    def augment(images: Tensor, generator: torch.Generator, occasion: Occasion) -> Tensor:
        for step in steps:
            images = step(images, generator, occasion)
        return images

    return augment


def _build(step: Step, fill: tuple[float, ...]) -> Augmentation:
    if step.name == "alternating_flip":
        return lambda images, _, occasion: alternating_flip(images, *occasion)
    options = step.model_dump(exclude={"name"})
    function: Callable[..., Tensor]
    # kornia and torchvision take a second or two to import: only the steps that need them wait for that.
    match step.name:
        case "random_crop":
            function = random_crop
        case "random_flip":
            function = random_flip
        case "random_rotation":
            from vision_studies.data.augmentation.warping import random_rotation as function
        case "random_perspective":
            from vision_studies.data.augmentation.warping import random_perspective as function
        case "color_jitter":
            from vision_studies.data.augmentation.color import color_jitter as function
        case "rand_augment":
            from vision_studies.data.augmentation.rand_augment import rand_augment as function
        case "random_erasing":
            function = partial(random_erasing, fill=fill)
        case "cutout":
            function = partial(cutout, fill=fill)
    return lambda images, generator, _: function(images, generator, **options)
