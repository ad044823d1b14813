import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_studies.models.mlp import MLP, NOISE_LEVELS
from vision_studies.models.statistics import count_parameters
from vision_studies.training.stack import Stack

PUBLISHED = (
    *((252, 32, 16), (248, 32, 92), (244, 48, 56), (216, 120, 84)),
    *((188, 192, 112), (160, 264, 140), (160, 204, 224), (120, 204, 408)),
)


def mlp(widths=(12, 8), dropout=0.3, slope=0.05):
    return MLP(16, widths, 3, dropout=dropout, slope=slope)


@pytest.mark.parametrize("widths", PUBLISHED)
def test_the_published_shapes_have_equally_many_parameters(widths):
    assert count_parameters(MLP(784, widths, 10, dropout=0.1, slope=0.01)) == 206_614


def test_in_evaluation_it_is_torchs_own_layers():
    network = mlp(slope=0.07).eval()
    layers = [part for layer in network.layers for part in (layer, nn.LeakyReLU(0.07))][:-1]
    images = torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(network(images), nn.Sequential(nn.Flatten(), *layers)(images))


def test_weights_start_as_torch_draws_them():
    torch.manual_seed(1)
    network = mlp()
    torch.manual_seed(1)
    first = nn.Linear(16, 12)
    assert torch.equal(network.layers[0].weight, first.weight)


def test_dropout_zeroes_its_share_of_units_and_keeps_their_mean():
    network = MLP(4, (20_000,), 2, dropout=0.25, slope=1.0).train()
    seen = []
    network.layers[1].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network(torch.ones(1, 4), torch.randint(NOISE_LEVELS, (1, 20_000), dtype=torch.int16))
    plain = F.linear(torch.ones(1, 4), network.layers[0].weight, network.layers[0].bias)
    dropped = seen[0] == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(seen[0][~dropped], plain[~dropped] / 0.75)


@pytest.mark.parametrize("shared_images", [True, False])
@pytest.mark.parametrize("shared_noise", [True, False, None])
def test_stacked_it_gives_the_logits_and_gradients_of_each_alone(shared_images, shared_noise):
    networks = [mlp(dropout=0.0, slope=0.01), mlp(dropout=0.5, slope=0.1), mlp(dropout=0.2, slope=1.0)]
    images = torch.randn(1 if shared_images else 3, 7, 1, 4, 4)
    noise = None
    if shared_noise is not None:
        noise = torch.randint(NOISE_LEVELS, (1 if shared_noise else 3, 7, 20), dtype=torch.int16)
    stack = Stack(networks, torch.device("cpu"))
    stack.train(noise is not None)
    together = stack(images, noise)
    together.square().sum().backward()
    for place, network in enumerate(networks):
        network.train(noise is not None)
        own_noise = None if noise is None else noise[min(place, len(noise) - 1)]
        alone = network(images[min(place, len(images) - 1)], own_noise)
        torch.testing.assert_close(together[place], alone, rtol=1e-5, atol=1e-6)
        alone.square().sum().backward()
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(stack.parameters[name].grad[place], parameter.grad, rtol=1e-4, atol=1e-5)


def test_without_noise_in_training_it_draws_its_own():
    network = mlp(dropout=0.5).train()
    images = torch.randn(4, 16)
    assert not torch.equal(network(images), network(images))
