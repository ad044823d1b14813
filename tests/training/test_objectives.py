import copy

import numpy as np
import pytest
import torch
from tests.training.conftest import TensorLoader
from torch import nn
from torch.nn import functional as F

from vision_studies.statistics.calibration import expected_calibration_error
from vision_studies.training.fit import fit
from vision_studies.training.mixing import MixedBatch
from vision_studies.training.objectives import CLASSIFICATION, FollowedClassification, JointStacking

CPU = torch.device("cpu")


def outputs_and_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(12, 4, 5, generator=generator)
    labels = torch.randint(5, (12,), generator=generator)
    return outputs, MixedBatch(torch.zeros(12, 1, 1, 1), labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_three_forms_of_the_joint_loss(smoothing):
    outputs, batch = outputs_and_batch()
    *base, meta = [F.cross_entropy(own, batch.labels, label_smoothing=smoothing) for own in outputs.unbind(1)]
    total = torch.stack(base)
    expected = {
        "sum": meta + 0.3 * total.sum(),
        "mean": meta + 0.3 * total.mean(),
        "interpolation": 0.7 * meta + 0.3 * total.mean(),
    }
    for form, value in expected.items():
        torch.testing.assert_close(JointStacking(form, 0.3).loss(outputs, batch, smoothing), value)


def test_label_smoothing_reaches_the_joint_loss():
    outputs, batch = outputs_and_batch()
    objective = JointStacking("sum", 1.0)
    assert objective.loss(outputs, batch, 0.1) != objective.loss(outputs, batch, 0.0)


def test_both_labels_of_a_mixture_reach_every_loss():
    outputs, batch = outputs_and_batch()
    other = (batch.labels + 1) % 5
    mixed = MixedBatch(batch.images, batch.labels, other, 0.75)
    plain = [
        JointStacking("sum", 1.0).loss(outputs, MixedBatch(batch.images, own), 0.0) for own in (batch.labels, other)
    ]
    torch.testing.assert_close(JointStacking("sum", 1.0).loss(outputs, mixed, 0.0), 0.75 * plain[0] + 0.25 * plain[1])


def test_the_history_tells_of_every_part():
    outputs, batch = outputs_and_batch()
    objective = JointStacking("sum", 1.0)
    assert objective.logits(outputs).equal(outputs[:, -1])
    found = objective.validation_metrics(outputs, batch.labels)
    for number in (1, 2, 3):
        own = outputs[:, number - 1]
        assert found[f"validation_loss_base_{number}"] == pytest.approx(float(F.cross_entropy(own, batch.labels)))
        right = (own.argmax(1) == batch.labels).double().mean()
        assert found[f"validation_accuracy_base_{number}"] == pytest.approx(float(right))
    meta = outputs[:, -1]
    error = expected_calibration_error(meta.softmax(1).numpy(), batch.labels.numpy())
    assert found["validation_calibration_error"] == pytest.approx(error)
    assert {"validation_disagreement", "validation_q_statistic", "validation_error_correlation"} <= found.keys()
    sums = objective.batch_metrics(outputs, batch)
    assert sums["train_loss_meta"] / 12 == pytest.approx(float(F.cross_entropy(meta, batch.labels)))
    assert set(sums) == {
        "train_loss_meta",
        "train_loss_unsmoothed",
        *(f"train_{name}_base_{number}" for name in ("loss", "accuracy") for number in (1, 2, 3)),
    }


@pytest.mark.parametrize("form", ["sum", "mean", "interpolation"])
def test_the_training_loss_is_logged_with_and_without_label_smoothing(form):
    """Its parts have none: they add up to `train_loss_unsmoothed`, and not to what is minimised."""
    outputs, batch = outputs_and_batch()
    objective = JointStacking(form, 0.3)
    means = {name: float(value) / 12 for name, value in objective.batch_metrics(outputs, batch).items()}
    base = [means[f"train_loss_base_{number}"] for number in (1, 2, 3)]
    weight, further = (0.7 if form == "interpolation" else 1.0), 0.3 * (sum(base) / (1 if form == "sum" else 3))
    assert means["train_loss_unsmoothed"] == pytest.approx(weight * means["train_loss_meta"] + further)
    assert means["train_loss_unsmoothed"] == pytest.approx(float(objective.loss(outputs, batch, 0.0)))
    assert means["train_loss_unsmoothed"] != pytest.approx(float(objective.loss(outputs, batch, 0.1)))


def test_confidence_and_stability_of_predictions_are_followed():
    outputs, batch = outputs_and_batch()
    first, second = (own.double() for own in outputs.unbind(1)[:2])
    objective = FollowedClassification()
    found = [objective.validation_metrics(logits, batch.labels) for logits in (first, second, second, first)]
    probabilities = first.softmax(1).numpy(), second.softmax(1).numpy()
    highest = [own.max(axis=1).mean() for own in probabilities]
    assert [row["validation_confidence"] for row in found] == pytest.approx([highest[0], highest[1], *highest[::-1]])
    stable = np.corrcoef(probabilities[0].ravel(), probabilities[1].ravel())[0, 1]
    assert [row["validation_stability"] for row in found] == pytest.approx([np.nan, stable, 1, stable], nan_ok=True)
    plain = CLASSIFICATION.validation_metrics(first, batch.labels)
    assert plain.items() <= found[0].items()


def test_what_is_followed_survives_an_interruption(tmp_path, make_settings):
    torch.manual_seed(0)
    images, labels = torch.randn(40, 1, 2, 3), torch.arange(40) % 3
    loaders = TensorLoader(images, labels, 20, seed=1), TensorLoader(images, labels, 50)
    settings, options = make_settings(epochs=4, checkpoint_every=1), {"seed": 0, "device": CPU}
    first = copy.deepcopy(Greedy(100).state_dict())

    def model():
        network = Greedy(100)
        network.load_state_dict(first)
        return network

    whole = fit(model(), *loaders, settings, objective=FollowedClassification(), **options)

    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    options["folder"] = tmp_path
    with pytest.raises(KeyboardInterrupt):
        fit(model(), *loaders, settings, objective=FollowedClassification(), on_epoch=stop, **options)
    resumed = fit(model(), *loaders, settings, objective=FollowedClassification(), **options)
    column = whole.history["validation_stability"]
    assert resumed.history["validation_stability"].equals(column)
    assert column.isna().tolist() == [True, False, False, False]


class Greedy(nn.Module):
    """A network for which the memory does not hold more than so many images."""

    def __init__(self, most):
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.most = most
        self.seen = []

    def forward(self, images):
        if self.training and len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append(len(images))
        return self.layer(images.flatten(1))


def train(most, make_settings):
    torch.manual_seed(0)
    model = Greedy(most)
    images, labels = torch.randn(40, 1, 2, 3), torch.arange(40) % 3
    loader = TensorLoader(images, labels, 20)
    result = fit(
        model, loader, TensorLoader(images, labels, 50), make_settings(epochs=2, batch_size=20), seed=0, device=CPU
    )
    return model, result


def test_a_batch_that_the_memory_does_not_hold_is_computed_in_parts_and_that_is_told(make_settings, caplog):
    whole, expected = train(100, make_settings)
    model, result = train(6, make_settings)
    assert set(model.seen) == {5, 40}  # training in parts, validation at once
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "memory does not hold a batch of 20 images"
    ] * 2
    assert "summed over 4 parts" in caplog.records[1].message
    torch.testing.assert_close(model.layer.weight, whole.layer.weight)
    torch.testing.assert_close(result.history["train_loss"].tolist(), expected.history["train_loss"].tolist())


