"""How good class probabilities are, and how far a classifier's confidence can be trusted."""

import numpy as np
import pandas as pd

_SMALLEST_PROBABILITY = 1e-12
_TEMPERATURES = (0.01, 100.0)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images whose class has the highest probability.

    Args:
        probabilities: [N, classes].
        labels: int [N].
    """
    return float((probabilities.argmax(axis=1) == labels).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(-np.log(_likelihood(probabilities, labels)).mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance to the one-hot label, 0 to 2 (Brier 1950)."""
    # The squared distance written out: one-hot labels of a thousand classes would be as large as all probabilities.
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    return float((squares - 2 * _likelihood(probabilities, labels) + 1).mean())


def _likelihood(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probability of the right class of each image, float64 [N], never 0."""
    right = probabilities[np.arange(len(labels)), labels]
    return np.maximum(right.astype(np.float64), _SMALLEST_PROBABILITY)


def fitted_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The number by which logits [N, classes] are divided for the lowest log loss with labels int64 [N] (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    exact = logits.astype(np.float64)

    def loss(logarithm: float) -> float:
        scaled = exact / np.exp(logarithm)
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]).mean())

    bounds = tuple(np.log(_TEMPERATURES))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over bins of confidence, weighted by their images (Guo et al. 2017)."""
    table = reliability_table(probabilities, labels, bins)
    filled = table[table["images"] > 0]
    return float(((filled["accuracy"] - filled["confidence"]).abs() * filled["images"]).sum() / len(labels))


def sweep_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The same gap over bins of equally many images, as many of them as leave accuracy rising from bin to bin (Roelofs et al.
    2022, "Mitigating Bias in Calibration Error Estimation", equal-mass sweep; the mean of absolute gaps).

    Fifteen bins of few images each find gaps where there are none; these are as wide as the images ask for.

    Args:
        probabilities: [N, classes].
        labels: int [N].

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.calibration import expected_calibration_error, sweep_calibration_error
        >>> random = np.random.default_rng(0)
        >>> sure = random.uniform(0.5, 1, 300)
        >>> honest, labels = np.stack([sure, 1 - sure], axis=1), (random.random(300) > sure).astype(int)
        >>> round(expected_calibration_error(honest, labels), 3), round(sweep_calibration_error(honest, labels), 3)
        (0.07, 0.047)
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    member = sweep_bins(confidence, correct)
    return float(np.abs(np.bincount(member, weights=correct - confidence)).sum() / len(labels))


def sweep_bins(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Bin of each image, int64 [N], for `sweep_calibration_error`; images of one confidence are in one bin.

    Args:
        confidence: float [N].
        correct: bool [N].
    """
    images = len(confidence)
    if correct.all() or not correct.any():
        return np.zeros(images, dtype=np.int64)  # every gap has one sign: whatever the bins, the error is the same
    order = np.argsort(confidence, kind="stable")
    ranked = confidence[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] > ranked[:-1]]))  # of images of one confidence
    right = np.concatenate([[0], np.cumsum(correct[order])])
    edges = np.zeros(1, dtype=np.int64)
    for bins in range(2, images):
        wanted = -(-np.arange(bins) * images // bins)  # an image of rank r is in bin r * bins // images
        places = np.searchsorted(starts, wanted)
        tried = np.unique(starts[places[places < len(starts)]])
        accuracy = np.diff(right[[*tried, images]]) / np.diff([*tried, images])
        if (np.diff(accuracy) < 0).any():
            break
        edges = tried
    member = np.empty(images, dtype=np.int64)
    member[order] = np.searchsorted(edges, np.arange(images), side="right") - 1
    return member


def reliability_table(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Accuracy and mean confidence of predictions in bins of equal width.

    Returns:
        One row a bin: low, high (edges of confidence; high included), images, confidence, accuracy (missing where empty).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    member = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    images = np.bincount(member, minlength=bins)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "low": edges[:-1],
                "high": edges[1:],
                "images": images,
                "confidence": np.bincount(member, weights=confidence, minlength=bins) / images,
                "accuracy": np.bincount(member, weights=correct, minlength=bins) / images,
            }
        )
