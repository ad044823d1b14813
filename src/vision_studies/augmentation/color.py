"""Changes of colour. See `step` for images and generators."""

import math

import torch
from kornia.enhance import adjust_hue
from torch import Tensor

from vision_studies.augmentation.draws import positions, send
from vision_studies.augmentation.luma import LUMA

WHITE = 255.0


def color_jitter(
    images: Tensor, generator: torch.Generator, brightness: float, contrast: float, saturation: float, hue: float
) -> Tensor:
    """Change brightness, contrast, saturation and hue of images uint8 [B, C, H, W], of each in an order of its own.

    Factors are drawn evenly from 1 - brightness (0 at least) to 1 + brightness, likewise for contrast and saturation; turns
    from -hue to hue, in whole turns of the colour circle.
    """
    count = len(images)
    order = torch.rand(count, 4, generator=generator).argsort(dim=1)
    strengths = torch.tensor([brightness, contrast, saturation, hue])
    draws = torch.rand(count, 4, generator=generator)
    low = torch.cat([(1 - strengths[:3]).clamp(min=0), -strengths[3:]])
    high = torch.cat([1 + strengths[:3], strengths[3:]])
    return jitter_colors(images, low + draws * (high - low), order)


def jitter_colors(images: Tensor, amounts: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue by given amounts in a given order.

    Args:
        images: uint8 [B, C, H, W]; grey images (C = 1) have no saturation and no hue to change.
        amounts: float [B, 4], on the host: three factors and a share of the colour circle.
        order: int64 [B, 4], on the host: which of the four comes first, second, third and fourth.
    """
    changed = images.float()
    changes = (_brightness, _contrast, *((_saturation, _hue) if images.shape[1] == len(LUMA) else ()))
    for position in range(order.shape[1]):
        for index, change in enumerate(changes):
            chosen = positions(order[:, position] == index)
            if len(chosen):
                places, strengths = send(chosen, images), send(amounts[chosen, index], images)
                changed[places] = change(changed[places], strengths.view(-1, 1, 1, 1))
    return changed.round().to(images.dtype)


def _brightness(images: Tensor, factors: Tensor) -> Tensor:
    return (images * factors).clamp(0, WHITE)


def _contrast(images: Tensor, factors: Tensor) -> Tensor:
    return _blend(images, _luma(images).mean(dim=(1, 2, 3), keepdim=True), factors)


def _saturation(images: Tensor, factors: Tensor) -> Tensor:
    return _blend(images, _luma(images), factors)


def _hue(images: Tensor, turns: Tensor) -> Tensor:
    # kornia's, for torchvision's turns all images alike: image by image it takes four times as long.
    return adjust_hue(images / WHITE, turns.flatten() * 2 * math.pi) * WHITE


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    return torch.lerp(others.expand_as(images), images, factors).clamp(0, WHITE)


def _luma(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    weights = send(LUMA, images, torch.float32).view(1, -1, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)
