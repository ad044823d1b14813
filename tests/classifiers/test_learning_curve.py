import numpy as np
import pytest
from tests.classifiers.test_families import CLASSES, NARROW, drawn

from vision_studies.classifiers.learning_curve import (
    fit_learning_curve,
    measured_learning_curve,
    promised_at_largest,
    subsets,
)
from vision_studies.classifiers.registry import FAMILIES
from vision_studies.errors import DataError

SIZES = np.array([50, 100, 200, 400, 800])


def measured(ceiling, gain, exponent, noise, seed=0, repetitions=10):
    law = ceiling - gain * SIZES**-exponent
    return law + np.random.default_rng(seed).normal(0, noise, (repetitions, len(SIZES)))


@pytest.mark.parametrize(("ceiling", "gain", "exponent"), [(0.9, 2.0, 0.5), (0.99, 1.0, 0.2), (0.7, 5.0, 1.0)])
def test_a_power_law_is_found_again(ceiling, gain, exponent):
    curve = fit_learning_curve(SIZES, measured(ceiling, gain, exponent, 1e-5))
    for size in (75, 1600):
        assert curve.at(size)[0] == pytest.approx(ceiling - gain * size**-exponent, abs=0.005)


def test_intervals_cover_what_twice_as_many_images_give():
    truth = 0.9 - 2.0 * 1600**-0.5
    ends = [fit_learning_curve(SIZES, measured(0.9, 2.0, 0.5, 0.02, seed)).at(1600)[1:] for seed in range(40)]
    assert np.mean([low <= truth <= high for low, high in ends]) >= 0.8
    assert np.mean([high - low for low, high in ends]) < 0.1


@pytest.mark.parametrize("level", [0.1, 0.97, 1.0])
def test_no_accuracy_leaves_what_there_is(level):
    curve = fit_learning_curve(SIZES, np.clip(measured(level, 0.0, 0.5, 0.01), 0, 1))
    for size in (10, 10_000_000):
        value, low, high = curve.at(size)
        assert 0 <= low <= value <= high <= 1


def test_a_curve_that_falls_is_flat():
    curve = fit_learning_curve(SIZES, measured(0.5, -1.0, 0.5, 0.0))
    assert curve.gain == 0
    assert curve.at(1600)[0] == pytest.approx(measured(0.5, -1.0, 0.5, 0.0).mean(), abs=0.05)


def test_the_largest_size_checks_the_others():
    accuracies = measured(0.9, 2.0, 0.5, 0.005)
    value, low, high = promised_at_largest(fit_learning_curve(SIZES, accuracies))
    assert low <= accuracies[:, -1].mean() <= high
    assert value == pytest.approx(0.9 - 2.0 * 800**-0.5, abs=0.02)
    with pytest.raises(DataError, match="4 sizes are needed"):
        promised_at_largest(fit_learning_curve(SIZES[:3], measured(0.9, 2.0, 0.5, 0.005)[:, :3]))


@pytest.mark.parametrize("accuracies", [np.zeros((3, 2)), np.zeros(2), np.zeros((0, 2))])
def test_too_few_sizes_are_refused(accuracies):
    with pytest.raises(DataError, match="3 sizes at least"):
        fit_learning_curve([10, 20], accuracies)


def test_parts_grow_and_have_their_share_of_each_class():
    _, y = drawn(NARROW, images=100)
    folds = np.arange(len(y)) % 5
    parts = subsets(y, folds, [10, 20, 60], seed=0)
    assert parts.shape == (5, 3, 100)
    assert (parts.sum(axis=2) == [10, 20, 60]).all()
    assert (parts[:, :-1] <= parts[:, 1:]).all()
    for fold, part in enumerate(parts):
        assert not part[:, folds == fold].any()
        counts = np.bincount(y[part[2]], minlength=CLASSES)
        np.testing.assert_allclose(counts, np.bincount(y[folds != fold]) * 60 / 80, atol=1.5)
        assert np.bincount(y[part[0]], minlength=CLASSES).min() >= 1
    with pytest.raises(DataError, match="90 images are asked for"):
        subsets(y, folds, [90], seed=0)


def test_the_curve_of_a_family_is_of_what_folds_leave_out():
    x, y = drawn(NARROW, images=200)
    folds = np.arange(len(y)) % 5
    curve = measured_learning_curve(
        FAMILIES["lda"], x, y, folds, CLASSES, {"shrinkage": 0.5}, sizes=[20, 40, 80, 160], seed=0
    )
    assert curve.accuracies.shape == (5, 4)
    whole = FAMILIES["lda"].fold_probabilities(
        x, y, folds[None] != np.arange(5)[:, None], CLASSES, [{"shrinkage": 0.5}]
    )[0]
    expected = [(whole[fold].argmax(axis=1) == y)[folds == fold].mean() for fold in range(5)]
    np.testing.assert_allclose(curve.accuracies[:, -1], expected)
    assert curve.accuracies[:, 0].mean() < curve.accuracies[:, -1].mean()
