"""Temperature, vector and isotonic calibration against their formulas, and what they say where little can be known."""

from typing import get_args

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from vision_studies.predictions import CalibratorName
from vision_studies.statistics.calibration import log_loss
from vision_studies.statistics.calibrators import SMALLEST, fit_calibrator


def said(images=600, classes=4, sharp=2.5, seed=0):
    """Probabilities of a classifier that is too sure, `sharp` times, with classes 0 and 1 favoured; and the labels."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (images, classes))
    chances = softmax(logits, axis=1).cumsum(axis=1)
    labels = (random.random((images, 1)) < chances).argmax(axis=1)
    return softmax(sharp * logits + [1.0, 1.0, 0, 0][:classes], axis=1).astype(np.float32), labels


def test_temperature_is_the_power_that_its_formula_says():
    probabilities, labels = said()
    found = fit_calibrator("temperature", probabilities, labels)(probabilities)
    grid = np.exp(np.linspace(np.log(0.5), np.log(8), 400))
    losses = [log_loss(softmax(np.log(probabilities.astype(float)) / each, axis=1), labels) for each in grid]
    powered = probabilities.astype(float) ** (1 / grid[np.argmin(losses)])
    np.testing.assert_allclose(found, powered / powered.sum(axis=1, keepdims=True), atol=0.01)
    assert log_loss(found, labels) <= min(losses) + 1e-6
    assert (found.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_vector_scaling_has_the_least_loss_with_its_prior():
    probabilities, labels = said()
    logits = np.log(probabilities.astype(float))

    def loss(numbers):
        calibrated = softmax(numbers[:4] * logits + numbers[4:], axis=1)
        away = np.concatenate([numbers[:4] - 1, numbers[4:]])
        return log_loss(calibrated, labels) + (away**2).sum() / (2 * len(labels))

    start = np.concatenate([np.ones(4), np.zeros(4)])
    expected = minimize(loss, start, method="BFGS").x  # which takes the gradient by differences
    found = fit_calibrator("vector", probabilities, labels)
    np.testing.assert_allclose([found.scale, found.shift], [expected[:4], expected[4:]], atol=0.01)


def test_isotonic_is_a_step_function_of_each_class_divided_by_their_sum():
    probabilities, labels = said()
    columns = [
        IsotonicRegression(out_of_bounds="clip").fit(column, labels == label).predict(column)
        for label, column in enumerate(probabilities.T.astype(float))
    ]
    bounded = np.clip(np.stack(columns, axis=1), 1 / (4 * 601), 1 - 3 / (4 * 601))
    found = fit_calibrator("isotonic", probabilities, labels)(probabilities)
    np.testing.assert_allclose(found, bounded / bounded.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("name", get_args(CalibratorName))
def test_new_images_are_told_better_of_and_rows_sum_to_one(name):
    fit, new = said(2000), said(2000, seed=1)
    found = fit_calibrator(name, *fit)(new[0])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert log_loss(found, new[1]) < log_loss(*new) - 0.1


@pytest.mark.parametrize("name", get_args(CalibratorName))
@pytest.mark.parametrize("kind", ["all right", "one image", "one class", "zeros and ones", "all alike"])
def test_where_little_is_known_nothing_is_certain(name, kind):
    random = np.random.default_rng(0)
    probabilities = softmax(random.normal(0, 3, (50, 3)), axis=1).astype(np.float16)
    labels = probabilities.argmax(axis=1)
    if kind == "one image":
        probabilities, labels = probabilities[:1], labels[:1]
    elif kind == "one class":
        labels = np.zeros(50, dtype=int)
    elif kind == "zeros and ones":
        probabilities = np.eye(3, dtype=np.float16)[random.integers(0, 3, 50)]
    elif kind == "all alike":
        probabilities = np.tile(probabilities[:1], (50, 1))
    found = fit_calibrator(name, probabilities, labels)(probabilities)
    assert np.isfinite(found).all()
    assert (found > 0).all() or kind == "zeros and ones"
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    if kind == "all right" and name == "temperature":
        known = np.maximum(probabilities.astype(float), SMALLEST)
        np.testing.assert_allclose(found, known / known.sum(axis=1, keepdims=True), rtol=1e-6)
