import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_studies.models.efficientnet_lite import EfficientNetLite
from vision_studies.models.fused import fused
from vision_studies.torchvision_compat import torchvision_module

CPU = torch.device("cpu")


class Odd(nn.Module):
    """Sums that no convolution may compute: of another shape, of two uses, of a number; and every activation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Conv2d(8, 8, 1, bias=False)
        self.place = nn.Parameter(torch.rand(1, 8, 1, 1))
        self.norm = nn.BatchNorm2d(8)

    def forward(self, images):
        first = F.relu(self.first(images))
        second = self.second(first) + self.place
        third = self.second(first)
        third = F.silu(third) + third
        fourth = self.last(first) + 1
        return self.norm(F.relu6(self.last(second)) + F.hardswish(third) + torch.sigmoid(fourth))


class Branching(nn.Module):
    """Its course depends on the images, so that it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return self.convolution(images) if images.sum() > 0 else images


def settled(network):
    """With statistics and weights of batch normalisation that are not those of the beginning."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return network.eval().requires_grad_(False)


def torchvision_network(name):
    return torchvision_module("torchvision.models").get_model(name, weights=None)


@pytest.mark.parametrize(
    "build",
    [
        lambda: EfficientNetLite(0),
        lambda: torchvision_network("resnet18"),
        lambda: torchvision_network("mobilenet_v3_small"),
        lambda: torchvision_network("squeezenet1_1"),
        Odd,
        Branching,
    ],
    ids=["efficientnet_lite0", "resnet18", "mobilenet_v3_small", "squeezenet1_1", "odd", "branching"],
)
@torch.inference_mode()
def test_a_fused_network_gives_what_the_network_gives(build):
    torch.manual_seed(0)
    network = settled(build())
    before = {name: values.clone() for name, values in network.state_dict().items()}
    images = torch.rand(2, 3, 64, 64)
    fast = fused(network, CPU, torch.float32)
    for inputs in (images, images[:1, :, :48, :40]):
        expected = network(inputs)
        assert (fast(inputs) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


@torch.inference_mode()
def test_what_is_left_of_a_network_is_convolutions():
    """None of its batch normalisations, activations and sums is computed by itself."""
    kinds = {type(module).__name__ for module in fused(EfficientNetLite(0).eval(), CPU, torch.float32).modules()}
    assert not kinds & {"BatchNorm2d", "ReLU6", "Conv2d"}
