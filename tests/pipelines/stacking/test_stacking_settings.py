import difflib
import json
from itertools import combinations
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError
from tests.conftest import ROOT

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.merge import merge_settings
from vision_studies.errors import ParameterError
from vision_studies.pipelines.stacking.settings import OneTraining, StackingSettings, read_run, stack_run

OPTIONS = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}
BASE = yaml.safe_load((ROOT / "conf/base/parameters_stacking.yml").read_text(encoding="utf-8"))["stacking"]
STUDIES = [
    *("meta_learner_study", "alpha_study", "init_study", "homogeneous_scale_study", "fixed_param_scale_study"),
    *("image_features_dim_study", "vit_study", "stacked_cv", "hyper_search"),
]


def settings(**changes) -> StackingSettings:
    return StackingSettings.model_validate(merge_settings(BASE, changes))


def study(name) -> StackingSettings:
    loader = StudyConfigLoader(ROOT / "conf", env=name, **OPTIONS)
    return StackingSettings.model_validate(loader["parameters"]["stacking"])


@pytest.mark.parametrize("extra", ["", "+demo", "+middle"])
@pytest.mark.parametrize("name", STUDIES)
def test_every_variant_changes_the_resolved_run(name, extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/01_raw").mkdir(parents=True)
    (tmp_path / "data/01_raw/vit_b_16-c867db91.pth").write_bytes(b"weights")
    own = study(name + extra)
    runs = {v.name: stack_run(own.configured(v), own.networks).model_dump_json() for v in own.variants}
    assert len(set(runs.values())) == len(runs) >= 2
    for text in runs.values():
        assert read_run(json.loads(text)).model_dump_json() == text


@pytest.mark.parametrize("extra", ["", "+hour", "+middle", "+demo", "+cifar100"])
def test_the_study_of_ensembles_has_all_of_them_at_every_size(extra):
    own = study(f"ensembles_cifar10{extra}")
    assert {*get_args(OneTraining), "average", "ema", "same_macs", "same_parameters"} == set(own.opponents)
    assert (len(own.run.base_learners), own.run.loader, own.ensembles.equal) == (4, "device", ("operations",))
    assert 4 * own.run.training.epochs >= 2 * 4  # a path of four members has epochs to share


@pytest.mark.slow
def test_the_variants_are_the_published_ones():
    def values(name, *keys):
        own = study(name)
        found = []
        for variant in own.variants:
            value = own.configured(variant)
            for key in keys:
                value = getattr(value, key)
            found.append(value)
        return found

    assert sorted(values("alpha_study", "loss", "alpha"))[:5] == [0.1, 0.3, 1.0, 1.0, 3.0]
    assert {(512,), (512, 256), (512, 256, 128)} < set(values("meta_learner_study", "meta_learner", "hidden"))
    assert set(values("init_study", "initialisation")) == {
        *("kaiming_fan_out", "kaiming_fan_in", "orthogonal", "xavier_uniform", "xavier_normal")
    }
    assert [len(own) for own in values("homogeneous_scale_study", "base_learners")] == [1, 3, 9]
    dimensions = [own and own.dimension for own in values("image_features_dim_study", "meta_learner", "image_features")]
    assert sorted(own for own in dimensions if own) == [16, 32, 64, 128, 128, 256]
    fixed = values("fixed_param_scale_study", "base_learners")
    assert {("resnet34",), ("resnet18",) * 2, ("resnet9",) * 3, ("resnet9",) * 9} == set(fixed)


def test_a_study_of_the_published_networks_composes_with_cifar100():
    loader = StudyConfigLoader(ROOT / "conf", env="alpha_study+cifar100", **OPTIONS)
    assert loader["parameters"]["data_prep"]["source"] == "cifar100"
    assert loader.study == "alpha_study+cifar100"


def variant(name="a", **changes):
    return {"name": name, "changes": changes, "space": None}


SEARCH = {
    "trials": 2,
    "timeout": None,
    "seed": 7,
    "storage": None,
    "sampler": {"name": "tpe", "startup_trials": 1},
    "pruner": None,
    "spaces": {"sgd": {"training.optimizer.learning_rate": {"low": 0.1, "high": 1.0, "scale": "log"}}},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variants": [variant(base_learners=["resnet99"])]},
            "names 'resnet99', which is none of networks (did you mean",
        ),
        ({"variants": [variant(meta_learner={"hiden": [3]})]}, "there is no such parameter; did you mean 'hidden'"),
        ({"variants": [variant(base_learners=[])]}, "variant 'a': "),
        ({"variants": [variant(loss={"form": "interpolation", "alpha": 1.5})]}, "alpha (1.5) must lie between 0 and 1"),
        ({"variants": [variant(loss={"alpha": -1})]}, "variant 'a': "),
        ({"variants": [variant(meta_learner={"inputs": "none", "image_features": None})]}, "it sees nothing"),
        (
            {"variants": [variant(mode="cross_validated", meta_learner={"inputs": "features"})]},
            "inputs=features does not fit mode cross_validated",
        ),
        ({"variants": [variant(loss={"alpha": 0}, meta_learner={"detach": True})]}, "no base learner would learn"),
        (
            {"search": SEARCH | {"storage": "postgresql://me:secret@host/studies"}},
            "the address holds a password, which would be recorded with every run",
        ),
        ({"search": SEARCH | {"storage": "studies.db"}}, "'studies.db' is not the address of a database"),
        ({"variants": [variant(folds={"meta_training": {"epoch": 3}})]}, "folds.meta_training: "),
        (
            {
                "variants": [
                    variant(
                        mode="cross_validated",
                        folds={"meta_training": {"mixing": {"name": "cutmix", "alpha": 1.0, "probability": 0.5}}},
                    )
                ]
            },
            "folds.meta_training.mixing must be null",
        ),
        ({"variants": [variant(), variant("b")]}, "variants 'a' and 'b' are one configuration"),
        ({"variants": [variant(), variant()]}, "variants has an entry twice: a, a"),
        ({"seeds": [1, 1]}, "seeds has an entry twice"),
        ({"ensembles": {"equal": ["parameters", "parameters"]}}, "ensembles.equal has an entry twice"),
        ({"ensembles": {"equal": []}}, "ensembles.equal"),
        ({"ensembles": {"members": 1}}, "greater than or equal to 2"),
        ({"ensembles": {"shared": 1.0}}, "less than 1"),
        ({"search": SEARCH, "seeds": [7, 8]}, "seeds has 7, which is search.seed"),
        ({"search": SEARCH, "variants": [{**variant(), "space": "adam"}]}, "space 'adam' is none of search.spaces"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(changes, message):
    with pytest.raises(ValidationError) as told:
        settings(**changes)
    text = str(told.value)
    assert message in text, difflib.ndiff([message], [text])


def test_a_file_of_weights_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = settings(networks={"resnet9": {"weights_file": "none.pth"}})
    with pytest.raises(ParameterError, match=r"stacking.networks.resnet9.weights_file=none.pth does not exist"):
        stack_run(own.configured(own.variants[0]), own.networks)


def test_another_content_of_the_file_is_another_run(tmp_path):
    file = tmp_path / "w.safetensors"
    own = settings(networks={"resnet9": {"weights_file": str(file)}}, run={"initialisation": "orthogonal"})
    hashes = set()
    for content in (b"1", b"2"):
        file.write_bytes(content)
        run = stack_run(own.configured(own.variants[0]), own.networks)
        hashes.add(run.base_learners[0].weights_hash)
        assert run.base_learners[0].initialisation is None
    assert len(hashes) == 2


def test_runs_hold_nothing_that_they_do_not_use():
    own = settings(variants=[variant(), variant("b", folds={"number": 7})][:1])
    first = stack_run(own.configured(own.variants[0]), own.networks)
    other = settings(run={"folds": {"number": 7}})
    assert stack_run(other.configured(other.variants[0]), other.networks) == first
    assert all(pair[0] != pair[1] for pair in combinations(BASE["opponents"], 2))
