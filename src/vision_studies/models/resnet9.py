"""The nine-layer residual network of fast CIFAR training (Page 2018, in the form of KakaoBrain and the FFCV authors)."""

from torch import Tensor, nn

from vision_studies.errors import ParameterError
from vision_studies.models.architectures.resnet9 import ResNet9Settings

SMALLEST_IMAGE = 11
"""Pixels; below this the last convolution, which has no padding, has nothing left to look at."""


class ResNet9(nn.Module):
    """Eight convolutions, two of the pairs with a shortcut, and a linear classifier; 2,274,880 parameters for RGB, 10 classes.

    Args:
        settings: its width.
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.

    Raises:
        ParameterError: the images are too small for its four reductions of resolution.
    """

    def __init__(self, settings: ResNet9Settings, *, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        width = settings.width
        if image_size < SMALLEST_IMAGE:
            raise ParameterError(
                f"model.name=resnet9 needs images of at least {SMALLEST_IMAGE} pixels but these have {image_size}; "
                "set data_prep.image_size higher or choose resnet_small."
            )
        self.features = nn.Sequential(
            _block(in_channels, width),
            _block(width, 2 * width, kernel_size=5, stride=2, padding=2),
            _Residual(2 * width),
            _block(2 * width, 4 * width),
            nn.MaxPool2d(2),
            _Residual(4 * width),
            _block(4 * width, 2 * width, padding=0),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(2 * width, num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_channels, H, W]."""
        return self.classifier(self.features(images)) * ResNet9Settings.logit_scale


class _Residual(nn.Module):
    """Two convolution blocks beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_block(channels, channels), _block(channels, channels))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.branch(images)


def _block(
    in_channels: int, channels: int, *, kernel_size: int = 3, stride: int = 1, padding: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