def test_what_not_even_one_image_fits_into_is_an_error(make_settings):
    with pytest.raises(torch.OutOfMemoryError):
        train(0, make_settings)


def test_a_caller_ends_a_training_and_it_stays_ended(tmp_path, make_settings):
    torch.manual_seed(0)
    images, labels = torch.randn(40, 1, 2, 3), torch.arange(40) % 3
    loaders = TensorLoader(images, labels, 20), TensorLoader(images, labels, 50)
    told = []

    def on_epoch(row):
        told.append(row["epoch"])
        return row["epoch"] == 2

    options = {"seed": 0, "device": CPU, "folder": tmp_path}
    result = fit(Greedy(100), *loaders, make_settings(epochs=5), on_epoch=on_epoch, **options)
    assert (result.ended, told) == ("pruned", [1, 2])
    again = fit(Greedy(100), *loaders, make_settings(epochs=5), on_epoch=on_epoch, **options)
    assert (again.ended, told) == ("pruned", [1, 2])
    assert len(again.history) == 2


def test_a_plain_classifier_reports_loss_and_accuracy():
    logits, labels = torch.eye(3) * 5, torch.tensor([0, 1, 0])
    found = CLASSIFICATION.validation_metrics(logits, labels)
    assert found == {
        "validation_loss": pytest.approx(float(F.cross_entropy(logits, labels))),
        "validation_accuracy": pytest.approx(2 / 3),
    }
