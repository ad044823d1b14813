"""From settings to a network."""

from typing import Any, Protocol

from torch import nn

from vision_studies.models.convnet import ConvNet
from vision_studies.models.resnet import ResNet
from vision_studies.models.resnet9 import ResNet9
from vision_studies.models.speedrun import SpeedrunNet
from vision_studies.models.torchvision_network import TorchvisionNetwork
from vision_studies.models.vit import VisionTransformer


class NetworkSettings(Protocol):
    """What a network is built from; `config.models.ModelSettings` fulfils it."""

    @property
    def architecture(self) -> str:
        """Which of the networks below."""

    def options(self) -> dict[str, Any]:
        """The network's own keyword arguments."""


def build_model(settings: NetworkSettings, *, in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """A network with fresh random weights, drawn from the global generator.

    Args:
        settings: which network, and its options.
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.

    Raises:
        ParameterError: the network cannot take images of this size.

    Examples:
        >>> import torch
        >>> from vision_studies.config.models import ResNetSettings
        >>> from vision_studies.models.build import build_model
        >>> settings = ResNetSettings(name="resnet18", stem_width=8, widths=(8, 16), blocks=(1, 1), strides=(1, 2))
        >>> model = build_model(settings, in_channels=3, num_classes=10, image_size=16)
        >>> tuple(model(torch.zeros(2, 3, 16, 16)).shape)
        (2, 10)
    """
    options = settings.options()
    match settings.architecture:
        case "resnet":
            return ResNet(in_channels=in_channels, num_classes=num_classes, **options)
        case "resnet9":
            return ResNet9(in_channels=in_channels, num_classes=num_classes, image_size=image_size, **options)
        case "convnet":
            return ConvNet(in_channels=in_channels, num_classes=num_classes, image_size=image_size, **options)
        case "speedrun":
            return SpeedrunNet(in_channels=in_channels, num_classes=num_classes, image_size=image_size, **options)
        case "torchvision":
            return TorchvisionNetwork(num_classes=num_classes, **options)
        case "vit":
            return VisionTransformer(in_channels=in_channels, num_classes=num_classes, image_size=image_size, **options)
    raise ValueError(f"no network is built from settings of the kind '{settings.architecture}'")
