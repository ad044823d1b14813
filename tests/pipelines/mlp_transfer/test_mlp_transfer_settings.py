import pytest
import yaml
from pydantic import ValidationError
from tests.conftest import ROOT
from tests.models.test_mlp import PUBLISHED

from vision_studies.config.merge import merge_settings
from vision_studies.config.training import EnsembleSettings
from vision_studies.pipelines.mlp_transfer.search import grid_draws
from vision_studies.pipelines.mlp_transfer.settings import (
    HYPERPARAMETERS,
    MlpRunSettings,
    MlpTransferSettings,
    architecture_name,
)


def parameters(*environments):
    merged = {}
    for name in ("base", *environments):
        file = ROOT / f"conf/{name}/parameters{'_mlp_transfer' if name == 'base' else ''}.yml"
        merged = merge_settings(merged, yaml.safe_load(file.read_text(encoding="utf-8")))
    return merged["mlp_transfer"]


def settings(changes):
    return MlpTransferSettings.model_validate(merge_settings(parameters(), changes))


def test_the_published_setting_is_the_published_one():
    own = MlpTransferSettings.model_validate(parameters("mlp_transfer"))
    assert own.protocol == "published"
    assert not own.normalise
    assert own.seeds == (1, 2, 3, 4, 5)
    assert (own.search.trials, own.search.seed, own.search.training_seed, own.search.sampler.name) == (
        30,
        1,
        1,
        "shared",
    )
    assert own.architectures == PUBLISHED
    assert architecture_name(own.architectures[0]) == "252x32x16"
    space = {name: getattr(own.search.space, name) for name in HYPERPARAMETERS}
    assert {name: (*found.ends, found.scale) for name, found in space.items()} == {
        "lr": (1e-5, 3e-2, "log"),
        "beta1": (0.85, 0.99, "uniform"),
        "beta2": (0.9, 0.9999, "uniform"),
        "eps": (1e-9, 1e-6, "log"),
        "weight_decay": (1e-6, 1e-2, "log"),
        "dropout": (0.01, 0.5, "uniform"),
        "leaky_relu_alpha": (0.01, 0.1, "uniform"),
    }
    training = own.training
    assert (training.epochs, training.batch_size, training.early_stopping.patience) == (1000, 4096, 4)
    validated = [epoch for epoch in range(1, 1001) if training.validates(epoch)]
    assert validated[:3] == [5, 10, 15]
    assert validated[19:23] == [100, 104, 108, 112]
    assert validated[-1] == 1000


