import numpy as np
import pytest
import torch
from tests.pipelines.stacking.conftest import make_run

from vision_studies.config.merge import flatten
from vision_studies.outcomes import PRUNED
from vision_studies.pipelines.stacking import mock_trainer
from vision_studies.pipelines.stacking.fair_opponents import independent_members, stack_cost
from vision_studies.pipelines.stacking.outputs import load_outputs
from vision_studies.pipelines.stacking.work import Job
from vision_studies.reports.tables import labels_of

CPU = torch.device("cpu")


def train(data, folder, seed=0, report=None, **changes):
    run = make_run(**{"mode": "joint", "trainer": "mock", "training": {"epochs": 20}, **changes})
    return run, mock_trainer.train(Job(run, seed, data, folder, CPU), stack_cost(run, data), report)


def test_curves_rise_and_have_the_columns_of_a_real_training(tmp_path, counting_data):
    from vision_studies.pipelines.stacking import work as stacking

    _, made = train(counting_data, tmp_path / "mock")
    accuracy = made.history["validation_accuracy"]
    assert accuracy.iloc[0] < 0.6
    assert 0.85 < accuracy.iloc[-1] <= 1
    real = stacking.train(Job(make_run(mode="joint"), 0, counting_data, tmp_path / "real", CPU))
    assert set(made.history) == set(real.history)
    assert {"parameters", "macs", "seconds", "validation_accuracy"} <= made.metrics.keys()
    assert made.metrics["device"] == "mock"


def test_the_same_seed_makes_up_the_same_and_another_another(tmp_path, counting_data):
    histories = [train(counting_data, tmp_path, seed=seed)[1].history for seed in (0, 0, 1)]
    assert histories[0].equals(histories[1])
    assert not histories[0].equals(histories[2])


def test_what_is_made_up_says_so_wherever_it_is_shown(tmp_path, counting_data):
    import json

    run, _ = train(counting_data, tmp_path)
    assert labels_of(json.dumps(flatten(run.model_dump(mode="json")))) == ("mock",)
    real = make_run(mode="joint")
    assert labels_of(json.dumps(flatten(real.model_dump(mode="json")))) == ()
    assert real != run


def test_outputs_have_about_the_accuracy_of_the_history(tmp_path, counting_data):
    run, made = train(counting_data, tmp_path)
    outputs = load_outputs(tmp_path, "validation")
    right = (outputs.logits.argmax(axis=2) == outputs.labels[:, None]).mean(axis=0)
    assert right[-1] == pytest.approx(made.history["validation_accuracy"].max(), abs=0.15)
    assert outputs.logits.shape[1] == 4
    test = mock_trainer.make_up_outputs(Job(run, 0, counting_data, tmp_path, CPU), "test", 0.9)
    np.testing.assert_array_equal(test.indices, counting_data.splits.test)


def test_a_far_learning_rate_makes_up_a_worse_network_and_pruning_works(tmp_path, counting_data):
    good = train(counting_data, tmp_path / "a", training={"epochs": 20, "optimizer": {"learning_rate": 0.3}})[1]
    bad = train(counting_data, tmp_path / "b", training={"epochs": 20, "optimizer": {"learning_rate": 0.001}})[1]
    assert good.metrics["validation_accuracy"] > bad.metrics["validation_accuracy"]
    pruned = train(counting_data, tmp_path / "c", report=lambda row: row["epoch"] == 5)[1]
    assert (pruned.status, pruned.reason, len(pruned.history)) == (PRUNED, "the search ended it", 5)


def test_longer_training_takes_longer(tmp_path, counting_data):
    short = train(counting_data, tmp_path / "a")[1].metrics["seconds"]
    long = train(counting_data, tmp_path / "b", training={"epochs": 60})[1].metrics["seconds"]
    assert long == pytest.approx(3 * short)
    assert independent_members(make_run(mode="joint", trainer="mock"))[0].mock
