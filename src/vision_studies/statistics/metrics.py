"""All metrics of the results table: what each is called, means and is measured by, told here and nowhere else.

The results table has their columns; reports, the terminal, cards of models, comparisons, trackers and the documentation go
through this list. A further metric is one more entry, and the function that measures it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vision_studies.statistics.calibration import accuracy, brier_score, expected_calibration_error, log_loss

Unit = Literal[
    "fraction", "points", "nats", "score", "epoch", "parameters", "operations", "seconds", "images a second", "MB"
]
"""`points` is a difference of fractions; nats are per image; a `score` has no unit."""

Split = Literal["validation", "test"]
Measure = Callable[[np.ndarray, np.ndarray], float]
"""Class probabilities [N, classes] and labels int [N] -> a value."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column of the results table that holds what was measured of a run.

    Attributes:
        column: its name there, and in trackers.
        title: heading in reports.
        short: heading where there is little room.
        meaning: one sentence for the documentation.
        unit: what its values are.
        better: which values are; None where neither is.
        of: images that it is measured on, or what else it tells of: how training went, what it cost.
        compared: whether variants are compared by it; it then stands in every table of variants.
        shown: in the table of runs as a column, or among what is told of a single run.
        measure: None where it does not come from predictions.
    """

    column: str
    title: str
    short: str
    meaning: str
    unit: Unit
    better: Literal["higher", "lower"] | None
    of: Literal[Split, "training", "cost"]
    compared: bool
    shown: Literal["column", "details"]
    measure: Measure | None

    @property
    def is_fraction(self) -> bool:
        """Whether values end at 0 and 1 and are shown as percent."""
        return self.unit in ("fraction", "points")

    @property
    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        return self.unit in ("epoch", "parameters", "operations")


def _cost(column: str, title: str, meaning: str, unit: Unit, better: Literal["higher", "lower"] = "lower") -> Metric:
    """What a run cost: nothing that variants are compared by."""
    return Metric(
        column=column,
        title=title,
        short=title,
        meaning=meaning,
        unit=unit,
        better=better,
        of="cost",
        compared=False,
        shown="column",
        measure=None,
    )


METRICS: tuple[Metric, ...] = (
    Metric(
        column="validation_accuracy",
        title="Validation accuracy",
        short="validation accuracy",
        meaning="share of the validation images that are classified rightly",
        unit="fraction",
        better="higher",
        of="validation",
        compared=False,
        shown="column",
        measure=accuracy,
    ),
    Metric(
        column="validation_loss",
        title="Validation loss",
        short="validation loss",
        meaning="mean negative log-likelihood of the validation images",
        unit="nats",
        better="lower",
        of="validation",
        compared=False,
        shown="details",
        measure=log_loss,
    ),
    Metric(
        column="test_accuracy",
        title="Test accuracy",
        short="test accuracy",
        meaning="share of the test images that are classified rightly",
        unit="fraction",
        better="higher",
        of="test",
        compared=True,
        shown="column",
        measure=accuracy,
    ),
    Metric(
        column="test_loss",
        title="Test loss",
        short="test loss",
        meaning="mean negative log-likelihood of the test images",
        unit="nats",
        better="lower",
        of="test",
        compared=True,
        shown="column",
        measure=log_loss,
    ),
    Metric(
        column="test_calibration_error",
        title="Calibration error",
        short="calibration",
        meaning="mean gap between confidence and accuracy on the test images (15 bins)",
        unit="points",
        better="lower",
        of="test",
        compared=True,
        shown="column",
        measure=expected_calibration_error,
    ),
    Metric(
        column="test_brier",
        title="Brier score",
        short="Brier score",
        meaning="mean squared distance to the right answer on the test images, 0 to 2",
        unit="score",
        better="lower",
        of="test",
        compared=False,
        shown="details",
        measure=brier_score,
    ),
    Metric(
        column="best_epoch",
        title="Best epoch",
        short="best epoch",
        meaning="epoch of the weights that are kept, from 1",
        unit="epoch",
        better=None,
        of="training",
        compared=False,
        shown="column",
        measure=None,
    ),
    _cost("parameters", "Parameters", "parameters of the network", "parameters"),
    _cost("macs", "MACs", "multiply-accumulate operations for one image", "operations"),
    _cost("seconds", "Time", "time of training and validation", "seconds"),
    _cost("images_per_second", "Images/s", "training images a second", "images a second", better="higher"),
    _cost("peak_memory_mb", "Memory (MB)", "largest memory of the process or, on a GPU, of its tensors", "MB"),
)
"""In the order of the results table."""

COMPARED = tuple(metric for metric in METRICS if metric.compared)
"""What variants are compared by; the first, test accuracy, is what sentences and figures speak of."""

BETTER = {metric.column: metric.better for metric in METRICS}
"""Column -> which of its values are better."""


def measured(probabilities: np.ndarray, labels: np.ndarray, of: Split = "test") -> dict[str, float]:
    """All metrics of predictions, as columns of the results table.

    Args:
        probabilities: [N, classes], rows sum to 1.
        labels: int [N].
        of: which images they are.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.statistics.metrics import measured
        >>> probabilities, labels = np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1])
        >>> {column: round(value, 3) for column, value in measured(probabilities, labels).items()}
        {'test_accuracy': 0.5, 'test_loss': 0.837, 'test_calibration_error': 0.25, 'test_brier': 0.625}
    """
    return {
        metric.column: metric.measure(probabilities, labels)
        for metric in METRICS
        if metric.of == of and metric.measure is not None
    }
