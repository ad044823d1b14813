"""A metric: how often the right class is among the two most probable ones."""

import numpy as np

from vision_studies.statistics.metrics import Metric


def top_two(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images whose class is among the two most probable ones."""
    best = np.argsort(probabilities, axis=1)[:, -2:]
    return float((best == labels[:, None]).any(axis=1).mean())


TOP_TWO = Metric(
    column="test_top_two",
    title="Among the first two",
    short="top 2",
    meaning="share of the test images whose class is among the two most probable ones",
    unit="fraction",
    better="higher",
    of="test",
    compared=True,
    shown="column",
    measure=top_two,
)
