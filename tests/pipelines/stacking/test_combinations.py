import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from tests.pipelines.stacking.conftest import make_run

from vision_studies.pipelines.stacking import combinations
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.combinations import member_weights
from vision_studies.pipelines.stacking.fair_opponents import combination, independent_members
from vision_studies.pipelines.stacking.outputs import load_outputs, save_outputs
from vision_studies.pipelines.stacking.work import Job

CPU = torch.device("cpu")
RULES = ["best_learner", "average", "weighted_average", "greedy", "soup"]


def members(accuracies, count=300, classes=4, seed=0):
    """Probabilities [members, N, classes] of members that err independently, and labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    said = [np.where(random.random(count) < own, labels, random.integers(0, classes, count)) for own in accuracies]
    logits = np.eye(classes)[np.stack(said)] * 2 + random.normal(0, 0.5, (len(accuracies), count, classes))
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), labels


@pytest.mark.parametrize("rule", RULES[:-1])
def test_weights_lie_on_the_simplex(rule):
    weights = member_weights(rule, *members([0.5, 0.8, 0.7]))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()


def test_the_best_learner_is_the_most_accurate_and_of_equals_the_one_with_less_loss():
    probabilities, labels = members([0.5, 0.8, 0.7])
    np.testing.assert_array_equal(member_weights("best_learner", probabilities, labels), [0, 1, 0])
    sharper = probabilities[1] ** 0.01
    sharper /= sharper.sum(axis=1, keepdims=True)  # as accurate, but nearly uniform
    assert member_weights("best_learner", np.stack([sharper, probabilities[1]]), labels).tolist() == [0, 1]


def test_the_super_learner_has_the_lowest_loss_of_all_convex_combinations():
    probabilities, labels = members([0.5, 0.8, 0.75])
    likelihood = probabilities[:, np.arange(len(labels)), labels]

    def loss(weights):
        return -np.log(weights @ likelihood).mean()

    found = loss(member_weights("weighted_average", probabilities, labels))
    simplex = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    expected = minimize(loss, np.full(3, 1 / 3), method="SLSQP", bounds=[(0, 1)] * 3, constraints=simplex)
    assert found == pytest.approx(expected.fun, abs=1e-5)
    assert found <= loss(np.full(3, 1 / 3))


def test_ensemble_selection_is_at_least_as_accurate_as_its_best_member():
    probabilities, labels = members([0.55, 0.6, 0.5, 0.58])
    weights = member_weights("greedy", probabilities, labels)
    chosen = (np.tensordot(weights, probabilities, axes=1).argmax(axis=1) == labels).mean()
    assert chosen >= max((own.argmax(axis=1) == labels).mean() for own in probabilities)


@pytest.fixture
def trained(tmp_path, counting_data):
    """Three independent networks, trained and scored: settings of the stack, folders and costs."""
    stack = make_run(mode="joint", training={"epochs": 3})
    folders, costs = [], []
    for member in independent_members(stack):
        folder = tmp_path / f"member_{member.member}"
        costs.append(stacking.train(Job(member, 0, counting_data, folder, CPU)).metrics)
        save_outputs(stacking.outputs_on_test(Job(member, 0, counting_data, folder, CPU)), folder, "test")
        folders.append(folder)
    return stack, folders, costs


@pytest.mark.parametrize("rule", RULES)
def test_a_combination_chooses_without_the_test_split_and_scores_it_once(tmp_path, counting_data, trained, rule):
    stack, folders, costs = trained
    run = combination(stack, rule)
    counting_data.asked.clear()
    found = combinations.combine(Job(run, 0, counting_data, tmp_path, CPU), folders, costs)
    assert "test" not in {split for split, _, _ in counting_data.asked}
    weights = combinations.chosen_weights(found.metrics)
    assert len(weights) == 3
    assert sum(weights) == pytest.approx(1)
    assert found.metrics["seconds"] == pytest.approx(sum(cost["seconds"] for cost in costs))
    outputs = combinations.combined_on_test(Job(run, 0, counting_data, tmp_path, CPU), folders, weights)
    np.testing.assert_array_equal(outputs.indices, counting_data.splits.test)
    np.testing.assert_allclose(outputs.probabilities.sum(axis=1), 1, rtol=1e-5)
    own = [load_outputs(folder, "test").probabilities for folder in folders]
    if rule != "soup":
        np.testing.assert_allclose(outputs.probabilities, np.tensordot(weights, own, axes=1), atol=1e-5)
    if rule == "average":
        assert found.metrics["parameters"] == sum(cost["parameters"] for cost in costs)
    if rule in ("best_learner", "soup"):
        assert found.metrics["parameters"] == costs[0]["parameters"]


def test_a_soup_is_not_less_accurate_on_validation_than_its_best_ingredient(tmp_path, counting_data, trained):
    stack, folders, costs = trained
    found = combinations.combine(Job(combination(stack, "soup"), 0, counting_data, tmp_path, CPU), folders, costs)
    assert found.metrics["validation_accuracy"] >= max(cost["validation_accuracy"] for cost in costs)


def test_a_soup_of_one_network_twice_is_that_network_and_its_norms_see_the_training_images(
    tmp_path, counting_data, trained
):
    stack, folders, _ = trained
    runs = (independent_members(stack)[0],) * 2
    soup = combination(stack, "soup").model_copy(update={"members": runs})
    kept, model = combinations.greedy_soup(Job(soup, 0, counting_data, tmp_path, CPU), [0, 1], [folders[0]] * 2)
    single = stacking.build(runs[0], 0, counting_data)
    stacking.load_weights(single, folders[0] / stacking.WEIGHTS_FILE)
    for (name, value), expected in zip(model.named_parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(value, expected, msg=name)
    assert kept[0] == 0


def test_networks_of_different_architectures_make_no_soup():
    mixed = make_run(mode="joint", base_learners=["small", "wide"])
    assert combination(mixed, "soup") is None
    assert combination(mixed, "average") is not None
