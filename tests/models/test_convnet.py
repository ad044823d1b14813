"""The network that can be cut, against plain layers of torch in a row."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_studies.errors import ParameterError
from vision_studies.models import convnet
from vision_studies.models.architectures.convnet import ConvNetSettings
from vision_studies.models.convnet import ACTIVATIONS, ConvNet
from vision_studies.models.statistics import count_macs, count_parameters

SMALL = {"channels": (4, 6, 5, 3), "every": 2}  # 9 pixels -> 4 -> 2
OLD = {"channels": (10,) * 3, "kernel_size": 5, "downsampling": None, "hidden": 128}
OPTIONS = [
    {},
    {"downsampling": "max_pool", "activation": "gelu", "stride": 1},
    {"downsampling": "strided_convolution", "stride": 3, "activation": "tanh"},
    {"downsampling": None, "hidden": 7, "activation": "elu"},
    {"head": "global_average", "hidden": 6, "every": 1, "stride": 1},
    {"kernel_size": 5, "activation": "leaky_relu", "every": 3},
]
MODULES = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def network(size=28, in_channels=1, classes=3, start=0, stop=None, **options):
    settings = ConvNetSettings.model_validate({"name": "convnet", **options})
    return ConvNet(settings, in_channels=in_channels, num_classes=classes, image_size=size, start=start, stop=stop)


def small(start=0, stop=None, seed=0, **options):
    torch.manual_seed(seed)
    return network(9, 2, 3, start, stop, **(SMALL | options))


def images(*shape):
    return torch.randn(*shape, 2, 9, 9, generator=torch.Generator().manual_seed(1))


def plain_layers(of):
    """The same network as a row of torch's own layers, with its weights."""
    own = ConvNetSettings.model_validate({"name": "convnet", **SMALL, **of}).model_dump(exclude={"name"})
    model, layers = small(**of), []
    for place in range(len(own["channels"])):
        ends = own["downsampling"] is not None and place % own["every"] == own["every"] - 1
        strided = ends and own["downsampling"] == "strided_convolution"
        given = model.get_submodule(f"conv{place}")
        convolution = nn.Conv2d(
            given.in_channels,
            own["channels"][place],
            own["kernel_size"],
            stride=own["stride"] if strided else 1,
            padding=own["kernel_size"] // 2,
        )
        convolution.load_state_dict(given.state_dict())
        layers += [convolution, MODULES[own["activation"]]()]
        if ends and not strided:
            pool = nn.AvgPool2d if own["downsampling"] == "average_pool" else nn.MaxPool2d
            layers.append(pool(2, own["stride"]))
    if own["head"] == "global_average":
        layers.append(nn.AdaptiveAvgPool2d(1))
    layers += [nn.Flatten(), model.fc]
    if own["hidden"] is not None:
        layers += [MODULES[own["activation"]](), model.fc_2]
    return model, nn.Sequential(*layers)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_network_is_what_its_layers_are_in_a_row(options):
    model, plain = plain_layers(options)
    torch.testing.assert_close(model(images(5)), plain(images(5)))
    assert count_parameters(model) == count_parameters(plain)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_torch(name):
    values = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(ACTIVATIONS[name](values), MODULES[name]()(values))


@pytest.mark.parametrize(
    ("size", "channels", "classes", "parameters"),
    [
        (28, 1, 3, 187_011),
        (28, 1, 5, 188_165),
        (28, 1, 7, 189_319),
        (28, 1, 10, 191_050),
        (32, 3, 4, 190_532),
        (32, 3, 5, 191_557),
        (32, 3, 6, 192_582),
    ],
)
def test_the_published_network_has_its_number_of_parameters(size, channels, classes, parameters):
    model = network(size, channels, classes)
    assert count_parameters(model) == parameters
    assert parameters - count_parameters(model.fc) == (185_280 if channels == 1 else 186_432)
    settings = ConvNetSettings(name="convnet")
    assert settings.depth == 6
    built = settings.build(in_channels=channels, num_classes=classes, image_size=size)
    assert built.state_dict().keys() == model.state_dict().keys()
    assert count_parameters(built) == parameters


