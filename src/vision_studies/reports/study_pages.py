"""The page of one study, with the table of its runs, and the page of all studies, with their configurations."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from vision_studies.reports import tables
from vision_studies.reports.formatting import MISSING, count, duration, is_missing, number, percent, spread, text
from vision_studies.reports.page import (
    INDEX_ENDING,
    STUDY_ENDING,
    Chart,
    NamedChart,
    Page,
    ReportFigure,
    named_charts,
    packed,
    render_page,
)
from vision_studies.reports.table import Table
from vision_studies.statistics.metrics import COMPARED, METRICS

if TYPE_CHECKING:
    from vision_studies.statistics.verdict import Verdict

_MANY_VARIANTS = 12  # beyond, each has a row of its own where settings are compared
_SHOWN_CONFIGURATIONS = 500  # in the page of all studies; all of them are in comparison.csv
_SHOWN_RUNS = 50  # rows that stand in the page itself; a script brings the others
_BEST = "Best configuration of each pipeline on each set of images, by validation"
_VIEWS = "test_accuracy_views_"  # of `other_metrics`


@dataclass(frozen=True)
class StudyReport:
    """All that a page shows of a study: its heading, what it wants to know, its name, how to run it again, and more.

    Attributes:
        settings: pairs of name and value: data set, device, commit, date, versions.
        results: rows of the results table; columns that are absent are missing in every row.
        comparison: from `statistics.comparisons`: `compare_metrics`, or `compare_variants` of test accuracy; may be empty.
        figures: in the order in which they are shown.
        confidence: of the intervals.
        verdict: which of all that stood beside each other to take; without one, sentences of `comparison` stand in its place.
        conclusions: pipeline -> sentences with its answer; they take the place of those that `comparison` has for it.
        charts: pipeline -> interactive figures.
        pipelines: pipeline -> its title, in the order in which they are shown.
        differences: triples of a parameter, its value in the base configuration and its value in this study.
        doubts: sentences about the images with which every result must be taken.
        notes: sentences below the settings.
        mistakes: from `gallery.gallery`, as JSON; empty: there is nothing to show.
        reliability: pipeline -> rows of texts on how far its variants' probabilities can be trusted.
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
    verdict: "Verdict | None" = None
    conclusions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    charts: Mapping[str, Sequence[Chart]] = field(default_factory=dict)
    pipelines: Mapping[str, str] = field(default_factory=dict)
    differences: Sequence[tuple[str, str, str]] = ()
    doubts: Sequence[str] = ()
    notes: Sequence[str] = ()
    mistakes: str = ""
    reliability: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    sources: str = ""
    index: str = ""


