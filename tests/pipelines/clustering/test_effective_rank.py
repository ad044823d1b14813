import numpy as np
import pytest

from vision_studies.errors import DataError
from vision_studies.pipelines.clustering.activations import effective_rank


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_equal_singular_values_give_the_rank(rank):
    random = np.random.default_rng(0)
    left, _ = np.linalg.qr(random.normal(size=(12, rank)))
    right, _ = np.linalg.qr(random.normal(size=(9, rank)))
    assert effective_rank(4.2 * left @ right.T) == pytest.approx(rank)


def test_it_is_the_exponential_of_the_entropy():
    shares = np.array([0.7, 0.2, 0.1])
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert effective_rank(np.diag(5 * shares)) == pytest.approx(expected)
    assert 1 < expected < 3


def test_a_convolution_is_the_matrix_of_its_patches():
    weights = np.random.default_rng(1).normal(size=(8, 4, 3, 3)).astype(np.float32)
    patches = np.stack([kernel.ravel() for kernel in weights])
    assert patches.shape == (8, 36)
    assert effective_rank(weights) == pytest.approx(effective_rank(patches))
    assert 7 < effective_rank(weights) <= 8


def test_zeros_have_no_effective_rank_and_unfit_arrays_are_refused():
    assert np.isnan(effective_rank(np.zeros((3, 2))))
    for unfit in (np.ones(3), np.array([[1.0, np.nan]]), np.empty((0, 3))):
        with pytest.raises(DataError, match="needs a matrix of finite numbers"):
            effective_rank(unfit)
