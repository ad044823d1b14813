import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score, top_k_accuracy_score

from vision_studies.data.class_splits import ClassSplits
from vision_studies.pipelines.alphanet.work.accuracy import class_accuracies, macro_f1, split_accuracies, top_k_hits

NO_LABEL = np.empty(0, dtype=np.int64)


def random_scores(count=300, classes=7):
    random = np.random.default_rng(0)
    return random.normal(size=(count, classes)).astype(np.float32), random.integers(0, classes, count)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_hits_are_scikit_learns(k):
    scores, labels = random_scores()
    hits = top_k_hits(scores, labels, k)
    assert hits.dtype == bool
    assert hits.mean() == top_k_accuracy_score(labels, scores, k=k, labels=np.arange(7))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_of_equal_scores_the_lower_label_is_the_higher(k):
    random = np.random.default_rng(1)
    scores, labels = random.integers(0, 3, (200, 5)).astype(np.float32), random.integers(0, 5, 200)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_k_hits(scores, labels, k), (order == labels[:, None]).any(axis=1))
    np.testing.assert_array_equal(top_k_hits(scores, labels, 1), scores.argmax(axis=1) == labels)


def test_every_image_is_a_hit_where_all_classes_count_and_none_where_scores_are_not_numbers():
    scores, labels = random_scores()
    assert top_k_hits(scores, labels, 7).all()
    assert not top_k_hits(np.full_like(scores, np.nan), labels, 5).any()


def test_split_accuracies_are_over_the_images_of_a_split():
    labels = np.array([0, 0, 0, 1, 2, 2, 3])
    hits = np.array([True, False, False, True, True, False, False])
    splits = ClassSplits(np.array([2, 3]), np.array([1]), np.array([0]))
    expected = {"few": 1 / 3, "medium": 1.0, "many": 1 / 3, "overall": 3 / 7}
    assert split_accuracies(hits, labels, splits) == pytest.approx(expected)


def test_a_split_without_classes_or_images_has_no_accuracy():
    labels, hits = np.array([1, 1]), np.array([True, False])
    found = split_accuracies(hits, labels, ClassSplits(np.array([0]), NO_LABEL, np.array([1])))
    np.testing.assert_equal(found, {"few": np.nan, "medium": np.nan, "many": 0.5, "overall": 0.5})


def test_class_accuracies_are_recalls():
    scores, labels = random_scores()
    predictions = scores.argmax(axis=1)
    found = class_accuracies(predictions == labels, labels, 7)
    np.testing.assert_allclose(found, recall_score(labels, predictions, average=None), rtol=1e-12)


def test_a_class_without_images_has_no_accuracy():
    found = class_accuracies(np.array([True, False, True]), np.array([0, 0, 2]), 4)
    np.testing.assert_equal(found, [0.5, np.nan, 1.0, np.nan])


def test_macro_f1_is_the_mean_over_classes_that_are_seen_or_predicted():
    labels, predictions = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 3])
    # Class 0: 2/3; 1: 4/5; 2 and 3: 0; 4 is neither seen nor predicted.
    assert macro_f1(predictions, labels, 5) == pytest.approx((2 / 3 + 4 / 5) / 4)
    scores, labels = random_scores()
    assert macro_f1(scores.argmax(axis=1), labels, 7) == f1_score(labels, scores.argmax(axis=1), average="macro")
