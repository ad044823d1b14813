import numpy as np
import pytest
import torch
from tests.data.conftest import make_image_set
from tests.models.test_networks import build
from tests.models.test_networks import settings as options_of
from tests.rounding import bfloat16_bound
from tests.test_base_parameters import base_run
from torch import nn

from vision_studies.config.data_prep import SplitSettings
from vision_studies.config.models import PRESETS
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import make_splits
from vision_studies.errors import ParameterError
from vision_studies.models.mlp import MLP
from vision_studies.pipelines.alphanet.work.sources import classifier_layer, extract_features, own_classifier
from vision_studies.training.network_run import build_network, predict_with_views

CPU = torch.device("cpu")
RESNET = {"stem_width": 8, "widths": [16, 16, 16, 16], "blocks": [1, 1, 1, 1]}
SMALL = {
    "speedrun_net": {"widths": [4, 8]},
    "resnet9": {"width": 4},
    "vit_compact": {"width": 12, "heads": 2, "depth": 1},
    "convnet": {"channels": [4, 4], "hidden": 6},
    "torchvision": {"network": "shufflenet_v2_x0_5"},
}
NETWORKS = [(name, SMALL.get(name, RESNET)) for name in PRESETS] + [
    ("convnet", {"channels": [4, 4]}),
    ("torchvision", {"network": "mobilenet_v3_small"}),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(**changes):
    small = {"widths": [4, 8], "blocks": [1, 1], "strides": [1, 2], "stem_width": 4, "squeeze_reduction": 2}
    run = {"model": small, "training": {"precision": "fp32"}, "evaluation": {"batch_size": 7, "views": [1]}}
    return base_run(run | changes)


@pytest.fixture(scope="module")
def data():
    image_set = make_image_set(count=60, size=12)
    splits = make_splits(
        image_set, SplitSettings(validation_fraction=0.2, test_fraction=0.25, seed=0, copies="together", long_tail=None)
    )
    return PreparedData(image_set, splits, {})


@pytest.fixture
def model(data):
    torch.manual_seed(0)
    network = build_network(settings(), data)
    with torch.no_grad():
        network(torch.randn(32, 3, 12, 12))  # running statistics that are not those of the start
    return network


def images_of(data, split):
    images = torch.from_numpy(np.asarray(data.image_set.images[getattr(data.splits, split)])).float()
    mean, std = (torch.tensor(values) for values in (data.normalisation.mean, data.normalisation.std))
    return ((images - mean) / std).permute(0, 3, 1, 2)


def seen_and_said(network, images):
    """Features that a network's classifier is given, and its logits."""
    seen = []
    hook = classifier_layer(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        logits = network.eval()(images)
    hook.remove()
    return seen[0].numpy(), logits.numpy()


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_scores_are_the_logits_of_every_network(name, options):
    network = build(name, image_size=32, **options)
    features, logits = seen_and_said(network, torch.randn(3, 3, 32, 32))
    classifier = own_classifier(network, options_of(name, **options).logit_scale)
    assert classifier.weight.dtype == classifier.bias.dtype == np.float32
    np.testing.assert_allclose(classifier.scores(features), logits, atol=1e-5 * max(1, np.abs(logits).max()))


def test_scores_are_the_logits_of_a_perceptron():
    torch.manual_seed(0)
    features, logits = seen_and_said(network := MLP(12, [8, 6], 4, dropout=0.5, slope=0.1), torch.randn(5, 3, 2, 2))
    assert features.shape == (5, 6)
    np.testing.assert_allclose(own_classifier(network, 1.0).scores(features), logits, atol=1e-5)


def test_the_classifier_does_not_change_with_the_network(model):
    classifier = own_classifier(model, 1.0)
    before = classifier.weight.copy()
    with torch.no_grad():
        model.classifier.weight.zero_()
    np.testing.assert_array_equal(classifier.weight, before)


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(ParameterError, match="Sequential has no linear layer"):
        own_classifier(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1)), 1.0)
    with pytest.raises(ParameterError, match="SqueezeNet has no linear layer"):
        classifier_layer(build("torchvision", network="squeezenet1_1"))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_features_are_those_of_the_splits_images_in_order(model, data, split):
    group = extract_features(model, data, split, settings=settings(), device=CPU)
    expected, logits = seen_and_said(model, images_of(data, split))
    assert group.features.dtype == np.float32
    assert group.labels.dtype == np.int64
    np.testing.assert_array_equal(group.labels, data.image_set.labels[getattr(data.splits, split)])
    np.testing.assert_allclose(group.features, expected, atol=1e-5)
    np.testing.assert_allclose(own_classifier(model, 1.0).scores(group.features), logits, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_numbers_are_in_the_format_in_which_a_run_is_scored(model, data, precision):
    own = settings(training={"precision": precision})
    group = extract_features(model, data, "test", settings=own, device=CPU)
    loader = data.loader("test", kind="device", batch_size=7, device=CPU)
    probabilities = predict_with_views(model, loader, own, CPU)[1]
    scores = torch.from_numpy(own_classifier(model, 1.0).scores(group.features))
    # In bfloat16 the last layer is rounded, too; a probability moves by half of what the logits move by at most.
    tolerance = 1e-5 if precision == "fp32" else bfloat16_bound(1) * scores.abs().max().item() / 2
    np.testing.assert_allclose(scores.softmax(dim=1).numpy(), probabilities, atol=tolerance)
    rounded = group.features.astype(np.float32).view(np.uint32) & 0xFFFF == 0
    assert rounded.all() == (precision == "bf16")


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(model, data, training):
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    extract_features(model, data, "test", settings=settings(), device=CPU)
    assert model.training == training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not classifier_layer(model)._forward_pre_hooks


def test_the_hook_is_gone_after_an_error(model, data):
    model.dropout.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract_features(model, data, "test", settings=settings(), device=CPU)
    assert not classifier_layer(model)._forward_pre_hooks
