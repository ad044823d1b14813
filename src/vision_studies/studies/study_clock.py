"""How much of a study is left, in time: each piece of work counts for what it costs, and what has been done tells how fast.

A command has one clock, which `kedro run` starts when the images are known; without one, runs count alike, stage by stage.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Artifact, Stage
from vision_studies.studies.times import Speeds

_SLOWEST, _FASTEST = 2.0, 0.5  # how far off what comes later is taken to be where what is done has been


@dataclass
class StudyClock:
    """What of a study is left.

    Attributes:
        speeds: of the machine.
        left: pipeline and stage, as a reader knows it -> seconds that are planned for what is not done yet.
        workers: pieces of work that are done at the same time.
    """

    speeds: Speeds
    left: dict[tuple[str, str], float] = field(default_factory=dict)
    workers: int = 1

    def stage(self, pipeline: str, stage: Stage) -> "StageClock":
        """The clock of a stage that begins."""
        return StageClock(self, pipeline, stage.label, stage)

    def made(self, pipeline: str, label: str, artifact: Artifact, seconds: float) -> None:
        """Remember how long something took that is made, and take away what was planned for it."""
        costs = artifact.cost()
        self.done(pipeline, label, self.speeds.estimate(costs).seconds)
        self.speeds.note(costs, seconds)
        self.speeds.save()

    def later(self, pipeline: str, label: str, pace: float) -> float:
        """Seconds of all but one stage, where what was done took `pace` times what was planned."""
        others = sum(seconds for key, seconds in self.left.items() if key != (pipeline, label))
        return others * min(_SLOWEST, max(_FASTEST, pace))

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

    def ended(self, planned: float) -> None:
        """Take away what was planned for the stage, and keep what was noted."""
        self.study.done(self.pipeline, self.label, planned)
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


def even_weights(runs: Sequence[Run]) -> Mapping[str, float]:
    """Where nothing is known of what runs cost."""
    return {run.fingerprint: 1.0 for run in runs}
