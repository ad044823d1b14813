"""Scores that tell, without training, how well features of a network would serve classes that it has not learnt.

Each is of features [N, D] and labels int64 [N] alone, or of what a classifier of the classes learnt first says of the same
images as well; the higher, the better the features.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from vision_studies.errors import DataError

_NEIGHBOURS = 5
_PENALTIES = tuple(10.0**power for power in range(-3, 5))  # of a linear probe on standardised features, over the images
_ROWS = 1024  # images whose similarities to all others are looked at together
_ENERGY, _COMPONENTS_A_CLASS = 0.8, 5  # of NLEEP, as published
_GBC_COMPONENTS = 64  # as published
_LEAST_VARIANCE = 1e-6  # of a class along a component, as a share of that of all images
_LEAST_SHARE = 1e-10  # of the largest variance along a direction, below which there is none
_DISTORTION = 1e-4  # of TransRate, as published
_STEPS, _TOLERANCE = 100, 1e-6  # of the fixed point of LogME


@dataclass(frozen=True)
class TransferScore:
    """A score of features.

    Attributes:
        name: as parameters have it.
        title: for tables and figures.
        source: where it comes from.
        needs_source: it is of what a classifier of other classes says of the images.
        compute: features float64 [N, D], labels int64 [N] from 0 to C - 1, of which each has two images at least, and, where it
            needs them, probabilities of other classes [N, Z] -> the score.
    """

    name: str
    title: str
    source: str
    needs_source: bool
    compute: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


def transfer_score(name: str, x: np.ndarray, y: np.ndarray, source: np.ndarray | None = None) -> float:
    """A score of `SCORES` by its name; the higher, the better.

    Args:
        name: of the score.
        x: [N, D], features.
        y: int64 [N], labels, from 0 to C - 1.
        source: [N, Z], probabilities of the classes learnt first, for the scores that need them.

    Raises:
        DataError: a class has fewer than two images, there is one class, features are not finite, or probabilities are missing.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.transferability import transfer_score
        >>> y = np.arange(40) % 2
        >>> noise = np.random.default_rng(0).normal(size=(40, 3))
        >>> good, poor = (transfer_score("logme", noise + apart * y[:, None], y) for apart in (4, 0))
        >>> good > poor
        True
    """
    score = SCORES[name]
    if not np.isfinite(x).all():
        raise DataError("Features that are to be scored are not finite numbers; look for a run that diverged.")
    counts = np.bincount(y)
    if len(counts) < 2 or counts.min() < 2:
        raise DataError(
            f"{score.title} is of two classes or more with two images each at least, and the images are {counts.tolist()} a "
            "class; take more images."
        )
    if score.needs_source and source is None:
        raise DataError(
            f"{score.title} is of what a classifier of other classes says of the images, which is not given."
        )
    return float(score.compute(np.asarray(x, dtype=np.float64), y, source))


def linear_probe(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None) -> float:
    """Share of images that a linear classifier of all others gets right: least squares with the best of eight penalties.

    All N classifiers are one singular value decomposition: a residual with an image left out is its residual over one less its
    leverage.
    """
    spread = x.std(axis=0)
    centred = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    left, values, _right = np.linalg.svd(centred, full_matrices=False)
    targets = np.eye(y.max() + 1)[y]
    offset = targets.mean(axis=0)
    projected = left.T @ (targets - offset)
    shares = []
    for penalty in _PENALTIES:
        shrunk = values**2 / (values**2 + penalty * len(x))
        fitted = offset + left @ (shrunk[:, None] * projected)
        leverage = np.minimum(1 / len(x) + left**2 @ shrunk, 1 - 1e-9)
        without = targets - (targets - fitted) / (1 - leverage)[:, None]
        shares.append((without.argmax(axis=1) == y).mean())
    return max(shares)


def nearest_neighbours(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None) -> float:
    """Share of images whose five nearest others, by the angle of features, vote for their class, each by its cosine."""
    directions = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    votes, one_hot = np.empty((len(x), y.max() + 1)), np.eye(y.max() + 1)
    nearest = min(_NEIGHBOURS, len(x) - 1)
    for start in range(0, len(x), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(x)))
        cosines = directions[rows] @ directions.T
        cosines[rows - start, rows] = -np.inf
        found = np.argpartition(-cosines, nearest - 1, axis=1)[:, :nearest]
        weights = 1 + np.take_along_axis(cosines, found, axis=1)
        votes[rows] = np.einsum("nk,nkc->nc", weights, one_hot[y[found]])
    return float((votes.argmax(axis=1) == y).mean())


def logme(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None) -> float:
    """Logarithm of the maximum evidence of linear models of the one-hot labels, over images and classes.

    The precisions alpha of weights and beta of noise are found by the fixed point of You et al. (2022), for all classes
    together.
    """
    count, width = x.shape
    left, values, _right = np.linalg.svd(x, full_matrices=False)
    squares = values[:, None] ** 2
    targets = np.eye(y.max() + 1)[y]
    projected = (left.T @ targets) ** 2  # [rank, C]
    beyond = np.maximum((targets**2).sum(axis=0) - projected.sum(axis=0), 0)
    alpha, beta = np.ones(len(beyond)), np.ones(len(beyond))
    for _step in range(_STEPS):
        ratio = alpha / beta
        freedom = (squares / (ratio + squares)).sum(axis=0)
        weights = (squares * projected / (ratio + squares) ** 2).sum(axis=0)
        residual = (projected * (ratio / (ratio + squares)) ** 2).sum(axis=0) + beyond
        alpha, beta = freedom / (weights + 1e-12), (count - freedom) / (residual + 1e-12)
        if np.all(np.abs(alpha / beta - ratio) <= _TOLERANCE * ratio):
            break
    ratio = alpha / beta
    weights = (squares * projected / (ratio + squares) ** 2).sum(axis=0)
    residual = (projected * (ratio / (ratio + squares)) ** 2).sum(axis=0) + beyond
    logarithms = np.log(alpha + beta * squares).sum(axis=0) + (width - len(values)) * np.log(alpha)
    evidence = width * np.log(alpha) + count * np.log(beta) - logarithms - beta * residual - alpha * weights
    return float((evidence / (2 * count) - np.log(2 * np.pi) / 2).mean())


def leep(_x: np.ndarray, y: np.ndarray, source: np.ndarray | None) -> float:
    """Mean log-likelihood of labels by the classes that a classifier of other classes takes the images for."""
    assert source is not None  # noqa: S101 - the registry says that it is needed
    joint = np.stack([source[y == label].sum(axis=0) for label in range(y.max() + 1)]) / len(y)  # [C, Z]
    given = joint / np.maximum(joint.sum(axis=0), np.finfo(float).tiny)
    likelihoods = (given[y] * source).sum(axis=1)
    return float(np.log(np.maximum(likelihoods, np.finfo(float).tiny)).mean())


def nleep(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None) -> float:
    """LEEP of the components of a Gaussian mixture, five a class, on the principal components with 80 % of the variance.

    Covariances are diagonal, and there are never more components than a third of the images.
    """
    from sklearn.mixture import GaussianMixture

    centred = x - x.mean(axis=0)
    left, values, _right = np.linalg.svd(centred, full_matrices=False)
    energy = np.cumsum(values**2)
    kept = 1 + int(np.searchsorted(energy, _ENERGY * energy[-1]))
    points = left[:, :kept] * values[:kept]
    points = points / max(float(points.std()), np.finfo(float).tiny)
    components = max(1, min(_COMPONENTS_A_CLASS * int(y.max() + 1), len(x) // 3))
    mixture = GaussianMixture(components, covariance_type="diag", reg_covar=1e-3, random_state=0, max_iter=50)
    with _unconverged():
        mixture.fit(points)
    return leep(x, y, mixture.predict_proba(points))


def h_score(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None, *, shrunk: bool = False) -> float:
    """Trace of the inverse covariance of features times that of the mean features of classes.

    Args:
        shrunk: the covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004), as many features of few
            images ask for; otherwise its pseudo-inverse is taken.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    centred = x - x.mean(axis=0)
    _left, values, directions = np.linalg.svd(centred, full_matrices=False)
    means = np.stack([centred[y == label].mean(axis=0) for label in range(y.max() + 1)]) @ directions.T
    between = np.bincount(y) @ means**2 / len(x)  # variance of class means along each direction
    variances = values**2 / len(x)
    shrinkage = ledoit_wolf_shrinkage(centred, assume_centered=True) if shrunk else 0.0
    within = (1 - shrinkage) * variances + shrinkage * variances.sum() / x.shape[1]
    there = within > _LEAST_SHARE * max(float(within.max()), np.finfo(float).tiny)
    return float((1 - shrinkage) * (between[there] / within[there]).sum())


