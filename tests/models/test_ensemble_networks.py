import copy

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from vision_studies.config.models import ModelSettings
from vision_studies.errors import ParameterError
from vision_studies.models.ensembles import (
    BatchEnsemble,
    Ensemble,
    MonteCarloDropout,
    PackedMembers,
    SeparateMembers,
)

SMALL = {"widths": [4, 8], "blocks": [1, 1], "strides": [1, 2], "stem_width": 4, "dropout": 0.0}
NETWORKS = {
    "residual": {"name": "resnet_small", "squeeze_reduction": None, **SMALL},
    "squeeze_and_excitation": {"name": "resnet_small", "squeeze_reduction": 2, **SMALL},
    "resnet9": {"name": "resnet9", "width": 2},
    "speedrun": {"name": "speedrun_net", "widths": [4, 8]},
    "linear": {"name": "convnet"},
}
MEMBERS = 3


def network(kind, seed=0):
    torch.manual_seed(seed)
    settings = TypeAdapter(ModelSettings).validate_python(NETWORKS[kind])
    built = settings.build(in_channels=3, num_classes=4, image_size=12)
    for module in built.modules():  # statistics that are not those of a new network
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return built


@pytest.fixture
def images():
    return torch.randn(6, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", NETWORKS)
def test_packed_members_are_the_separate_networks_and_learn_what_these_would(kind, images):
    separate = SeparateMembers([network(kind, seed) for seed in range(MEMBERS)])
    packed = PackedMembers(separate.networks)
    torch.testing.assert_close(packed.eval()(images), separate.eval()(images), atol=1e-4, rtol=1e-4)
    weights = torch.randn(6, MEMBERS, 4)
    for ensemble in (packed, separate):
        (ensemble.train()(images) * weights).sum().backward()
    for name, parameter in packed.network.named_parameters():
        alone = [own.get_parameter(name) for own in separate.networks]
        assert parameter.requires_grad == alone[0].requires_grad
        if parameter.requires_grad:
            expected = torch.cat([own.grad.reshape(-1) for own in alone])
            torch.testing.assert_close(parameter.grad.reshape(-1), expected, atol=2e-3, rtol=2e-3, msg=name)
    torch.testing.assert_close(packed.eval()(images), separate.eval()(images), atol=1e-4, rtol=1e-4)  # norms, too


def layers_of(root):
    return {name: own for name, own in root.named_modules() if isinstance(own, nn.Conv2d | nn.Linear)}


def with_weights(plain, change):
    """A copy of a network whose layers' weights and biases are `change` of their names and of the layers."""
    changed = copy.deepcopy(plain).eval()
    for name, layer in layers_of(changed).items():
        weight, bias = change(name, layer)
        layer.weight.data = weight
        if bias is not None:
            layer.bias.data = bias
    return changed


def on_both(layer, outputs, inputs):
    """A matrix of rank one as the layer's weights have it; groups are those of inputs."""
    extra = (1,) * (layer.weight.ndim - 2)
    return outputs.view(-1, 1, *extra) * inputs.view(1, -1, *extra)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_member_of_a_batch_ensemble_is_the_network_with_its_weights_written_out(kind, images):
    plain = network(kind)
    ensemble = BatchEnsemble(plain, MEMBERS).eval()
    own = {name: layer for name, layer in ensemble.network.named_modules() if hasattr(layer, "inputs")}
    for layer in own.values():
        assert set(layer.inputs.unique().tolist()) <= {-1.0, 1.0}
        nn.init.normal_(layer.inputs)
        nn.init.normal_(layer.outputs)
        if layer.bias is not None:
            nn.init.normal_(layer.bias)
    said = ensemble(images)
    assert said.shape == (6, MEMBERS, 4)
    for member in range(MEMBERS):

        def explicit(name, layer, member=member):
            shared = own[name]
            r, s = (values.view(MEMBERS, -1)[member].detach() for values in (shared.inputs, shared.outputs))
            bias = None if shared.bias is None else shared.bias.view(MEMBERS, -1)[member].detach()
            return layer.weight * on_both(layer, s, r), bias

        torch.testing.assert_close(said[:, member], with_weights(plain, explicit)(images), atol=1e-3, rtol=1e-3)


def test_in_training_a_batch_is_divided_among_the_members_of_a_batch_ensemble(images):
    ensemble = BatchEnsemble(network("residual"), MEMBERS).eval()
    every = ensemble(images)
    ensemble.training = True  # its norms stay as they are
    said = ensemble(images[:5])
    assert said.shape == (5, 1, 4)
    torch.testing.assert_close(said[:, 0], torch.stack([every[row, row * MEMBERS // 5] for row in range(5)]))


def test_vectors_of_a_batch_ensemble_are_no_matrices_to_an_optimiser_and_the_weights_are_counted_once():
    plain = network("residual")
    ensemble = BatchEnsemble(plain, MEMBERS)
    own = [value for name, value in ensemble.named_parameters() if name.endswith(("inputs", "outputs"))]
    assert {value.ndim for value in own} == {1}
    matrices = sum(value.numel() for value in ensemble.parameters() if value.ndim > 1)
    assert matrices == sum(value.numel() for value in plain.parameters() if value.ndim > 1)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_pass_of_dropout_is_the_network_without_the_dropped_channels(kind, images):
    plain, rate = network(kind), 0.4
    ensemble = MonteCarloDropout(plain, MEMBERS, rate).eval()
    thinned = {name: layer for name, layer in ensemble.network.named_modules() if hasattr(layer, "masks")}
    assert len(thinned) == len(layers_of(plain)) - 1
    said = ensemble(images)
    torch.testing.assert_close(said, ensemble(images))  # nothing is drawn anew
    for member in range(MEMBERS):

        def explicit(name, layer, member=member):
            if name not in thinned:
                return layer.weight.data, None
            mask = thinned[name].masks[member]
            torch.testing.assert_close(mask[mask > 0], torch.full_like(mask[mask > 0], 1 / (1 - rate)))
            return layer.weight * on_both(layer, torch.ones(1), mask), None

        torch.testing.assert_close(said[:, member], with_weights(plain, explicit)(images), atol=1e-4, rtol=1e-4)
    ensemble.train()
    assert ensemble(images).shape == (6, 1, 4)
    assert not torch.equal(ensemble(images), ensemble(images))


def test_the_last_head_is_the_mean_of_probabilities_or_the_network_that_decides(images):
    networks = [network("residual", seed).eval() for seed in range(MEMBERS)]
    members = torch.stack([own(images) for own in networks], dim=1)
    said = Ensemble(SeparateMembers(networks)).eval()(images)
    torch.testing.assert_close(said[:, :-1], members)
    torch.testing.assert_close(said[:, -1].exp(), members.softmax(dim=2).mean(dim=1))
    decided = Ensemble(SeparateMembers(networks), networks[1]).eval()(images)
    torch.testing.assert_close(decided[:, -1], members[:, 1])


@pytest.mark.parametrize(
    ("opponent", "wrap"),
    [
        ("packed", lambda own: PackedMembers([own, own])),
        ("batch_ensemble", lambda own: BatchEnsemble(own, 2)),
        ("mc_dropout", lambda own: MonteCarloDropout(own, 2, 0.1)),
    ],
)
def test_layers_that_cannot_be_shared_are_refused_in_a_sentence(opponent, wrap):
    settings = TypeAdapter(ModelSettings).validate_python({"name": "vit_compact", "patch_size": 2})
    transformer = settings.build(in_channels=3, num_classes=4, image_size=8)
    with pytest.raises(ParameterError, match=f"stacking.opponents: {opponent} takes networks of convolutions.* leave"):
        wrap(transformer)
