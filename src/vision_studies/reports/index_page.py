"""The page of all studies, with their configurations beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from vision_studies.reports.formatting import MISSING, count, duration, spread
from vision_studies.reports.page import Chart, render_page
from vision_studies.reports.table import Table
from vision_studies.reports.tables import labelled, labels_of

CAPTION = "Best configuration of each pipeline on each set of images, by validation"
"""Heading of the table of `best_table`."""

_SHOWN = 500  # configurations in the page; all of them are in comparison.csv


@dataclass(frozen=True)
class StudyCard:
    """What the page says of a study.

    Its name is that of `--env`, and its page lies in a folder of this name; it has pipelines with results, an answer in a
    sentence, runs (rows of its results), gaps (runs without a result), seconds of training, the day of its newest result, and
    labels: what must be said of its numbers.
    """

    name: str
    title: str
    question: str
    pipelines: Sequence[str]
    answer: str
    runs: int
    gaps: int
    seconds: float
    finished: str
    labels: Sequence[str]

    @property
    def address(self) -> str:
        """Where its page lies, from the page of all studies."""
        return _address(self.name)


def render_index(
    studies: Sequence[StudyCard],
    configurations: pd.DataFrame,
    best: pd.DataFrame,
    *,
    charts: Sequence[Chart] = (),
    problems: Sequence[str] = (),
    confidence: float = 0.95,
) -> str:
    """The page, as HTML.

    Args:
        studies: in the order in which they are shown.
        configurations: from `statistics.configurations.configurations`.
        best: from `statistics.configurations.best_configurations`.
        charts: of accuracy and cost.
        problems: sentences about studies that cannot be shown.
    """
    return render_page(
        "index.html",
        styles=["report.css"],
        scripts=["report.js"],
        charts=charts,
        report={
            "studies": studies,
            "problems": problems,
            "confidence": confidence,
            "configurations_left_out": max(0, len(configurations) - _SHOWN),
            "runs": sum(study.runs for study in studies),
            "seconds": sum(study.seconds for study in studies),
        },
        configurations=_rows(configurations.head(_SHOWN)),
        best=_rows(best),
    )


def best_table(best: pd.DataFrame) -> Table:
    """The best configurations as texts, for Markdown and LaTeX."""
    rows = [
        {
            "Images": row["data"],
            "Pipeline": row["pipeline"],
            "Configuration": labelled(row["variant"], row["labels"]),
            "Study": row["study"],
            "n": row["n"],
            "Test accuracy (%)": spread(100 * row["accuracy"], 100 * row["standard_deviation"]),
            "Interval (%)": f"{100 * row['low']:.2f} to {100 * row['high']:.2f}" if row["n"] > 1 else MISSING,
            "Parameters": count(row["parameters"]),
            "MACs": count(row["macs"]),
            "Time a run": duration(row["seconds"]),
        }
        for row in _rows(best)
    ]
    return Table(rows, CAPTION, label="tab:best_configurations")


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.rename(columns=str).to_dict("records")
    return [row | {"labels": labels_of(row["configuration"]), "address": _address(row["study"])} for row in rows]


def _address(study: str) -> str:
    return f"{quote(study)}/report.html"
