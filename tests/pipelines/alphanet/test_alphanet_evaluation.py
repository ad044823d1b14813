import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tests.pipelines.alphanet.test_alphanet_experiments import make_classifier, make_features
from tests.pipelines.alphanet.test_alphanet_training import CLASSES, SETTINGS, SPLITS
from torch.nn import functional as F

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import CheckpointError
from vision_studies.pipelines.alphanet.work.cached_logits import cache_logits, predict
from vision_studies.pipelines.alphanet.work.evaluation import (
    evaluate,
    improved_classifier,
    improved_scores,
    predicted_on_test,
)
from vision_studies.pipelines.alphanet.work.features import class_means
from vision_studies.pipelines.alphanet.work.neighbours import few_neighbours
from vision_studies.pipelines.alphanet.work.network import LiteralAlphaNet
from vision_studies.studies.predictions import kept
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

SCALE = SETTINGS.training.prediction_scale


@pytest.fixture(scope="module")
def place():
    """Features, a classifier, neighbours, the literal network and its coefficients."""
    features, classifier = make_features(), make_classifier()
    neighbours = few_neighbours(class_means(features.groups["train"], CLASSES), SPLITS, 3, "euclidean")
    literal = LiteralAlphaNet(classifier, neighbours, SETTINGS.network, prediction_scale=SCALE, seed=2)
    with torch.no_grad():
        coefficients = torch.stack([literal.coefficients(source) for source in literal.sources])
    return features, classifier, neighbours, literal, coefficients


def written_and_read(outcome, folder):
    """Predicted classes and marks, through the store of runs."""
    run = Run("alphanet", "study", "own", 0, 0, {}, "data", 1)
    store = RunStore(folder)
    store.begin(run)
    store.record(run, "evaluation", kept(outcome, "correct"))
    return predicted_on_test(store.path(run))


def test_the_improved_classifier_scores_as_the_literal_form(place):
    features, classifier, neighbours, literal, coefficients = place
    weight = classifier.weight.copy()
    improved = improved_classifier(classifier, neighbours, coefficients, SCALE)
    group = features.groups["test"]
    with torch.no_grad():
        expected = literal(torch.from_numpy(group.features)).numpy()
    np.testing.assert_allclose(improved.scores(group.features), expected, rtol=1e-5, atol=1e-5)
    baseline = classifier.scores(group.features)
    found = improved_scores(baseline, group, improved, SPLITS.few, SCALE)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(baseline, classifier.scores(group.features))
    assert np.array_equal(classifier.weight, weight)
    assert np.array_equal(improved.weight[SPLITS.base], classifier.weight[SPLITS.base] * np.float32(SCALE))


def test_what_training_counts_as_right_is_what_evaluation_counts(place, tmp_path):
    features, classifier, neighbours, _, coefficients = place
    group = features.groups["test"]
    scores = improved_classifier(classifier, neighbours, coefficients, SCALE).scores(group.features)
    predictions, among_top = written_and_read(evaluate(scores, group.labels, SPLITS), tmp_path)
    cached = cache_logits(group, classifier, SPLITS, [neighbours], SCALE)
    fast, fast_top = predict(cached, neighbours, coefficients, rows=64)
    assert np.array_equal(predictions, fast.numpy())
    assert np.array_equal(among_top, fast_top.numpy())
    assert 0.1 < among_top.mean() < 0.99


def test_metrics_are_those_counted_image_by_image(place, tmp_path):
    features, classifier, *_ = place
    group = features.groups["test"]
    outcome = evaluate(classifier.scores(group.features), group.labels, SPLITS)
    found = outcome.metrics
    scores = group.features.astype(np.float64) @ classifier.weight.T.astype(np.float64) + classifier.bias
    ranks = [list(np.argsort(-row)).index(label) for row, label in zip(scores, group.labels, strict=True)]
    right, top = np.array(ranks) == 0, np.array(ranks) < 5
    assert found["test_accuracy"] == right.mean()
    other = found["other_metrics"]
    assert other["test_overall_top_5"] == top.mean()
    for split in ("few", "medium", "many"):
        own = np.isin(group.labels, getattr(SPLITS, split))
        assert other[f"test_{split}"] == pytest.approx(right[own].mean())
        assert other[f"test_{split}_top_5"] == pytest.approx(top[own].mean())
    loss = F.cross_entropy(torch.from_numpy(scores), torch.from_numpy(group.labels))
    assert found["test_loss"] == pytest.approx(float(loss), rel=1e-5)
    predictions, among_top = written_and_read(outcome, tmp_path)
    assert np.array_equal(predictions, scores.argmax(axis=1))
    assert np.array_equal(among_top, top)


def test_distances_have_no_loss_and_a_split_without_classes_no_accuracy(place):
    features, classifier, *_ = place
    splits = ClassSplits(SPLITS.few, np.empty(0, dtype=np.int64), SPLITS.base)
    test = features.groups["test"]
    outcome = evaluate(classifier.scores(test.features), test.labels, splits, probabilities=False)
    found, [said] = outcome.metrics, outcome.predictions
    assert (said.detail, said.accuracy) == ("correct", found["test_accuracy"])
    assert set(found) == {"test_accuracy", "other_metrics"}
    assert "test_medium" not in found["other_metrics"]
    assert {"test_few", "test_many", "test_overall", "test_f1"} <= set(found["other_metrics"])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nothing", b"", "has no predictions of its test images"),
        ("predictions.safetensors", b"half", r"predictions.safetensors is missing or damaged"),
        ("predictions_test.parquet", b"half", r"predictions_test.parquet is damaged"),
    ],
)
def test_predictions_that_are_not_there_are_told(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=told):
        predicted_on_test(tmp_path)


def test_predictions_of_earlier_versions_are_read(tmp_path):
    stored = {"predictions": np.array([4, 0], np.int32), "among_top": np.array([1, 0], np.uint8)}
    save_file(stored, tmp_path / "predictions.safetensors")
    predictions, among_top = predicted_on_test(tmp_path)
    assert predictions.tolist() == [4, 0]
    assert among_top.tolist() == [True, False]
