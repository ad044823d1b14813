from itertools import product

import numpy as np
import pytest
from tests.classifiers.test_families import CLASSES, NARROW, drawn

from vision_studies.classifiers.averaging import AverageClassifier, Part, greedy_weights, nested_average
from vision_studies.classifiers.nested import Nested, inner_folds, nested_probabilities
from vision_studies.classifiers.registry import FAMILIES
from vision_studies.errors import DataError
from vision_studies.statistics.calibration import log_loss


def noisy(y, noise, seed):
    """Probabilities [N, 3] that are right the less often, the more noise there is."""
    random = np.random.default_rng(seed)
    logits = np.eye(3)[y] * 2 + random.normal(size=(len(y), 3)) * noise
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_it_is_the_greedy_search_written_out():
    y = np.arange(60) % 3
    members = np.stack([noisy(y, noise, seed) for seed, noise in enumerate((1.0, 1.2, 1.5, 4.0))])
    bag, best = [], (np.inf, [])
    for _ in range(10):
        tried = [(log_loss(np.mean([members[i] for i in [*bag, new]], axis=0), y), new) for new in range(4)]
        loss, new = min(tried)
        bag.append(new)
        if loss < best[0] - 1e-4:
            best = (loss, list(bag))
    expected = np.bincount(best[1], minlength=4) / len(best[1])
    assert greedy_weights(members, y, rounds=10).tolist() == expected.tolist()


def test_the_average_is_nearly_the_best_of_a_fine_grid_and_never_worse_than_a_member():
    y = np.arange(90) % 3
    members = np.stack([noisy(y, noise, seed) for seed, noise in enumerate((1.0, 1.2, 1.5))])
    reached = log_loss(np.tensordot(greedy_weights(members, y), members, axes=1), y)
    steps = np.linspace(0, 1, 21)
    grid = [(a, b, 1 - a - b) for a, b in product(steps, steps) if a + b <= 1]
    assert reached <= min(log_loss(np.tensordot(weights, members, axes=1), y) for weights in grid) + 2e-3
    assert reached <= min(log_loss(member, y) for member in members)


def test_no_member_and_no_image_are_refused():
    with pytest.raises(DataError, match="0 classifiers"):
        greedy_weights(np.zeros((0, 3, 2)), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match="no classifier"):
        nested_average([], np.zeros(3, dtype=int), np.zeros(3, dtype=int))


def test_weights_of_an_outer_fold_do_not_know_it():
    """Members that are right on what an outer fold leaves out alone get no weight there."""
    y, outer = np.arange(60) % 3, np.arange(60) // 3 % 2
    good, bad = noisy(y, 0.5, 0).astype(np.float32), noisy(y, 8.0, 1).astype(np.float32)

    def member(inside, outside):
        within = np.stack([np.where((outer == fold)[:, None], np.nan, inside) for fold in range(2)])
        return Nested(outside, [], np.zeros(2), np.ones(2), within)

    averaged = nested_average([member(good, bad), member(bad, good)], y, outer)
    assert (averaged.weights[:, 0] > 0.8).all()
    assert np.isfinite(averaged.probabilities).all()
    np.testing.assert_allclose(averaged.probabilities.sum(axis=1), 1, atol=1e-5)


def test_an_average_weighs_probabilities_at_their_temperatures():
    x, y = drawn(NARROW)
    more, _ = drawn(NARROW, seed=1)
    joined = np.concatenate([x, more], axis=1)
    first = FAMILIES["lda"].fit(x, y, {"shrinkage": 0.5}, CLASSES)
    second = FAMILIES["nearest_neighbours"].fit(more, y, {"k": 5}, CLASSES)
    average = AverageClassifier((Part(first, 0, NARROW, 1.0, 0.25), Part(second, NARROW, 2 * NARROW, 2.0, 0.75)))
    said = average.probabilities(joined)
    votes = np.sqrt(second.probabilities(more))
    expected = first.probabilities(x) / 4 + 0.75 * votes / votes.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(said, expected, atol=1e-5)


def test_an_average_in_nested_folds_is_as_good_as_its_best_member():
    x, y = drawn(NARROW, images=120)
    outer = np.arange(len(y)) % 3
    inner = inner_folds(outer, lambda rows: np.arange(len(rows)) % 3)
    members = [
        nested_probabilities(FAMILIES[name], x, y, outer, inner, CLASSES) for name in ("lda", "logistic", "majority")
    ]
    averaged = nested_average(members, y, outer)
    assert log_loss(averaged.probabilities, y) < min(log_loss(one.probabilities, y) for one in members) + 0.03
    assert (averaged.weights[:, 2] < 0.2).all()
