"""Features of a frozen backbone as part of a network that takes images as they come."""

import torch
from torch import Tensor, nn

from vision_studies.data.loaders import Normalisation
from vision_studies.models.resizing import Resizing


class BackboneFeatures(nn.Module):
    """Features of a network, as `training.frozen_features` and `training.fine_tuning` compute them in float32.

    Args:
        network: normalised images [N, channels, pixels, pixels] -> features [N, D].
        normalisation: mean and std of each channel, on the scale 0 to 255.
        pixels: height and width of the images that it takes.
        mirror: mean of the features of each image and of its mirror image.
        image_size: height and width of the images that come in.
    """

    def __init__(
        self, network: nn.Module, normalisation: Normalisation, pixels: int, *, mirror: bool, image_size: int
    ) -> None:
        super().__init__()
        self.backbone, self._mirror, self._channels = network, mirror, len(normalisation.mean)
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, -1, 1, 1))
        self.resize = Resizing(image_size, pixels) if image_size != pixels else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """[N, D] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        pixels = self.resize(images * 255).expand(-1, self._channels, -1, -1)
        normalised = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        features: Tensor = self.backbone(normalised)
        return (features + self.backbone(normalised.flip(3))) / 2 if self._mirror else features
