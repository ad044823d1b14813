"""The values in conf/base against the published project's."""

from typing import Any

import yaml
from tests.conftest import ROOT

from vision_studies.config.merge import merge_settings
from vision_studies.config.network_run import RunSettings


def base_run(changes: dict[str, Any]) -> RunSettings:
    """The run of conf/base with changes."""
    parameters = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))
    return RunSettings.model_validate(merge_settings(parameters["cifar_resnet"]["run"], changes))


def test_checkpoints_of_every_tenth_epoch_stay_as_in_the_published_project():
    parameters = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))
    assert parameters["cifar_resnet"]["keep_every"] == base_run({}).training.checkpoint_every == 10


def test_the_base_run_is_the_published_one():
    run = base_run({})
    training = run.training
    assert run.model.name == "resnet_small"
    assert (training.epochs, training.batch_size, training.label_smoothing, training.gradient_clip) == (
        200,
        128,
        0.1,
        1.0,
    )
    assert training.optimizer.model_dump() == {
        "name": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.95,
        "nesterov": False,
        "weight_decay": 1e-4,
    }
    assert training.schedule.model_dump() == {
        "name": "onecycle",
        "pct_start": 0.1,
        "div_factor": 25,
        "final_div_factor": 1e4,
        "base_momentum": 0.85,
    }
    assert training.mixing is not None
    assert training.mixing.model_dump() == {"name": "cutmix", "alpha": 1.0, "probability": 0.7}
