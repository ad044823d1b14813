"""Nodes of `reporting`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.study import ReportingSettings, StudySettings
from vision_studies.errors import DataError
from vision_studies.pipelines.reporting.study import (
    StudyFolders,
    configurations_of,
    find_studies,
    network_name,
    study_report,
)
from vision_studies.reports.page import PLOTLY, SCRIPTS, Chart, Page, plotly_script
from vision_studies.reports.study_pages import best_table, render_index, render_study

logger = logging.getLogger(__name__)

Texts = dict[str, str]
Json = dict[str, Any]


def state_of_studies(folders: Mapping[str, Path], _until: int) -> dict[str, str]:
    """Study -> what its page would be made from; given the folders of results and of reports, in this order."""
    outputs, reports = folders.values()
    return {study.name: study.fingerprint() for study in find_studies(outputs, reports)}


def report_studies(
    study: StudySettings, settings: ReportingSettings, outputs: Path, reports: Path, *_after: Any
) -> tuple[Texts, Texts, Texts, Texts, Texts, Json, str, str]:
    """Pages of this study and of every other one whose page is older than its results; this study's tables, verdict and
    summary.

    Returns:
        Scripts of the pages by their names below the folder of reports: they come first, so that no page is without them;
        study -> page; this study's tables as Markdown, LaTeX and CSV; its verdict, study card and summary. Another study that
        cannot be read keeps its old page and is named on the page of all studies.

    Raises:
        DataError: this study has no results, and it was asked for by name or no other has any; or they cannot be read.
    """
    from vision_studies.reports.tables import as_texts, images_behind, study_tables
    from vision_studies.reports.verdict import markdown, summary, to_json
    from vision_studies.statistics.verdict import verdict

    folders = StudyFolders(study.name, outputs / study.name, reports / study.name, running=True)
    others = [other for other in find_studies(outputs, reports) if other.name != study.name]
    pages: dict[str, Page] = {}
    tables: dict[str, Texts] = {"md": {}, "tex": {}, "csv": {}}
    said = verdict((), study=study.name, title=study.title, question=study.question)
    text = f"The study '{study.name}' has no results of its own."
    if folders.has_results() or study.name != "base" or not others:
        report = study_report(folders, settings, title=study.title, question=study.question)
        pages[study.name] = render_study(report)
        said = report.verdict or said
        behind = images_behind(said.answers)
        tables = as_texts(
            study_tables(report.results, network_name, behind, report.reliability), study.name, study.title
        )
        text = summary(said, report.conclusions)
    for other in others:
        if other.page["sources"] == other.fingerprint():
            continue
        try:
            pages[other.name] = render_study(study_report(other, settings))
        except DataError as error:
            logger.warning("%s has no page: %s", other.name, error)
    scripts = {
        f"{name}/{SCRIPTS}/{script}": text for name, page in pages.items() for script, text in page.scripts.items()
    }
    if scripts:
        scripts[f"{SCRIPTS}/{PLOTLY}"] = plotly_script()
    htmls = {name: page.html for name, page in pages.items()}
    content = to_json(said) | {"sources": folders.fingerprint()}
    return scripts, htmls, tables["md"], tables["tex"], tables["csv"], content, markdown(said), text


def compare_studies(
    study: StudySettings, settings: ReportingSettings, outputs: Path, reports: Path, _pages: Any
) -> tuple[Texts, str, pd.DataFrame, str, str]:
    """Scripts of the page of all studies, by their names below the folder of reports, and the page; every configuration, and
    the best of each pipeline and set of images as Markdown and LaTeX.
    """
    from vision_studies.figures.interactive_results import accuracy_against_cost
    from vision_studies.statistics.configurations import best_configurations, configurations

    tables, cards, problems = [], [], []
    for folders in find_studies(outputs, reports, study.name):
        try:
            named, card = configurations_of(folders, folders.results(), settings)
        except DataError as error:
            problems.append(str(error))
            continue
        problems += folders.left_out
        tables.append(named)
        cards.append(card)
    if not tables:
        raise DataError(f"No study in {outputs} can be read: {' '.join(problems)}")
    results, confidence = pd.concat(tables, ignore_index=True), settings.confidence
    compared = configurations(results, confidence=confidence, interval=settings.interval)
    best = best_configurations(compared)
    figure, table = accuracy_against_cost(compared), best_table(best)
    charts = [] if figure is None else [Chart(*figure)]
    page = render_index(cards, compared, best, charts=charts, problems=problems, confidence=confidence)
    scripts = {f"{SCRIPTS}/{name}": text for name, text in page.scripts.items()}
    return scripts, page.html, compared.drop(columns="configuration"), table.markdown(), table.latex()
