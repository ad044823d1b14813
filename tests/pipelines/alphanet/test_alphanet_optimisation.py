"""What can be chosen of a training by name: every sampler, optimiser, scheduler and activation acts, or is refused."""

from itertools import combinations
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from tests.pipelines.alphanet.test_alphanet_training import (
    SETTINGS,
    interrupted_after,
    place,  # noqa: F401 - a fixture
    train,
    with_training,
)

from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.settings import SCHEDULERS, SIMPLE_OPTIMIZERS, SamplerName
from vision_studies.pipelines.alphanet.work.training import check_settings

RATE = SETTINGS.training.optimizer.parameters["lr"]
PARAMETERS = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [2, 4]},
    "ConstantLR": {"factor": 0.5, "total_iters": 3},
    "LinearLR": {"start_factor": 0.25, "total_iters": 4},
    "ExponentialLR": {"gamma": 0.5},
    "PolynomialLR": {"total_iters": 8},
    "CosineAnnealingLR": {"T_max": 7},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.001, "max_lr": 0.02, "step_size_up": 2},
    "OneCycleLR": {"max_lr": 0.05, "total_steps": 8},
}


@pytest.fixture(scope="module")
def losses_without_a_scheduler(place):  # noqa: F811
    [found] = train(place, [1], with_training(scheduler=None, epochs=5))
    return found.batch_losses


def test_every_one_of_the_thirteen_samplers_makes_batches_of_its_own(place):  # noqa: F811
    names = get_args(SamplerName)
    asked = [(name, None if name.startswith("all_") else 1.0) for name in names]
    asked += [(name, 0.5) for name, ratio in asked if ratio]  # and the ratio is heeded
    losses = {}
    for name, ratio in asked:
        short = with_training(samplers=[{"name": name, "ratio": ratio}], epochs=1, minimum_epochs=1)
        [found] = train(place, [1], short)
        losses[name, ratio] = found.batch_losses
    assert len(names) == 13
    for one, other in combinations(losses, 2):
        assert not torch.equal(losses[one], losses[other]), (one, other)


def test_every_optimiser_takes_steps_of_its_own(place):  # noqa: F811
    losses = {}
    for name in SIMPLE_OPTIMIZERS:
        [found] = train(place, [1], with_training(optimizer={"name": name, "parameters": {"lr": 0.05}}, epochs=3))
        assert found.ended == "complete"
        losses[name] = found.batch_losses
    for one, other in combinations(SIMPLE_OPTIMIZERS, 2):
        assert not torch.equal(losses[one], losses[other]), (one, other)


def test_the_schedulers_are_those_of_torch_that_numbers_describe():
    module = torch.optim.lr_scheduler
    known = {
        name for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, module.LRScheduler)
    }
    of_functions, of_others = {"LambdaLR", "MultiplicativeLR"}, {"ChainedScheduler", "SequentialLR"}
    assert known - {"LRScheduler", "_LRScheduler"} == {*SCHEDULERS, *of_functions, *of_others, "ReduceLROnPlateau"}
    assert set(SCHEDULERS) == set(PARAMETERS)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_moves_the_steps_as_torch_does_and_goes_on_after_an_interruption(
    place,  # noqa: F811
    losses_without_a_scheduler,
    name,
    tmp_path,
):
    settings = with_training(scheduler={"name": name, "parameters": PARAMETERS[name]}, epochs=5)
    check_settings(settings.network, settings.training)
    [found] = train(place, [1], settings)
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **PARAMETERS[name])
    rates = []
    for _ in range(settings.training.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert found.history["learning_rate"].tolist() == pytest.approx(rates)
    assert len(set(rates)) > 1
    assert not torch.equal(found.batch_losses, losses_without_a_scheduler)
    with interrupted_after(3):
        train(place, [1], settings, folder=tmp_path)
    [continued] = train(place, [1], settings, folder=tmp_path)
    assert torch.equal(continued.batch_losses, found.batch_losses)
    assert continued.history.equals(found.history)


def activation(name):
    return SETTINGS.network.model_copy(update={"activation": name})


@pytest.mark.parametrize("name", ["leaky_relu", "relu", "gelu", "tanh", "silu", "hardtanh", "rrelu"])
def test_activations_that_treat_every_number_by_itself_are_taken(name):
    check_settings(activation(name), SETTINGS.training)


@pytest.mark.parametrize(
    "name",
    [
        "leakyrelu",  # unknown
        "glu",  # half as many numbers
        "softmax",  # mixes the numbers of a class, or classes, or networks: it depends on the stack
        "normalize",
        "dropout",  # drawn from a generator that all share
        "linear",  # wants weights
        "one_hot",  # wants whole numbers
        "math",  # no function
    ],
)
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_other_functions_are_refused(name):
    with pytest.raises(ParameterError, match=f"alphanet.network.activation: '{name}' is no activation"):
        check_settings(activation(name), SETTINGS.training)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": {"name": "SGD", "parameters": {"lr": "fast"}}}, "training.optimizer: SGD does not take"),
        ({"optimizer": {"name": "AdamW", "parameters": {"learning_rate": 1}}}, "AdamW does not take"),
        ({"optimizer": {"name": "SGD", "parameters": {"lr": -1.0}}}, "training.optimizer: SGD does not take"),
        (
            {"optimizer": {"name": "Adam", "parameters": {"foreach": True, "fused": True}}},
            "training.optimizer: Adam does not take",
        ),
        ({"scheduler": {"name": "StepLR", "parameters": {}}}, "training.scheduler: StepLR does not take"),
        (
            {"scheduler": {"name": "OneCycleLR", "parameters": {"max_lr": 0.1, "total_steps": 5}}},
            "training.scheduler: OneCycleLR does not work with .* over 7 epochs",
        ),
    ],
)
def test_optimisers_and_schedulers_are_tried_to_the_last_epoch(changes, said):
    with pytest.raises(ParameterError, match=said):
        check_settings(SETTINGS.network, with_training(**changes).training)


@pytest.mark.parametrize("name", ["Cosine", "LambdaLR", "SequentialLR", "ReduceLROnPlateau", "LRScheduler"])
def test_other_schedulers_are_refused(name):
    with pytest.raises(ValidationError, match=f"scheduler '{name}' is none of StepLR, MultiStepLR"):
        with_training(scheduler={"name": name, "parameters": {}})


def test_a_scheduler_that_lasts_is_taken():
    changes = {"scheduler": {"name": "OneCycleLR", "parameters": {"max_lr": 0.1, "total_steps": 8}}}
    check_settings(SETTINGS.network, with_training(**changes).training)
    check_settings(SETTINGS.network, with_training(scheduler=None).training)
