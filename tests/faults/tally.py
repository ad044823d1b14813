"""What was tried and how it ended, kept line by line, so that a stopped harness goes on where it was."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SURVIVED, LOST, SKIPPED = "survived", "lost", "skipped"


@dataclass(frozen=True)
class Trial:
    """One fault and what came of it.

    Attributes:
        kind: group of the table.
        subject: what was harmed; a row of the table.
        fault: what was done to it.
        outcome: `SURVIVED`, `LOST` or `SKIPPED`.
        told: how it went: "continued", "refused in a sentence", or what was lost.
    """

    kind: str
    subject: str
    fault: str
    outcome: str
    told: str


class Journal:
    """Trials in a file of JSON lines.

    Args:
        file: made when the first trial is added.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def trials(self) -> list[Trial]:
        """All so far; of a trial that was done again, the newest."""
        if not self._file.exists():
            return []
        lines = self._file.read_text(encoding="utf-8").splitlines()
        read = [Trial(**json.loads(line)) for line in lines if line.endswith("}")]  # the last line may be half a one
        return list({(trial.kind, trial.subject, trial.fault): trial for trial in read}.values())

    def add(self, trial: Trial) -> None:
        """Keep a trial."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        broken_off = self._file.exists() and not self._file.read_bytes().endswith(b"\n")
        with self._file.open("a", encoding="utf-8") as file:
            file.write(("\n" if broken_off else "") + json.dumps(asdict(trial)) + "\n")

    def done(self, kind: str, subject: str) -> set[str]:
        """Faults that were tried on a subject; those that lost something are tried again."""
        same = [trial for trial in self.trials() if (trial.kind, trial.subject) == (kind, subject)]
        return {trial.fault for trial in same if trial.outcome == SURVIVED}


def counted(trials: Iterable[Trial]) -> Iterator[tuple[str, str, int, int, int]]:
    """Kind, subject, tried, survived and lost, in the order in which subjects were first tried; skipped ones are left out."""
    rows: dict[tuple[str, str], list[int]] = {}
    for trial in trials:
        if trial.outcome != SKIPPED:
            row = rows.setdefault((trial.kind, trial.subject), [0, 0, 0])
            row[0] += 1
            row[1 if trial.outcome == SURVIVED else 2] += 1
    for (kind, subject), (tried, survived, lost) in rows.items():
        yield kind, subject, tried, survived, lost
