"""One study as its page and the page of all studies show it, with the conditions under which it was run."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import pandas as pd

from vision_studies.config.merge import flatten, unflatten
from vision_studies.config.study import ReportingSettings
from vision_studies.pipelines.reporting import collect
from vision_studies.pipelines.reporting.collect import StudyFolders, page_sections
from vision_studies.reports.formatting import duration, text
from vision_studies.reports.study_pages import StudyCard, StudyReport
from vision_studies.reports.tables import gaps, labels_among, run_rows
from vision_studies.studies.method import networks_of

Record = dict[str, Any]

_VERSIONS = ("python", "torch", "kedro", "vision-studies")
_CHANGES_SHOWN = 6
_CLASSES_SHOWN = 30


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

    results, records = collect.collect_results(folders), collect.collect_records(folders)
    called = _called(folders, records)
    comparison = compare_metrics(
        results, confidence=settings.confidence, interval=settings.interval, test=settings.test
    )
    figures, missing = collect.collect_figures(folders)
    return StudyReport(
        title=title or called["title"],
        question=question or called["question"],
        study=folders.name,
        command="kedro run" if folders.name == "base" else f"kedro run --env={folders.name}",
        settings=describe_setting(results, records, collect.collect_classes(folders)),
        results=results,
        comparison=comparison,
        figures=figures,
        confidence=settings.confidence,
        conclusions=collect.collect_conclusions(folders),
        charts=collect.collect_charts(folders.outputs),
        pipelines={pipeline: section.title for pipeline, section in page_sections().items()},
        differences=differences_from_base(records),
        notes=[*changes_between_runs(results, records), *missing],
        sources=folders.fingerprint(),
        index="../index.html",
    )


def configurations_of(folders: StudyFolders, results: pd.DataFrame) -> tuple[pd.DataFrame, StudyCard]:
    """A study's results with a name for each row's images, and what the page of all studies says of it."""
    records = collect.collect_records(folders)
    called = _called(folders, records)
    conclusions = collect.collect_conclusions(folders)
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
        labels=labels_among(runs),
    )
    return results.assign(data=_image_names(results, image_source(records))), card


def _called(folders: StudyFolders, records: Sequence[Record]) -> dict[str, str]:
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


def describe_setting(
    results: pd.DataFrame, records: Sequence[Record], classes: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of name and value: images, classes, hardware, time, versions."""
    newest = results.sort_values("finished_at").iloc[-1]
    versions = json.loads(newest["versions"]) if isinstance(newest["versions"], str) else {}
    processors = dict.fromkeys(record["processor"] for record in records if record.get("processor"))
    gpus = dict.fromkeys(gpu for record in records for gpu in record.get("gpus", []))
    source = image_source(records)
    return [
        *([("Images", source)] if source else []),
        *([("Classes", _listed(classes))] if classes else []),
        ("Data fingerprint", ", ".join(sorted(set(results["data_fingerprint"])))),
        ("Device", ", ".join([*sorted(set(results["device"].dropna())), *gpus])),
        *([("Processor", ", ".join(processors))] if processors else []),
        ("Training time", f"{duration(results['seconds'].sum())} over {len(results):,} runs"),
        ("Finished", f"{text(newest['finished_at'])} (UTC)"),
        ("Commit", text(newest["git_commit"])),
        ("Versions", ", ".join(f"{name} {versions[name]}" for name in _VERSIONS if name in versions)),
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_CLASSES_SHOWN])}{more}"


def image_source(records: Sequence[Record]) -> str:
    """What the newest run's images came from, as a short name; empty where no record tells."""
    for record in reversed(records):
        source = record["parameters"].get("data_prep", {}).get("source")
        if source:
            sources = source if isinstance(source, list) else [source]
            return " + ".join(PurePath(str(one)).name or str(one) for one in sources)
    return ""


def network_name(pipeline: str, configuration: str) -> str:
    """What a run's network is called; empty where runs are parts of networks.

    Args:
        pipeline: whose run it is.
        configuration: JSON object with dotted keys, as the results table has it.
    """
    return networks_of(pipeline).title(unflatten(json.loads(configuration)))


def differences_from_base(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Parameter, base value and own value, as JSON, of all that the newest run had otherwise than the base configuration."""
    known = [record["differences_from_base"] for record in records if "differences_from_base" in record]
    return [(key, json.dumps(base), json.dumps(own)) for key, (base, own) in sorted(known[-1].items())] if known else []


def changes_between_runs(results: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    """A sentence for each pipeline whose parameters changed after some of the runs in the results had finished.

    Two configurations under one study's name: runs that both ask for are the same, but others may still be of the earlier one.
    """
    sentences = []
    for pipeline, own in results.groupby("pipeline", sort=False):
        with_it = [record for record in records if pipeline in record["parameters"]]
        for earlier, later in reversed(list(pairwise(with_it))):
            changed = _changed(earlier["parameters"], later["parameters"], sections=("data_prep", str(pipeline)))
            if not changed:
                continue
            older = own[own["finished_at"].fillna("") < later["started_at"]]
            if len(older):
                shown = ", ".join(changed[:_CHANGES_SHOWN]) + (" and more" if len(changed) > _CHANGES_SHOWN else "")
                since = later["started_at"][:16].replace("T", " ")
                sentences.append(
                    f"The study has been run with two configurations: before {since} (UTC) {shown} "
                    f"{'was' if len(changed) == 1 else 'were'} different, and {len(older)} of {len(own)} runs of {pipeline} "
                    "are older. They are kept where their variants still mean the same; give a changed study a name of its own "
                    "to keep both."
                )
            break
    return sentences


def _changed(*parameters: dict[str, Any], sections: Sequence[str]) -> list[str]:
    before, after = (flatten({name: own[name] for name in sections if name in own}) for own in parameters)
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
