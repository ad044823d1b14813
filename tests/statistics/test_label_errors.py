import numpy as np
import pytest

from vision_studies.statistics.label_errors import label_errors

CLASSES = 4


@pytest.fixture(scope="module", params=[0.02, 0.1])
def spoilt(request):
    """Labels of which a share is wrong, class 3 always for class 0; right labels; probabilities that know nothing of that."""
    random = np.random.default_rng(0)
    right = random.integers(0, CLASSES, 3000)
    logits = np.eye(CLASSES)[right] * 6 + random.normal(size=(3000, CLASSES))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = random.random(3000) < request.param * CLASSES / 2
    labels = np.where((right == 0) & wrong, 3, np.where((right == 1) & wrong, 2, right))
    return labels, right, probabilities


def test_most_of_what_is_found_is_wrong_and_most_of_what_is_wrong_is_found(spoilt):
    labels, right, probabilities = spoilt
    found = label_errors(labels, probabilities)
    wrong = np.flatnonzero(labels != right)
    assert np.isin(found.positions, wrong).mean() > 0.8
    assert np.isin(wrong, found.positions).mean() > 0.5
    hits = np.intersect1d(found.positions, wrong)
    places = {position: place for place, position in enumerate(found.positions)}
    assert np.mean([found.suggested[places[hit]] == right[hit] for hit in hits]) > 0.95
    assert (np.diff(found.margins) <= 0).all()


def test_the_joint_distribution_of_labels_and_classes_is_estimated(spoilt):
    labels, right, probabilities = spoilt
    found = label_errors(labels, probabilities)
    truth = np.bincount(labels * CLASSES + right, minlength=CLASSES**2).reshape(CLASSES, CLASSES) / len(labels)
    np.testing.assert_allclose(found.joint, truth, atol=0.02)
    np.testing.assert_allclose(found.joint.sum(axis=1), np.bincount(labels) / len(labels))
    assert found.expected == pytest.approx((labels != right).sum(), rel=0.35)


def test_it_is_the_definition_written_out():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 40)
    probabilities = random.dirichlet(np.ones(3), 40)
    thresholds = [probabilities[labels == label, label].mean() for label in range(3)]
    expected = {}
    for image, row in enumerate(probabilities):
        claims = [label for label in range(3) if row[label] >= thresholds[label]]
        if claims and max(claims, key=lambda label: row[label]) != labels[image]:
            expected[image] = max(claims, key=lambda label: row[label])
    found = label_errors(labels, probabilities)
    assert dict(zip(found.positions.tolist(), found.suggested.tolist(), strict=True)) == expected


def test_labels_that_are_right_are_not_doubted():
    labels = np.arange(30) % 3
    found = label_errors(labels, np.eye(3)[labels] * 0.97 + 0.01)
    assert len(found.positions) == 0
    assert found.expected == 0


def test_a_class_that_no_image_has_is_never_claimed():
    found = label_errors(np.array([0, 0]), np.array([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]]))
    assert len(found.positions) == 0
    assert found.joint[1:].sum() == 0