@pytest.mark.parametrize(
    ("size", "channels", "inputs"),
    [
        (28, 1, [784, 50_176, 12_544, 12_544, 3_136, 3_136, 576]),
        (32, 3, [3_072, 65_536, 16_384, 16_384, 4_096, 4_096, 1_024]),
    ],
)
def test_a_truncated_network_hands_on_the_published_number_of_features(size, channels, inputs):
    with torch.device("meta"):
        models = [network(size, channels, stop=cut) for cut in range(7)]
    assert [model.fc.in_features for model in models] == inputs
    assert [[*model.state_dict()] for model in models] == [
        [f"conv{layer}.{name}" for layer in range(cut) for name in ("weight", "bias")] + ["fc.weight", "fc.bias"]
        for cut in range(7)
    ]
    for model, count in zip(models, inputs, strict=True):
        given = torch.zeros(1, channels, size, size, device="meta")
        assert model.features(given).numel() == count
        assert model(given).shape == (1, 3)


@pytest.mark.parametrize(
    ("size", "channels", "millions"),
    [(28, 1, [47.4, 47.0, 18.1, 10.8, 3.6, 1.8, 0]), (32, 3, [63.1, 61.3, 23.6, 14.2, 4.7, 2.4, 0])],
)
def test_what_stands_behind_a_cut_computes_and_learns_the_published_amount(size, channels, millions):
    with torch.device("meta"):
        parts = [network(size, channels, start=cut) for cut in range(7)]
    convolutions = []
    for cut, (part, expected) in enumerate(zip(parts, millions, strict=True)):
        features = parts[0].features(torch.zeros(1, channels, size, size, device="meta"), stop=cut)
        macs = count_macs(part, tuple(features.shape[1:])) - part.fc.weight.numel()
        assert macs / 1e6 == pytest.approx(expected, abs=0.0501)
        convolutions.append(count_parameters(part) - count_parameters(part.fc))
    assert convolutions[1:] == [184_640, 147_712, 110_784, 73_856, 36_928, 0]


def test_the_older_networks_can_be_had():
    model = network(28, 1, 5, **OLD)
    assert (model.fc.in_features, model.fc.out_features, model.fc_2.out_features) == (7_840, 128, 5)
    assert count_parameters(model) == 1_009_573  # 260 + 2 * 2510 + 7840 * 128 + 128 + 128 * 5 + 5
    fashion = network(28, 1, 3, channels=(30,) * 5, downsampling=None)
    assert fashion.fc.in_features == 23_520


@pytest.mark.parametrize("channels", [1, 3])
def test_with_means_of_maps_the_dense_layer_is_one_size_at_every_cut(channels):
    sizes = [network(32, channels, stop=cut, head="global_average").fc.in_features for cut in range(7)]
    assert sizes == [channels, *[64] * 6]
    model = network(32, channels, head="global_average")
    assert model.fc.in_features == 64
    assert model(torch.zeros(2, channels, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "size", "layer"),
    [
        ({"channels": (4,) * 8}, 8, 7),
        ({"channels": (4,) * 3, "every": 1, "downsampling": "max_pool"}, 3, 1),
        ({"channels": (4,) * 4, "stride": 5}, 6, 3),
    ],
)
def test_images_that_are_too_small_are_refused(options, size, layer):
    with pytest.raises(ParameterError, match=f"images of {size} pixels are gone after layer {layer} of"):
        network(size, **options)
    assert network(size, stop=layer, **options)(torch.zeros(1, 1, size, size)).shape == (1, 3)


