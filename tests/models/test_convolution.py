import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_studies.models.convolution import Convolution, convolve

SHAPES = [  # in_channels, out_channels, kernel_size, stride, padding, groups
    (3, 5, 1, 2, 0, 1),
    (4, 8, 1, 3, 1, 1),
    (6, 6, 1, 2, 0, 2),
    (12, 8, 1, 2, 0, 1),
    (3, 4, 3, 2, 1, 1),
    (3, 4, 1, 1, 0, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_numbers_and_gradients_are_those_of_a_plain_convolution_in_double_precision(shape, order):
    in_channels, out_channels, kernel_size, stride, padding, groups = shape
    torch.manual_seed(0)
    layer = Convolution(in_channels, out_channels, kernel_size, stride, padding, groups=groups).to(memory_format=order)
    images = torch.randn(4, in_channels, 7, 9).contiguous(memory_format=order).requires_grad_()
    exact = [value.detach().double().contiguous().requires_grad_() for value in (images, layer.weight, layer.bias)]
    expected = F.conv2d(*exact, stride, padding, groups=groups)
    outputs = layer(images)
    torch.testing.assert_close(outputs.double(), expected, rtol=1e-5, atol=1e-5)
    signs = torch.randn(outputs.shape)
    (outputs * signs).sum().backward()
    (expected * signs).sum().backward()
    for found, value in zip((images, layer.weight, layer.bias), exact, strict=True):
        torch.testing.assert_close(found.grad.double(), value.grad, rtol=1e-5, atol=1e-4)


def test_weights_have_the_names_of_a_plain_convolution():
    ours, torchs = Convolution(3, 4, 1, 2, bias=False), nn.Conv2d(3, 4, 1, 2, bias=False)
    torchs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(ours(images), torchs(images))
    torch.testing.assert_close(convolve(images, ours.weight, None, 2), ours(images))


@pytest.mark.slow
def test_narrow_strided_pixelwise_convolutions_do_not_damage_the_memory():
    """In a process of its own: the fault that `convolve` avoids ends it, where the processor has AVX2 and no more."""
    script = (
        "import torch\n"
        "from vision_studies.models.convolution import Convolution\n"
        "for channels in range(1, 9):\n"
        "    for size in (8, 32):\n"
        "        layer = Convolution(channels, 2 * channels, 1, 2).to(memory_format=torch.channels_last)\n"
        "        images = torch.randn(16, channels, size, size).contiguous(memory_format=torch.channels_last)\n"
        "        others = [torch.randn(13) for _ in range(50)]\n"
        "        layer(images).sum().backward()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
