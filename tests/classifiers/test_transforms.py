import numpy as np
import pytest
import torch

from vision_studies.classifiers.transforms import Rooted, rooted


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_roots_have_length_1_in_each_part(parts):
    x = np.random.default_rng(0).gamma(1.0, size=(5, 6)).astype(np.float32)
    found = rooted(x, parts)
    assert found.dtype == np.float32
    for own, before in zip(np.split(found, parts, axis=1), np.split(x, parts, axis=1), strict=True):
        np.testing.assert_allclose(np.square(own), before / before.sum(axis=1, keepdims=True), rtol=1e-5)
    assert (Rooted(parts)(torch.from_numpy(x)).numpy() == found).all()


def test_negative_features_keep_their_sign_and_nothing_stays_nothing():
    np.testing.assert_allclose(rooted(np.array([[-9.0, 16.0], [0.0, 0.0]])), [[-0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


def test_the_unit_of_features_does_not_matter():
    x = np.random.default_rng(0).normal(size=(4, 6))
    np.testing.assert_allclose(rooted(x), rooted(100 * x), rtol=1e-5)
