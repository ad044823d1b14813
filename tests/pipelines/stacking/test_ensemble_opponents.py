"""Opponents that are an ensemble of one training: what they cost, how they are trained, and what is chosen by validation."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.pipelines.stacking.conftest import make_run, stacking_settings

from vision_studies.errors import ParameterError
from vision_studies.models.statistics import count_macs, count_parameters
from vision_studies.pipelines.stacking import combinations, costs, mock_trainer, paths, rebuilding
from vision_studies.pipelines.stacking import fair_opponents as opponents
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.networks import NETWORKS
from vision_studies.pipelines.stacking.outputs import load_outputs
from vision_studies.pipelines.stacking.settings import OneTraining, Recipe, read_run
from vision_studies.pipelines.stacking.stages import TITLES, plan_entries
from vision_studies.pipelines.stacking.work import Job
from vision_studies.studies.method import StoredNetwork
from vision_studies.training.checkpoints import load_weights
from vision_studies.training.schedules import Schedule

CPU = torch.device("cpu")
KINDS = get_args(OneTraining)
COSINE = {"name": "cosine", "eta_min": 0.0, "interval": "step", "warmup_epochs": 0}


def options(**changes):
    return stacking_settings(ensembles=changes).ensembles


def ensemble(kind, data, equal="operations", changes=None, **run):
    stack = make_run(mode="joint", **run)
    return stack, opponents.ensemble(kind, stack, options(**changes or {}), equal, data)


@pytest.mark.parametrize("kind", KINDS)
def test_with_equal_operations_the_training_takes_those_of_the_stack_and_one_learner_s_parameters(kind, counting_data):
    stack, run = ensemble(kind, counting_data, training={"epochs": 6})
    built = stacking.build(run, 0, counting_data)
    asked = built.train().members if kind == "packed" else run.learner.model.build(**counting_data.sizes)
    macs = count_macs(asked, counting_data.image_shape) * run.training.epochs
    assert macs == pytest.approx(opponents.training_macs(stack, counting_data), rel=0.12)
    if not run.along_a_path:
        one = opponents.network_cost(stack.base_learners[0], counting_data)["parameters"]
        assert count_parameters(built) == pytest.approx(one, rel=0.35)
    assert run.recipe.members == 3


@pytest.mark.parametrize("kind", KINDS)
def test_with_equal_parameters_it_has_those_of_the_stack_and_its_epochs(kind, counting_data):
    stack, run = ensemble(kind, counting_data, "parameters", training={"epochs": 6})
    assert run.training.epochs == 6
    found = opponents.ensemble_cost(run, counting_data)["parameters"]
    assert found == pytest.approx(opponents.stack_cost(stack, counting_data)["parameters"], rel=0.3)


def test_a_member_without_an_epoch_is_refused_in_a_sentence(counting_data):
    with pytest.raises(
        ParameterError, match="snapshot of 9 members takes 9 epochs at least, and with equal parameters"
    ):
        ensemble("snapshot", counting_data, "parameters", {"members": 9})


def test_a_snapshot_s_rates_are_the_published_formula(counting_data):
    _, run = ensemble("snapshot", counting_data, training={"epochs": 4, "schedule": COSINE})
    epochs = run.training.epochs - run.training.epochs % 3
    run = run.model_copy(update={"training": run.training.model_copy(update={"epochs": epochs})})
    per_epoch, highest = 7, run.training.optimizer.learning_rate
    rates = []
    for part in paths.part_trainings(run):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=part.optimizer.learning_rate)
        schedule = Schedule(part.schedule, [optimizer], part.epochs, per_epoch)
        rates += [schedule.apply(step) for step in range(part.epochs * per_epoch)]
    total = epochs * per_epoch
    cycle = math.ceil(total / 3)
    expected = [highest / 2 * (math.cos(math.pi * (step % cycle) / cycle) + 1) for step in range(total)]
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_after_a_shared_beginning_rates_are_lower_and_images_large(counting_data):
    for kind in ("swa", "shared_soup"):
        _, run = ensemble(kind, counting_data, training={"epochs": 4, "image_scales": [0.5, 1]})
        first, *members = paths.part_trainings(run)
        assert sum(paths.part_epochs(run)) == run.training.epochs
        assert first.epochs == round(0.75 * run.training.epochs)
        assert first.optimizer == run.training.optimizer
        for part in members:
            assert part.optimizer.learning_rate == pytest.approx(0.1 * first.optimizer.learning_rate)
            assert part.image_scales == (1,)
            assert part.schedule.name == ("constant" if kind == "swa" else first.schedule.name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_is_trained_without_the_test_split_and_every_member_s_predictions_stay(
    kind, tmp_path, counting_data
):
    _, run = ensemble(kind, counting_data)
    assert read_run(run.model_dump(mode="json")) == run
    work = paths if run.along_a_path else stacking
    outcome = work.train(Job(run, 0, counting_data, tmp_path, CPU))
    assert "test" not in {split for split, _, _ in counting_data.asked}
    assert (outcome.status, len(outcome.history)) == ("complete", run.training.epochs)
    cost = opponents.ensemble_cost(run, counting_data)
    assert {name: outcome.metrics[name] for name in cost} == cost
    validation = load_outputs(tmp_path, "validation")
    assert validation.logits.shape[1] == 4
    right = (validation.probabilities.argmax(axis=1) == validation.labels).mean()
    assert outcome.metrics["validation_accuracy"] == pytest.approx(right)
    test = stacking.outputs_on_test(Job(run, 0, counting_data, tmp_path, CPU))
    again = work.train(Job(run, 0, counting_data, tmp_path, CPU))  # finished parts are not trained again
    assert again.metrics["validation_accuracy"] == outcome.metrics["validation_accuracy"]
    if kind not in ("swa", "shared_soup"):
        np.testing.assert_allclose(test.members.mean(axis=1), test.probabilities, atol=1e-5)
    described = {"pipeline": "stacking", "configuration": run.model_dump(mode="json"), "seed": 0}
    assert NETWORKS.title(described["configuration"]) == f"{TITLES[kind]} of 3 × resnet_small"
    rebuilt = rebuilding.rebuild(StoredNetwork(tmp_path, described, None), counting_data)
    batch = next(iter(counting_data.loader("test", kind="device", batch_size=1000, device=CPU).epoch(0)))
    with torch.inference_mode():
        said = rebuilt.network.eval()(batch.images).softmax(dim=1)
    np.testing.assert_allclose(said, test.probabilities, atol=1e-5)


def test_the_first_snapshot_is_a_network_trained_alone_for_a_cycle(tmp_path, counting_data):
    stack, run = ensemble("snapshot", counting_data)
    first = paths.part_trainings(run)[0]
    alone = opponents.independent_members(stack)[0].model_copy(update={"training": first})
    paths.train(Job(run, 0, counting_data, tmp_path / "path", CPU))
    stacking.train(Job(alone, 0, counting_data, tmp_path / "alone", CPU))
    expected = stacking.outputs_on_test(Job(alone, 0, counting_data, tmp_path / "alone", CPU)).logits[:, 0]
    found = stacking.outputs_on_test(Job(run, 0, counting_data, tmp_path / "path", CPU)).logits
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    assert not np.allclose(found[:, 1], expected, atol=1e-2)


def test_a_path_that_was_cut_off_goes_on_with_the_same_numbers(tmp_path, counting_data, monkeypatch):
    _, run = ensemble("shared_soup", counting_data)
    whole = paths.train(Job(run, 0, counting_data, tmp_path / "whole", CPU))
    real, calls = paths.fit_split, []

    def cut_off(*arguments, **named):
        calls.append(named["folder"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(paths, "fit_split", cut_off)
    with pytest.raises(KeyboardInterrupt):
        paths.train(Job(run, 0, counting_data, tmp_path / "cut", CPU))
    monkeypatch.setattr(paths, "fit_split", real)
    assert (
        paths.train(Job(run, 0, counting_data, tmp_path / "cut", CPU)).metrics["validation_loss"]
        == (whole.metrics["validation_loss"])
    )
    found, expected = (load_outputs(tmp_path / name, "validation").logits for name in ("cut", "whole"))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["swa", "shared_soup"])
def test_what_decides_is_the_mean_of_the_chosen_members_weights(kind, tmp_path, counting_data):
    _, run = ensemble(kind, counting_data)
    shares = [*paths.train(Job(run, 0, counting_data, tmp_path, CPU)).metrics["other_metrics"].values()]
    assert sum(shares) == pytest.approx(1)
    built = load_weights(stacking.build(run, 0, counting_data), tmp_path / stacking.WEIGHTS_FILE)
    for name, value in built.decides.named_parameters():
        expected = sum(
            share * own.get_parameter(name) for share, own in zip(shares, built.members.networks, strict=True)
        )
        torch.testing.assert_close(value, expected, msg=name)


@pytest.mark.parametrize(("averaged", "chosen"), [(0.6, [0, 1, 2]), (0.5, [0, 1, 2]), (0.4, [2])])
def test_swa_is_the_last_point_where_validation_says_so(averaged, chosen, counting_data, monkeypatch):
    _, run = ensemble("swa", counting_data)
    accuracy = {3: averaged, 1: 0.5}
    monkeypatch.setattr(paths, "soup_accuracy", lambda _model, states, *_: accuracy[len(states)])
    assert paths._ingredients(Job(run, 0, counting_data, None, CPU), None, [{}, {}, {}]) == chosen


@pytest.mark.parametrize("seed", range(5))
def test_a_greedy_soup_is_the_loop_written_out(seed):
    random = np.random.default_rng(seed)
    values = {}

    def accuracy_of(chosen):
        return values.setdefault(tuple(sorted(chosen)), round(float(random.random()), 1))

    order = random.permutation(5).tolist()
    kept = [order[0]]
    for candidate in order[1:]:
        with_it, without = accuracy_of([*kept, candidate]), accuracy_of(kept)
        if not with_it < without:
            kept.append(candidate)
    assert combinations.greedy_ingredients(order, accuracy_of) == kept


def test_opponents_are_told_by_what_is_equal(counting_data):
    names = [*KINDS, "ema"]
    settings = stacking_settings(
        opponents=names,
        ensembles={"equal": ["operations", "parameters"]},
        run={"mode": "joint", "training": {"epochs": 6}},
    )
    entries = plan_entries(settings, counting_data, {})[1:]
    assert len({entry.name for entry in entries}) == len(entries) == 2 * len(names)
    assert {entry.name for entry in entries} >= {"packed ensemble, same operations", "packed ensemble, same parameters"}
    one = plan_entries(settings.model_copy(update={"ensembles": options()}), counting_data, {})[1:]
    assert [entry.role for entry in one] == names
    average = next(entry.run for entry in one if entry.role == "ema")
    assert average.training.ema_decay == 0.99
    assert average.model_copy(update={"training": average.training.model_copy(update={"ema_decay": None})}) == (
        opponents.same_macs(make_run(mode="joint", training={"epochs": 6}), counting_data)
    )


def test_networks_that_cannot_be_packed_are_refused_before_anything_is_trained(counting_data):
    transformer = {"small": {"model": {"name": "vit_compact", "patch_size": 2, "heads": 2, "width": 8, "depth": 1}}}
    settings = stacking_settings(networks=transformer, opponents=["packed"], run={"mode": "joint"})
    with pytest.raises(ParameterError, match="stacking.opponents: packed takes networks of convolutions"):
        plan_entries(settings, counting_data, {})


def test_made_up_ensembles_have_their_members(tmp_path, counting_data):
    _, run = ensemble("packed", counting_data, trainer="mock")
    made = mock_trainer.train(Job(run, 0, counting_data, tmp_path, CPU), opponents.ensemble_cost(run, counting_data))
    assert made.metrics["device"] == "mock"
    assert load_outputs(tmp_path, "validation").logits.shape[1] == 4


@pytest.mark.parametrize("kind", ["snapshot", "packed"])
def test_costs_of_training_and_scoring_are_told(kind, counting_data):
    _, run = ensemble(kind, counting_data)
    training = costs.training_costs(run, counting_data, CPU)
    [scoring] = costs.scoring_costs(run, counting_data, CPU)
    assert training[0].units >= run.training.epochs * len(counting_data.splits.train)
    assert scoring.units == (4 if kind == "snapshot" else 1) * len(counting_data.splits.test)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("swa", {"shared": 0.5}),
        ("shared_soup", {"rate": 0.1}),
        ("swa", {"shared": 0.5, "rate": 0.0}),
        ("mc_dropout", {}),
        ("snapshot", {"dropout": 0.1}),
        ("packed", {"shared": 0.5, "rate": 0.1}),
    ],
)
def test_a_recipe_has_the_options_of_its_ensemble_and_no_others(name, options):
    with pytest.raises(ValidationError, match=f"{name} has the options"):
        Recipe(name=name, members=2, **options)
