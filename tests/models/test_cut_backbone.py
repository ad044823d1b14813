"""Pretrained networks in blocks, and networks of these that are cut, against the networks as they are."""

import pytest
import torch

from vision_studies.models.backbones import open_backbone
from vision_studies.models.cut_backbone import CutBackbone
from vision_studies.models.cut_network import network_blocks
from vision_studies.models.library_backbones import without_classifier
from vision_studies.torchvision_compat import torchvision_module


def in_a_row(blocks, images):
    for block in blocks:
        before = images.clone()
        maps = block(images)
        assert torch.equal(images, before)  # features that are kept stay what they are
        images = maps
    return images


@pytest.mark.parametrize(("name", "expected"), [("resnet18", 9), ("mobilenet_v2", 19)])
@torch.inference_mode()
def test_blocks_of_a_network_do_what_the_network_does(name, expected):
    torch.manual_seed(0)
    network = torchvision_module("torchvision.models").get_model(name, weights=None).eval()
    without_classifier(network, name)
    images = torch.rand(2, 3, 32, 32)
    blocks = network_blocks(network)
    assert len(blocks) == expected
    torch.testing.assert_close(in_a_row(blocks, images), network(images), atol=1e-4, rtol=1e-4)


def test_a_network_that_cannot_be_traced_is_one_block():
    class Turning(torch.nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    assert len(network_blocks(Turning().eval())) == 1


@pytest.fixture(scope="module")
def lite():
    """An EfficientNet-Lite0 with its blocks, and what makes networks of them that are cut."""
    opened = open_backbone("efficientnet_lite0")
    blocks = network_blocks(opened.network)
    with torch.inference_mode():
        maps, channels = torch.zeros(1, 3, 32, 32), []
        for block in blocks:
            maps = block(maps)
            channels.append(maps.shape[1])

    def build(start=0, stop=None, channels_in=1):
        torch.manual_seed(start)
        return CutBackbone(
            *(opened.backbone, blocks, channels),
            pixels=32,
            in_channels=channels_in,
            num_classes=5,
            image_size=8,
            start=start,
            stop=stop,
        ).eval()

    return opened, blocks, build


def with_weights(network, blocks):
    for number in range(network.start, network.stop):
        network.get_submodule(f"block{number}").load_state_dict(blocks[number].state_dict())
    return network


@torch.inference_mode()
def test_features_are_those_of_the_backbone_for_images_of_its_size(lite):
    from vision_studies.training.frozen_features import prepared_images

    opened, blocks, build = lite
    pixels = torch.randint(0, 256, (3, 8, 8, 1), dtype=torch.uint8)
    expected = opened.network(prepared_images(pixels.numpy(), opened.backbone, 32))
    features = with_weights(build(), blocks).features(pixels.permute(0, 3, 1, 2) / 127.5 - 1)
    assert features.shape == (3, 1280, 1, 1)
    assert (features.flatten(1) - expected).abs().mean() < 0.05 * expected.abs().mean()  # pixels are not rounded here


@pytest.mark.parametrize("cut", [0, 1, 9, 18])
@torch.inference_mode()
def test_both_sides_of_a_cut_are_the_whole(lite, cut):
    _, blocks, build = lite
    images = torch.rand(2, 1, 8, 8) * 2 - 1
    whole, rest = with_weights(build(), blocks), with_weights(build(cut), blocks)
    rest.fc.load_state_dict(whole.fc.state_dict())
    torch.testing.assert_close(rest(whole.features(images, stop=cut)), whole(images))
    outputs = dict(whole.layer_outputs(images))
    assert list(outputs) == ["input", *(f"block{number}" for number in range(18)), "fc"]
    torch.testing.assert_close(outputs["fc"], whole(images))


@torch.inference_mode()
def test_a_truncated_network_sees_the_means_of_the_last_maps(lite):
    _, _, build = lite
    images = torch.rand(2, 1, 8, 8)
    short, shortest = build(0, 3), build(0, 0)
    torch.testing.assert_close(short(images), short.fc(short.features(images).mean((2, 3))))
    assert (short.fc.in_features, shortest.fc.in_features) == (24, 1)
    torch.testing.assert_close(shortest(images), shortest.fc(images.mean((2, 3))))


def test_a_stack_learns_as_its_networks_do(lite):
    _, _, build = lite
    networks = [build(16), build(16)]
    torch.nn.init.normal_(networks[1].fc.weight)
    features = torch.rand(2, 3, 192, 2, 2)
    parameters, buffers = torch.func.stack_module_state(networks)
    said = networks[0].stacked_forward(parameters, buffers, features)
    said.square().sum().backward()
    for member, network in enumerate(networks):
        own = network(features[member])
        torch.testing.assert_close(said[member], own)
        own.square().sum().backward()
        for name, weight in network.named_parameters():
            torch.testing.assert_close(parameters[name].grad[member], weight.grad, rtol=1e-4, atol=1e-5)
    shared = networks[0].stacked_forward(parameters, buffers, features[:1])
    torch.testing.assert_close(shared[1], networks[1](features[0]))
