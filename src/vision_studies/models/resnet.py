"""A residual network of basic blocks for small images.

Sources: He et al. 2016 (residual blocks), Hu et al. 2018 (squeeze-excitation), Huang et al. 2016 (stochastic depth),
Goyal et al. 2017 (zero initialisation of each block's last norm).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.models.architectures.resnet import ResNetSettings
from vision_studies.models.convolution import Convolution


class SqueezeExcitation(nn.Module):
    """Scale each channel by a number in (0, 1) that all channels together decide.

    Args:
        channels: channels of the input.
        reduction: the hidden layer has `channels // reduction` units.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def scale(self, images: Tensor) -> Tensor:
        """Factor of each channel of each image, [B, C, 1, 1], for images [B, C, H, W]."""
        pooled = F.adaptive_avg_pool2d(images, 1).flatten(1)
        return torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))[:, :, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images, [B, C, H, W]."""
        return images * self.scale(images)


def survival_scale(images: Tensor, drop_probability: float) -> Tensor:
    """Random factor of each image's residual, [B, 1, 1, 1]: 0 where it is dropped, 1 / keep where it stays.

    The mean factor is 1, so that evaluation, which drops nothing, needs no correction.
    """
    keep = 1 - drop_probability
    return images.new_empty((len(images), 1, 1, 1)).bernoulli_(keep).div_(keep)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, with squeeze-excitation and stochastic depth where asked for.

    Stochastic depth drops the residual branch of single images in training; the shortcut is always taken, so that a
    block which changes width or resolution can be dropped, too.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        stride: stride of the first convolution.
        squeeze_reduction: see `SqueezeExcitation`; None for none.
        drop_probability: chance that an image skips the residual branch in training.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, squeeze_reduction: int | None, drop_probability: float
    ) -> None:
        super().__init__()
        self.convolution1 = _convolution3x3(in_channels, channels, stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.convolution2 = _convolution3x3(channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.squeeze_excitation = None if squeeze_reduction is None else SqueezeExcitation(channels, squeeze_reduction)
        self.drop_probability = drop_probability
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                Convolution(in_channels, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, images: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, channels, ceil(H / stride), ceil(W / stride)]."""
        residual = F.relu(self.norm1(self.convolution1(images)), inplace=True)
        residual = self.norm2(self.convolution2(residual))
        scale = None if self.squeeze_excitation is None else self.squeeze_excitation.scale(residual)
        if self.training and self.drop_probability > 0:
            survival = survival_scale(residual, self.drop_probability)
            scale = survival if scale is None else scale * survival
        shortcut = self.shortcut(images)
        # One pass over the images for both factors and the sum.
        combined = shortcut + residual if scale is None else torch.addcmul(shortcut, residual, scale)
        return F.relu(combined, inplace=True)


class ResNet(nn.Module):
    """Residual network: a 3 x 3 stem without pooling, stages of basic blocks, average pooling, a linear classifier.

    Args:
        settings: its options.
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: any; the network takes images of all sizes.
    """

    def __init__(self, settings: ResNetSettings, *, in_channels: int, num_classes: int, image_size: int) -> None:  # noqa: ARG002
        super().__init__()
        channels = settings.stem_width
        self.stem = _convolution3x3(in_channels, channels, 1)
        self.stem_norm = nn.BatchNorm2d(channels)
        drop_probabilities = iter(_linear_rise(settings.stochastic_depth, sum(settings.blocks)))
        stages = []
        for width, count, first_stride in zip(settings.widths, settings.blocks, settings.strides, strict=True):
            stage = []
            for stride in (first_stride, *[1] * (count - 1)):
                drop_probability = next(drop_probabilities)
                stage.append(BasicBlock(channels, width, stride, settings.squeeze_reduction, drop_probability))
                channels = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock) and settings.zero_init_residual:
                nn.init.zeros_(module.norm2.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_channels, H, W]."""
        features = F.relu(self.stem_norm(self.stem(images)), inplace=True)
        features = self.stages(features)
        pooled = F.adaptive_avg_pool2d(features, 1).flatten(1)
        return self.classifier(self.dropout(pooled))


def _convolution3x3(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)


def _linear_rise(last: float, count: int) -> list[float]:
    """`count` numbers that rise evenly from 0 to `last`; a single block gets `last`."""
    return [last * position / (count - 1) for position in range(count)] if count > 1 else [last]
