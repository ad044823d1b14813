import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from tests.rounding import bfloat16_bound, layers_of
from torch import nn
from torch.nn import functional as F

from vision_studies.config.models import PRESETS, ModelSettings
from vision_studies.errors import ParameterError
from vision_studies.models.resnet import BasicBlock, SqueezeExcitation, survival_scale
from vision_studies.models.statistics import count_macs, count_parameters


def settings(name, **options):
    return TypeAdapter(ModelSettings).validate_python({"name": name, **options})


def build(name, in_channels=3, num_classes=10, image_size=32, **options):
    torch.manual_seed(0)
    return settings(name, **options).build(in_channels=in_channels, num_classes=num_classes, image_size=image_size)


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("resnet_small", {}, 2_819_370),
        ("resnet_small", {"squeeze_reduction": None}, 2_797_610),
        ("hybrid_resnet", {}, 2_884_650),
        ("hybrid_resnet_published", {}, 5_214_794),
        ("resnet18", {}, 11_173_962),
        ("resnet34", {}, 21_282_122),
        ("resnet9", {}, 2_274_880),
        ("speedrun_net", {}, 1_530_168),
        ("vit_compact", {}, 1_806_154),
    ],
)
def test_parameters_are_as_many_as_stated(name, options, parameters):
    assert count_parameters(build(name, **options)) == parameters


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "resnet9"])
def test_digits_go_through_every_network(name):
    options = {"patch_size": 2} if name == "vit_compact" else {}
    model = build(name, in_channels=1, image_size=8, **options)
    logits = model(torch.randn(2, 1, 8, 8))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_resnet9_says_what_is_too_small_and_takes_what_is_not():
    with pytest.raises(ParameterError, match="at least 11 pixels"):
        build("resnet9", image_size=10)
    assert build("resnet9", image_size=11)(torch.randn(2, 3, 11, 11)).shape == (2, 10)


def test_patches_must_fill_the_image():
    with pytest.raises(ParameterError, match=r"patch_size=4 does not divide.*\[1, 2, 3, 6, 9, 18\]"):
        build("vit_compact", image_size=18)


def test_a_configuration_is_completed_by_its_preset_and_stays_as_it_is():
    completed = settings("resnet_small", dropout=0.1).model_dump(mode="json")
    assert completed["dropout"] == 0.1
    assert completed["widths"] == [32, 64, 128, 256]
    assert TypeAdapter(ModelSettings).validate_python(completed).model_dump(mode="json") == completed
    assert settings("resnet_small", squeeze_reduction=None) != settings("resnet_small")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet_small", {"width": 3}),
        ("resnet_small", {"widths": [32, 64]}),
        ("resnet_small", {"squeeze_reduction": 64}),
        ("resnet_small", {"stochastic_depth": 1.0}),
        ("vit_compact", {"heads": 5}),
        ("resnet_smal", {}),
    ],
)
def test_options_that_cannot_be_are_refused(name, options):
    with pytest.raises(ValidationError):
        settings(name, **options)


def test_squeeze_excitation_is_its_formula():
    module = SqueezeExcitation(32, 16)
    images = torch.randn(4, 32, 5, 6)
    weights = torch.sigmoid(F.relu(images.mean((2, 3)) @ module.squeeze.weight.T) @ module.excite.weight.T)
    torch.testing.assert_close(module(images), images * weights[:, :, None, None])


