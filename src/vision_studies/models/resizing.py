"""Another size of images as part of a network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Resizing(nn.Module):
    """Square images at another size, as `training.frozen_features.resized_images` brings those of 8 bits to it.

    Two products with matrices, which any format of networks can hold, each within what 8 bits hold. They are not rounded to
    whole numbers: two programs would round what lies between them apart.

    Args:
        size: height and width of the images that come in.
        pixels: of those that go out.

    Examples:
        >>> import torch
        >>> from vision_studies.models.resizing import Resizing
        >>> from vision_studies.training.frozen_features import resized_images
        >>> images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        >>> apart = Resizing(32, 48)(images.float()) - resized_images(images, 48).float()
        >>> bool(apart.abs().mean() < 0.5)
        True
    """

    def __init__(self, size: int, pixels: int) -> None:
        super().__init__()
        self.register_buffer("weights", resizing_weights(size, pixels), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[N, C, pixels, pixels] of images [N, C, size, size], from 0 to 255."""
        return resized_by(self.get_buffer("weights"), images)


def resizing_weights(size: int, pixels: int) -> Tensor:
    """Share of each of `size` pixels in a row in each of `pixels` pixels, float32 [pixels, size]; see `Resizing`."""
    identity = torch.eye(size)[None, None]
    weights = F.interpolate(identity, (pixels, size), mode="bicubic", antialias=True, align_corners=False)
    return weights[0, 0]


def resized_by(weights: Tensor, images: Tensor) -> Tensor:
    """[N, C, pixels, pixels] of images [N, C, size, size], from 0 to 255, by `resizing_weights`."""
    across = (images @ weights.mT).clamp(0, 255)
    return (weights @ across).clamp(0, 255)
