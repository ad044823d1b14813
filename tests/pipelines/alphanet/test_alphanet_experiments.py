import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.pipelines.alphanet.test_alphanet_training import CLASSES, FEATURES, SETTINGS, SPLITS, group

from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.errors import CheckpointError, DataError, ParameterError
from vision_studies.outcomes import DIVERGED
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings
from vision_studies.pipelines.alphanet.work import experiments
from vision_studies.pipelines.alphanet.work.experiments import (
    Combination,
    check_fit,
    learn,
    read_combinations,
    side_distances,
)
from vision_studies.pipelines.alphanet.work.features import FeatureSet, class_means
from vision_studies.training.checkpoints import save_state

CPU = torch.device("cpu")


def make_features(*, validation=True) -> FeatureSet:
    """A long-tailed feature set in memory, whose classes overlap."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    counts = np.full(CLASSES, 40)
    counts[SPLITS.few] = 8
    groups = {"train": group(counts, 1, centres), "test": group(25, 3, centres)}
    if validation:
        groups["validation"] = group(12, 2, centres)
    return FeatureSet("clouds", tuple(f"cloud {label}" for label in range(CLASSES)), SPLITS, counts, groups, "0" * 16)


def make_classifier() -> LinearClassifier:
    generator = np.random.default_rng(4)
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    weight = 0.4 * centres + 0.2 * generator.normal(size=centres.shape)
    return LinearClassifier(weight.astype(np.float32), generator.normal(size=CLASSES).astype(np.float32))


def changed(**changes) -> CombinationRunSettings:
    training = SETTINGS.training.model_dump() | changes.pop("training", {})
    return CombinationRunSettings.model_validate(SETTINGS.model_dump() | {"training": training} | changes)


def with_rho(rho):
    samplers = [{"name": "all_few", "ratio": None}, {"name": "uniform_base_image", "ratio": rho}]
    return changed(training={"samplers": samplers})


def learnt(asked, folder=None, features=None, **options):
    found = dict(learn(asked, features or make_features(), make_classifier(), folder, CPU, **options))
    return [found[place] for place in sorted(found)]


def metrics(found):
    return found.metrics({"parameters": found.parameters}, CPU)


def test_networks_learn_in_a_stack_what_they_learn_one_by_one(monkeypatch):
    asked = [Combination(settings, seed) for seed in (0, 1, 2) for settings in (with_rho(0.5), with_rho(1.5))]
    sizes = []
    stacks = experiments._stacks

    def counted(*arguments):
        made = stacks(*arguments)
        sizes.append(sorted(len(stack) for stack in made))
        return made

    monkeypatch.setattr(experiments, "_stacks", counted)
    together = learnt(asked)
    monkeypatch.setattr(experiments, "_STACK_BYTES", 0)
    alone = learnt(asked)
    assert sizes == [[3, 3], [1] * 6]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.coefficients, other.coefficients, rtol=1e-4, atol=1e-5)
        assert metrics(one)["best_epoch"] == metrics(other)["best_epoch"]
        assert metrics(one)["validation_accuracy"] == metrics(other)["validation_accuracy"]
    assert not torch.allclose(together[0].coefficients, together[1].coefficients)  # another rho


def test_networks_whose_epochs_differ_in_length_are_trained_one_by_one():
    samplers = [{"name": "all_few", "ratio": None}, {"name": "uniform_base_class", "ratio": 0.5}]
    features = make_features()
    labels = features.groups["train"].labels
    few = np.flatnonzero(labels == SPLITS.few[0])
    kept = np.setdiff1d(np.arange(len(labels)), few[3:])  # few classes of different sizes
    cut = dataclasses.replace(
        features.groups["train"], features=features.groups["train"].features[kept], labels=labels[kept]
    )
    features = dataclasses.replace(features, groups=dict(features.groups) | {"train": cut})
    asked = [Combination(changed(training={"samplers": samplers}), seed) for seed in range(3)]
    found = learnt(asked, features=features)
    assert [own.best_epoch > 0 for own in found] == [True] * 3


def test_a_network_that_diverges_has_no_epoch_to_show():
    wild = changed(training={"optimizer": {"name": "SGD", "parameters": {"lr": 1e38}}})
    lost, kept = learnt([Combination(wild, 0), Combination(SETTINGS, 0)])
    assert lost.outcome(metrics(lost)).status == DIVERGED
    assert "lower the learning rate (alphanet.training.optimizer)" in lost.reason
    assert "best_epoch" not in metrics(lost)
    assert "validation_accuracy" not in metrics(lost)
    assert metrics(kept)["best_epoch"] == kept.best_epoch > 0


def test_random_neighbours_are_each_seed_s_own_and_near_ones_are_shared(monkeypatch):
    asked = [Combination(changed(distance="random"), seed) for seed in (5, 6)]
    together = learnt(asked)
    assert not np.array_equal(together[0].neighbours.labels, together[1].neighbours.labels)
    monkeypatch.setattr(experiments, "_STACK_BYTES", 0)
    for one, other in zip(together, learnt(asked), strict=True):
        assert np.array_equal(one.neighbours.labels, other.neighbours.labels)
        torch.testing.assert_close(one.coefficients, other.coefficients, rtol=1e-4, atol=1e-5)
    near = learnt([Combination(SETTINGS, seed) for seed in (5, 6)])
    assert np.array_equal(near[0].neighbours.labels, near[1].neighbours.labels)


def test_every_prediction_scale_has_logits_of_its_own():
    asked = [Combination(changed(training={"prediction_scale": scale}), 3) for scale in (1.0, 10.0)]
    found = learnt(asked)
    for one, other in zip(found, [learnt([own])[0] for own in asked], strict=True):
        assert torch.equal(one.coefficients, other.coefficients)
    assert not torch.allclose(found[0].coefficients, found[1].coefficients)


def test_what_is_finished_is_left_out_unless_its_stack_is_not(monkeypatch):
    asked = [Combination(settings, seed) for settings in (with_rho(0.5), with_rho(1.5)) for seed in (0, 1)]
    trained = []
    train = experiments.train_stack

    def counted(networks, neighbours, settings, seeds, *rest, **options):
        trained.append(list(seeds))
        return train(networks, neighbours, settings, seeds, *rest, **options)

    expected = learnt(asked)
    monkeypatch.setattr(experiments, "train_stack", counted)
    found = dict(learn(asked, make_features(), make_classifier(), None, CPU, finished={0, 1, 2}))
    assert trained == [[0, 1]]  # the third is the company of the fourth, whose last digits depend on it
    assert sorted(found) == [2, 3]
    assert torch.equal(found[3].coefficients, expected[3].coefficients)
    assert not dict(learn(asked, make_features(), make_classifier(), None, CPU, finished={0, 1, 2, 3}))
    assert len(trained) == 1


def test_checkpoints_stay_until_all_of_a_stack_is_taken(tmp_path):
    asked = [Combination(SETTINGS, seed) for seed in (0, 1)]
    given = learn(asked, make_features(), make_classifier(), tmp_path, CPU, checkpoints=3)
    next(given)
    epochs = SETTINGS.training.epochs
    kept = [file.stem for file in sorted(tmp_path.glob("*/*"))]
    assert kept == [f"epoch_{epoch:05d}" for epoch in range(epochs - 2, epochs + 1)]
    next(given)
    assert list(tmp_path.iterdir())
    assert next(given, None) is None
    assert not list(tmp_path.iterdir())


def test_what_is_kept_of_a_network_is_read_as_it_was(tmp_path):
    [found] = learnt([Combination(SETTINGS, 0)])
    save_state(tmp_path / "combinations.safetensors", found.state())
    neighbours, coefficients = read_combinations(tmp_path / "combinations.safetensors", SPLITS)
    assert torch.equal(coefficients, found.coefficients)
    assert np.array_equal(neighbours.labels, found.neighbours.labels)
    assert np.array_equal(neighbours.distances, found.neighbours.distances)
    assert np.array_equal(neighbours.classes, SPLITS.few)
    (tmp_path / "combinations.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        read_combinations(tmp_path / "combinations.safetensors", SPLITS)


def test_numbers_of_a_run_are_those_of_the_kept_epoch():
    [found] = learnt([Combination(SETTINGS, 0)])
    history = found.history.set_index("epoch")
    eligible = history["validation_accuracy"].loc[SETTINGS.training.minimum_epochs :]
    assert metrics(found)["best_epoch"] == eligible.idxmax()
    assert metrics(found)["validation_accuracy"] == eligible.max()
    hidden, inputs = SETTINGS.network.hidden, (SETTINGS.neighbours + 1) * FEATURES
    widths = [inputs, *hidden, SETTINGS.neighbours]
    expected = sum((before + 1) * after for before, after in pairwise(widths))
    assert metrics(found)["parameters"] == expected
    [blind] = learnt([Combination(SETTINGS, 0)], features=make_features(validation=False))
    assert metrics(blind)["best_epoch"] == SETTINGS.training.epochs
    assert "validation_accuracy" not in metrics(blind)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("number", [3, 6])
def test_distances_to_the_other_side_are_those_measured_one_by_one(distance, number):
    features = make_features()
    means = class_means(features.groups["train"], CLASSES).astype(np.float64)

    def between(one, other):
        if distance == "euclidean":
            return np.sqrt(((means[one] - means[other]) ** 2).sum())
        return 1 - means[one] @ means[other] / np.linalg.norm(means[one]) / np.linalg.norm(means[other])

    found = side_distances(features, number, distance)
    for label in range(CLASSES):
        others = SPLITS.base if label in SPLITS.few else SPLITS.few
        nearest = sorted(between(label, other) for other in others)[:number]
        assert len(nearest) == min(number, len(others))  # there are four few classes
        assert found[label] == pytest.approx(np.mean(nearest), rel=1e-6)


def test_features_and_classifiers_that_do_not_fit_are_told():
    features, classifier = make_features(), make_classifier()
    narrow = LinearClassifier(classifier.weight[:, 1:], classifier.bias)
    with pytest.raises(DataError, match=f"'clouds' have {FEATURES} numbers an image, but the classifier takes 9"):
        check_fit(features, narrow)
    fewer = LinearClassifier(classifier.weight[1:], classifier.bias[1:])
    with pytest.raises(DataError, match="'clouds' has 14 classes, but the classifier knows 13"):
        next(learn([Combination(SETTINGS, 0)], features, fewer, None, CPU))
    many = Combination(changed(neighbours=11), 0)
    with pytest.raises(ParameterError, match="asks for 11, but of 1[0-9]* classes 10 are base classes"):
        next(learn([many], features, classifier, None, CPU))
    all_base = dataclasses.replace(many, settings=changed(neighbours=10))
    assert learnt([all_base])[0].neighbours.number == 10
