"""What a stage of a run has found: what methods give, and what studies keep."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vision_studies.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

COMPLETE, PRUNED, DIVERGED, FAILED = "complete", "pruned", "diverged", "failed"
STATUSES = (COMPLETE, PRUNED, DIVERGED, FAILED)
ABSENT = "not run, though others were"
"""Why a variant has no result with a seed that another variant has one with."""
STOPPED_EARLY = "stopped early"
"""What the reason begins with of a run that was clearly worse than another on validation images before it had ended."""


@dataclass(frozen=True)
class Outcome:
    """What one stage of a run found: columns of the results table, one of `STATUSES`, why it is not `complete`, metrics by
    epoch where the stage has epochs, and what the network has said of the images that it was scored on.
    """

    metrics: dict[str, Any]
    status: str = COMPLETE
    reason: str | None = None
    history: "pd.DataFrame | None" = None
    predictions: tuple[Predictions, ...] = ()

    def pruned_by(self, pruner: str | None) -> "Outcome":
        """The outcome, where a search has ended the run with what ended it."""
        if pruner is None or self.status != PRUNED:
            return self
        others = {**self.metrics.get("other_metrics", {}), "pruner": pruner}
        return replace(self, metrics={**self.metrics, "other_metrics": others})
