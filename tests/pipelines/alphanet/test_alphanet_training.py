import dataclasses
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision_studies.classifiers.alpha_networks import StackedAlphaNetworks
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.pipelines.alphanet.settings import SIMPLE_OPTIMIZERS, CombinationRunSettings
from vision_studies.pipelines.alphanet.work import training
from vision_studies.pipelines.alphanet.work.accuracy import class_accuracies, split_accuracies, top_k_hits
from vision_studies.pipelines.alphanet.work.cached_logits import (
    cache_logits,
    cross_entropy,
    few_scores,
    predict,
)
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, class_means
from vision_studies.pipelines.alphanet.work.neighbours import few_neighbours
from vision_studies.pipelines.alphanet.work.network import LiteralAlphaNet, source_matrix
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex
from vision_studies.pipelines.alphanet.work.training import train_stack

CLASSES, FEATURES = 14, 10
SPLITS = ClassSplits(np.array([3, 9, 12, 13]), np.array([1, 2, 4, 8, 11]), np.array([0, 5, 6, 7, 10]))
SETTINGS = CombinationRunSettings.model_validate(
    {
        "neighbours": 3,
        "distance": "euclidean",
        "network": {"hidden": [8, 6], "activation": "leaky_relu"},
        "training": {
            "epochs": 7,
            "minimum_epochs": 2,
            "batch_size": 16,
            "evaluation_batch_size": 50,
            "optimizer": {"name": "AdamW", "parameters": {"lr": 0.01}},
            "scheduler": {"name": "StepLR", "parameters": {"step_size": 3, "gamma": 0.1}},
            "samplers": [{"name": "all_few", "ratio": None}, {"name": "class_balanced_base", "ratio": 1.5}],
            "prediction_scale": 1.7,
            "selection": {"policy": "best", "metric": "accuracy"},
        },
    }
)


def group(counts, seed, centres):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), counts)
    features = centres[labels] + generator.normal(size=(len(labels), FEATURES))
    return FeatureGroup(features.astype(np.float32), labels)


@dataclasses.dataclass
class Place:
    train: FeatureGroup
    validation: FeatureGroup
    classifier: LinearClassifier
    neighbours: object

    def cached(self, name):
        return cache_logits(
            getattr(self, name), self.classifier, SPLITS, [self.neighbours], SETTINGS.training.prediction_scale
        )

    def literal(self, seed):
        return LiteralAlphaNet(
            self.classifier,
            self.neighbours,
            SETTINGS.network,
            prediction_scale=SETTINGS.training.prediction_scale,
            seed=seed,
        )

    def stack(self, seeds):
        return StackedAlphaNetworks(
            source_matrix(self.classifier, self.neighbours),
            FEATURES,
            SETTINGS.network.hidden,
            SETTINGS.network.activation,
            seeds,
        )


@pytest.fixture(scope="module")
def place():
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    counts = np.full(CLASSES, 40)
    counts[SPLITS.few] = 8
    train = group(counts, 1, centres)
    generator = np.random.default_rng(3)
    classifier = LinearClassifier(
        (0.4 * centres + 0.2 * generator.normal(size=centres.shape)).astype(np.float32),
        generator.normal(size=CLASSES).astype(np.float32),
    )
    neighbours = few_neighbours(class_means(train, CLASSES), SPLITS, 3, "euclidean")
    return Place(train, group(30, 2, centres), classifier, neighbours)


def train(place, seeds, settings=SETTINGS, **options):
    return train_stack(
        place.stack(seeds),
        [place.neighbours] * len(seeds),
        settings,
        seeds,
        place.cached("train"),
        place.cached("validation"),
        **options,
    )


def with_training(**changes):
    changed = SETTINGS.training.model_dump() | changes
    return CombinationRunSettings.model_validate(SETTINGS.model_dump() | {"training": changed})


def test_scores_of_cached_logits_are_those_of_the_literal_form(place):
    literal = place.literal(5)
    expected = literal(torch.from_numpy(place.validation.features)).detach()
    cached = place.cached("validation")
    coefficients = place.stack([4, 5])()[1].detach()
    for few, source in enumerate(literal.sources):
        torch.testing.assert_close(coefficients[few], literal.coefficients(source), rtol=1e-5, atol=1e-6)
    neighbour = cached.neighbour[:, cached.neighbour_columns(place.neighbours)]
    few = few_scores(cached.few_baseline, neighbour, coefficients)
    torch.testing.assert_close(few, expected[:, SPLITS.few], rtol=1e-5, atol=1e-5)
    predictions, among_top = predict(cached, place.neighbours, coefficients, rows=37)
    assert torch.equal(predictions, expected.argmax(dim=1))
    hits = top_k_hits(expected.numpy(), place.validation.labels, 5)
    assert np.array_equal(among_top.numpy(), hits)
    assert 0 < hits.mean() < 1


