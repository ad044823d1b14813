import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_studies.models.backbones import BACKBONES, open_backbone
from vision_studies.models.efficientnet_lite import SCALES, EfficientNetLite, weights_from_original

PARAMETERS = {0: 4_652_008, 1: 5_416_680, 2: 6_092_072}
"""Published, of the networks with their classifier of 1,000 classes."""

BLOCKS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}

FEATURES = {
    "efficientnet_lite0": [0.9764, 0.9605, 1.0832, 0.7345, 0.7435],
    "efficientnet_lite1": [1.2346, 1.034, 1.139, 1.0914, 1.1989],
    "efficientnet_lite2": [0.6949, 0.7393, 0.7468, 0.9026, 0.9475],
}
"""Means of five equal parts of the features of `picture`, in float32, by the package efficientnet-lite-pytorch 0.1.0."""


def same(images, weight, stride, groups=1):
    """A convolution with TensorFlow's padding "same", written out."""
    sides = []
    for side in images.shape[2:]:
        padding = max(0, (-(-side // stride) - 1) * stride + weight.shape[2] - side)
        sides.append((padding // 2, padding - padding // 2))
    images = F.pad(images, (*sides[1], *sides[0]))
    return F.conv2d(images, weight, stride=stride, groups=groups)


def written_out(state, number, images):
    """Features by the names and the order of the original's file."""

    def normalised(name, values):
        mean, var, scale, shift = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(values, mean, var, scale, shift, eps=1e-3)

    values = normalised("_bn0", same(images, state["_conv_stem.weight"], 2)).clamp(0, 6)
    strides = (1, 2, 2, 2, 1, 2, 1)
    blocks = [
        stride if repeat == 0 else 1 for stride, n in zip(strides, BLOCKS[number], strict=True) for repeat in range(n)
    ]
    for index, stride in enumerate(blocks):
        before, name = values, f"_blocks.{index}"
        if f"{name}._expand_conv.weight" in state:
            values = normalised(f"{name}._bn0", same(values, state[f"{name}._expand_conv.weight"], 1)).clamp(0, 6)
        depthwise = same(values, state[f"{name}._depthwise_conv.weight"], stride, groups=values.shape[1])
        values = normalised(f"{name}._bn1", depthwise).clamp(0, 6)
        values = normalised(f"{name}._bn2", same(values, state[f"{name}._project_conv.weight"], 1))
        if values.shape == before.shape:
            values = values + before
    return normalised("_bn1", same(values, state["_conv_head.weight"], 1)).clamp(0, 6).mean(dim=(2, 3))


def original_state(number, generator):
    """Random weights under the names of the original's file."""
    state = {}
    for name, value in EfficientNetLite(number).state_dict().items():
        values = torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        state[original_name(name)] = (values - 0.5) * 0.5 if value.ndim == 4 else values + 0.5
    return state | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def original_name(name):
    part, *path, kind, rest = name.split(".")
    if part in ("stem", "head"):
        names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}[part]
        return f"{names[kind == 'norm']}.{rest}"
    block, _, unit = path
    place = int(unit) + (block == "0")
    kinds = {"norm": f"_bn{place}", "convolution": f"_{('expand', 'depthwise', 'project')[place]}_conv"}
    return f"_blocks.{block}.{kinds[kind]}.{rest}"


def picture():
    """Smooth waves of three colours, float32 [1, 3, 64, 64]."""
    rows, columns = np.mgrid[:64, :64]
    waves = [128 + 100 * np.sin(rows / (3 + colour)) * np.cos(columns / (5 - colour)) for colour in range(3)]
    return torch.from_numpy(((np.stack(waves).round() - 127) / 128).astype(np.float32))[None]


@pytest.mark.parametrize("number", SCALES)
def test_it_has_the_published_number_of_parameters(number):
    with torch.device("meta"):
        network = EfficientNetLite(number)
    assert sum(values.numel() for values in network.parameters()) + 1281 * 1000 == PARAMETERS[number]


@pytest.mark.parametrize(("number", "side"), [(0, 32), (0, 45), (1, 38), (2, 33)])
def test_features_are_those_of_the_network_written_out(number, side):
    generator = torch.Generator().manual_seed(number)
    state = original_state(number, generator)
    network = EfficientNetLite(number)
    network.load_state_dict(weights_from_original(state))
    images = torch.rand(2, 3, side, side + 3, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), written_out(state, number, images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", BACKBONES)
def test_published_weights_give_the_features_of_the_original(name):
    with torch.no_grad():
        features = open_backbone(name).network(picture())
    np.testing.assert_allclose(features.view(5, 256).mean(dim=1), FEATURES[name], atol=2e-4)


def test_a_backbone_is_frozen():
    network = open_backbone("efficientnet_lite0").network
    assert not network.training
    assert not any(values.requires_grad for values in network.parameters())
    assert isinstance(network, nn.Module)