def gbc(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None) -> float:
    """Less the sum, over pairs of classes, of the Bhattacharyya coefficients of normal distributions of their features.

    Features are their first 64 principal components, covariances are diagonal; zero where classes do not overlap.
    """
    centred = x - x.mean(axis=0)
    left, values, _right = np.linalg.svd(centred, full_matrices=False)
    points = (left * values)[:, :_GBC_COMPONENTS]
    least = _LEAST_VARIANCE * max(float((points**2).mean()), np.finfo(float).tiny)
    classes = [points[y == label] for label in range(y.max() + 1)]
    means = np.stack([own.mean(axis=0) for own in classes])
    variances = np.stack([np.maximum(own.var(axis=0), least) for own in classes])
    middle = (variances[:, None] + variances) / 2  # [C, C, d]
    distances = ((means[:, None] - means) ** 2 / middle).sum(axis=2) / 8
    logarithms = np.log(variances).sum(axis=1)
    distances += (np.log(middle).sum(axis=2) - (logarithms[:, None] + logarithms) / 2) / 2
    off_diagonal = ~np.eye(len(classes), dtype=bool)
    return -float(np.exp(-distances)[off_diagonal].sum())


def transrate(x: np.ndarray, y: np.ndarray, _: np.ndarray | None = None) -> float:
    """Coding rate of all features less the mean coding rate of those of each class."""
    centred = x - x.mean(axis=0)
    return _coding_rate(centred) - float(np.mean([_coding_rate(centred[y == label]) for label in range(y.max() + 1)]))