def test_loss_and_gradients_are_those_of_the_literal_form(place):
    literal = place.literal(5)
    few = np.flatnonzero(np.isin(place.train.labels, SPLITS.few))[[0, 9, -1]]
    rows = torch.tensor([0, 7, 100, 150, 200, *few])
    features, labels = torch.from_numpy(place.train.features)[rows], torch.from_numpy(place.train.labels)[rows]
    F.cross_entropy(literal(features), labels).backward()
    stack, cached = place.stack([5]), place.cached("train")
    neighbour = cached.neighbour[rows][:, cached.neighbour_columns(place.neighbours)]
    scores = few_scores(cached.few_baseline[rows], neighbour[None], stack())
    loss = cross_entropy(scores, cached.base_log_sum_exp[rows], cached.base_score[rows], cached.few_column[rows][None])
    torch.testing.assert_close(loss[0], F.cross_entropy(literal(features), labels), rtol=1e-6, atol=1e-6)
    loss.sum().backward()
    assert {int(column) for column in cached.few_column[rows]} == {-1, 0, 1, 3}
    for own, layer in zip(stack.weights, literal.layers, strict=True):
        expected = layer.weight.grad.flatten(1)
        assert torch.norm(own.grad[0] - expected) <= 1e-5 * torch.norm(expected)
        assert torch.norm(expected) > 0
    for own, layer in zip(stack.biases, literal.layers, strict=True):
        assert torch.norm(own.grad[0] - layer.bias.grad) <= 1e-5 * torch.norm(layer.bias.grad)


