import math

import pytest

from vision_studies.training.selection import Tracker


def follow(metric, values, min_delta=0.0):
    tracker = Tracker(metric, min_delta)
    return tracker, [tracker.update({"epoch": epoch, metric: value}) for epoch, value in enumerate(values, start=1)]


def test_best_is_strictly_better():
    tracker, improved = follow("validation_accuracy", [0.5, 0.5, 0.6, 0.4])
    assert improved == [True, False, True, False]
    assert (tracker.best, tracker.best_epoch, tracker.waited) == (0.6, 3, 1)


def test_loss_is_to_fall():
    tracker, improved = follow("validation_loss", [1.0, 2.0, 0.5])
    assert improved == [True, False, True]
    assert tracker.best_epoch == 3


def test_small_changes_are_no_improvement():
    tracker, improved = follow("validation_loss", [1.0, 0.95, 0.85], min_delta=0.1)
    assert improved == [True, False, True]
    assert tracker.best == 0.85


@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
def test_what_is_not_finite_is_never_best(value):
    tracker, improved = follow("validation_loss", [value, 1.0, value])
    assert improved == [False, True, False]
    assert tracker.best_epoch == 2
