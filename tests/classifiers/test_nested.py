import numpy as np
import pytest
from tests.classifiers.test_families import CLASSES, NARROW, WIDE, drawn

from vision_studies.classifiers.averaging import nested_average
from vision_studies.classifiers.nested import (
    inner_folds,
    nested_probabilities,
    refitted,
    scores,
    temperature_of,
    tempered,
)
from vision_studies.classifiers.registry import FAMILIES
from vision_studies.errors import DataError


def every(count):
    return lambda rows: np.arange(len(rows)) % count


@pytest.fixture(scope="module")
def data():
    x, y = drawn(NARROW, images=90)
    outer = np.arange(len(y)) % 3
    return x, y, outer, inner_folds(outer, every(4))


def test_inner_folds_are_of_what_an_outer_fold_learns_from():
    outer = np.array([0, 1, -1, 0, 1, 2])
    inner = inner_folds(outer, every(2))
    assert inner.tolist() == [[-1, 0, 1, -1, 0, 1], [0, -1, 1, 0, -1, 1], [0, 1, 0, 1, 0, -1]]


@pytest.mark.parametrize("name", ["lda", "logistic", "nearest_neighbours"])
def test_it_is_what_a_loop_over_folds_gives(name, data):
    x, y, outer, inner = data
    family = FAMILIES[name]
    grid = family.grid(45, NARROW, CLASSES)[1:4]
    nested = nested_probabilities(family, x, y, outer, inner, CLASSES, grid=grid)
    for fold in range(3):
        rows = np.flatnonzero(outer != fold)
        folds = inner[fold][rows]
        reached = []
        for one in grid:
            right = np.zeros(len(rows), dtype=bool)
            for number in range(4):
                learnt, asked = rows[folds != number], rows[folds == number]
                said = family.fit(x[learnt], y[learnt], one, CLASSES).probabilities(x[asked])
                right[folds == number] = said.argmax(axis=1) == y[asked]
            reached.append(right.mean())
        best = grid[int(np.argmax(reached))]
        assert nested.chosen[fold] == best
        assert nested.validation[fold] == pytest.approx(max(reached))
        asked = outer == fold
        alone = family.fit(x[rows], y[rows], best, CLASSES).probabilities(x[asked])
        expected = tempered(alone, nested.temperatures[fold])
        np.testing.assert_allclose(nested.probabilities[asked], expected, atol=2e-3)
        assert np.isnan(nested.inside[fold, asked]).all()
        assert np.isfinite(nested.inside[fold, ~asked]).all()


def test_blocks_of_outer_folds_give_the_same(data, monkeypatch):
    x, y, outer, inner = data
    whole = nested_probabilities(FAMILIES["lda"], x, y, outer, inner, CLASSES)
    monkeypatch.setattr("vision_studies.classifiers.nested._MOST_NUMBERS", 1)
    parts = nested_probabilities(FAMILIES["lda"], x, y, outer, inner, CLASSES)
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-5)
    assert parts.chosen == whole.chosen


def test_labels_that_are_left_out_are_not_looked_at(data):
    """The leak that nesting is there to stop: of labels drawn by chance, nothing can be predicted."""
    x, _, outer, inner = data
    random = np.random.default_rng(0)
    accuracies = []
    for _ in range(10):
        y = random.permutation(np.arange(90) % CLASSES)
        found = nested_probabilities(FAMILIES["lda"], x, y, outer, inner, CLASSES).probabilities
        accuracies.append((found.argmax(axis=1) == y).mean())
    assert np.mean(accuracies) == pytest.approx(1 / CLASSES, abs=0.06)


def test_of_equal_scores_the_simplest_is_chosen(data):
    x, _, outer, inner = data
    y = (x[:, 0] > np.median(x[:, 0])).astype(np.int64)
    apart = np.repeat(y[:, None] * 10.0, 2, axis=1).astype(np.float32)
    nested = nested_probabilities(FAMILIES["lda"], apart, y, outer, inner, 2)
    assert nested.chosen == [FAMILIES["lda"].grid(45, 2, 2)[0]] * 3
    assert nested.validation.tolist() == [1, 1, 1]


def test_images_in_no_outer_fold_are_learnt_from_and_not_predicted(data):
    x, y, _, _ = data
    outer = np.where(np.arange(len(y)) % 3 == 0, 0, -1)
    nested = nested_probabilities(FAMILIES["logistic"], x, y, outer, inner_folds(outer, every(3)), CLASSES)
    assert np.isnan(nested.probabilities[outer < 0]).all()
    assert (nested.probabilities[outer == 0].argmax(axis=1) == y[outer == 0]).mean() > 0.6


def test_inner_folds_of_another_shape_are_refused(data):
    x, y, outer, inner = data
    with pytest.raises(DataError, match="one row for each of 3 outer folds"):
        nested_probabilities(FAMILIES["lda"], x, y, outer, inner[:2], CLASSES)


def test_the_refitted_classifier_has_the_hyperparameters_of_all_folds(data):
    x, y, outer, _ = data
    family = FAMILIES["lda"]
    result = refitted(family, x, y, outer, CLASSES)
    masks = outer[None] != np.arange(3)[:, None]
    found = family.fold_probabilities(x, y, masks, CLASSES)[:, outer, np.arange(len(y))]
    reached = scores(found, y, CLASSES, "accuracy")
    assert result.score == pytest.approx(reached.max())
    assert result.hyperparameters == family.grid(60, NARROW, CLASSES)[int(reached.argmax())]
    assert (result.out_of_fold.argmax(axis=1) == y).mean() == pytest.approx(result.score)
    alone = family.fit(x, y, result.hyperparameters, CLASSES).probabilities(x)
    assert (result.fitted.probabilities(x) == alone).all()


def test_a_temperature_makes_probabilities_honest_and_keeps_their_order():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.array([random.choice(3, p=row) for row in honest])
    sure = tempered(honest, 0.25)
    assert temperature_of(sure, y) == pytest.approx(4, rel=0.1)
    assert (tempered(sure, 4).argmax(axis=1) == honest.argmax(axis=1)).all()


def test_a_balanced_score_counts_classes_alike():
    y = np.array([0, 0, 0, 1])
    probabilities = np.array([[[0.9, 0.1]] * 4])
    assert scores(probabilities, y, 3, "accuracy").tolist() == [0.75]
    assert scores(probabilities, y, 3, "balanced_accuracy").tolist() == [0.5]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("perceptron", "crt")])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_class_with_fewer_images_than_folds_is_answered_for(name, width):
    """Of the rare class one image: where it is left out, nothing can know it, and all other images are predicted as ever."""
    x, y = drawn(width, images=60)
    y = np.where(y == CLASSES - 1, 0, y)
    y[7] = CLASSES - 1
    outer = np.arange(len(y)) % 3
    grid = FAMILIES[name].grid(30, width, CLASSES)[-2:]
    nested = nested_probabilities(FAMILIES[name], x, y, outer, inner_folds(outer, every(3)), CLASSES, grid=grid)
    assert np.isfinite(nested.probabilities).all()
    assert np.isfinite(nested.temperatures).all()
    assert nested.probabilities[7].argmax() != CLASSES - 1
    averaged = nested_average([nested, nested], y, outer)
    np.testing.assert_allclose(averaged.probabilities, nested.probabilities, atol=1e-5)
