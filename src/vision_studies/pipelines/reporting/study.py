"""One study as its page and the page of all studies show it."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from vision_studies.config.reporting import ReportingSettings
from vision_studies.pipelines.reporting.collect import (
    StudyFolders,
    collect_charts,
    collect_classes,
    collect_conclusions,
    collect_figures,
    collect_records,
    collect_results,
    page_sections,
)
from vision_studies.pipelines.reporting.setting import (
    changes_between_runs,
    describe_setting,
    differences_from_base,
    image_source,
)
from vision_studies.reports.index_page import StudyCard
from vision_studies.reports.study_page import StudyReport
from vision_studies.reports.tables import gaps, run_rows


def study_report(
    folders: StudyFolders, settings: ReportingSettings, *, title: str = "", question: str = ""
) -> StudyReport:
    """Read a study and compare its variants: all that its page shows.

    Args:
        folders: where it lies.
        settings: of the statistics.
        title: of its page; without it, what the study's newest record calls it.
        question: likewise.

    Raises:
        DataError: it has no results, or something cannot be read.
    """
    from vision_studies.statistics.comparisons import compare_metrics

    results, records = collect_results(folders), collect_records(folders)
    called = _called(folders, records)
    comparison = compare_metrics(
        results, confidence=settings.confidence, interval=settings.interval, test=settings.test
    )
    figures, missing = collect_figures(folders)
    return StudyReport(
        title=title or called["title"],
        question=question or called["question"],
        study=folders.name,
        command="kedro run" if folders.name == "base" else f"kedro run --env={folders.name}",
        settings=describe_setting(results, records, collect_classes(folders)),
        results=results,
        comparison=comparison,
        figures=figures,
        confidence=settings.confidence,
        conclusions=collect_conclusions(folders),
        charts=collect_charts(folders.outputs),
        pipelines={pipeline: section.title for pipeline, section in page_sections().items()},
        differences=differences_from_base(records),
        notes=[*changes_between_runs(results, records), *missing],
        sources=folders.fingerprint(),
        index="../index.html",
    )


def configurations_of(folders: StudyFolders, results: pd.DataFrame) -> tuple[pd.DataFrame, StudyCard]:
    """A study's results with a name for each row's images, and what the page of all studies says of it."""
    records = collect_records(folders)
    called = _called(folders, records)
    conclusions = collect_conclusions(folders)
    runs = run_rows(results)
    card = StudyCard(
        name=folders.name,
        title=called["title"],
        question=called["question"],
        pipelines=tuple(pipeline for pipeline in page_sections() if pipeline in set(results["pipeline"])),
        answer=next((own[0] for name in page_sections() if (own := conclusions.get(name))), ""),
        runs=len(results),
        gaps=len(gaps(runs)),
        seconds=float(results["seconds"].sum()),
        finished=str(results["finished_at"].dropna().max())[:10],
        labels=tuple(dict.fromkeys(label for run in runs for label in run["labels"])),
    )
    return results.assign(data=_image_names(results, image_source(records))), card


def _called(folders: StudyFolders, records: Sequence[dict[str, Any]]) -> dict[str, str]:
    newest = records[-1]["parameters"].get("study", {}) if records else {}
    return {"title": newest.get("title") or folders.name, "question": newest.get("question") or ""}


def _image_names(results: pd.DataFrame, source: str) -> list[str]:
    """Source, number of classes where a run knows only some, and fingerprint: what has another name is not comparable."""
    names = []
    for configuration, fingerprint in zip(results["configuration"], results["data_fingerprint"], strict=True):
        classes = json.loads(configuration).get("classes")
        chosen = f", {len(classes)} classes" if isinstance(classes, list) else ""
        names.append(f"{source or 'images'}{chosen} ({fingerprint[:6]})")
    return names
