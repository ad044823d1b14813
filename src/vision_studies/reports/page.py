"""One self-contained HTML page a study."""

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from tabulate import tabulate

MISSING = "–"


@dataclass(frozen=True)
class ReportFigure:
    """A figure with the words that stand for it.

    Attributes:
        title: heading.
        caption: what to look for.
        png: content of the file.
    """

    title: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class StudyReport:
    """All that a page shows.

    Attributes:
        title: heading of the page.
        question: what the study wants to know.
        study: its name.
        command: how to run it again.
        settings: pairs of name and value.
        results: rows of the results table.
        comparison: from `analysis.statistics.compare_variants`.
        figures: in the order in which they are shown.
        confidence: of the intervals.
    """

    title: str
    question: str
    study: str
    command: str
    settings: list[tuple[str, str]]
    results: pd.DataFrame
    comparison: pd.DataFrame
    figures: list[ReportFigure]
    confidence: float


def render_report(report: StudyReport) -> str:
    """The page as HTML: no file beside it and no network is needed, and nothing in it is taken for markup."""
    environment = Environment(
        loader=PackageLoader("vision_studies.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "data_uri": _data_uri,
        "views": _views,
    }
    results = report.results.astype(object).where(report.results.notna(), None)
    unfinished = results[results["status"] != "complete"]
    return environment.get_template("report.html").render(
        report=report,
        runs=results.to_dict("records"),
        variants=report.comparison.to_dict("records"),
        unfinished=unfinished.to_dict("records"),
        conclusions=[text for text in report.comparison["conclusion"] if isinstance(text, str)],
        missing=MISSING,
    )


def summary_text(results: pd.DataFrame, comparison: pd.DataFrame) -> str:
    """Variants and their test accuracy as a plain table for the terminal."""
    rows = []
    for row in comparison.to_dict("records"):
        own = results[(results["variant"] == row["variant"]) & results["test_accuracy"].notna()]
        rows.append(
            {
                "variant": row["variant"],
                "runs": int(row["n"]),
                "test accuracy": percent(row["mean"]),
                "± (sd)": percent(row["standard_deviation"]),
                "interval": f"{percent(row['low'])} to {percent(row['high'])}" if _given(row["low"]) else MISSING,
                "test loss": number(own["test_loss"].mean(), 4),
                "parameters": f"{int(own['parameters'].iloc[0]):,}",
                "seconds a run": number(own["seconds"].mean(), 1),
            }
        )
    table = tabulate(rows, headers="keys", disable_numparse=True, stralign="right", colalign=("left",))
    unfinished = results[results["status"] != "complete"]
    notes = [f"{row.variant}, seed {row.seed}: {row.status} ({row.reason})" for row in unfinished.itertuples()]
    return "\n".join([table, *notes])


def percent(value: Any) -> str:
    """A fraction as percent with two decimals."""
    return f"{100 * value:.2f} %" if _given(value) else MISSING


def number(value: Any, decimals: int = 0) -> str:
    """A number with thousands separated."""
    return f"{value:,.{decimals}f}" if _given(value) else MISSING


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _views(other_metrics: str | None) -> list[tuple[str, str]]:
    """Accuracy with several test-time views, as pairs of their number and the accuracy."""
    metrics = json.loads(other_metrics) if other_metrics else {}
    prefix = "test_accuracy_views_"
    found = [(int(key.removeprefix(prefix)), value) for key, value in metrics.items() if key.startswith(prefix)]
    return [(f"{views} views", percent(value)) for views, value in sorted(found)]
