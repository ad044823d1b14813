"""Weights under the names of the published network."""

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from vision_studies.config.models import ModelSettings
from vision_studies.pipelines.cifar_resnet.published_study import published_weights


class PublishedBlock(nn.Module):
    """As the project describes its block, with its names."""

    def __init__(self, before, width, stride, reduction):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or before != width:
            self.downsample = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.se = nn.Module()
        hidden = width // reduction
        self.se.fc = nn.Sequential(
            nn.Linear(width, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, width, bias=False), nn.Sigmoid()
        )

    def forward(self, images):
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images)))))
        residual = residual * self.se.fc(residual.mean(dim=(2, 3)))[:, :, None, None]
        return F.relu(residual + (images if self.downsample is None else self.downsample(images)))


class PublishedNetwork(nn.Module):
    """The project's small residual network: four stages of two blocks."""

    def __init__(self, stem, widths, strides, reduction):
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        before = stem
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
            first = PublishedBlock(before, width, stride, reduction)
            self.add_module(f"layer{number}", nn.Sequential(first, PublishedBlock(width, width, 1, reduction)))
            before = width
        self.fc = nn.Linear(before, 10)

    def forward(self, images):
        images = F.relu(self.bn1(self.conv1(images)))
        for number in range(1, 5):
            images = getattr(self, f"layer{number}")(images)
        return self.fc(images.mean(dim=(2, 3)))


@pytest.mark.parametrize(("name", "parameters"), [("resnet_small", 2_819_370), ("hybrid_resnet_published", 5_214_794)])
def test_the_published_network_takes_the_weights_and_gives_the_same_logits(name, parameters):
    settings = TypeAdapter(ModelSettings).validate_python({"name": name})
    torch.manual_seed(0)
    ours = settings.build(in_channels=3, num_classes=10, image_size=32)
    for module in ours.modules():  # norms that are not the identity
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    theirs = PublishedNetwork(settings.stem_width, settings.widths, settings.strides, settings.squeeze_reduction)
    theirs.load_state_dict(published_weights(ours.state_dict()))
    assert sum(parameter.numel() for parameter in theirs.parameters()) == parameters
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.eval()(images), ours.eval()(images), atol=1e-4, rtol=1e-4)


def test_weights_of_another_network_keep_their_names():
    weights = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    assert published_weights(weights) is weights
