import pytest
import yaml
from pydantic import ValidationError
from tests.conftest import ROOT

from vision_studies.config.merge import merge_settings
from vision_studies.pipelines.alphanet.settings import AlphanetSettings

ENVIRONMENTS = ["alphanet_cifar10lt", "alphanet_cifar100lt", "alphanet_fashionlt", "alphanet_imported"]
OWN = {"label": "own", "method": {"name": "own"}}
EXPERTS = {"label": "experts", "method": {"name": "multi_expert", "of": "own", "crt": None}}
FEW = {"name": "all_few", "ratio": None}


def parameters(*environments):
    merged = yaml.safe_load((ROOT / "conf/base/parameters_alphanet.yml").read_text(encoding="utf-8"))
    for name in environments:
        own = (ROOT / f"conf/{name}/parameters.yml").read_text(encoding="utf-8")
        merged = merge_settings(merged, yaml.safe_load(own))
    return merged["alphanet"]


def alphanet_settings(*environments, **changes):
    return AlphanetSettings.model_validate(merge_settings(parameters(*environments), changes))


def test_the_base_is_the_published_setting_but_for_what_is_mended():
    own = alphanet_settings()
    assert (own.splits.few_below, own.splits.many_above) == (20, 100)
    assert (own.network.hidden, own.network.activation) == ((32, 32, 32), "leaky_relu")
    assert (own.neighbours, own.distances) == ((5,), ("euclidean",))
    training = own.training
    assert (training.epochs, training.minimum_epochs, training.batch_size) == (25, 5, 64)
    assert (training.optimizer.name, training.optimizer.parameters) == ("AdamW", {"lr": 0.001})
    assert (training.scheduler.name, training.scheduler.parameters) == ("StepLR", {"step_size": 10, "gamma": 0.1})
    assert [(sampler.name, sampler.ratio) for sampler in training.samplers] == [
        ("all_few", None),
        ("class_balanced_base", "rho"),
    ]
    assert training.selection.policy == "best"
    assert len(own.backbone.seeds) == own.repeats == 5
    assert len(own.rhos) >= 3


@pytest.mark.parametrize("environments", [("demo",), *[(name,) for name in ENVIRONMENTS]])
def test_environments_are_whole(environments):
    alphanet_settings(*environments)


@pytest.mark.parametrize("name", ENVIRONMENTS[:3])
def test_environments_of_images_are_rehearsed_with_the_demo(name):
    own = alphanet_settings(name, "demo")
    assert own.long_tail.factor == 20
    assert own.neighbours == (3,)


def test_a_run_has_its_rho_and_without_validation_its_last_epoch():
    own = alphanet_settings()
    run = own.experiment(4, "cosine", 0.25)
    assert (run.neighbours, run.distance) == (4, "cosine")
    assert [sampler.ratio for sampler in run.training.samplers] == [None, 0.25]
    assert run.training.selection.policy == "best"
    assert alphanet_settings(validation="none").experiment(4, "cosine", 0.25).training.selection.policy == "last"
    assert own.training.selection.policy == "best"
    assert own.training.samplers[1].ratio == "rho"


@pytest.mark.parametrize("seeds", [[3], [0, 1, 2, 3, 4]])
def test_one_network_for_all_repeats_or_one_for_each(seeds):
    assert alphanet_settings(backbone={"seeds": seeds}).backbone.seeds == tuple(seeds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neighbours": [5, 1]}, "neighbours has 1: coefficients are divided by the sum of their sizes"),
        ({"neighbours": []}, "at least 1 item"),
        ({"neighbours": [5, 5]}, "neighbours has an entry twice"),
        ({"distances": ["manhattan"]}, "'euclidean', 'cosine' or 'random'"),
        ({"rhos": [0.5, 0.0]}, "greater than 0"),
        ({"rhos": [0.5, 0.5]}, "rhos has an entry twice"),
        ({"rhos": [1.0], "training": {"samplers": []}}, "at least 1 item"),
        ({"training": {"samplers": [FEW]}}, "rhos are several, but no sampler has `ratio: rho`"),
        ({"training": {"samplers": [{"name": "all_rare", "ratio": None}]}}, "'all_few'"),
        ({"training": {"samplers": [{"name": "all_base", "ratio": 0.5}]}}, "all_base takes no ratio"),
        ({"training": {"samplers": [{"name": "class_balanced_base", "ratio": None}]}}, "takes a ratio"),
        ({"training": {"samplers": [{"name": "uniform_base_image", "ratio": -1.0}]}}, "must be above 0"),
        ({"training": {"samplers": [{"name": "uniform_base_class", "ratio": 1.5}]}}, "so 1 at most"),
        ({"training": {"minimum_epochs": 26}}, r"minimum_epochs \(26\) must not be above epochs \(25\)"),
        ({"training": {"optimizer": {"name": "LBFGS", "parameters": {}}}}, "optimizer 'LBFGS' is none of SGD, Adam"),
        (
            {"training": {"scheduler": {"name": "StepLr", "parameters": {}}}},
            "scheduler 'StepLr' is none of StepLR, Multi",
        ),
        ({"semantic_level": 0}, "greater than or equal to 1"),
        ({"training": {"selection": {"policy": "luckiest"}}}, "'best', 'first_eligible' or 'last'"),
        ({"network": {"hidden": []}}, "at least 1 item"),
        ({"backbone": {"seeds": [0, 1]}}, "backbone.seeds are 2 and repeats 5; give one seed or one a repeat"),
        ({"backbone": {"seeds": [0, 1, 2, 3, 3]}}, "seeds has a seed twice"),
        ({"backbone": {"run": {"loader": "ffcv"}}}, "backbone.run.loader must be device"),
        ({"improved": ["crt"]}, "improved names 'crt', which is none of the classifiers"),
        ({"classifiers": [OWN, OWN], "improved": ["own"]}, "classifiers has an entry twice"),
        ({"classifiers": [OWN, EXPERTS], "improved": ["own"]}, "set backbone.experts to 2 or more"),
        ({"classifiers": [{**OWN, "label": "a, b"}], "improved": ["a, b"]}, "should match pattern"),
        ({"splits": {"few_below": 30, "many_above": 20}}, r"many_above \(20\) must not be below few_below \(30\)"),
        ({"validation": "some"}, "'carved' or 'none'"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        alphanet_settings(**changes)


def test_imported_features_need_no_networks():
    imported = {"registry": "datasets.toml", "data_set": "clouds"}
    own = alphanet_settings(imported=imported, classifiers=[OWN, EXPERTS], improved=["experts"], repeats=7)
    assert own.repeats == 7  # and five seeds of networks that nobody trains
