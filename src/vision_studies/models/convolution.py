"""Convolutions that every processor computes rightly."""

from torch import Tensor, nn
from torch.nn import functional as F

_AVX2_FLOATS = 8
"""float32 numbers in an AVX2 register."""


def convolve(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int = 0, groups: int = 1
) -> Tensor:
    """`torch.nn.functional.conv2d`, without a fault of the library under it.

    The gradient of a 1 x 1 filter with a stride and two to seven input channels, channels last, overruns its memory in the
    AVX2 kernel of oneDNN 3 (torch 2.13): at best the process dies, at worst it goes on with wrong numbers. Such a
    convolution is computed as one without a stride on the pixels that the stride leaves, which gives the same numbers.

    Args:
        images: [B, in_channels, H, W].
        weight: [out_channels, in_channels / groups, height, width].
        bias: [out_channels], or None.
        stride: step between pixels, in both directions.
        padding: zeros on every side, in pixels.
        groups: blocks of channels that do not mix.
    """
    if stride > 1 and weight.shape[2:] == (1, 1) and weight.shape[1] < _AVX2_FLOATS:
        if padding:
            images = F.pad(images, (padding,) * 4)
        return F.conv2d(images[:, :, ::stride, ::stride], weight, bias, groups=groups)
    return F.conv2d(images, weight, bias, stride, padding, groups=groups)


class Convolution(nn.Conv2d):
    """`torch.nn.Conv2d` with square strides and zero padding, computed by `convolve`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        assert isinstance(padding, tuple)  # noqa: S101 - nn.Conv2d makes it one of any number
        return convolve(input, weight, bias, self.stride[0], padding[0], self.groups)
