"""A backbone of few channels, so that networks are trained within a test."""

import pytest
import torch
from torch import nn

from vision_studies.models import backbones
from vision_studies.models.pretrained import Backbone, OpenedBackbone


class Small(nn.Module):
    """Features [N, 12] of three convolutions, the second beside a shortcut."""

    def __init__(self):
        super().__init__()
        widths = [(3, 8, 2), (8, 8, 1), (8, 12, 2)]
        self.units = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
            )
            for inner, outer, stride in widths
        )

    def forward(self, images):
        first = self.units[0](images)
        return self.units[2](self.units[1](first) + first).mean(dim=(2, 3))


def _opened(backbone):
    torch.manual_seed(0)
    network = Small().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    return OpenedBackbone(backbone, network, "none")


@pytest.fixture(scope="module")
def small_backbone():
    """The name of a backbone of three layers."""
    facts = {"licence": "", "source": "", "sha256": None, "pixels": 16, "mean": (128.0,) * 3, "std": (64.0,) * 3}
    backbone = Backbone(name="small", title="Small", width=12, **facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "small", backbone)
        patch.setattr(backbones, "_open_packaged", _opened)
        patch.setattr(backbones, "available_backbones", lambda: ["small"])
        yield "small"
