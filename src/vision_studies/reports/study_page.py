"""The page of one study."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pandas as pd

from vision_studies.reports import formatting
from vision_studies.reports.figures import ReportFigure, describe_figure, figure_sources
from vision_studies.reports.page import PAGE_BYTES, Chart, packed, render_page
from vision_studies.reports.run_table import run_table
from vision_studies.reports.tables import answers, configuration_table, gaps, of_metric, run_rows, variant_rows
from vision_studies.statistics.metrics import COMPARED

_RESERVE = 20_000  # bytes
_MANY_VARIANTS = 12  # beyond, each has a row of its own where settings are compared


@dataclass(frozen=True)
class StudyReport:
    """All that a page shows.

    Attributes:
        title: heading of the page.
        question: what the study wants to know.
        study: its name.
        command: how to run it again.
        settings: pairs of name and value: data set, device, commit, date, versions.
        results: rows of the results table; columns that are absent are missing in every row.
        comparison: from `analysis.comparisons`: `compare_metrics`, or `compare_variants` of test accuracy; may be empty.
        figures: in the order in which they are shown.
        confidence: of the intervals.
        conclusions: pipeline -> sentences with its answer; they take the place of those that `comparison` has for it.
        charts: pipeline -> interactive figures.
        pipelines: pipeline -> its title, in the order in which they are shown.
        differences: triples of a parameter, its value in the base configuration and its value in this study.
        notes: sentences below the settings.
        sources: fingerprint of the files that the page was made from.
        index: address of the page of all studies; empty: there is none.
    """

    title: str
    question: str
    study: str
    command: str
    settings: Sequence[tuple[str, str]]
    results: pd.DataFrame
    comparison: pd.DataFrame
    figures: Sequence[ReportFigure]
    confidence: float
    conclusions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    charts: Mapping[str, Sequence[Chart]] = field(default_factory=dict)
    pipelines: Mapping[str, str] = field(default_factory=dict)
    differences: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = ()
    sources: str = ""
    index: str = ""


def render_study(report: StudyReport) -> str:
    """The page of a study, as HTML of less than `page.PAGE_BYTES`.

    Raises:
        DataError: a figure is not a PNG file.
    """
    runs = run_rows(report.results)
    table = run_table(runs)
    places = [f"figure-{uuid4().hex}" for _ in report.figures]  # stand for the figures until the rest is written
    page = render_page(
        "study.html",
        styles=["report.css"],
        scripts=["report.js"],
        charts=[chart for charts in report.charts.values() for chart in charts],
        report=report,
        runs=table,
        metrics=COMPARED,
        run_data=packed(json.dumps(table["data"], ensure_ascii=False, separators=(",", ":"), allow_nan=False)),
        sections=_sections(report, runs, places),
        labels=list(dict.fromkeys(label for run in runs for label in run["labels"])),
        gaps=gaps(runs),
        many_variants=_MANY_VARIANTS,
    )
    left = PAGE_BYTES - len(page.encode()) - _RESERVE
    for place, source in zip(places, figure_sources(report.figures, budget=max(0, left) * 3 // 4), strict=True):
        page = page.replace(place, source)  # base64 makes four characters of three bytes
    return page


def _sections(report: StudyReport, runs: list[dict[str, Any]], places: Sequence[str]) -> list[dict[str, Any]]:
    """What the page shows of each pipeline, in the order of `report.pipelines`; others follow."""
    figures = [
        {**describe_figure(figure), "source": place, "pipeline": figure.pipeline}
        for figure, place in zip(report.figures, places, strict=True)
    ]
    found = answers(report.comparison, report.conclusions)
    compared = of_metric(report.comparison, "test_accuracy").to_dict("records")
    named = [*(run["pipeline"] for run in runs), *report.charts, *(figure["pipeline"] for figure in figures)]
    known = [pipeline for pipeline in report.pipelines if pipeline in named]
    sections = []
    for pipeline in [*known, *dict.fromkeys(name for name in named if name not in known)]:
        own = [run for run in runs if run["pipeline"] == pipeline]
        variants, configuration = configuration_table(own)
        comparisons = [row for row in compared if row.get("pipeline", pipeline) == pipeline]
        sections.append(
            {
                "pipeline": pipeline,
                "title": report.pipelines.get(pipeline, pipeline),
                "answers": found.get(pipeline) or found.get("", []),
                "variants": variant_rows(own, report.comparison),
                "compared": [row for row in comparisons if not formatting.is_missing(row["pairs"])],
                "test": comparisons[0]["test"] if comparisons else "t",
                "several_conditions": len({run["condition"] for run in own if run["condition"]}) > 1,
                "figures": [figure for figure in figures if figure["pipeline"] == pipeline],
                "charts": report.charts.get(pipeline, ()),
                "configured_variants": variants,
                "configuration": configuration,
                "labels": list(dict.fromkeys(label for run in own for label in run["labels"])),
            }
        )
    return sections
