import pytest
from pydantic import TypeAdapter
from tests.pipelines.stacking.conftest import make_run

from vision_studies.config.models import ModelSettings
from vision_studies.models.statistics import count_macs, count_parameters
from vision_studies.pipelines.stacking.fair_opponents import (
    independent_members,
    network_cost,
    same_macs,
    same_parameters,
    stack_cost,
    training_macs,
    widened_to,
)
from vision_studies.pipelines.stacking.stacked_networks import build_stack


def model(**spec):
    return TypeAdapter(ModelSettings).validate_python(spec)


def test_the_cost_of_a_stack_is_that_of_the_network_that_is_built(counting_data):
    run = make_run(mode="joint", meta_learner={"inputs": "features"})
    built = build_stack(run, counting_data, seed=0)
    assert stack_cost(run, counting_data) == {
        "parameters": count_parameters(built),
        "macs": count_macs(built, (3, 8, 8)),
    }


@pytest.mark.parametrize("target", [3_000, 20_000, 150_000])
@pytest.mark.parametrize(
    "spec",
    [
        {
            "name": "resnet_small",
            "widths": [8, 16],
            "blocks": [1, 1],
            "strides": [1, 2],
            "stem_width": 8,
            "squeeze_reduction": 4,
        },
        {"name": "vit_compact", "depth": 2, "heads": 2, "width": 8, "patch_size": 2},
        {"name": "speedrun_net", "widths": [8, 16, 16]},
    ],
)
def test_a_widened_network_has_about_the_parameters_that_were_asked_for(counting_data, spec, target):
    wide = widened_to(model(**spec), target, counting_data)
    other = TypeAdapter(ModelSettings).validate_python(wide.model_dump())  # and its settings are valid
    cost = network_cost(
        independent_members(make_run(mode="joint"))[0].learner.model_copy(update={"model": other}), counting_data
    )
    assert cost["parameters"] == pytest.approx(target, rel=0.25)


def test_a_network_without_a_width_is_not_widened(counting_data):
    assert model(name="torchvision").widened(3) is None
    assert widened_to(model(name="torchvision"), 1000, counting_data) is None


def test_the_opponent_of_as_many_parameters_is_the_first_that_can_be_widened(counting_data):
    run = make_run(mode="joint", initialisation="orthogonal")
    opponent = same_parameters(run, counting_data)
    found = network_cost(opponent.learner, counting_data)["parameters"]
    assert found == pytest.approx(stack_cost(run, counting_data)["parameters"], rel=0.25)
    assert (opponent.learner.initialisation, opponent.training) == ("orthogonal", run.training)
    without = run.model_copy(
        update={
            "base_learners": tuple(o.model_copy(update={"model": model(name="torchvision")}) for o in run.base_learners)
        }
    )
    assert same_parameters(without, counting_data) is None


@pytest.mark.parametrize("mode", ["joint", "cross_validated"])
def test_the_opponent_of_as_many_operations_trains_longer(counting_data, mode):
    run = make_run(mode=mode, folds={"number": 4})
    opponent = same_macs(run, counting_data)
    own = network_cost(opponent.learner, counting_data)["macs"] * opponent.training.epochs
    assert own == pytest.approx(training_macs(run, counting_data), rel=0.2)
    assert opponent.training.epochs >= (3 if mode == "joint" else 9) * run.training.epochs


def test_members_differ_in_their_number_alone():
    first, second, third = independent_members(make_run(mode="joint"))
    assert (first.member, second.member, third.member) == (0, 1, 2)
    assert first == second.model_copy(update={"member": 0}) == third.model_copy(update={"member": 0})
