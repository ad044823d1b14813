import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import nn

from vision_studies.config.models import ModelSettings
from vision_studies.errors import CheckpointError, ParameterError
from vision_studies.models.initialisation import RULES, freeze_blocks, initialise, load_pretrained
from vision_studies.models.stacked import (
    ImageFeatures,
    MetaLearner,
    StackedClassifier,
    base_dimension,
    last_linear,
)
from vision_studies.models.statistics import count_parameters

CLASSES = 5


def network(spec, channels=3, classes=CLASSES, size=16, frozen=0):
    settings = TypeAdapter(ModelSettings).validate_python(spec)
    built = settings.build(in_channels=channels, num_classes=classes, image_size=size)
    return freeze_blocks(built, settings.freezable_blocks(built), frozen)


def learner():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 7), nn.ReLU(), nn.Linear(7, CLASSES))


def stack(inputs="logits", *, detach=False, image_features=True, learners=2, hidden=(6,)):
    torch.manual_seed(0)
    own = [learner() for _ in range(learners)]
    features = ImageFeatures(in_channels=3, widths=(4, 8), dimension=3) if image_features else None
    meta = MetaLearner(
        base_dimension=base_dimension(own, inputs, CLASSES),
        image_features=features,
        hidden=hidden,
        dropout=0.0,
        num_classes=CLASSES,
    )
    return StackedClassifier(own, meta, inputs=inputs, detach=detach)


@pytest.mark.parametrize(
    ("inputs", "dimension"), [("logits", 10), ("probabilities", 10), ("features", 14), ("none", 0)]
)
def test_the_meta_learner_is_told_what_was_asked_for(inputs, dimension):
    model = stack(inputs)
    assert model.meta_learner.perceptron[0].in_features == dimension + 3
    images = torch.randn(6, 3, 4, 4)
    outputs = model.eval()(images)
    assert outputs.shape == (6, 3, CLASSES)
    logits = [own(images) for own in model.base_learners]
    torch.testing.assert_close(outputs[:, :2], torch.stack(logits, dim=1))
    told = {
        "logits": logits,
        "probabilities": [own.softmax(1) for own in logits],
        "features": [own[:3](images) for own in model.base_learners],
        "none": [torch.zeros(6, 0)],
    }[inputs]
    torch.testing.assert_close(outputs[:, 2], model.meta_learner(torch.cat(told, dim=1), images))


def test_without_anything_to_see_a_meta_learner_is_refused():
    with pytest.raises(ParameterError, match="meta_learner sees nothing"):
        stack("none", image_features=False)


def test_features_need_a_linear_layer():
    with pytest.raises(ParameterError, match="inputs=features needs networks that end in a linear layer"):
        last_linear(nn.Conv2d(3, 4, 1))


@pytest.mark.parametrize("inputs", ["logits", "probabilities", "features"])
@pytest.mark.parametrize("detach", [True, False])
def test_the_gradient_of_the_meta_learner_reaches_the_base_learners_unless_it_is_detached(inputs, detach):
    model = stack(inputs, detach=detach)
    model(torch.randn(6, 3, 4, 4))[:, -1].square().sum().backward()
    reached = [bool(own[1].weight.grad.any()) for own in model.base_learners]
    assert reached == [not detach] * 2
    assert model.meta_learner.perceptron[0].weight.grad is not None


def test_the_image_features_have_the_published_size():
    assert count_parameters(ImageFeatures(in_channels=3, widths=(64, 128, 256), dimension=128)) == 404_864


@pytest.mark.parametrize(
    ("name", "stem", "parameters"),
    [
        ("resnet18", "imagenet", 11_181_642),
        ("resnet18", "cifar", 11_173_962),
        ("resnet34", "imagenet", 21_289_802),
        ("resnet50", "imagenet", 23_528_522),
        ("resnet50", "cifar", 23_520_842),
        ("vit_b_16", "imagenet", 85_806_346),
    ],
)
def test_networks_of_torchvision_have_their_sizes(name, stem, parameters):
    with torch.device("meta"):
        model = network({"name": "torchvision", "network": name, "stem": stem, "resize": None}, classes=10)
    assert count_parameters(model) == parameters


