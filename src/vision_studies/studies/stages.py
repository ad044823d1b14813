"""What is done to runs: stages, and what becomes of them.

A run has *stages* (training, evaluation). A method gives them one after the other, as a generator: `run_stages` does
them and `forecast` tells of them, so that one cannot say other than the other does. Nothing is done before it is given, and
what a method sends back says what is known by then:

- `Stage` and `Artifacts`: whether all of it has ended;
- `Trials`: what the best trial has drawn, or None where the search has not ended;
- `Later`: None.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from vision_studies.costs import Costs
from vision_studies.outcomes import PRUNED, Outcome
from vision_studies.studies.runs import Run

Record = Callable[[Run, Outcome], None]
Work = Callable[[Run, Path], Outcome]
"""What does a stage of one run: `work(run, folder)`; `folder` is the run's own and survives an interruption."""

GroupWork = Callable[[Sequence[Run], Path, Record], None]
"""What does a stage of runs together: `work(runs, folder, record)`; `folder` survives an interruption, `record` is called
once a run."""

Grouping = Callable[[Sequence[Run]], Sequence[Sequence[Run]]]
"""Which runs are done together; the last digits of a run's numbers depend on its company."""


def alike(runs: Sequence[Run], key: Callable[[Run], Any]) -> list[list[Run]]:
    """Runs of equal key together, groups in the order of the keys."""
    return [list(group) for _, group in groupby(sorted(runs, key=key), key=key)]


@dataclass(frozen=True)
class Alone:
    """Work on single runs, as work on groups of one."""

    work: Work

    def __call__(self, runs: Sequence[Run], folder: Path, record: Record) -> None:
        """Do the work for each of `runs`."""
        for run in runs:
            record(run, self.work(run, folder))


@dataclass(frozen=True)
class Stage:
    """Something that is done to runs, each once.

    Attributes:
        name: of the file that makes a run's stage finished.
        runs: to be done, in this order; those of equal fingerprint are done once.
        work: what to do, with groups of runs.
        cost: runs that are done together -> what that costs, found from settings and data alone, whatever has been done before:
            `kedro runs plan` and the time that is left are told from it.
        group: which runs are done together; None: each alone, in its own folder.
        title: how a reader knows the stage; `name` without it.
        verb: what is done to a run: "train", or "score" and the like.
        after: stage that has to be complete before; other runs are left out. None: `fresh` forgets the runs first.
        required: where others build on every run of it, what such a run is called, and the parameter to lower where its
            training diverged.
        again: result of a run that has ended -> why it has to be done again; None where it need not.
        ready: run -> whether what it is made of is there; where a budget has ended before, others are left out. None: all are.
        joins: where runs are put together from those of the folds: fingerprint of each -> the runs of the folds.
    """

    name: str
    runs: Sequence[Run]
    work: GroupWork
    cost: Callable[[Sequence[Run]], Costs]
    group: Grouping | None = None
    title: str = ""
    verb: str = "train"
    after: str | None = None
    required: tuple[str, str] | None = None
    again: Callable[[Mapping[str, Any]], str | None] | None = None
    ready: Callable[[Run], bool] | None = None
    joins: Mapping[str, Sequence[Run]] | None = None

    @property
    def label(self) -> str:
        """How a reader knows the stage."""
        return self.title or self.name


def pruned_otherwise(result: Mapping[str, Any], pruner: str | None) -> bool:
    """Whether a search with another pruner than `pruner` (None: without any) has ended a run: this one may let it live."""
    if result["status"] != PRUNED:
        return False
    by = result["metrics"].get("other_metrics", {}).get("pruner")
    return pruner is None or (by is not None and by != pruner)


@dataclass(frozen=True)
class Artifact:
    """Something that is made from finished runs and kept beside them.

    Attributes:
        name: how it is called.
        file: is there when it is finished.
        make: makes it.
        cost: what that costs, found as that of a stage's runs.
        lock: held while it is made.
        needs: runs, with the stage that must have ended.
        waits: what it waits for where they have not, as in `when its network has been pretrained`.
        new: why it is made.
        remove: what `fresh` deletes: a file or a folder.
    """

    name: str
    file: Path
    make: Callable[[], None]
    cost: Callable[[], Costs]
    lock: Path
    needs: Sequence[tuple[Run, str]]
    waits: str
    new: str
    remove: Path


@dataclass(frozen=True)
class Artifacts:
    """Things that are made, each once, by whichever process; `verb` says what is done: "cluster", "extract" and the like."""

    label: str
    verb: str
    items: Sequence[Artifact]


@dataclass(frozen=True)
class Later:
    """Runs of a stage, `count` at most, that are known only when something before them has ended; a forecast alone comes to
    know of them. The `reason` says why they are not known, and `cost` what all of them cost at most.
    """

    label: str
    count: int
    reason: str
    cost: Callable[[], Costs]


class Item(Protocol):
    """Something that a method does: `Stage`, `Artifacts`, `trials.Trials` or `Later`."""

    @property
    def label(self) -> str:
        """How a reader knows it."""
        ...


Steps = Generator[Item, Any, Any]
"""Gives what is to be done; what it returns is for whoever delegates to it."""

Known = Mapping[str, Any]
"""What earlier steps have found and saved, by name."""
