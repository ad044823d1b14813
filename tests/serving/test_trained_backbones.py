from pathlib import Path

import numpy as np
import pytest
import torch
from tests.rounding import in_float32
from torch import nn

from vision_studies.data.loaders import Normalisation
from vision_studies.errors import BackboneError, ParameterError
from vision_studies.models.resnet9 import ResNet9, ResNet9Settings
from vision_studies.serving import trained_backbones
from vision_studies.serving.trained_backbones import backbone_of, open_any_backbone
from vision_studies.training.classifier import ImageClassifier, ImageFormat
from vision_studies.training.frozen_features import frozen_features
from vision_studies.training.precision import FLOAT32

NAMES = ("cat", "dog", "cow")


def classifier(network, channels=3):
    normalisation = Normalisation((100.0,) * channels, (50.0,) * channels)
    return ImageClassifier(Path("study/run"), network.eval(), ImageFormat(NAMES, 16, channels, normalisation), FLOAT32)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_of_a_trained_network_are_what_its_last_layer_gets(channels):
    torch.manual_seed(0)
    settings = ResNet9Settings(name="resnet9", width=8)
    network = ResNet9(settings, in_channels=channels, num_classes=3, image_size=16)
    opened = backbone_of("run:cats", classifier(network, channels))
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, channels), dtype=np.uint8)
    with in_float32():
        features = frozen_features(images, opened, 16, mirror=False)
    assert features.shape == (3, opened.backbone.width)
    with torch.no_grad():
        normalised = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 100) / 50
        expected = network.features(normalised).numpy()
    ratio = (features * expected).sum() / (expected**2).sum()  # its logits are scaled, and so are these
    np.testing.assert_allclose(features, ratio * expected, atol=1e-4 * np.abs(features).max())
    assert not any(values.requires_grad for values in opened.network.parameters())


def test_a_network_of_another_kind_is_told_in_one_sentence():
    joined = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])
    with pytest.raises(BackboneError, match=r"run:cats has 2 layers that decide for classes"):
        backbone_of("run:cats", classifier(joined))


def test_equal_weights_have_one_hash_and_others_another():
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.Linear(4, 3)) for _ in range(2)]
    hashes = [backbone_of("run:cats", classifier(network)).weights for network in (*networks, networks[0])]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_run_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(trained_backbones, "MODELS", tmp_path)
    with pytest.raises(ParameterError, match="nowhere"):
        open_any_backbone("run:nowhere")
    assert open_any_backbone("efficientnet_lite0").backbone.name == "efficientnet_lite0"