def test_networks_of_torchvision_take_small_and_grey_images():
    small = {"name": "torchvision", "network": "resnet18", "stem": "cifar"}
    assert network(small, channels=1)(torch.randn(2, 1, 8, 8)).shape == (2, CLASSES)
    resized = network({"name": "torchvision", "network": "squeezenet1_1", "resize": 64})
    assert resized(torch.randn(2, 3, 16, 16)).shape == (2, CLASSES)


def test_an_unknown_network_or_stem_is_told():
    with pytest.raises(ParameterError, match=r"model.network='resnet19' is no classifier.* Did you mean 'resnet18'\?"):
        network({"name": "torchvision", "network": "resnet19"})
    with pytest.raises(ParameterError, match="stem=cifar is for residual networks, and vit_b_16 is none"):
        network({"name": "torchvision", "network": "vit_b_16", "stem": "cifar"})


def test_the_width_of_resnet9_scales_its_parameters():
    sizes = [count_parameters(network({"name": "resnet9", "width": width}, classes=10)) for width in (8, 16, 64)]
    assert sizes == [36_168, 143_248, 2_274_880]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_draws_other_weights_and_leaves_the_rest(rule):
    torch.manual_seed(0)
    model = network({"name": "resnet9", "width": 4})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initialise(model, rule)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    weights = {f"{name}.weight" for name, own in model.named_modules() if isinstance(own, nn.Conv2d | nn.Linear)}
    assert changed == weights
    others = {name: RULES[name](torch.empty(20, 30)).std() for name in RULES if name != rule}
    assert all(abs(RULES[rule](torch.empty(20, 30)).std() - own) > 1e-4 for own in others.values())


def test_weights_from_a_file_are_taken_over_but_for_a_classifier_of_other_classes(tmp_path):
    torch.manual_seed(0)
    given = network({"name": "resnet9", "width": 4}, classes=9)
    save_file(given.state_dict(), tmp_path / "w.safetensors")
    torch.save(given.state_dict(), tmp_path / "w.pth")
    for file in ("w.safetensors", "w.pth"):
        model = network({"name": "resnet9", "width": 4})
        head = model.classifier.weight.clone()
        load_pretrained(model, tmp_path / file)
        torch.testing.assert_close(model.features.state_dict(), given.features.state_dict())
        torch.testing.assert_close(model.classifier.weight, head)
    with pytest.raises(CheckpointError, match="is of another architecture"):
        load_pretrained(network({"name": "resnet9", "width": 8}), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="is of another architecture"):
        load_pretrained(learner(), tmp_path / "w.safetensors")


def test_a_file_that_is_no_weights_is_told_and_nothing_in_it_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_pretrained(learner(), tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_frozen_blocks_do_not_learn():
    model = network({"name": "vit_compact", "width": 8, "depth": 3, "heads": 2}, frozen=2)
    assert [all(p.requires_grad for p in block.parameters()) for block in model.blocks] == [False, False, True]
    assert not model.positions.requires_grad
    assert not model.patches.weight.requires_grad
    assert model.classifier.weight.requires_grad
    with torch.device("meta"):
        large = network({"name": "torchvision", "network": "vit_b_16"}, size=224, frozen=8)
    frozen = [not next(block.parameters()).requires_grad for block in large.network.encoder.layers]
    assert frozen == [True] * 8 + [False] * 4
    assert not large.network.conv_proj.weight.requires_grad
    assert not large.network.class_token.requires_grad
    assert not large.network.encoder.pos_embedding.requires_grad
    assert large.network.heads.head.weight.requires_grad
    with pytest.raises(ParameterError, match="frozen_blocks=1 but ResNet9 has 0 transformer blocks"):
        network({"name": "resnet9", "width": 4}, frozen=1)
