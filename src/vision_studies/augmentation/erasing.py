"""Erasing parts of images. See `step` for images and generators."""

import math

import torch
from torch import Tensor

from vision_studies.augmentation.draws import send

ATTEMPTS = 10
"""Boxes drawn for an image; it is left alone where none of them fits in."""


def cutout(images: Tensor, generator: torch.Generator, size: int, fill: tuple[float, ...]) -> Tensor:
    """Cover a square around a random pixel of each image (DeVries and Taylor 2017); it may reach over the edge.

    Images are uint8 [B, C, H, W], the side is `size` pixels, and `fill` the value of each channel inside.
    """
    rows, columns = (_span(images, generator, length, size) for length in images.shape[2:])
    return _covered(images, rows, columns, fill)


def _span(images: Tensor, generator: torch.Generator, length: int, size: int) -> Tensor:
    """For each image which of `length` positions lie in a stretch of `size` around a random one: bool [B, length]."""
    centre = send(torch.randint(length, (len(images), 1), generator=generator), images)
    first = centre - size // 2
    positions = torch.arange(length, device=images.device)
    return (positions >= first) & (positions < first + size)


def random_erasing(
    images: Tensor,
    generator: torch.Generator,
    probability: float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    fill: tuple[float, ...],
) -> Tensor:
    """Cover a box that lies wholly inside, in some images (Zhong et al. 2020, arXiv 1708.04896).

    Args:
        images: uint8 [B, C, H, W]; not changed.
        probability: chance of an image to be covered.
        scale: smallest and largest area of the box, as shares of the image's.
        ratio: smallest and largest height over width of the box; drawn evenly on a logarithmic scale.
        fill: value of each channel inside.
    """
    count, (height, width) = len(images), images.shape[2:]

    def draw(*shape: int) -> Tensor:
        return send(torch.rand(*shape, generator=generator), images)

    erased = draw(count) < probability
    areas = height * width * (scale[0] + (scale[1] - scale[0]) * draw(count, ATTEMPTS))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = (low + (high - low) * draw(count, ATTEMPTS)).exp()
    heights, widths = (areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(dim=1, keepdim=True)
    box_heights, box_widths = heights.gather(1, first), widths.gather(1, first)
    tops = (draw(count, 1) * (height - box_heights + 1)).floor()
    lefts = (draw(count, 1) * (width - box_widths + 1)).floor()
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    in_rows = (rows >= tops) & (rows < tops + box_heights) & (erased & fits.any(dim=1))[:, None]
    in_columns = (columns >= lefts) & (columns < lefts + box_widths)
    return _covered(images, in_rows, in_columns, fill)


def _covered(images: Tensor, rows: Tensor, columns: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Images that are filled where rows (bool [B, H]) and columns (bool [B, W]) cross."""
    filling = send(fill, images, torch.float32).round().to(images.dtype).view(1, -1, 1, 1)
    return torch.where(rows[:, None, :, None] & columns[:, None, None], filling, images)
