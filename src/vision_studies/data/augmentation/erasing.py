"""Erasing parts of images."""

import torch
from torch import Tensor


def cutout(images: Tensor, generator: torch.Generator, size: int, fill: tuple[float, ...]) -> Tensor:
    """Cover a square around a random pixel of each image (DeVries and Taylor 2017); it may reach over the edge.

    Args:
        images: uint8 [B, C, H, W]; not changed.
        generator: where all randomness comes from; on the images' device.
        size: side of the square in pixels.
        fill: value of each channel inside.
    """
    height, width = images.shape[2:]
    inside = (
        _span(images, generator, height, size)[:, None, :, None] & _span(images, generator, width, size)[:, None, None]
    )
    values = torch.tensor(fill, device=images.device).round().to(images.dtype).view(1, -1, 1, 1)
    return torch.where(inside, values, images)


def _span(images: Tensor, generator: torch.Generator, length: int, size: int) -> Tensor:
    """For each image which of `length` positions lie in a stretch of `size` around a random one: bool [B, length]."""
    centre = torch.randint(length, (len(images), 1), generator=generator, device=images.device)
    first = centre - size // 2
    positions = torch.arange(length, device=images.device)
    return (positions >= first) & (positions < first + size)