def _coding_rate(points: np.ndarray) -> float:
    """Half the logarithm of the determinant of the identity plus the second moments over the distortion."""
    values = np.linalg.svd(points, compute_uv=False)
    return float(np.log1p(values**2 / (len(points) * _DISTORTION)).sum() / 2)


def _unconverged() -> warnings.catch_warnings:
    """Within it, scikit-learn does not say that a mixture has not converged in so many steps."""
    from sklearn.exceptions import ConvergenceWarning

    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)


SCORES: Mapping[str, TransferScore] = {
    score.name: score
    for score in (
        TransferScore(
            "linear_probe",
            "Linear probe",
            "Alain and Bengio 2017, Understanding Intermediate Layers Using Linear Classifier Probes; an image left out as in "
            "Allen 1974",
            False,
            linear_probe,
        ),
        TransferScore(
            "nearest_neighbours",
            "Nearest neighbours",
            "Cover and Hart 1967, Nearest Neighbor Pattern Classification",
            False,
            nearest_neighbours,
        ),
        TransferScore(
            "logme",
            "LogME",
            "You et al. 2021, LogME: Practical Assessment of Pre-Trained Models for Transfer Learning",
            False,
            logme,
        ),
        TransferScore(
            "leep",
            "LEEP",
            "Nguyen et al. 2020, LEEP: A New Measure to Evaluate Transferability of Learned Representations",
            True,
            leep,
        ),
        TransferScore(
            "nleep",
            "NLEEP",
            "Li et al. 2021, Ranking Neural Checkpoints",
            False,
            nleep,
        ),
        TransferScore(
            "h_score",
            "H-score",
            "Bao et al. 2019, An Information-Theoretic Approach to Transferability in Task Transfer Learning",
            False,
            h_score,
        ),
        TransferScore(
            "shrunk_h_score",
            "Shrunk H-score",
            "Ibrahim et al. 2022, Newer Is Not Always Better: Rethinking Transferability Metrics, Their Peculiarities, "
            "Stability and Performance",
            False,
            partial(h_score, shrunk=True),
        ),
        TransferScore(
            "gbc",
            "GBC",
            "Pándy et al. 2022, Transferability Estimation Using Bhattacharyya Class Separability",
            False,
            gbc,
        ),
        TransferScore(
            "transrate",
            "TransRate",
            "Huang et al. 2022, Frustratingly Easy Transferability Estimation",
            False,
            transrate,
        ),
    )
}
"""All scores, by name."""
