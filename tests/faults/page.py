"""The table of docs/faults.md."""

from collections.abc import Iterable
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.tally import SKIPPED, Trial, counted

PAGE = ROOT / "docs/faults.md"
BEGIN, END = "<!-- table: written by make faults -->", "<!-- end of the table -->"


def table(trials: Iterable[Trial], day: str) -> str:
    """The table in Markdown, with a line of totals, and what was left out and why."""
    trials = list(trials)
    rows = list(counted(trials))
    lines = ["| fault | done to | tried | survived | lost |", "| --- | --- | ---: | ---: | ---: |"]
    lines += [
        f"| {kind} | {subject} | {tried} | {survived} | {lost} |" for kind, subject, tried, survived, lost in rows
    ]
    totals = [sum(row[place] for row in rows) for place in (2, 3, 4)]
    lines.append(f"| **all** | | **{totals[0]}** | **{totals[1]}** | **{totals[2]}** |")
    unnoticed = sum(trial.told.endswith("which nothing can tell") for trial in trials)
    run = sum("code of the file was run" in trial.told for trial in trials)
    notes = [f"Last done on {day}. Files whose code was run: {run}."]
    notes.append(f"Damaged files that were read with another content, which nothing can tell: {unnoticed} (see below).")
    skipped = {(trial.kind, trial.told) for trial in trials if trial.outcome == SKIPPED}
    notes += [f"Not tried: {kind}, for {told}." for kind, told in sorted(skipped)]
    return "\n".join([*lines, "", " ".join(notes)])


def write(trials: Iterable[Trial], day: str, page: Path = PAGE) -> None:
    """Put the table between the marks of the page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(trials, day)}\n\n{END}{after}", encoding="utf-8")
