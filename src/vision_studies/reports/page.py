"""A study as one self-contained HTML page: no file beside it, no network, and nothing in it is taken for markup."""

import base64
import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vision_studies.errors import DataError
from vision_studies.reports import formatting
from vision_studies.reports.summary import summary_text
from vision_studies.reports.tables import conclusions, configuration_table, gaps, of_metric, run_rows, variant_rows

__all__ = ["ReportFigure", "StudyReport", "render_report", "summary_text"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WIDE = 1.7  # a figure so many times as wide as high gets a row of its own
_MANY_RUNS = 100  # beyond, their table is folded
_MANY_VARIANTS = 12  # beyond, each has a row of its own where settings are compared


@dataclass(frozen=True)
class ReportFigure:
    """A figure with the words that stand for it.

    Attributes:
        title: heading.
        caption: what to look for.
        png: content of the file.
        alternative_text: what the figure shows, for those who do not see it; empty: title and caption.
    """

    title: str
    caption: str
    png: bytes
    alternative_text: str = ""


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
        comparison: from `analysis.statistics`: `compare_metrics`, or `compare_variants` of test accuracy; may be empty.
        figures: in the order in which they are shown.
        confidence: of the intervals.
        conclusions: pipeline -> sentences with its answer; they take the place of those that `comparison` has for it.
        notes: sentences below the settings.
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
    notes: Sequence[str] = ()


def render_report(report: StudyReport) -> str:
    """The page of a study, as HTML.

    Raises:
        DataError: a figure is not a PNG file.
    """
    runs = run_rows(report.results)
    variants, configuration = configuration_table(runs)
    comparison = of_metric(report.comparison, "test_accuracy").to_dict("records")
    return _render(
        "report.html",
        report=report,
        runs=runs,
        variants=variant_rows(runs, report.comparison),
        several_pipelines=len({run["pipeline"] for run in runs}) > 1,
        several_conditions=len({(run["pipeline"], run["condition"]) for run in runs if run["condition"]}) > 1,
        many_runs=_MANY_RUNS,
        many_variants=_MANY_VARIANTS,
        several_trials=any(run["trial"] for run in runs),
        with_views=any(run["views"] for run in runs),
        labels=list(dict.fromkeys(label for run in runs for label in run["labels"])),
        gaps=gaps(runs),
        compared=[row for row in comparison if not formatting.is_missing(row["pairs"])],
        test=comparison[0]["test"] if comparison else "t",
        conclusions=conclusions(report.comparison, report.conclusions),
        figures=[_figure(figure) for figure in report.figures],
        configured_variants=variants,
        configuration=configuration,
    )


def _figure(figure: ReportFigure) -> dict[str, Any]:
    if figure.png[:8] != _PNG_SIGNATURE or len(figure.png) < 24:
        raise DataError(f"The figure '{figure.title}' is not a PNG file; delete its file and run its pipeline again.")
    width, height = struct.unpack(">II", figure.png[16:24])
    return {
        "title": figure.title,
        "caption": figure.caption,
        "alternative_text": figure.alternative_text or f"{figure.title}: {figure.caption}",
        "source": f"data:image/png;base64,{base64.b64encode(figure.png).decode()}",
        "width": width,
        "height": height,
        "wide": width > _WIDE * height,
    }


def _render(template: str, **values: Any) -> str:
    environment = _environment()
    style, script = (_source(environment, name) for name in ("report.css", "zoom.js"))
    # The page names the only style and script it may use: what slips past the escaping is still not run.
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    page = environment.get_template(template)
    return page.render(**values, style=Markup(style), script=Markup(script), policy=policy)  # noqa: S704 - our own files


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vision_studies.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("text", "percent", "points", "number", "significant", "count", "duration"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["breakable"] = _breakable
    environment.tests["missing"] = formatting.is_missing
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken into lines after an underscore or a dot."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.])", name))  # escapes the parts


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101 - set two functions above
    return environment.loader.get_source(environment, name)[0]


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
