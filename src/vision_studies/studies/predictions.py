"""Which runs of a method keep what they say of images: every one that is scored, unless the method tells why none does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vision_studies.outcomes import COMPLETE, Outcome
from vision_studies.predictions import Detail
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import GroupWork, Record


@dataclass(frozen=True)
class Kept:
    """Every run that is scored keeps its predictions, in as much `detail` unless `execution.predictions` says otherwise: `full`
    where a study has few runs, `correct` where it has thousands.
    """

    detail: Detail


@dataclass(frozen=True)
class Never:
    """No run classifies images; the `reason` is a sentence."""

    reason: str


@dataclass(frozen=True)
class Keeping:
    """Work on runs whose predictions are kept in as much detail."""

    work: GroupWork
    detail: Detail

    def __call__(self, runs: Sequence[Run], folder: Path, record: Record) -> None:
        """Do the work. Raises RuntimeError where a run is scored and gives no predictions."""

        def keep(run: Run, outcome: Outcome) -> None:
            record(run, kept(outcome, self.detail))

        self.work(runs, folder, keep)


def kept(outcome: Outcome, detail: Detail) -> Outcome:
    """An outcome with as much of its predictions as `detail` says. Raises RuntimeError where it has a test accuracy and no test
    predictions: the method has forgotten them.
    """
    has_test = any(each.split == "test" for each in outcome.predictions)
    if outcome.status == COMPLETE and "test_accuracy" in outcome.metrics and not has_test:
        raise RuntimeError("the run is scored on test images, and its method gives no predictions of them")
    return replace(outcome, predictions=tuple(each.at(detail) for each in outcome.predictions))
