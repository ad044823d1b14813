"""Logistic regression whose penalty is chosen by folds."""

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from vision_studies.classifiers.logistic import PENALTIES, chosen_logistic


def test_it_is_scikit_learn_s_with_one_of_the_penalties():
    random = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [60, 30, 6])
    x = (random.normal(size=(96, 8)) + 2 * np.eye(8)[y]).astype(np.float32)
    own = chosen_logistic(x, y, 3)
    scale = x.std(axis=0)
    references = [LogisticRegression(C=C, max_iter=2000).fit(x / scale, y).predict_proba(x / scale) for C in PENALTIES]
    apart = [float(np.abs(softmax(x @ own.weight.T + own.bias, axis=1) - reference).max()) for reference in references]
    assert min(apart) < 2e-3


def test_a_class_of_one_image_is_known():
    x = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]
    assert chosen_logistic(x, np.array([0, 0, 0, 1, 1, 2]), 3).weight.shape == (3, 3)
