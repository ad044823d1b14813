"""Pipelines that are killed again and again, until they have been killed often enough and have ended all the same."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.comparison import contents, differences, finished_stages
from tests.faults.projects import PIPELINES, STUDY, Project, arguments_of, ended_with, kill_group, own_folders
from tests.faults.tally import LOST, SURVIVED, Trial

KIND = "kill -9"
_HOOK = Path(__file__).parent / "kill_at_a_change"
_LINE = f"Study {STUDY}"
_AIMED = 3  # every third kill comes between two changes on disk, the others at a moment in time

Told = Callable[[str], None]


@dataclass(frozen=True)
class Undisturbed:
    """A pipeline that nothing happened to.

    Attributes:
        seconds: from the first line that it prints to its end.
        changes: files that it opened for writing, renamed and removed.
    """

    seconds: float
    changes: int


def reference_project(folder: Path, told: Told) -> Project:
    """A project in which every pipeline has run once, undisturbed; one that is there is taken as it is."""
    if (folder / "undisturbed.json").is_file():
        return Project(folder)
    shutil.rmtree(folder, ignore_errors=True)
    project = Project.create(folder)
    measured = {}
    for pipeline in PIPELINES:
        began = time.monotonic()
        process = project.start(*arguments_of(pipeline), variables=hooked(project))
        with ended_with(process):
            _wait_for(process, lambda: _LINE in project.output(), 120)
            first_line = time.monotonic()
            code = process.wait(600)
        if code:
            raise RuntimeError(f"{pipeline} fails undisturbed:\n{project.output()}")
        ended = time.monotonic()
        measured[pipeline] = Undisturbed(ended - first_line, int((folder / "changes.txt").read_text()))
        told(f"{pipeline} undisturbed: {ended - began:.1f} s, {measured[pipeline].changes} changes on disk")
    described = {pipeline: asdict(own) for pipeline, own in measured.items()}
    (folder / "undisturbed.json").write_text(json.dumps(described), encoding="utf-8")
    return project


def killed(
    pipeline: str, reference: Project, scratch: Path, number: int, done: set[str], told: Told, seed: int = 0
) -> Iterator[Trial]:
    """Kill a pipeline `number` times; whenever it ends before it is killed, compare it and begin anew.

    A kill has been survived when the pipeline has ended after it with the results of the undisturbed one, and with every
    stage that was finished at the kill as it was.

    Args:
        pipeline: its name.
        reference: a project in which it has run undisturbed.
        scratch: an empty folder to work in.
        number: of kills.
        done: faults that need not be tried again.
        told: is told of progress.
        seed: of the moments.
    """
    undisturbed = Undisturbed(**json.loads((reference.folder / "undisturbed.json").read_text())[pipeline])
    expected = _results(reference, pipeline)
    generator = random.Random(f"{seed} {pipeline}")  # noqa: S311 - drawn anew alike, not secret
    moments = [_moment(generator, place, undisturbed) for place in range(number)]
    waiting = [moment for moment in moments if f"kill {moment.number}" not in done]
    while waiting:
        shutil.rmtree(scratch, ignore_errors=True)
        project = reference.copy(scratch).without(pipeline)
        suffered: list[str] = []
        finished: dict[str, bytes] = {}
        problems: list[str] = []
        code = -9
        while code == -9:
            moment = waiting[0] if waiting else None
            code = _run(project, pipeline, moment)
            problems += _changed(finished, finished_stages(own_folders(project.folder, pipeline)))
            finished |= finished_stages(own_folders(project.folder, pipeline))
            if code == -9:
                suffered.append(f"kill {waiting.pop(0).number}")
                told(f"{pipeline}: killed {moment}; {len(finished)} stages finished, {len(waiting)} kills to come")
        if code:
            problems.append(f"the same command ended with {code}: {_last(project.output())}")
        else:
            problems += differences(expected, _results(project, pipeline))
        if not suffered and waiting:  # on a quicker machine than at the beginning
            waiting[0] = waiting[0].earlier()
        told(f"{pipeline}: ended after {len(suffered)} kills, {'; '.join(problems) or 'everything as undisturbed'}")
        for fault in suffered:
            outcome = LOST if problems else SURVIVED
            yield Trial(KIND, pipeline, fault, outcome, "; ".join(problems[:5]) or "continued")
        if problems and waiting:
            kept = scratch.with_name(f"{scratch.name}_lost")
            shutil.rmtree(kept, ignore_errors=True)
            scratch.rename(kept)
    shutil.rmtree(scratch, ignore_errors=True)


@dataclass(frozen=True)
class Moment:
    """When to kill: `after` seconds of work, or before the change on disk of this number."""

    number: int
    after: float | None
    change: int | None

    def earlier(self) -> "Moment":
        """A moment for a run that has ended before this one."""
        if self.after is None:
            return Moment(self.number, None, max(1, (self.change or 2) // 2))
        return Moment(self.number, self.after / 2, None)

    def __str__(self) -> str:
        return f"after {self.after:.2f} s" if self.after is not None else f"before change {self.change} on disk"


def _moment(generator: random.Random, number: int, undisturbed: Undisturbed) -> Moment:
    share = generator.random()
    if number % _AIMED == _AIMED - 1:
        return Moment(number, None, 1 + int(share * undisturbed.changes))
    return Moment(number, share * undisturbed.seconds, None)


def _run(project: Project, pipeline: str, moment: Moment | None) -> int:
    """Start the pipeline and, unless it ends earlier, kill it at a moment; its exit code, -9 where it was killed."""
    process = project.start(*arguments_of(pipeline), variables=hooked(project, moment.change or 0) if moment else None)
    with ended_with(process):
        if moment is not None and moment.after is not None:
            _wait_for(process, lambda: _LINE in project.output(), 120)
            _wait_for(process, lambda: False, moment.after)
            kill_group(process)
        return process.wait(600)


def _wait_for(process: Any, condition: Callable[[], bool], seconds: float) -> None:
    """Until the condition holds, the process has ended or the time is over."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def hooked(project: Project, change: int = 0) -> dict[str, str]:
    """What lets a command count its changes on disk, and have it killed before the change of a number that is not 0."""
    return {
        "PYTHONPATH": str(_HOOK),
        "FAULTS_FOLDER": str(project.folder.absolute() / "data"),
        "FAULTS_KILL_AT": str(change),
        "FAULTS_COUNT_IN": str(project.folder / "changes.txt"),
    }


def _results(project: Project, pipeline: str) -> dict[str, Any]:
    found = contents(own_folders(project.folder, pipeline), project.folder)
    if pipeline == "transfer_cuts":  # `clustering` keeps its own work beside the networks
        found = {place: own for place, own in found.items() if "/clusters-" not in place}
    return found


def _changed(before: dict[str, bytes], now: dict[str, bytes]) -> list[str]:
    return [
        f"{Path(file).parent.name}/{Path(file).name} was done again" for file in before if now.get(file) != before[file]
    ]


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("Error:")), lines[-1] if lines else "nothing told")
