"""What the terminal is told while the runs of a stage are done."""

import logging
import time
from collections.abc import Sequence

from vision_studies.outcomes import COMPLETE, Outcome
from vision_studies.studies.runs import Run

logger = logging.getLogger(__name__)

_LINE_AFTER = 5.0  # seconds from line to line: hundreds of small runs would fill the screen


class RunLog:
    """Says how far the runs of a stage have come: a line every few seconds at most, and each run that did not end well."""

    def __init__(self, stage: str, total: int) -> None:
        self._stage, self._total = stage, total
        self._started = self._last_line = time.monotonic()
        self._ended: list[tuple[Run, Outcome]] = []
        self._logged = 0

    def ended(self, outcomes: Sequence[tuple[Run, Outcome]]) -> None:
        """Take in runs that have ended together, be it one."""
        for run, outcome in outcomes:
            if outcome.status != COMPLETE:
                logger.warning("%s of %s: %s (%s)", self._stage, run.name, outcome.status, outcome.reason)
        self._ended += outcomes
        now, done = time.monotonic(), len(self._ended)
        if done == self._logged or (done < self._total and now - self._last_line < _LINE_AFTER):
            return
        accuracies = _accuracies(self._ended[-1:] if done == self._logged + 1 else self._ended)
        remaining = (now - self._started) / done * (self._total - done)
        left = f"about {_duration(remaining)} left" if done < self._total else ""
        news = ", ".join(filter(None, (accuracies, left)))
        logger.info("%s %d of %d%s", self._stage, done, self._total, f": {news}" if news else "")
        self._last_line, self._logged = now, done


def _accuracies(outcomes: Sequence[tuple[Run, Outcome]]) -> str:
    """Accuracies of complete runs; one alone is named."""
    complete = [(run, outcome.metrics) for run, outcome in outcomes if outcome.status == COMPLETE]
    split = "test" if any("test_accuracy" in metrics for _, metrics in complete) else "validation"
    accuracies = [value for _, metrics in complete if (value := metrics.get(f"{split}_accuracy")) is not None]
    if len(complete) == 1:
        return complete[0][0].name + (f": {split} accuracy {accuracies[0]:.4f}" if accuracies else "")
    return f"{split} accuracy {min(accuracies):.4f} to {max(accuracies):.4f}" if accuracies else ""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
