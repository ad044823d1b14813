"""A study and its runs as trackers are given them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vision_studies.files import hash_json


@dataclass(frozen=True)
class RunRecord:
    """One row of a table of runs, with its history.

    Attributes:
        key: identifies the row in trackers: names of the row and fingerprint of its run.
        name: how trackers show it.
        pipeline: name of the pipeline.
        status: one of `outcomes.STATUSES`.
        parameters: the configuration under dotted keys, with variant, trial and seed.
        tags: everything else that is text.
        metrics: final metrics and cost.
        history: epoch -> name -> value.
        started: beginning in seconds since 1970, as the record has it.
        ended: end, likewise.
        files: weights, where they are wanted.
    """

    key: str
    name: str
    pipeline: str
    status: str
    parameters: dict[str, Any]
    tags: dict[str, str]
    metrics: dict[str, float]
    history: dict[int, dict[str, float]]
    started: float
    ended: float
    files: tuple[Path, ...] = ()

    def epochs(self) -> Iterator[tuple[int, float, dict[str, float]]]:
        """Epoch, moment and values, in equal steps of time: what a run waited for between epochs is not known."""
        for number, (epoch, values) in enumerate(self.history.items(), start=1):
            yield epoch, self.started + (self.ended - self.started) * number / len(self.history), values

    @property
    def training_hash(self) -> str:
        """Changes when parameters or history change, which trackers cannot write over."""
        history = {str(epoch): values for epoch, values in self.history.items()}
        return hash_json([self.parameters, history])[:16]

    @property
    def content_hash(self) -> str:
        """Changes when anything changes that is logged."""
        files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return hash_json([self.training_hash, self.name, self.status, self.tags, self.metrics, self.ended, files])[:16]


@dataclass(frozen=True)
class StudyRecord:
    """A study with the runs that it has so far.

    Attributes:
        name: the environments as named on the command line.
        title: heading of its report.
        question: what it wants to know.
        runs: its runs.
        state: `running`, `complete` or `failed`.
        artefacts: path in the tracker -> file; None while the study is at work, when figures are not drawn yet.
        summary: text for whoever opens the study in the tracker.
        verdict: tags that say its verdict; none while there is no report.
    """

    name: str
    title: str
    question: str
    runs: tuple[RunRecord, ...]
    state: str = "running"
    artefacts: dict[str, Path] | None = None
    summary: str = ""
    verdict: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Identifies the study in trackers."""
        return hash_json(["study", self.name])[:16]

    @property
    def tags(self) -> dict[str, str]:
        """What the study calls itself, and its verdict."""
        return {"study": self.name, "title": self.title, "question": self.question, **self.verdict}

    @property
    def metrics(self) -> dict[str, float]:
        """How many runs there are, and of each status."""
        statuses = sorted(run.status for run in self.runs)
        return {"runs": float(len(statuses))} | {f"runs_{status}": float(statuses.count(status)) for status in statuses}


class Tracker(Protocol):
    """Something that keeps runs."""

    name: str
    """What messages call it."""

    def log(self, study: StudyRecord, stopped: Callable[[], bool]) -> int:
        """Write the runs that are new or have changed since the last time; return how many.

        What is there already costs no more than a look. `stopped` is asked before every run; True ends the call early.
        """
        ...

    def close(self) -> None:
        """Let go of processes and connections."""
        ...
