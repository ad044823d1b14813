"""How far a classifier's probabilities can be trusted: what reports and `kedro models evaluate` tell, each with an interval."""

from collections.abc import Mapping
from types import MappingProxyType

from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.scores import Metric, SelectiveAccuracy
from vision_studies.statistics.two_way import Estimate, intervals

COVERAGES = (0.8, 0.9, 0.95)
"""Shares of the images that are answered, those of which the classifier is surest."""

RELIABILITY: Mapping[str, Metric] = MappingProxyType(
    {
        "Log loss": "log_loss",
        "Brier score": "brier",
        "Debiased calibration error": "sweep_calibration_error",
        **{f"Accuracy at {100 * coverage:g} % coverage": SelectiveAccuracy(coverage) for coverage in COVERAGES},
        "AURC": "aurc",
    }
)
"""Title -> what is told."""

IN_PERCENT = frozenset(title for title in RELIABILITY if title.startswith(("Accuracy", "Debiased")))
"""Titles of those that are told in percent; the others have no unit."""


def reliability(evidence: Evidence, confidence: float = 0.95) -> dict[str, Estimate]:
    """Each of `RELIABILITY` with an interval over the seeds and test images that there are.

    Args:
        evidence: with probabilities; without them nothing can be said, and each estimate has the reason.
        confidence: of each interval.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.evidence import Evidence
        >>> from vision_studies.statistics.reliability import reliability
        >>> said = np.array([[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.55, 0.45]]])
        >>> own = Evidence.of_images("plain", [0], np.arange(5), np.array([0, 0, 0, 1, 1]), probabilities=said)
        >>> found = reliability(own)
        >>> round(found["Accuracy at 80 % coverage"].value, 2), round(found["AURC"].value, 2)
        (0.75, 0.13)
    """
    return {title: intervals([evidence], metric, confidence)[0] for title, metric in RELIABILITY.items()}