@pytest.mark.parametrize("environment", ["demo", "mlp_transfer_small"])
def test_the_other_environments_are_whole(environment):
    own = MlpTransferSettings.model_validate(parameters(environment))
    assert own.protocol == "corrected"
    assert own.search.training_seed not in own.seeds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": []}, "at least 1 item"),
        ({"architectures": [[]]}, "without a hidden layer"),
        ({"architectures": [[16, 0]]}, "greater than or equal to 1"),
        ({"architectures": [[16], [8, 8], [16]]}, r"architectures has \[16\] twice"),
        ({"seeds": [11, 12, 11]}, "seeds has 11 twice"),
        ({"seeds": [1, 2]}, "which is search.training_seed"),
        ({"search": {"sampler": {"name": "tpe", "startup_trials": 3}}}, "set batch"),
        ({"search": {"pruner": {"name": "median", "startup_trials": 1, "warmup_epochs": 1}}}, "set batch"),
        (
            {
                "search": {"pruner": {"name": "hyperband", "min_epochs": 1, "reduction_factor": 2}},
                "training": {"selection": "validation_accuracy"},
            },
            "search.pruner ends trials with a high validation loss, and training.selection is validation_accuracy",
        ),
        ({"search": {"space": {"lr": {"low": 1.0, "high": 0.1, "scale": "log"}}}}, "must be below high"),
        ({"search": {"space": {"lr": {"low": 0.0, "high": 0.1, "scale": "log"}}}}, "above 0 on a log scale"),
        ({"search": {"space": {"dropout": {"low": 0.1, "high": 1.0, "scale": "uniform"}}}}, "dropout must stay"),
        ({"search": {"space": {"lr": {"low": 0.1, "high": 0.2, "scale": "cubic"}}}}, "log"),
        ({"training": {"validation_schedule": []}}, "at least 1 item"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(changes)


PINNED = {name: {"choices": [0.5]} for name in HYPERPARAMETERS}
GRID = {"sampler": {"name": "grid"}, "trials": 5, "space": PINNED | {"lr": {"low": 0.01, "high": 0.16, "scale": "log"}}}


def grid(**changes):
    whole = parameters()
    whole["search"] |= GRID | changes
    return MlpTransferSettings.model_validate(whole)


def test_a_grid_cuts_one_range_into_equal_steps_and_tries_every_choice():
    rates = [0.01, 0.02, 0.04, 0.08, 0.16]
    search = grid().search
    draws = grid_draws(search.space, search.trials)
    assert [draw["lr"] for draw in draws] == pytest.approx(rates)
    assert all({value for name, value in draw.items() if name != "lr"} == {0.5} for draw in draws)
    search = grid(trials=10, space=GRID["space"] | {"dropout": {"choices": [0.1, 0.2]}}).search
    pairs = [(draw["lr"], draw["dropout"]) for draw in grid_draws(search.space, search.trials)]
    assert pairs == [(pytest.approx(rate), dropout) for rate in rates for dropout in (0.1, 0.2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": GRID["space"] | {"eps": {"low": 0.01, "high": 0.1, "scale": "log"}}},
            "choices to one of lr and eps",
        ),
        ({"space": PINNED | {"lr": {"choices": [0.1, 0.2]}}}, "set trials to 2, not 5"),
        ({"space": GRID["space"] | {"dropout": {"choices": [0.1, 0.2]}}}, "a multiple of 2, not 5"),
    ],
)
def test_a_grid_that_is_not_whole_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        grid(**changes)


def test_every_architecture_is_studied_in_each_parametrisation_and_its_run_says_which():
    own = settings({"architectures": [[128, 32], [64]], "parametrisations": ["standard", "mup"], "base_width": 32})
    assert [each.name for each in own.perceptrons] == ["128x32", "64", "128x32-mup", "64-mup"]
    values = dict.fromkeys(HYPERPARAMETERS, 0.5)
    plain, mup = (own.run((128, 32), values, each.parametrisation) for each in (own.perceptrons[0], own.perceptrons[2]))
    assert {key: mup[key] for key in mup.keys() - plain.keys()} == {"parametrisation": "mup", "base_width": 32}
    assert MlpRunSettings.model_validate(plain).scales == {}
    scales = MlpRunSettings.model_validate(mup).scales
    assert scales["layers.1.weight"].step.rate == 0.25
    with pytest.raises(ValidationError, match="parametrisations has mup twice"):
        settings({"parametrisations": ["mup", "mup"]})


def test_a_space_may_be_a_list_of_choices():
    own = merge_settings(parameters(), {})
    own["search"]["space"]["lr"] = {"choices": [0.1, 0.01]}
    assert MlpTransferSettings.model_validate(own).search.space.lr.ends == (0.01, 0.1)


def test_the_published_protocol_may_judge_with_the_seed_of_its_search():
    assert settings({"protocol": "published", "seeds": [1, 2]}).seeds == (1, 2)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"until_epoch": None, "interval": 5}, {"until_epoch": 9, "interval": 2}], "make it the last"),
        ([{"until_epoch": 9, "interval": 5}, {"until_epoch": 9, "interval": 2}], "later epochs"),
    ],
)
def test_stages_of_validation_are_in_order(stages, message):
    values = {**parameters()["training"], "validation_schedule": stages}
    with pytest.raises(ValidationError, match=message):
        EnsembleSettings.model_validate(values)