@pytest.mark.parametrize("training", [True, False])
def test_a_block_is_its_formula(training):
    torch.manual_seed(0)
    block = BasicBlock(8, 16, 2, 4, 0.0).train(training)
    images = torch.randn(4, 8, 6, 6)
    residual = block.norm2(block.convolution2(F.relu(block.norm1(block.convolution1(images)))))
    expected = F.relu(block.squeeze_excitation(residual) + block.shortcut(images))
    torch.testing.assert_close(block(images), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reduction", [4, None])
def test_stochastic_depth_of_zero_is_none_exactly(training, reduction):
    images = torch.randn(4, 3, 16, 16)
    outputs = []
    for maximum in (0.0, 0.5):
        model = build("resnet_small", stochastic_depth=maximum, squeeze_reduction=reduction, dropout=0.0).train(
            training
        )
        for block in model.modules():
            if isinstance(block, BasicBlock):
                block.drop_probability = 0.0
        state = torch.get_rng_state()
        outputs.append(model(images))
        assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn
    assert torch.equal(*outputs)


def test_stochastic_depth_changes_nothing_in_evaluation():
    images = torch.randn(4, 3, 16, 16)
    with_drop, without = (build("resnet_small", stochastic_depth=maximum).eval() for maximum in (0.5, 0.0))
    assert torch.equal(with_drop(images), without(images))


@pytest.mark.parametrize("reduction", [4, None])
def test_dropped_images_take_the_shortcut_and_the_rest_is_scaled_once(reduction):
    torch.manual_seed(0)
    block = BasicBlock(8, 16, 2, reduction, 0.25)
    block.norm1.eval(), block.norm2.eval(), block.shortcut.eval()
    images = torch.randn(400, 8, 4, 4)
    shortcut = block.shortcut(images)
    residual = block.norm2(block.convolution2(F.relu(block.norm1(block.convolution1(images)))))
    if block.squeeze_excitation is not None:
        residual = block.squeeze_excitation(residual)
    output = block(images)
    dropped = torch.isclose(output, F.relu(shortcut), atol=1e-6).flatten(1).all(1)
    kept = torch.isclose(output, F.relu(shortcut + residual / 0.75), atol=1e-5).flatten(1).all(1)
    assert bool((dropped ^ kept).all())
    assert 0.17 < dropped.float().mean() < 0.33


def test_survival_keeps_the_mean():
    scale = survival_scale(torch.empty(100_000, 1, 1, 1), 0.2)
    assert set(scale.unique().tolist()) == {0.0, 1.25}
    assert scale.mean().item() == pytest.approx(1, abs=0.01)


def test_the_chance_of_a_drop_rises_in_a_straight_line():
    model = build("hybrid_resnet_published")
    chances = [block.drop_probability for block in model.modules() if isinstance(block, BasicBlock)]
    assert chances == pytest.approx([0, 0.0286, 0.0571, 0.0857, 0.1143, 0.1429, 0.1714, 0.2], abs=1e-4)


def test_zero_init_makes_every_block_its_shortcut():
    model = build("hybrid_resnet").eval()
    block = model.stages[0][1]
    images = torch.rand(2, 32, 6, 6)
    assert torch.equal(block(images), images)
    assert not any(
        bool((block.norm2.weight == 0).any())
        for block in build("resnet_small").modules()
        if isinstance(block, BasicBlock)
    )


def test_dropout_is_the_one_that_is_set():
    (dropout,) = (module for module in build("resnet_small", dropout=0.45).modules() if isinstance(module, nn.Dropout))
    assert dropout.p == 0.45


@pytest.mark.parametrize("name", ["resnet_small", "hybrid_resnet", "resnet9", "vit_compact"])
def test_bfloat16_channels_last_is_close_to_float32(name):
    model = build(name).eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        plain = model(images)
        model.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            fast = model(images.to(memory_format=torch.channels_last))
    bound = bfloat16_bound(layers_of(model)) * plain.abs().max().item()
    torch.testing.assert_close(fast.float(), plain, atol=bound, rtol=0)


def test_stochastic_depth_trains_under_bfloat16():
    model = build("hybrid_resnet").to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)).float().square().mean()
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_resnet9_scales_its_logits():
    model = build("resnet9").eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), 0.2 * model.classifier(model.features(images)))


def test_operations_are_counted_as_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 25, 7))
    assert count_macs(model, (3, 5, 5)) == 25 * 8 * 27 + 200 * 7
    assert model.training


def test_operations_of_attention_are_counted():
    width, tokens, depth = 192, 64, 6
    block = tokens * width * (4 * width + 2 * 2 * width) + 2 * tokens * tokens * width
    expected = tokens * width * 48 + depth * block + width * 10
    assert count_macs(build("vit_compact"), (3, 32, 32)) == expected
