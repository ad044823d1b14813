"""Classifiers of torchvision, on images of any size."""

from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.errors import ParameterError, guess
from vision_studies.models.architectures.torchvision import TorchvisionSettings
from vision_studies.torchvision_compat import torchvision_module


class TorchvisionNetwork(nn.Module):
    """A network that torchvision has, with random weights and as many logits as there are classes.

    Grey images are shown to it as three equal channels. The stem for small images is that of He et al. 2016.

    Args:
        settings: its name in torchvision, its stem, and the size that images are brought to.
        in_channels: channels of the images: 1 or 3.
        num_classes: number of logits.
        image_size: any.

    Raises:
        ParameterError: torchvision has no such network, or it has no stem that could be changed.
    """

    def __init__(self, settings: TorchvisionSettings, *, in_channels: int, num_classes: int, image_size: int) -> None:  # noqa: ARG002
        super().__init__()
        models = torchvision_module("torchvision.models")
        network, networks = settings.network, models.list_models(module=models)
        if network not in networks:
            raise ParameterError(
                f"model.network={network!r} is no classifier of torchvision.{guess(network, networks)} There are: "
                f"{', '.join(networks)}."
            )
        self.network = models.get_model(network, weights=None, num_classes=num_classes)
        self._resize = settings.resize
        if settings.stem == "cifar":
            if not isinstance(self.network, models.ResNet):
                raise ParameterError(
                    f"model.stem=cifar is for residual networks, and {network} is none; set stem: imagenet."
                )
            self.network.conv1 = nn.Conv2d(3, self.network.conv1.out_channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")
            self.network.maxpool = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, 1 or 3, H, W]."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if self._resize is not None:
            size = [self._resize, self._resize]
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return self.network(images)