def test_a_strided_network_keeps_a_pixel_to_the_end():
    model = network(5, downsampling="strided_convolution")
    assert model.fc.in_features == 64  # 5 -> 3 -> 2 -> 1 pixel


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("cut", range(5))
def test_features_and_what_stands_behind_them_make_the_whole(options, cut):
    whole, rest = small(**options), small(start=cut, seed=9, **options)
    names = rest.state_dict().keys()
    assert {name.split(".")[0] for name in names} - {"fc", "fc_2"} == {f"conv{layer}" for layer in range(cut, 4)}
    rest.load_state_dict({name: value for name, value in whole.state_dict().items() if name in names})
    features = whole.features(images(3), stop=cut)
    assert torch.equal(rest(features), whole(images(3)))
    truncated = small(stop=cut, **options)
    convolutions = {name: value for name, value in whole.state_dict().items() if name in truncated.state_dict()}
    convolutions |= {name: value for name, value in truncated.state_dict().items() if name.startswith("fc")}
    truncated.load_state_dict(convolutions)
    assert torch.equal(truncated.features(images(3)), features)


@pytest.mark.parametrize("options", OPTIONS)
def test_layers_are_looked_into_before_their_activation(options):
    model = small(**options)
    seen = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: seen.setdefault(name, output))
    logits = model(images(4))
    found = dict(model.layer_outputs(images(4)))
    dense = ["fc"] if options.get("hidden") is None else ["fc", "fc_2"]
    assert [*found] == ["input", "conv0", "conv1", "conv2", "conv3", *dense]
    assert torch.equal(found.pop("input"), images(4))
    assert seen.keys() == found.keys()
    for name, output in found.items():
        assert torch.equal(output, seen[name]), name
    assert torch.equal(found[dense[-1]], logits)
    assert bool((found["conv1"] < 0).any())  # no activation that knows no negative numbers has been there


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_networks_together_give_what_each_gives(options, grouped, shared, monkeypatch):
    choose_form(monkeypatch, grouped)
    check_together(options, shared, members=3, start=0, stop=None)


@pytest.mark.parametrize(("start", "stop"), [(2, None), (0, 2), (0, 0), (4, None), (1, 3)])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("members", [1, 3])
def test_parts_of_networks_together_give_what_each_gives(start, stop, grouped, shared, members, monkeypatch):
    choose_form(monkeypatch, grouped)
    check_together({"hidden": 5}, shared, members, start, stop)


def choose_form(monkeypatch, grouped):
    monkeypatch.setattr(convnet, "_GROUPED_PIXELS", 10**9 if grouped else 0)


def check_together(options, shared, members, start, stop):
    count = 7
    networks = [small(start, stop, seed=member, **options) for member in range(members)]
    given = small(**options).features(images(1 if shared else members, count).flatten(0, 1), stop=start).detach()
    given = given.unflatten(0, (-1, count))
    labels = torch.arange(count) % 3
    parameters = {
        name: torch.stack([dict(own.named_parameters())[name].detach() for own in networks]).requires_grad_()
        for name, _ in networks[0].named_parameters()
    }
    logits = networks[0].stacked_forward(parameters, {}, given)
    assert logits.shape == (members, count, 3)
    sum(F.cross_entropy(own, labels) for own in logits).backward()
    for member, own in enumerate(networks):
        expected = own(given[0 if shared else member])
        torch.testing.assert_close(logits[member], expected, rtol=1e-5, atol=1e-5)
        F.cross_entropy(expected, labels).backward()
        for name, parameter in own.named_parameters():
            torch.testing.assert_close(parameters[name].grad[member], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("count", "groups"), [(5, [3] * 4), (6, [1] * 12)])
def test_few_images_go_through_grouped_convolutions_and_many_through_single_ones(count, groups, monkeypatch):
    asked = []
    convolve = F.conv2d

    def watched(*arguments, groups=1):
        asked.append(groups)
        return convolve(*arguments, groups=groups)

    networks = [small(seed=member) for member in range(3)]
    parameters = {name: torch.stack([own.state_dict()[name] for own in networks]) for name in networks[0].state_dict()}
    monkeypatch.setattr(F, "conv2d", watched)
    monkeypatch.setattr(convnet, "_GROUPED_PIXELS", 5 * 81)
    networks[0].stacked_forward(parameters, {}, images(1, count))
    assert asked == groups
