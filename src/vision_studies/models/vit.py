"""A compact vision transformer (Dosovitskiy et al. 2021) for small images.

Pre-norm blocks, learned positions and mean pooling in place of a class token (Beyer et al. 2022).
"""

import torch
from torch import Tensor, nn

from vision_studies.errors import ParameterError
from vision_studies.models.architectures.vit import VitSettings


class VisionTransformer(nn.Module):
    """Transformer over the patches of an image.

    Args:
        settings: its options.
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.

    Raises:
        ParameterError: patches do not fill the image evenly.
    """

    def __init__(self, settings: VitSettings, *, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        patch_size, width = settings.patch_size, settings.width
        if image_size % patch_size:
            raise ParameterError(
                f"model.patch_size={patch_size} does not divide the image size of {image_size} pixels; choose one of "
                f"{[size for size in range(1, image_size + 1) if image_size % size == 0]}."
            )
        self.patches = nn.Conv2d(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.positions = nn.Parameter(torch.empty(1, (image_size // patch_size) ** 2, width))
        blocks = [
            nn.TransformerEncoderLayer(
                width,
                settings.heads,
                dim_feedforward=round(width * settings.mlp_ratio),
                dropout=settings.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(settings.depth)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, num_classes)
        nn.init.trunc_normal_(self.positions, std=0.02)
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_channels, image_size, image_size]."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        return self.classifier(self.norm(self.blocks(tokens)).mean(dim=1))
