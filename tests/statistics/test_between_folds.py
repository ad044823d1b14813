import numpy as np
import pytest

from vision_studies.statistics.between_folds import OVERLAP, between_folds
from vision_studies.statistics.components import mean_squares, spread_at, spread_of


def drawn(seeds: int, effect: float, *, anew: bool = True, images: int = 400, count: int = 5, start: int = 0):
    """Scores whose networks differ by a standard deviation of `effect`, and the folds of each seed."""
    random = np.random.default_rng(start)
    folds = np.stack([random.permutation(images) % count for _ in range(seeds)])
    folds = folds if anew else np.tile(folds[:1], (seeds, 1))
    networks = effect * random.normal(size=(seeds, count))
    scores = random.normal(size=(1, images)) + random.normal(size=(seeds, images))
    return scores + np.take_along_axis(networks, folds, axis=1), folds


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_the_excess_is_on_average_what_networks_add_to_the_variance_of_the_mean(seeds, effect):
    found = [between_folds(*drawn(seeds, effect, start=start)) for start in range(300)]
    assert np.mean([own.excess for own in found]) == pytest.approx(effect**2 / (5 * seeds), abs=0.004)
    assert {(own.degrees, own.divisions) for own in found} == {(4 * seeds, seeds)}


def test_folds_that_all_seeds_share_are_one_division():
    scores, folds = drawn(3, 0.5, anew=False)
    own = between_folds(scores, folds)
    assert (own.degrees, own.divisions) == (4, 1)
    assert own == between_folds(scores.mean(axis=0, keepdims=True), folds[:1])


@pytest.mark.parametrize("folds", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one fold", "an image a fold"])
def test_folds_that_say_nothing_add_nothing(folds):
    own = between_folds(np.array([[1.0, 0.0, 1.0, 1.0]]), np.array([folds]))
    assert (own.excess, own.degrees) == (0.0, 0)


@pytest.mark.parametrize(("seeds", "anew", "degrees"), [(1, True, 4), (3, True, 14), (3, False, 4)])
def test_the_spread_has_both_parts(seeds, anew, degrees):
    scores, folds = drawn(seeds, 2.0, anew=anew)
    plain, squares = mean_squares(scores), mean_squares(scores, folds)
    alone, own = spread_of([plain]), spread_of([squares])
    assert own.image[0] == pytest.approx(OVERLAP * alone.image[0])
    assert own.degrees[0] == degrees
    assert own.variance[0] > alone.variance[0]
    # as many seeds and images as there are: what was measured; more of both: less
    there = spread_at([squares], np.array([seeds]), np.array([400]))
    assert there.variance[0] == pytest.approx(own.variance[0], rel=0.05)
    for more_seeds, more_images in ((5, 0), (0, 400)):
        further = spread_at([squares], np.array([seeds + more_seeds]), np.array([400 + more_images]))
        assert further.variance[0] < there.variance[0] or (not anew and more_seeds)
