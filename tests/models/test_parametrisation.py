"""First weights and steps that depend on width, beside the written-out rules of muP and of the neural tangent form."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_studies.config.training import AdamWSettings, SgdSettings
from vision_studies.models.mlp import MLP
from vision_studies.models.parametrisation import StepScale, scale_first_weights, tensor_scales
from vision_studies.training.coordinate_check import coordinate_check
from vision_studies.training.ensemble import Member, TensorData, fit_ensemble
from vision_studies.training.stack import Stack, StackedOptimizer

BASE, WIDTHS, SLOPE = 8, (16, 32), 0.1
ADAMW = AdamWSettings(name="adamw", learning_rate=0.01, betas=(0.9, 0.95), eps=1e-4, weight_decay=0.1)


def mlp(widths=WIDTHS):
    return MLP(12, widths, 5, dropout=0.0, slope=SLOPE)


class WithMultipliers(nn.Module):
    """A perceptron in which each layer's weight stands behind a constant factor, as the sources write it."""

    def __init__(self, network, factors):
        super().__init__()
        self.layers = nn.ModuleList(network.layers)
        self.factors = factors

    def forward(self, hidden):
        for layer, factor in zip(self.layers, self.factors, strict=True):
            outputs = F.linear(hidden, factor * layer.weight, layer.bias)
            hidden = F.leaky_relu(outputs, SLOPE)
        return outputs


def written_out(parametrisation, network):
    """Network and torch's own AdamW by the rules as the package `mup` and Jacot et al. state them."""
    ratios = [width / BASE for width in WIDTHS]
    hidden, readout = network.layers[1], network.layers[2]
    rates = {}
    with torch.no_grad():
        for layer, ratio in zip((hidden, readout), ratios, strict=True):
            layer.bias.mul_(ratio**0.5)
        if parametrisation == "mup":
            readout.weight.mul_(ratios[1] ** 0.5)
            factors = [1, 1, 1 / ratios[1]]
            rates = {hidden.weight: 1 / ratios[0]}
        else:
            for layer, ratio in zip((hidden, readout), ratios, strict=True):
                layer.weight.mul_(ratio**0.5)
            factors = [1, *(ratio**-0.5 for ratio in ratios)]
    groups = []
    for parameter in network.parameters():
        rate = rates.get(parameter, 1.0)
        decay = ADAMW.weight_decay / rate
        groups.append({"params": [parameter], "lr": ADAMW.learning_rate * rate, "weight_decay": decay})
    return WithMultipliers(network, factors), torch.optim.AdamW(groups, betas=ADAMW.betas, eps=ADAMW.eps)


@pytest.mark.parametrize("parametrisation", ["mup", "ntk"])
def test_folded_into_weights_and_steps_it_is_the_network_with_multipliers(parametrisation):
    torch.manual_seed(3)
    network = mlp()
    scales = tensor_scales(parametrisation, WIDTHS, BASE)
    folded = mlp()
    folded.load_state_dict(network.state_dict())
    scale_first_weights(folded, scales)
    reference, optimizer = written_out(parametrisation, network)
    stack = Stack([folded], torch.device("cpu"))
    ours = StackedOptimizer([ADAMW], stack.trained(), [{name: scale.step for name, scale in scales.items()}])
    images, labels = torch.randn(40, 12), torch.randint(5, (40,))
    for _ in range(30):
        expected, found = reference(images), stack(images.unsqueeze(0))[0]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        optimizer.zero_grad()
        F.cross_entropy(expected, labels).backward()
        optimizer.step()
        F.cross_entropy(found, labels).backward()
        ours.step(stack.trained())
    assert F.cross_entropy(expected, labels) < 1  # it has learnt, and the steps were no empty ones


@pytest.mark.parametrize("parametrisation", ["mup", "ntk"])
def test_at_the_base_width_all_are_the_standard_one(parametrisation):
    scales = tensor_scales(parametrisation, [BASE, BASE], BASE)
    assert len(scales) == 4
    assert all(scale.initial == 1 and scale.step == StepScale() for scale in scales.values())


def test_networks_of_several_parametrisations_are_trained_as_one_with_the_numbers_of_each_alone():
    torch.manual_seed(0)
    images, labels = torch.randn(60, 12), torch.randint(5, (60,))
    data = TensorData(images, labels, torch.arange(40), torch.arange(40, 60))
    members = []
    for parametrisation in ("standard", "mup", "ntk"):
        network, scales = mlp(), tensor_scales(parametrisation, WIDTHS, BASE)
        scale_first_weights(network, scales)
        members.append(Member(network, ADAMW, seed=1, scales={name: scale.step for name, scale in scales.items()}))
    from tests.training.test_ensemble import settings

    def losses(stack):
        found = {}
        fit_ensemble(
            stack,
            data,
            settings(epochs=4, batch_size=16, early_stopping=None),
            device=torch.device("cpu"),
            on_end=lambda number, result: found.update({number: list(result.history["train_loss"])}),
        )
        return [found[number] for number in range(len(stack))]

    together = losses(members)
    alone = [losses([member])[0] for member in members]
    assert together[0] != together[1] != together[2]
    for found, expected in zip(together, alone, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_steps_that_differ_are_adamws_alone():
    sgd = SgdSettings(name="sgd", learning_rate=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    stack = Stack([mlp()], torch.device("cpu"))
    with pytest.raises(ValueError, match="not those of sgd"):
        StackedOptimizer([sgd], stack.trained(), [{"layers.1.weight": StepScale(rate=0.5)}])


def test_coordinate_check_outputs_stay_as_large_under_mup_and_grow_under_the_standard_one():
    torch.manual_seed(0)
    images, labels = torch.randn(64, 20), torch.arange(64) % 4
    table = coordinate_check(images, labels, widths=[32, 128, 512], base_width=32, steps=4, learning_rate=0.01)
    sizes = table[table["step"] == 4].groupby(["parametrisation", "layer", "width"])["size"].mean()
    for layer in (2, 3):
        standard, mup = sizes["standard", layer], sizes["mup", layer]
        assert standard[512] > 2.5 * standard[32]
        assert mup[512] < 1.3 * mup[32]
    first = sizes["mup", 1]
    assert first[512] < 1.3 * first[32]
