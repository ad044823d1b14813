import pytest
import torch
from torch.nn import functional as F

from vision_studies.errors import ParameterError
from vision_studies.models.architectures.speedrun import SpeedrunNetSettings
from vision_studies.models.speedrun import EPSILON, SpeedrunNet, whitening_weights
from vision_studies.models.statistics import count_macs, count_parameters


def build(in_channels=3, num_classes=10, widths=(64, 192, 256), image_size=32):
    torch.manual_seed(0)
    settings = SpeedrunNetSettings(name="speedrun_net", widths=widths, norm_momentum=0.6)
    return SpeedrunNet(settings, in_channels=in_channels, num_classes=num_classes, image_size=image_size)


def correlated_images(count=64, channels=3, size=12):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, channels, size + 2, size + 2, generator=generator)
    return F.avg_pool2d(noise, 3, stride=1) * 3


def responses(images, filters):
    """Every filter's response to every patch, [filters, patches]."""
    return F.conv2d(images.double(), filters.double()).transpose(0, 1).flatten(1)


def test_whitened_patches_are_uncorrelated_and_of_one_size():
    images = correlated_images()
    filters = whitening_weights(images, 3)
    assert filters.shape == (27, 3, 3, 3)
    whitened = responses(images, filters)
    moments = whitened @ whitened.T / whitened.shape[1]
    power = moments.diagonal()
    torch.testing.assert_close(moments - power.diag(), torch.zeros_like(moments), atol=1e-3, rtol=0)
    # Variance v becomes v / (v + EPSILON).
    norms = filters.flatten(1).double().square().sum(1)
    torch.testing.assert_close(power, 1 - EPSILON * norms, atol=1e-3, rtol=0)


def test_filters_come_with_the_largest_variance_first_and_positive_largest_entry():
    filters = whitening_weights(correlated_images(), 2).flatten(1)
    norms = filters.norm(dim=1)
    assert (norms.diff() > -1e-6).all(), "a large variance is divided by a large number"
    assert (filters.gather(1, filters.abs().argmax(1, keepdim=True)) > 0).all()


def test_constant_images_give_finite_filters():
    assert whitening_weights(torch.ones(2, 1, 8, 8), 4).isfinite().all()


def test_chunks_do_not_change_the_filters():
    images = correlated_images(300, 1, 6)
    both = torch.cat([images[150:], images[:150]])
    assert torch.allclose(whitening_weights(images, 2), whitening_weights(both, 2), atol=1e-4)


def test_initialisation_sets_both_signs_and_touches_nothing_else():
    model, untouched = build(), build()
    model.initialise_from_data(correlated_images())
    weight = model.whitening.weight
    assert torch.equal(weight[:12], -weight[12:])
    assert torch.equal(weight[:12], whitening_weights(correlated_images(), 2))
    others = [name for name in model.state_dict() if name != "whitening.weight"]
    assert all(torch.equal(model.state_dict()[name], untouched.state_dict()[name]) for name in others)


def test_frozen_parts_get_no_gradient_and_all_others_do():
    model = build(widths=(8, 16))
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    frozen = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    scales = {name for name, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert frozen == {"whitening.weight"} | {f"{name}.weight" for name in scales}
    assert len(scales) == 4


def test_first_filters_of_a_layer_pass_their_input_on():
    weight = build(1, widths=(40,)).layers[0].convolution.weight
    identity = torch.zeros(8, 8, 3, 3)
    identity[torch.arange(8), torch.arange(8), 1, 1] = 1
    assert torch.equal(weight[:8], identity)
    assert weight[8:].std() > 0


def test_size_of_the_network():
    model = build()
    learnt = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    weights = 9 * (24 * 64 + 64 * 64 + 64 * 192 + 192 * 192 + 192 * 256 + 256 * 256) + 256 * 10
    biases = 24 + 2 * (64 + 192 + 256)
    assert learnt == weights + biases
    assert count_parameters(model) == learnt + 24 * 12 + 2 * (64 + 192 + 256)
    convolutions = 31**2 * (24 * 12 + 9 * 24 * 64) + 15**2 * 9 * (64 * 64 + 64 * 192)
    convolutions += 7**2 * 9 * (192 * 192 + 192 * 256) + 3**2 * 9 * 256 * 256
    assert count_macs(model, (3, 32, 32)) == convolutions + 256 * 10


def test_images_of_other_sizes_go_through():
    model = build(widths=(8, 8, 8)).eval()
    assert all(model(torch.randn(2, 3, size, size)).shape == (2, 10) for size in (2, 3, 8, 18, 33))


def test_images_that_are_smaller_than_a_patch_are_refused():
    with pytest.raises(ParameterError, match=r"needs images of at least 2 pixels, but these have 1"):
        build(1, image_size=1)


def test_a_few_steps_lower_the_loss():
    images = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(32) % 4
    model = build(1, 4, widths=(8, 16), image_size=8)
    model.initialise_from_data(images)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
