"""Scores of features against their formulas, written out class by class and image by image."""

import math

import numpy as np
import pytest
from scipy import stats

from vision_studies.classifiers.transferability import SCORES, transfer_score
from vision_studies.errors import DataError


def made(count=48, width=6, classes=3, apart=1.5, seed=0):
    """Features, labels and probabilities of four other classes; `apart` says how far classes are apart."""
    random = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = (
        random.normal(size=(count, width)) * random.uniform(0.5, 2, width)
        + apart * random.normal(size=(classes, width))[y]
    )
    logits = x[:, : min(4, width)] @ random.normal(size=(min(4, width), 4))
    source = np.exp(logits)
    return x, y, source / source.sum(axis=1, keepdims=True)


def written_linear_probe(x, y, _):
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    best = 0.0
    for penalty in 10.0 ** np.arange(-3, 5):
        right = 0
        for image in range(len(x)):
            others = np.arange(len(x)) != image
            design = np.c_[x[others], np.ones(others.sum())]
            ridge = np.diag([penalty * len(x)] * x.shape[1] + [0.0])
            weights = np.linalg.solve(design.T @ design + ridge, design.T @ np.eye(y.max() + 1)[y[others]])
            right += (np.r_[x[image], 1] @ weights).argmax() == y[image]
        best = max(best, right / len(x))
    return best


def written_neighbours(x, y, _):
    right = 0
    for image in range(len(x)):
        cosines = [float(x[image] @ other / np.linalg.norm(x[image]) / np.linalg.norm(other)) for other in x]
        nearest = [other for other in np.argsort(cosines)[::-1] if other != image][:5]
        votes = [sum(1 + cosines[other] for other in nearest if y[other] == label) for label in range(y.max() + 1)]
        right += int(np.argmax(votes) == y[image])
    return right / len(x)


def written_logme(x, y, _):
    """Evidence of each class by the normal distribution of its labels, maximised over a fine search."""
    from scipy.optimize import minimize

    found = []
    for label in range(y.max() + 1):
        target = (y == label).astype(float)

        def evidence(logarithms, target=target):
            alpha, beta = np.exp(logarithms)
            return stats.multivariate_normal(np.zeros(len(x)), x @ x.T / alpha + np.eye(len(x)) / beta).logpdf(target)

        best = minimize(
            lambda at: -evidence(at), [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
        )
        found.append(-best.fun / len(x))
    return np.mean(found)


def written_leep(_, y, source):
    total = 0.0
    for image, label in enumerate(y):
        likelihood = 0.0
        for z in range(source.shape[1]):
            joint = sum(source[other, z] for other in range(len(y)) if y[other] == label) / len(y)
            likelihood += joint / (source[:, z].sum() / len(y)) * source[image, z]
        total += math.log(likelihood)
    return total / len(y)


def written_h_score(x, y, _):
    within = np.linalg.inv(np.cov(x.T, bias=True))
    means = np.stack([x[y == label].mean(axis=0) for label in y])
    return np.trace(within @ np.cov(means.T, bias=True))


def written_shrunk_h_score(x, y, _):
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(x)
    means = np.stack([x[y == label].mean(axis=0) for label in y])
    return (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ np.cov(means.T, bias=True))


def written_gbc(x, y, _):
    directions = np.linalg.eigh(np.cov(x.T))[1][:, ::-1][:, :64]
    points, total = (x - x.mean(axis=0)) @ directions, 0.0
    for i in range(y.max() + 1):
        for j in range(y.max() + 1):
            if i != j:
                first, second = points[y == i], points[y == j]
                middle = np.diag((first.var(axis=0) + second.var(axis=0)) / 2)
                step = first.mean(axis=0) - second.mean(axis=0)
                distance = step @ np.linalg.inv(middle) @ step / 8
                parts = np.linalg.det(np.diag(first.var(axis=0))) * np.linalg.det(np.diag(second.var(axis=0)))
                total += math.exp(-(distance + math.log(np.linalg.det(middle) / math.sqrt(parts)) / 2))
    return -total


def written_transrate(x, y, _):
    def rate(points):
        return np.linalg.slogdet(np.eye(x.shape[1]) + points.T @ points / (len(points) * 1e-4))[1] / 2

    z = x - x.mean(axis=0)
    return rate(z) - sum(rate(z[y == label]) for label in range(y.max() + 1)) / (y.max() + 1)


def written_nleep(x, y, _):
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    points = PCA(0.8, svd_solver="full").fit_transform(x)
    mixture = GaussianMixture(15, covariance_type="diag", reg_covar=1e-3, random_state=0, max_iter=50)
    return written_leep(x, y, mixture.fit(points / points.std()).predict_proba(points / points.std()))


WRITTEN = {
    "linear_probe": written_linear_probe,
    "nearest_neighbours": written_neighbours,
    "logme": written_logme,
    "leep": written_leep,
    "nleep": written_nleep,
    "h_score": written_h_score,
    "shrunk_h_score": written_shrunk_h_score,
    "gbc": written_gbc,
    "transrate": written_transrate,
}


def test_every_score_is_tested():
    assert WRITTEN.keys() == SCORES.keys()


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_its_formula_written_out(name):
    x, y, source = made()
    assert transfer_score(name, x, y, source) == pytest.approx(WRITTEN[name](x, y, source), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", ["linear_probe", "logme", "transrate"])
def test_more_features_than_images_are_scored_by_the_same_formula(name):
    x, y, source = made(count=18, width=25)
    if name == "linear_probe":  # of centred features a penalty of nothing has no solution that could be written out
        assert 0.3 < transfer_score(name, x, y) <= 1
    else:
        assert transfer_score(name, x, y, source) == pytest.approx(WRITTEN[name](x, y, source), rel=1e-4)


@pytest.mark.parametrize("name", SCORES)
def test_classes_that_are_farther_apart_score_higher(name):
    near, far = (made(count=90, width=12, apart=apart, seed=3) for apart in (0.0, 3.0))
    source = np.eye(3)[near[1]] * 0.9 + 0.1 / 3  # a classifier that tells the classes apart, and one that says nothing
    own = {0: np.full((90, 3), 1 / 3), 1: source}
    scores = [transfer_score(name, x, y, own[number]) for number, (x, y, _) in enumerate((near, far))]
    assert scores[0] < scores[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y: (x, np.zeros_like(y)), "two classes or more"),
        (lambda x, y: (x, np.where(np.arange(len(y)) == 0, 3, y)), r"\[15, 16, 16, 1\] a class"),
        (lambda x, y: (np.where(np.arange(len(y))[:, None] == 5, np.nan, x), y), "not finite"),
    ],
)
def test_images_that_nothing_can_be_told_from_are_refused(change, said):
    x, y, _ = made()
    with pytest.raises(DataError, match=said):
        transfer_score("logme", *change(x, y))


def test_probabilities_that_are_missing_are_asked_for():
    x, y, _ = made()
    with pytest.raises(DataError, match="LEEP is of what a classifier of other classes says"):
        transfer_score("leep", x, y)


def test_features_that_are_all_alike_have_finite_scores():
    y = np.arange(12) % 3
    values = {name: transfer_score(name, np.ones((12, 4)), y, np.full((12, 2), 0.5)) for name in SCORES}
    assert all(np.isfinite(value) for value in values.values()), values
