"""How much of a study is left, in time: each piece of work counts for what it costs, and what has been done tells how fast.

A command has one clock, which `kedro run` starts when the images are known; without one, runs count alike, stage by stage.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from vision_studies.errors import ParameterError
from vision_studies.files import write_json
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Artifact, Stage
from vision_studies.studies.times import Speeds

logger = logging.getLogger(__name__)

_SLOWEST, _FASTEST = 4.0, 0.25  # how far off what comes later is taken to be where what is done has been
_BELIEVED = 0.1  # share of all that is planned which plans are believed as much as what has been done


@dataclass
class StudyClock:
    """What of a study is left.

    Attributes:
        speeds: of the machine.
        left: pipeline and stage, as a reader knows it -> seconds that are planned for what is not done yet.
        workers: pieces of work that are done at the same time.
        ends: when the budget is used up, in seconds since 1970; None: there is none.
        without: pipeline -> names of runs that were not begun because of that.
    """

    speeds: Speeds
    left: dict[tuple[str, str], float] = field(default_factory=dict)
    workers: int = 1
    ends: float | None = None
    without: dict[str, list[str]] = field(default_factory=dict)
    _used: float = 0.0
    _began: float = 0.0
    _file: Path | None = None
    _planned: float = 0.0
    _took: float = 0.0

    def __post_init__(self) -> None:
        self._whole = sum(self.left.values())

    def begin(self, budget: float, file: Path, least: float) -> None:
        """Count what is done from now on against a budget.

        Args:
            budget: seconds for all commands of the study together.
            file: where it is kept what earlier commands have used.
            least: seconds of the shortest piece of work that comes first.

        Raises:
            ParameterError: the whole budget is too little for any.
        """
        if budget < least:
            raise ParameterError(
                f"execution.budget={budget_of(budget)} is too little for any run of this study: {budget_of(least)} is the "
                "least."
            )
        self._used, self._file, self._began = _spent(file), file, time.time()
        self.ends = self._began + budget - self._used
        if self.ends - self._began < least:
            logger.warning("the budget of %s is used up; a larger one goes on", budget_of(budget))

    def end(self) -> None:
        """Keep what was used of the budget."""
        if self.ends is not None and self._file is not None:
            write_json(self._file, {"seconds": round(self._used + time.time() - self._began, 1)})

    def stage(self, pipeline: str, stage: Stage) -> "StageClock":
        """The clock of a stage that begins."""
        return StageClock(self, pipeline, stage.label, stage)

    def made(self, pipeline: str, label: str, artifact: Artifact, seconds: float) -> None:
        """Remember how long something took that is made, and take away what was planned for it."""
        costs = artifact.cost()
        self.done(pipeline, label, self.speeds.estimate(costs).seconds)
        self.speeds.note(costs, seconds)
        self.speeds.save()

    def pace(self, planned: float, took: float) -> float:
        """How many times as long as planned all takes, by all stages that have ended and what one at work has done.

        Plans count as a tenth of the study that went as planned, so that the first seconds of it say little of the rest.

        Args:
            planned: seconds of what the stage at work has done.
            took: seconds that this took.
        """
        believed = _BELIEVED * self._whole
        done = self._planned + planned + believed
        return min(_SLOWEST, max(_FASTEST, (self._took + took + believed) / done)) if done else 1.0

    def later(self, pipeline: str, label: str, pace: float) -> float:
        """Seconds of all but one stage, where what was done took `pace` times what was planned."""
        return pace * sum(seconds for key, seconds in self.left.items() if key != (pipeline, label))

    def took(self, planned: float, seconds: float) -> None:
        """Take in how long a stage took of which so many seconds were planned."""
        if planned:
            self._planned, self._took = self._planned + planned, self._took + seconds

    def done(self, pipeline: str, label: str, seconds: float) -> None:
        """Take away what was planned for work that is done."""
        key = pipeline, label
        if key in self.left:
            self.left[key] = max(0.0, self.left[key] - seconds)


@dataclass
class StageClock:
    """What of a stage is left.

    Attributes:
        study: the clock of the study.
        pipeline: whose stage it is.
        label: how a reader knows it.
        stage: what is done.
    """

    study: StudyClock
    pipeline: str
    label: str
    stage: Stage

    def latest(self, planned: float) -> float | None:
        """When work of so many seconds has to begin at the latest, in seconds since 1970; None: any time.

        Scoring is never left out, and has its time: what has been trained and says nothing would be lost.
        """
        if self.study.ends is None or self.stage.after is not None:
            return None
        stage = self.study.left.get((self.pipeline, self.label), 0.0)
        later = self.study.later(self.pipeline, self.label, 1.0)
        # Of what comes later, as much as of this stage can be done by then.
        share = min(1.0, max(0.0, self.study.ends - time.time()) / max(stage + later, 1e-9))
        return self.study.ends - planned - share * later

    @property
    def least(self) -> str:
        """What is planned for the stage, as a budget is written."""
        return budget_of(self.study.left.get((self.pipeline, self.label), 0.0))

    def leave_out(self, runs: Sequence[Run]) -> None:
        """Note runs that would not end in time."""
        self.study.without.setdefault(self.pipeline, []).extend(run.name for run in runs)

    def weights(self, runs: Sequence[Run]) -> dict[str, float]:
        """Fingerprint of each run -> seconds that are planned for it; those of a stack have equal shares."""
        groups = [[run] for run in runs] if self.stage.group is None else self.stage.group(runs)
        weights: dict[str, float] = {}
        for group in groups:
            seconds = self.study.speeds.estimate(self.stage.cost(group)).seconds
            weights |= {run.fingerprint: seconds / len(group) for run in group}
        return weights

    def note(self, runs: Sequence[Run], seconds: float) -> None:
        """Remember how long runs took that were done together, from the beginning to the end."""
        self.study.speeds.note(self.stage.cost(runs), seconds / self.study.workers)

    def ended(self, planned: float, seconds: float) -> None:
        """Take away what was planned for the stage, which took so many seconds, and keep what was noted."""
        self.study.done(self.pipeline, self.label, planned)
        self.study.took(planned, seconds)
        self.study.speeds.save()


_CURRENT: ContextVar[StudyClock | None] = ContextVar("study_clock", default=None)


def present_clock() -> StudyClock | None:
    """The clock of the command at work; None where there is none."""
    return _CURRENT.get()


@contextmanager
def study_clock(clock: StudyClock) -> Iterator[StudyClock]:
    """Have this clock in the block."""
    token = _CURRENT.set(clock)
    try:
        yield clock
    finally:
        _CURRENT.reset(token)


def _spent(file: Path) -> float:
    """Seconds that earlier commands of a study have used of its budget."""
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def budget_of(seconds: float) -> str:
    """Seconds as a budget is written, rounded up.

    Examples:
        >>> from vision_studies.studies.study_clock import budget_of
        >>> budget_of(41.2), budget_of(1000), budget_of(8000)
        ('42s', '17m', '134m')
    """
    return f"{ceil(seconds)}s" if seconds < 300 else f"{ceil(seconds / 60)}m"


def even_weights(runs: Sequence[Run]) -> Mapping[str, float]:
    """Where nothing is known of what runs cost."""
    return {run.fingerprint: 1.0 for run in runs}
