"""How long what is left of a study takes on this machine, stage by stage."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from vision_studies.costs import Costs
from vision_studies.studies.forecast import StageForecast
from vision_studies.studies.study_clock import StudyClock
from vision_studies.studies.times import MEASURING_SECONDS, Estimate, Speeds, measure, total

_WORTH_MEASURING = 0.02  # share of a study's time that a command which does it may spend on telling it
_LEAST = 2.0  # seconds that a shape takes to be measured, about
_AT_ONCE = 0.1  # seconds: one shape, as what has begun is ended


@dataclass(frozen=True)
class PlannedTimes:
    """What is left to be done.

    Attributes:
        forecasts: stages of the study.
        speeds: of the machine.
    """

    forecasts: Sequence[StageForecast]
    speeds: Speeds

    @cached_property
    def _pieces(self) -> list[list[Costs]]:
        return [[work() for work in stage.work] for stage in self.forecasts]

    @property
    def stages(self) -> list[Estimate]:
        """What each stage takes, by what is known by now."""
        return [total(self.speeds.estimate(costs) for costs in stage) for stage in self._pieces]

    @property
    def whole(self) -> Estimate:
        """What all of it takes."""
        return total(self.stages)

    def measure_missing(self, seconds: float = MEASURING_SECONDS, by: Callable[..., None] = measure) -> None:
        """Do a little of what nothing is known of, see `times.measure`, for so many seconds."""
        by([costs for stage in self._pieces for costs in stage], self.speeds, seconds=seconds)

    def measure_if_worth_it(
        self, by: Callable[..., None] = measure, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """The same, one shape after the other, as long as the study is so long that this is worth its time.

        The least that the study may take is what counts: what is told from numbers of operations alone may be far too long,
        so that it is asked again after each.
        """
        began, known = clock(), -1
        while len(self.speeds.measured) != known:
            known = len(self.speeds.measured)
            left = min(MEASURING_SECONDS, _WORTH_MEASURING * self.whole.low) - (clock() - began)
            if left < _LEAST:
                return
            self.measure_missing(min(left, _AT_ONCE), by)

    @property
    def least(self) -> float:
        """Seconds of the shortest piece of work of the first stage that has some; 0 where nothing is left."""
        for stage in self._pieces:
            seconds = [self.speeds.estimate(costs).seconds for costs in stage]
            if any(seconds):
                return min(each for each in seconds if each)
        return 0.0

    def clock(self, workers: int = 1) -> StudyClock:
        """A clock for it, where so many pieces of work are done at the same time."""
        left: dict[tuple[str, str], float] = {}
        for stage, estimate in zip(self.forecasts, self.stages, strict=True):
            key = stage.pipeline, stage.stage
            left[key] = left.get(key, 0.0) + estimate.seconds
        return StudyClock(self.speeds, left, workers)