def literal_run(place, seed, settings):
    """The whole training written out, with torch's own optimiser and scheduler over features."""
    model = place.literal(seed)
    learnt = model.layers.parameters()
    optimizer = getattr(torch.optim, settings.training.optimizer.name)(learnt, **settings.training.optimizer.parameters)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, **settings.training.scheduler.parameters)
    index = ClassIndex(place.train.labels, SPLITS)
    features, labels = torch.from_numpy(place.train.features), torch.from_numpy(place.train.labels)
    accuracies, losses, best, kept = [], [], -1.0, None
    for epoch in range(1, settings.training.epochs + 1):
        order = training.epoch_order(settings.training.samplers, index, seed, epoch)
        for rows in order.split(settings.training.batch_size):
            loss = F.cross_entropy(model(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        with torch.no_grad():
            found = model(torch.from_numpy(place.validation.features)).argmax(dim=1).numpy()
        hits = found == place.validation.labels
        accuracies.append(hits.mean())
        if epoch >= settings.training.minimum_epochs and hits.mean() > best:
            best = hits.mean()
            kept = epoch, [layer.weight.detach().flatten(1).clone() for layer in model.layers], hits
    return accuracies, losses, kept


def test_whole_runs_together_are_the_literal_form_alone(place):
    seeds = [11, 12, 13]
    together = train(place, seeds)
    for seed, found in zip(seeds, together, strict=True):
        accuracies, losses, (epoch, weights, hits) = literal_run(place, seed, SETTINGS)
        assert found.best_epoch == epoch
        assert found.history["validation_accuracy"].tolist() == pytest.approx(accuracies, abs=0)
        assert found.batch_losses.tolist() == pytest.approx(losses, rel=1e-4)
        for (weight, _), expected in zip(found.layers, weights, strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-3, atol=1e-4)
        kept = found.history.set_index("epoch").loc[epoch]
        for split, value in split_accuracies(hits, place.validation.labels, SPLITS).items():
            column = "validation_accuracy" if split == "overall" else f"validation_{split}"
            assert kept[column] == pytest.approx(value)
        by_class = class_accuracies(hits, place.validation.labels, CLASSES)
        assert kept["validation_balanced_accuracy"] == pytest.approx(by_class.mean())
    assert len({found.best_epoch for found in together}) > 1, "the seeds select alike, so that the test says little"


def test_training_helps_the_few(place):
    [found] = train(place, [11])
    cached = place.cached("validation")
    before, _ = predict(cached, place.neighbours, torch.zeros_like(found.coefficients), 100)
    after, _ = predict(cached, place.neighbours, found.coefficients, 100)
    few = np.isin(place.validation.labels, SPLITS.few)
    right = [(own.numpy() == place.validation.labels)[few].mean() for own in (before, after)]
    assert right[1] > right[0] + 0.05


def test_coefficients_sum_to_one_in_size_and_zeros_stay_numbers(place):
    [found] = train(place, [3])
    torch.testing.assert_close(found.coefficients.abs().sum(dim=1), torch.ones(len(SPLITS.few)))
    stack = place.stack([3])
    with torch.no_grad():
        for parameter in (*stack.weights, *stack.biases):
            parameter.zero_()
    assert torch.equal(stack(), torch.zeros(1, len(SPLITS.few), 3))


@pytest.mark.parametrize(
    ("policy", "epoch"), [("first_eligible", SETTINGS.training.minimum_epochs), ("last", SETTINGS.training.epochs)]
)
def test_policies_keep_the_epoch_they_name(place, policy, epoch):
    settings = with_training(selection={"policy": policy, "metric": "accuracy"})
    [found] = train(place, [11], settings)
    assert found.best_epoch == epoch
    shorter = with_training(selection={"policy": "last", "metric": "accuracy"}, epochs=epoch)
    [expected] = train(place, [11], shorter)
    assert torch.equal(found.coefficients, expected.coefficients)


def test_without_validation_the_last_epoch_is_kept(place):
    [found] = train_stack(place.stack([1]), [place.neighbours], SETTINGS, [1], place.cached("train"), None)
    assert found.best_epoch == SETTINGS.training.epochs
    assert not [column for column in found.history if column.startswith("validation")]


@pytest.mark.parametrize("optimizer", SIMPLE_OPTIMIZERS)
def test_networks_that_share_an_optimiser_learn_as_they_would_alone(place, optimizer):
    settings = with_training(optimizer={"name": optimizer, "parameters": {"lr": 0.01}})
    together = train(place, [1, 2], settings)
    for seed, found in zip([1, 2], together, strict=True):
        [alone] = train(place, [seed], settings)
        torch.testing.assert_close(found.coefficients, alone.coefficients, rtol=1e-4, atol=1e-5)


@contextmanager
def interrupted_after(last):
    """The block is a training that is interrupted when it has saved this epoch."""
    save = training._save

    def save_and_stop(folder, kept, epoch, *rest):
        save(folder, kept, epoch, *rest)
        if epoch == last:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training, "_save", save_and_stop)
        yield


def test_an_interrupted_stack_ends_as_an_uninterrupted_one(place, tmp_path):
    expected = train(place, [1, 2])
    with interrupted_after(3):
        train(place, [1, 2], folder=tmp_path)
    assert [file.stem for file in sorted(tmp_path.iterdir())] == ["epoch_00002", "epoch_00003"]
    continued = train(place, [1, 2], folder=tmp_path, checkpoints=1)
    assert [file.stem for file in sorted(tmp_path.iterdir())] == ["epoch_00007"]
    for one, other in zip(expected, continued, strict=True):
        assert torch.equal(one.coefficients, other.coefficients)
        assert torch.equal(one.epoch_coefficients, other.epoch_coefficients)
        assert torch.equal(one.batch_losses, other.batch_losses)
        assert one.best_epoch == other.best_epoch
        assert one.history.equals(other.history)


def test_networks_whose_losses_are_not_finite_are_given_up(place):
    settings = with_training(optimizer={"name": "SGD", "parameters": {"lr": 1e38, "momentum": 0.9}})
    found = train(place, [1, 2], settings)
    assert [own.ended for own in found] == ["diverged", "diverged"]
    assert all(len(own.history) < settings.training.epochs for own in found)


def test_a_network_that_diverges_leaves_the_others_as_they_are(place):
    [expected] = train(place, [2])
    stack = place.stack([1, 2])
    with torch.no_grad():
        stack.weights[0][0] = torch.nan
    neighbours = [place.neighbours] * 2
    lost, kept = train_stack(stack, neighbours, SETTINGS, [1, 2], place.cached("train"), place.cached("validation"))
    assert lost.ended == "diverged"
    assert lost.history.empty
    assert kept.ended == "complete"
    assert kept.best_epoch == expected.best_epoch
    torch.testing.assert_close(kept.coefficients, expected.coefficients, rtol=1e-4, atol=1e-5)
