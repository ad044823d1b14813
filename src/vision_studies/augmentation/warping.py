"""Rotation and perspective, by sampling pixels between pixels; `interpolation` says how. Images and generators: see `step`."""

from typing import Literal

import torch
from kornia.geometry.transform import get_perspective_transform
from torch import Tensor
from torch.nn import functional as F

from vision_studies.augmentation.draws import positions, send

Interpolation = Literal["nearest", "bilinear"]


def random_rotation(images: Tensor, generator: torch.Generator, degrees: float, interpolation: Interpolation) -> Tensor:
    """Rotate images uint8 [B, C, H, W] about their centres, by angles drawn evenly from -degrees to degrees.

    What comes in from outside is 0.
    """
    angles = (2 * torch.rand(len(images), generator=generator) - 1) * degrees
    return rotate(images, send(angles, images), interpolation)


def rotate(images: Tensor, angles: Tensor, interpolation: Interpolation) -> Tensor:
    """Rotate each image of uint8 [B, C, H, W] counter-clockwise by its own angle, float [B] in degrees."""
    height, width = images.shape[2:]
    radians = angles.deg2rad()
    cos, sin = radians.cos(), radians.sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    x, y = width / 2, height / 2
    rows = (cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos, zero, zero, one)
    return warp(images, torch.stack(rows, dim=1).view(-1, 3, 3), interpolation)


def random_perspective(
    images: Tensor,
    generator: torch.Generator,
    distortion_scale: float,
    probability: float,
    interpolation: Interpolation,
) -> Tensor:
    """Move the corners of some images inwards, each corner by its own distance; what comes in from outside is 0.

    Args:
        images: uint8 [B, C, H, W]; not changed.
        distortion_scale: longest move as a share of half the image.
        probability: chance of an image to be distorted.
    """
    count, (height, width) = len(images), images.shape[2:]
    chosen = positions(torch.rand(count, generator=generator) < probability)
    longest = torch.tensor([distortion_scale * width // 2, distortion_scale * height // 2])
    moves = (torch.rand(count, 4, 2, generator=generator) * (longest + 1)).floor()
    inwards = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    distorted = images.clone()
    if len(chosen):
        corners = corners_of(images) + send((inwards * moves)[chosen], images)
        places = send(chosen, images)
        distorted[places] = perspective(images[places], corners, interpolation)
    return distorted


def perspective(images: Tensor, corners: Tensor, interpolation: Interpolation) -> Tensor:
    """Put the pixels at top left, top right, bottom right and bottom left of each image where `corners` says.

    Args:
        images: uint8 [B, C, H, W].
        corners: float [B, 4, 2], new x and y in pixels.
        interpolation: how values between pixels are read.
    """
    # kornia's map, for torchvision has one for a single image: image by image it takes a hundred times as long.
    before = corners_of(images).expand(len(images), 4, 2)
    return warp(images, get_perspective_transform(corners.float(), before), interpolation)


def corners_of(images: Tensor) -> Tensor:
    """x and y of the corner pixels, float [4, 2]: top left, top right, bottom right, bottom left."""
    right, bottom = images.shape[3] - 1, images.shape[2] - 1
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    return send(corners, images, torch.float32)


def warp(images: Tensor, sources: Tensor, interpolation: Interpolation) -> Tensor:
    """Fill every pixel with what lies where a projective map says; outside the image everything is 0.

    Images are uint8 [B, C, H, W]; `sources`, float [B, 3, 3], map (x, y, 1) of a pixel's centre to where it is read, up to
    scale. Centres lie at half pixels: the first is at (0.5, 0.5).
    """
    count, _, height, width = images.shape
    rows, columns = (torch.arange(length, device=images.device) + 0.5 for length in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    points = sources @ torch.stack([x, y, torch.ones_like(x)]).view(3, -1)  # [B, 3, H * W]
    x = points[:, 0] / points[:, 2] * (2 / width) - 1
    y = points[:, 1] / points[:, 2] * (2 / height) - 1
    grid = torch.stack([x, y], dim=2).view(count, height, width, 2)
    sampled = F.grid_sample(images.float(), grid, mode=interpolation, padding_mode="zeros", align_corners=False)
    return sampled.round().to(images.dtype)
