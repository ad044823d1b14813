"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719), with the fourteen operations of torchvision's.

Images that drew the same operation are changed together by torchvision's own functions, so that each comes out exactly as it
would alone, many times faster. See `step` for images and generators.
"""

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from vision_studies.augmentation.draws import send
from vision_studies.torchvision_compat import torchvision_module

Operation = Callable[[Tensor], Tensor]

OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast"),
    *("sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
LONGEST_TRANSLATION = 150 / 331
"""Of the image's side, as for ImageNet in the search that RandAugment replaced."""


def rand_augment(
    images: Tensor, generator: torch.Generator, num_ops: int, magnitude: int, num_magnitude_bins: int
) -> Tensor:
    """Change each image by operations of its own; those with a direction go either way.

    Args:
        images: uint8 [B, C, H, W]; not changed.
        num_ops: operations an image, drawn with replacement.
        magnitude: strength of all of them, from 0.
        num_magnitude_bins: number of strengths; the strongest is `num_magnitude_bins` - 1.
    """
    changed = images.clone()
    for _ in range(num_ops):
        operations = torch.randint(len(OPERATIONS), (len(images),), generator=generator)
        backwards = torch.randint(2, (len(images),), generator=generator)
        kinds = (2 * operations + backwards).numpy()
        for kind in np.unique(kinds).tolist():
            chosen = send(np.flatnonzero(kinds == kind), images)
            share = magnitude / (num_magnitude_bins - 1)
            operation = build_operation(OPERATIONS[kind // 2], -share if kind % 2 else share, tuple(images.shape[2:]))
            changed[chosen] = operation(changed[chosen])
    return changed


@cache
def build_operation(name: str, share: float, size: tuple[int, int]) -> Operation:
    """A function uint8 [N, C, H, W] -> uint8 [N, C, H, W].

    Args:
        name: one of `OPERATIONS`.
        share: strength as a share of the strongest, 0 to 1; below 0 for the other direction, where there is one.
        size: height and width of the images in pixels.
    """
    functional = torchvision_module("torchvision.transforms.v2.functional")
    height, width = size
    affine = partial(functional.affine, angle=0.0, translate=[0, 0], scale=1.0, shear=[0.0, 0.0])
    slope = math.degrees(math.atan(0.3 * share))
    factor = 1 + 0.9 * share
    operations: dict[str, Operation] = {
        "identity": lambda images: images,
        "shear_x": partial(affine, shear=[slope, 0.0], center=[0, 0]),
        "shear_y": partial(affine, shear=[0.0, slope], center=[0, 0]),
        "translate_x": partial(affine, translate=[int(LONGEST_TRANSLATION * width * share), 0]),
        "translate_y": partial(affine, translate=[0, int(LONGEST_TRANSLATION * height * share)]),
        "rotate": partial(functional.rotate, angle=30 * share),
        "brightness": partial(functional.adjust_brightness, brightness_factor=factor),
        "color": partial(functional.adjust_saturation, saturation_factor=factor),
        "contrast": partial(functional.adjust_contrast, contrast_factor=factor),
        "sharpness": partial(functional.adjust_sharpness, sharpness_factor=factor),
        "posterize": partial(functional.posterize, bits=8 - round(4 * abs(share))),
        "solarize": partial(functional.solarize, threshold=255 * (1 - abs(share))),
        "autocontrast": functional.autocontrast,
        "equalize": functional.equalize,
    }
    return operations[name]