def render_study(report: StudyReport) -> Page:
    """The page of a study."""
    runs = tables.run_rows(report.results)
    table = run_table(runs)
    of_pipelines = [(pipeline, chart) for pipeline, charts in report.charts.items() for chart in charts]
    named = named_charts([chart for _, chart in of_pipelines])
    charts: dict[str, list[NamedChart]] = {}
    for (pipeline, _), chart in zip(of_pipelines, named, strict=True):
        charts.setdefault(pipeline, []).append(chart)
    data = json.dumps(table["data"], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return render_page(
        "study.html",
        root="..",
        ending=STUDY_ENDING,
        charts=named,
        data={"runs": packed(data)} | ({"gallery": report.mistakes} if report.mistakes else {}),
        report=report,
        verdict=_verdict_block(report.verdict),
        runs=table,
        metrics=COMPARED,
        sections=_sections(report, runs, charts),
        labels=tables.labels_among(runs),
        gaps=tables.gaps(runs),
        many_variants=_MANY_VARIANTS,
    )


def _verdict_block(verdict: "Verdict | None") -> Any:
    """What the template of a verdict shows; None where there is none. Its statistics take their time to import."""
    from vision_studies.reports.verdict import verdict_block

    return None if verdict is None else verdict_block(verdict)


def _sections(
    report: StudyReport, runs: list[dict[str, Any]], charts: Mapping[str, Sequence[NamedChart]]
) -> list[dict[str, Any]]:
    """What the page shows of each pipeline, in the order of `report.pipelines`; others follow."""
    verdict = report.verdict
    sentences = tables.answers(None if verdict else report.comparison, report.conclusions)
    compared = tables.of_test_accuracy(report.comparison).to_dict("records")
    named = [*(run["pipeline"] for run in runs), *charts, *(figure.pipeline for figure in report.figures)]
    sections = []
    for pipeline in dict.fromkeys([*(name for name in report.pipelines if name in named), *named]):
        pipeline_runs = [run for run in runs if run["pipeline"] == pipeline]
        variants, configuration = tables.configuration_table(pipeline_runs)
        same = tables.same_runs(pipeline_runs)
        comparisons = [
            row for row in compared if row.get("pipeline", pipeline) == pipeline and row["variant"] not in same
        ]
        sections.append(
            {
                "pipeline": pipeline,
                "title": report.pipelines.get(pipeline, pipeline),
                "answers": sentences.get(pipeline) or sentences.get("", []),
                "variants": tables.with_estimates(
                    tables.variant_rows(
                        [run for run in pipeline_runs if run["variant"] not in same], report.comparison
                    ),
                    () if verdict is None else verdict.answers,
                ),
                "also": {name: [other for other, first in same.items() if first == name] for name in same.values()},
                "compared": [row for row in comparisons if not is_missing(row["pairs"])],
                "test": comparisons[0]["test"] if comparisons else "t",
                "several_conditions": len({run["condition"] for run in pipeline_runs if run["condition"]}) > 1,
                "figures": [figure for figure in report.figures if figure.pipeline == pipeline],
                "charts": charts.get(pipeline, ()),
                "reliability": report.reliability.get(pipeline, ()),
                "configured_variants": variants,
                "configuration": configuration,
                "labels": tables.labels_among(pipeline_runs),
            }
        )
    return sections


class _Column(NamedTuple):
    """A column of the table of runs: heading, key of a run, what turns the value into text, and whether it is text."""

    title: str
    key: str
    show: Callable[[Any], str]
    is_text: bool = False


def _columns() -> Iterator[_Column]:
    yield _Column("Pipeline", "pipeline", text, is_text=True)
    yield _Column("Trial", "trial", number)
    yield _Column("Seed", "seed", text)
    yield _Column("Status", "status", text, is_text=True)
    # What a network is, the same in every row of a variant, stands last.
    for metric in sorted(METRICS, key=lambda metric: metric.unit in ("parameters", "operations")):
        if metric.shown == "column":
            yield _Column(metric.title, metric.column, tables.writer_of(metric))
        if metric.column == "test_accuracy":
            yield _Column("With test-time views", "views", text)


_COLUMNS = tuple(_columns())
_MORE = {
    "reason": "Reason",
    "condition": "Condition",
    **{metric.column: metric.title for metric in METRICS if metric.shown == "details"},
    "device": "Device",
    "finished_at": "Finished (UTC)",
    "git_commit": "Commit",
    "run_fingerprint": "Fingerprint",
    "data_fingerprint": "Data",
}


def run_table(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page's table of runs shows and what its script needs to sort it, to search in it and to tell of single runs.

    Args:
        runs: from `tables.run_rows`, with the columns of provenance.

    Returns:
        `columns` (title, is_text), `rows` (the first 50: name, labels, reason, cells), `total`, and `data`: columns, and of
        every run name, labels, reason, cells (texts), sort (values), more (pairs of name and text) and configuration
        (number of one of `configurations`, pairs of setting and value).
    """
    runs = [run | {"views": _views(run["other_metrics"])} for run in runs]
    # Pipelines and trials are shown where there are several, test-time views where there are any.
    hidden = {key for key in ("pipeline", "trial") if len({run[key] for run in runs}) < 2}
    hidden |= set() if any(run["views"] for run in runs) else {"views"}
    columns = [column for column in _COLUMNS if column.key not in hidden]
    configurations: dict[str, int] = {}
    rows = [_row(run, columns, configurations) for run in runs]
    titles = [{"title": column.title, "is_text": column.is_text} for column in columns]
    settings = [_pairs(json.loads(configuration)) for configuration in configurations]
    data = {"columns": titles, "runs": rows, "configurations": settings}
    return {"columns": titles, "rows": rows[:_SHOWN_RUNS], "total": len(rows), "data": data}


def _views(other_metrics: str | None) -> str | None:
    """Accuracy by number of views, as text."""
    metrics = json.loads(other_metrics) if other_metrics else {}
    views = {int(key.removeprefix(_VIEWS)): value for key, value in metrics.items() if key.startswith(_VIEWS)}
    return "; ".join(f"{n}: {percent(value)}" for n, value in sorted(views.items())) or None


def _row(run: Mapping[str, Any], columns: list[_Column], configurations: dict[str, int]) -> dict[str, Any]:
    more = [[title, _shown(run[key])] for key, title in _MORE.items() if not is_missing(run[key])]
    return {
        "name": run["variant"],
        "labels": list(run["labels"]),
        "reason": run["reason"] or "",
        "cells": [column.show(run[column.key]) for column in columns],
        "sort": [run["variant"], *(run[column.key] for column in columns)],
        "more": [*more, *_pairs(json.loads(run["other_metrics"] or "{}"))],
        "configuration": configurations.setdefault(run["configuration"] or "{}", len(configurations)),
    }


def _pairs(values: Mapping[str, Any]) -> list[list[str]]:
    return [[key, _shown(value)] for key, value in sorted(values.items())]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class StudyCard:
    """What the page of all studies says of one of them.

    Its name is that of `--env`, and its page lies in a folder of this name; it has pipelines with results, an answer in a
    sentence, runs (rows of its results), gaps (runs without a result), seconds of training, the day of its newest result,
    labels: what must be said of its numbers, and doubts: how many doubtful things were found of its images.
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
    doubts: int = 0

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
) -> Page:
    """The page of all studies.

    Args:
        studies: in the order in which they are shown.
        configurations: from `statistics.configurations.configurations`.
        best: from `statistics.configurations.best_configurations`.
        charts: of accuracy and cost.
        problems: sentences about what is not shown.
    """
    return render_page(
        "index.html",
        root=".",
        ending=INDEX_ENDING,
        charts=named_charts(charts),
        report={
            "studies": studies,
            "problems": problems,
            "confidence": confidence,
            "configurations_left_out": max(0, len(configurations) - _SHOWN_CONFIGURATIONS),
            "runs": sum(study.runs for study in studies),
            "seconds": sum(study.seconds for study in studies),
        },
        configurations=_marked(_rows(configurations.head(_SHOWN_CONFIGURATIONS)), studies),
        best=_marked(_rows(best), studies),
    )


def best_table(best: pd.DataFrame) -> Table:
    """The best configurations as texts, for Markdown and LaTeX."""
    rows = [
        {
            "Images": row["data"],
            "Pipeline": row["pipeline"],
            "Configuration": tables.labelled(row["variant"], row["labels"]),
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
    return Table(rows, _BEST, label="tab:best_configurations")


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.rename(columns=str).to_dict("records")
    return [row | {"labels": tables.labels_of(row["configuration"]), "address": _address(row["study"])} for row in rows]


def _marked(rows: list[dict[str, Any]], studies: Sequence[StudyCard]) -> list[dict[str, Any]]:
    """Rows with what must be said of all numbers of their study, such as that it is a rehearsal."""
    labels = {study.name: tuple(study.labels) for study in studies}
    return [row | {"labels": tuple(dict.fromkeys((*labels.get(row["study"], ()), *row["labels"])))} for row in rows]


def _address(study: str) -> str:
    return f"{quote(study)}/report.html"
