import numpy as np
import pytest
from scipy.special import softmax

from vision_studies.errors import DataError
from vision_studies.statistics.conformal import (
    SET_KINDS,
    nonconformity,
    prediction_sets,
    score_threshold,
    true_scores,
)


def drawn(count, seed, classes=5, sharpness=3.0):
    """Probabilities of a classifier that is far too sure, and labels drawn from what it should have said."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    truth = softmax(logits, axis=1).cumsum(axis=1)
    return softmax(sharpness * logits, axis=1), (rng.random((count, 1)) < truth).argmax(axis=1)


def test_scores_are_those_of_the_written_out_definition():
    probabilities, _ = drawn(50, 0)
    np.testing.assert_allclose(nonconformity(probabilities, "smallest"), 1 - probabilities)
    written = [[sum(p for p in row if p > one) + one for one in row] for row in probabilities]
    np.testing.assert_allclose(nonconformity(probabilities, "adaptive"), written, atol=1e-12)


@pytest.mark.parametrize("kind", SET_KINDS)
@pytest.mark.parametrize(("images", "coverage"), [(9, 0.9), (20, 0.8), (50, 0.9), (200, 0.95)])
def test_sets_hold_the_right_class_as_often_as_promised_however_few_images_calibrate(kind, images, coverage):
    held = []
    for draw in range(400):
        known, new = drawn(images, 2 * draw), drawn(100, 2 * draw + 1)
        threshold = score_threshold(true_scores(*known, kind), coverage)
        held.append(prediction_sets(new[0], kind, threshold)[np.arange(100), new[1]].mean())
    error = np.std(held) / len(held) ** 0.5
    assert np.mean(held) > coverage - 3 * error
    # Without the most probable class, which is always taken in, coverage is at most 1 / (N + 1) above where scores do not tie.
    assert np.mean(held) < coverage + 1 / (images + 1) + 3 * error + 0.02


def test_the_smallest_sets_are_so_on_average_and_adaptive_ones_keep_the_promise_for_hard_images_better():
    rng = np.random.default_rng(0)
    is_hard = rng.random(20_000) < 0.3
    truth = softmax(rng.normal(0, 1, (20_000, 10)) * np.where(is_hard, 0.5, 6)[:, None], axis=1)
    labels = (rng.random((20_000, 1)) < truth.cumsum(axis=1)).argmax(axis=1)
    known, new = slice(0, 5000), slice(5000, None)
    sizes, off = {}, {}
    for kind in SET_KINDS:
        threshold = score_threshold(true_scores(truth[known], labels[known], kind), 0.9)
        inside = prediction_sets(truth[new], kind, threshold)
        right = inside[np.arange(len(inside)), labels[new]]
        sizes[kind] = inside.sum(axis=1).mean()
        off[kind] = max(abs(right[group].mean() - 0.9) for group in (is_hard[new], ~is_hard[new]))
    assert sizes["smallest"] < sizes["adaptive"]
    assert off["adaptive"] < 0.75 * off["smallest"]


def test_a_set_is_never_empty():
    assert prediction_sets(np.array([[0.4, 0.35, 0.25]]), "smallest", 0.1).tolist() == [[True, False, False]]


@pytest.mark.parametrize(("images", "coverage", "most"), [(1, 0.9, "50 %"), (8, 0.9, "88.8 %"), (98, 0.99, "98.9 %")])
def test_a_coverage_that_so_few_images_cannot_promise_is_refused_with_the_one_that_they_can(images, coverage, most):
    with pytest.raises(DataError, match=f"{images} validation images are too few .* {most} is the most"):
        score_threshold(np.linspace(0, 1, images), coverage)
    assert score_threshold(np.linspace(0, 1, 9), 0.9) == 1  # nine of ten
