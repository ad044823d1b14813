"""How far a classifier's confidence can be trusted."""

import numpy as np
import pandas as pd

_SMALLEST_PROBABILITY = 1e-12


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, loss and calibration of class probabilities.

    Args:
        probabilities: [N, classes], rows sum to 1.
        labels: int [N].

    Returns:
        accuracy (fraction), loss (negative log-likelihood, nats), calibration_error (expected calibration error, 15 bins)
        and brier (Brier 1950: mean squared distance to the one-hot label, 0 to 2).

    Examples:
        >>> import numpy as np
        >>> from vision_studies.analysis.calibration import classification_metrics
        >>> probabilities, labels = np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1])
        >>> {name: round(value, 3) for name, value in classification_metrics(probabilities, labels).items()}
        {'accuracy': 0.5, 'loss': 0.837, 'calibration_error': 0.25, 'brier': 0.625}
    """
    rows = np.arange(len(labels))
    likelihood = np.maximum(probabilities[rows, labels].astype(np.float64), _SMALLEST_PROBABILITY)
    # The squared distance written out: one-hot labels of a thousand classes would be as large as all probabilities.
    distances = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64) - 2 * likelihood + 1
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "loss": float(-np.log(likelihood).mean()),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "brier": float(distances.mean()),
    }


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over bins of confidence, weighted by their images (Guo et al. 2017)."""
    table = reliability_table(probabilities, labels, bins)
    filled = table[table["images"] > 0]
    return float(((filled["accuracy"] - filled["confidence"]).abs() * filled["images"]).sum() / len(labels))


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
