"""The table of docs/faults.md."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.tally import SKIPPED, Trial, counted

PAGE = ROOT / "docs/faults.md"
BEGIN, END = "<!-- table: written by make faults -->", "<!-- end of the table -->"
_ROW = re.compile(r"\| ([^|*]+) \| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \| ([^|]+) \|")
_RUN = "Files whose code was run"
_UNNOTICED = "Damaged files that were read with another content, which nothing can tell"

Row = tuple[str, str, int, int, int, str]
"""Kind, subject, tried, survived, lost, day."""


def table(trials: Iterable[Trial], day: str, earlier: str = "") -> str:
    """The table in Markdown, with a line of totals, and what was left out and why.

    Args:
        trials: what was tried.
        day: when.
        earlier: a table; its rows of kinds that were not tried now are kept.
    """
    trials = list(trials)
    kinds = {trial.kind for trial in trials}
    kept: list[Row] = [
        (kind, subject, int(tried), int(survived), int(lost), last)
        for kind, subject, tried, survived, lost, last in _ROW.findall(earlier)
        if kind not in kinds
    ]
    now: list[Row] = [(*row, day) for row in counted(trials)]
    rows = _in_order(kept + now, [*_ROW.findall(earlier)])
    lines = ["| fault | done to | tried | survived | lost | last done |", "| --- | --- | ---: | ---: | ---: | --- |"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    totals = [sum(row[place] for row in rows) for place in (2, 3, 4)]  # type: ignore[misc]  # these are numbers
    lines.append(f"| **all** | | **{totals[0]}** | **{totals[1]}** | **{totals[2]}** | |")
    run = sum("code of the file was run" in trial.told for trial in trials)
    unnoticed = sum(trial.told.endswith("which nothing can tell") for trial in trials)
    if kept:
        run, unnoticed = run + _number(earlier, _RUN), unnoticed + _number(earlier, _UNNOTICED)
    notes = [f"{_RUN}: {run}.", f"{_UNNOTICED}: {unnoticed} (see below)."]
    skipped = {(trial.kind, trial.told) for trial in trials if trial.outcome == SKIPPED}
    notes += [f"Not tried: {kind}, for {told}." for kind, told in sorted(skipped)]
    return "\n".join([*lines, "", " ".join(notes)])


def write(trials: Iterable[Trial], day: str, page: Path = PAGE) -> None:
    """Put the table between the marks of the page; rows of kinds that were not tried stay."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    earlier, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(trials, day, earlier)}\n\n{END}{after}", encoding="utf-8")


def _in_order(rows: Sequence[Row], earlier: Sequence[Sequence[str]]) -> list[Row]:
    """Kinds in the order that they had, new ones last."""
    kinds = list(dict.fromkeys([*(row[0] for row in earlier), *(row[0] for row in rows)]))
    return sorted(rows, key=lambda row: kinds.index(row[0]))


def _number(text: str, name: str) -> int:
    found = re.search(rf"{name}: (\d+)", text)
    return int(found[1]) if found else 0
