"""All metrics of the results table: what each is called, means and is measured by, told here and nowhere else.

The results table has their columns; reports, the terminal, cards of models, comparisons, trackers and the documentation go
through this list. A further metric is one more entry, and the function that measures it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vision_studies.statistics.calibration import accuracy, brier_score, expected_calibration_error, log_loss

Unit = Literal[
    "fraction", "points", "nats", "score", "epoch", "parameters", "operations", "seconds", "images a second", "MB"
]
"""`points` is a difference of fractions; nats are per image; a `score` has no unit."""

Split = Literal["validation", "test"]
Kind = Literal[Split, "training", "cost"]
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
    of: Kind
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


def _metric(column: str, title: str, meaning: str, unit: Unit, of: Kind, **answers: Any) -> Metric:
    """A metric that is better when lower, not compared, and a column in the table of runs, unless the answers differ."""
    usual: dict[str, Any] = {"short": title, "better": "lower", "compared": False, "shown": "column", "measure": None}
    return Metric(column=column, title=title, meaning=meaning, unit=unit, of=of, **usual | answers)


def _accuracy_and_loss(of: Split, *, compared: bool, loss_shown: Literal["column", "details"]) -> tuple[Metric, Metric]:
    """What is measured of validation and test images alike."""
    right, loss = (
        f"share of the {of} images that are classified rightly",
        f"mean negative log-likelihood of the {of} images",
    )
    first: dict[str, Any] = {"short": f"{of} accuracy", "better": "higher", "compared": compared, "measure": accuracy}
    second: dict[str, Any] = {"short": f"{of} loss", "compared": compared, "shown": loss_shown, "measure": log_loss}
    return (
        _metric(f"{of}_accuracy", f"{of} accuracy".capitalize(), right, "fraction", of, **first),
        _metric(f"{of}_loss", f"{of} loss".capitalize(), loss, "nats", of, **second),
    )


METRICS: tuple[Metric, ...] = (
    *_accuracy_and_loss("validation", compared=False, loss_shown="details"),
    *_accuracy_and_loss("test", compared=True, loss_shown="column"),
    _metric(
        "test_calibration_error",
        "Calibration error",
        "mean gap between confidence and accuracy on the test images (15 bins)",
        "points",
        "test",
        short="calibration",
        compared=True,
        measure=expected_calibration_error,
    ),
    _metric(
        "test_brier",
        "Brier score",
        "mean squared distance to the right answer on the test images, 0 to 2",
        "score",
        "test",
        shown="details",
        measure=brier_score,
    ),
    _metric(
        "best_epoch",
        "Best epoch",
        "epoch of the weights that are kept, from 1",
        "epoch",
        "training",
        short="best epoch",
        better=None,
    ),
    _metric("parameters", "Parameters", "parameters of the network", "parameters", "cost"),
    _metric("macs", "MACs", "multiply-accumulate operations for one image", "operations", "cost"),
    _metric("seconds", "Time", "time of training and validation", "seconds", "cost"),
    _metric("images_per_second", "Images/s", "training images a second", "images a second", "cost", better="higher"),
    _metric(
        "peak_memory_mb", "Memory (MB)", "largest memory of the process or, on a GPU, of its tensors", "MB", "cost"
    ),
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
