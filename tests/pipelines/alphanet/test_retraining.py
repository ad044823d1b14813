"""Classifiers that are trained for all values of a knob at once, against each by itself with autograd."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import f1_score, recall_score

from benchmarks.tails import methods, plainly
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.settings import CrtSettings, LabelledClassifier, RetrainedSettings, gives_logits
from vision_studies.pipelines.alphanet.work.classifiers import fit, retrain
from vision_studies.pipelines.alphanet.work.features import FeatureGroup, FeatureSet
from vision_studies.pipelines.alphanet.work.linear_classifier import (
    AlignedClassifier,
    class_norms,
    load_classifier,
    save_classifier,
)
from vision_studies.pipelines.alphanet.work.retraining import adjusted, best_of, retrained, selection_score
from vision_studies.serving.joined_networks import AlignedLayer

CPU = torch.device("cpu")
COUNTS = (90, 40, 12, 4)
SPLITS = ClassSplits(np.array([3]), np.array([2]), np.array([0, 1]))
SHORT = {"epochs": 5, "batch_size": 32}
METHODS = {each.label: each.method for each in methods()}


def make_group(counts=COUNTS, seed=0):
    means = 1.5 * np.random.default_rng(99).normal(size=(len(counts), 6))
    own = np.random.default_rng(seed)
    labels = own.permutation(np.repeat(np.arange(len(counts)), counts))
    return FeatureGroup((means[labels] + own.normal(size=(len(labels), 6))).astype(np.float32), labels)


def make_classifier(seed=0):
    own = np.random.default_rng(seed)
    weight = own.normal(size=(4, 6)) * np.array([3, 2, 1, 0.5])[:, None]
    return LinearClassifier(weight.astype(np.float32), own.normal(size=4).astype(np.float32))


def feature_set(**groups):
    groups = {"train": make_group(), "test": make_group(seed=2), **groups}
    return FeatureSet("blobs", ("a", "b", "c", "d"), SPLITS, np.array(COUNTS), groups, "0")


def settings(label="weighted", **changes):
    return RetrainedSettings.model_validate(METHODS[label].model_dump() | SHORT | changes)


@pytest.mark.parametrize("label", [label for label, each in METHODS.items() if isinstance(each, RetrainedSettings)])
def test_all_values_at_once_are_each_by_itself(label):
    own, group, asked = make_classifier(), make_group(), settings(label)
    found = retrained(asked, own, group, 3, CPU)
    assert len(found) == 9
    for value, together in list(zip(asked.values, found, strict=True))[::4]:
        alone = plainly(asked, value, own, group, 3)
        assert type(alone) is type(together)
        for name, values in vars(alone).items():
            np.testing.assert_allclose(
                getattr(together, name), values, rtol=1e-3, atol=2e-4, err_msg=f"{name} at {value}"
            )
    assert not np.allclose(found[0].scores(group.features), found[-1].scores(group.features))  # the knob does something


def test_plain_cross_entropy_of_class_aware_draws_is_crt():
    asked = settings("cRT with weight decay", values=[1e-3])
    options = {name: getattr(asked, name) for name in ("epochs", "batch_size", "learning_rate", "momentum")}
    crt = retrain(make_group(), 4, CrtSettings(name="crt", weight_decay=1e-3, **options), 7)
    (found,) = retrained(asked, make_classifier(), make_group(), 7, CPU)
    np.testing.assert_allclose(found.weight, crt.weight, atol=1e-4)
    np.testing.assert_allclose(found.bias, crt.bias, atol=1e-4)


def test_max_norm_keeps_weights_within_what_the_backbone_has():
    own = make_classifier()
    norms = class_norms(own)
    limit = norms.min() + 0.1 * (norms.max() - norms.min())
    for each in retrained(settings("MaxNorm"), own, make_group(), 0, CPU):
        assert (class_norms(each) <= limit * 1.0001).all()


def test_logits_are_adjusted_afterwards_by_the_shares_and_a_class_without_images_counts_as_one():
    own = make_classifier()
    found = adjusted(own, np.array([8, 4, 2, 0]), [0.0, 1.5])
    np.testing.assert_array_equal(found[0].bias, own.bias)
    np.testing.assert_allclose(found[1].bias, own.bias - 1.5 * np.log(np.array([8, 4, 2, 1]) / 14), rtol=1e-6)


@pytest.mark.parametrize("repeats", [1, 20])
def test_selection_takes_classes_for_equally_frequent(repeats):
    """As if every class had as many images: what a balanced draw of validation images gives in expectation."""
    labels = np.tile(np.repeat([0, 1, 2], [6, 2, 3]), repeats)
    predictions = np.tile([0, 0, 0, 1, 1, 3, 1, 0, 2, 2, 0], repeats)
    weights = (1 / np.bincount(labels))[labels]
    found = {
        metric: selection_score(predictions, labels, SPLITS, metric)
        for metric in ("balanced_accuracy", "macro_f1", "worst_group", "accuracy")
    }
    assert found["balanced_accuracy"] == pytest.approx(
        recall_score(labels, predictions, average="macro", labels=[0, 1, 2])
    )
    assert found["macro_f1"] == pytest.approx(
        f1_score(labels, predictions, sample_weight=weights, average="macro", labels=[0, 1, 2])
    )
    assert found["worst_group"] == pytest.approx(0.5)  # many: classes 0 and 1; medium: class 2, 2/3; few: no image
    assert found["accuracy"] == pytest.approx(6 / 11)


def test_validation_chooses_by_what_is_asked_for():
    group = FeatureGroup(np.eye(4, 6, dtype=np.float32)[[0, 0, 0, 1, 2, 3]], np.array([0, 0, 0, 1, 2, 3]))
    common, rare = np.zeros((4, 6), np.float32), np.zeros((4, 6), np.float32)
    common[0] = 1  # everything is class 0
    rare[[1, 2, 3], [1, 2, 3]], rare[1, 0] = 1, 1  # all but class 0
    both = [LinearClassifier(weight, np.zeros(4, np.float32)) for weight in (common, rare)]
    assert [best_of(both, group, SPLITS, metric) for metric in ("accuracy", "balanced_accuracy")] == [0, 1]
    assert best_of([both[0], both[0]], group, SPLITS, "accuracy") == 0


def test_a_run_has_its_choice_and_what_it_was_chosen_from():
    features = feature_set(validation=make_group(seed=1))
    for label in ("weighted", "logit-adjusted", "tau-normalised", "DisAlign"):
        method = METHODS[label]
        asked = settings(label) if isinstance(method, RetrainedSettings) else method
        chosen, metrics, candidates = fit(asked, features, [make_classifier()], 0, CPU)
        assert len(candidates) == 9
        assert any(chosen is each or np.array_equal(chosen.weight, each.weight) for each in candidates)
        assert 0 <= metrics["validation_accuracy"] <= 1
    with pytest.raises(ParameterError, match="chosen from by validation images"):
        fit(settings(), feature_set(), [make_classifier()], 0, CPU)
    single, _, _ = fit(settings(values=[0.5]), feature_set(), [make_classifier()], 0, CPU)
    assert np.isfinite(single.weight).all()


def test_taus_are_chosen_by_what_is_asked_for_and_written_as_before():
    tau = METHODS["tau-normalised"]
    assert "selection" not in tau.model_dump()
    features = feature_set(validation=FeatureGroup(make_group(seed=1).features, make_group(seed=1).labels))
    for metric in ("balanced_accuracy", "accuracy"):
        asked = type(tau).model_validate(tau.model_dump() | {"selection": metric})
        chosen, _, candidates = fit(asked, features, [make_classifier()], 0, CPU)
        best = best_of(candidates, features.groups["validation"], SPLITS, metric)
        np.testing.assert_array_equal(chosen.weight, candidates[best].weight)


def test_an_aligned_classifier_is_kept_and_is_a_layer_of_a_network(tmp_path):
    own = retrained(settings("DisAlign", values=[1.0]), make_classifier(), make_group(), 0, CPU)[0]
    save_classifier(own, tmp_path / "classifier.safetensors")
    again = load_classifier(tmp_path / "classifier.safetensors")
    assert isinstance(again, AlignedClassifier)
    features = make_group(seed=4).features
    np.testing.assert_array_equal(again.scores(features), own.scores(features))
    layer = AlignedLayer(*(torch.from_numpy(values) for values in vars(own).values()), logit_scale=0.5)
    with torch.no_grad():
        said = layer(torch.from_numpy(features)) * 0.5
    np.testing.assert_allclose(said.numpy(), own.scores(features), atol=1e-5)


@pytest.mark.parametrize("label", ["weighted", "LDAM-DRW", "VS", "class-balanced"])
def test_one_image_in_a_class_or_all_of_one_class_are_learnt_from(label):
    for counts in ((30, 1, 1, 1), (30, 0, 0, 0), (30, 5, 0, 1)):
        labels = np.repeat(np.arange(4), counts)
        group = FeatureGroup(make_group().features[: len(labels)], labels)
        for each in retrained(settings(label), make_classifier(), group, 0, CPU):
            assert np.isfinite(each.weight).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"knob": "loss", "loss": {"name": "balanced_softmax"}}, "loss=balanced_softmax has no knob"),
        ({"head": "aligned"}, "set start: own"),
        ({"head": "cosine", "max_norm": 0.1}, "set head: linear, or max_norm: null"),
        ({"values": [1.0, 1.0]}, "values has 1.0 twice"),
        ({"values": [-1.0]}, "greater than or equal to 0"),
        ({"knob": "weight_decay", "values": [-1.0]}, "a weight decay is not below 0"),
    ],
)
def test_what_cannot_be_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        settings(**changes)


def test_too_high_a_rate_is_told():
    with pytest.raises(ParameterError, match="learning_rate=1e\\+30 .* is too high"):
        retrained(settings(learning_rate=1e30), make_classifier(), make_group(), 0, CPU)


def test_the_methods_are_sixteen_with_nine_values_and_a_title_of_their_own():
    assert len(METHODS) == 16
    assert {len(method.values) for method in METHODS.values()} == {9}
    assert not gives_logits(METHODS["LDAM-DRW"].model_dump())
    assert gives_logits(METHODS["VS"].model_dump())
    assert LabelledClassifier.model_validate({"label": "VS", "method": METHODS["VS"].model_dump()})
