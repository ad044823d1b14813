"""`kedro data`: what is wrong, doubtful or worth knowing of images before anything is trained on them."""

import csv
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.cli.options import ENV, PARAMS, path_from_here
from vision_studies.files import atomic_file, write_json

if TYPE_CHECKING:
    from vision_studies.config.data_prep import DataPrepSettings
    from vision_studies.data.checks.check import Check

_NAMED = 10
_COLOURS = {"wrong": "red", "doubtful": "yellow", "note": None}
_WIDEST = 100
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def data() -> None:
    """Look at images before anything is trained on them."""


@data.command(
    epilog=(
        "\b\nExamples:\n"
        "  kedro data check photos\n"
        "  kedro data check photos --sheet=sheet.png --csv=files.csv\n"
        "  kedro data check photos --params=data_prep.accept=[blank]"
    )
)
@click.argument("source", required=False)
@ENV
@PARAMS
@click.option("--json", "json_file", type=_FILE, help="Write all that was found to this JSON file; - prints it.")
@click.option("--csv", "csv_file", type=_FILE, help="Write every file concerned to this CSV file.")
@click.option("--sheet", "sheet_file", type=_FILE, help="Draw the images concerned into this PNG file.")
@told_in_a_sentence
def check(
    source: str | None,
    env: str | None,
    params: dict[str, Any],
    json_file: Path | None,
    csv_file: Path | None,
    sheet_file: Path | None,
) -> None:
    """Say what is wrong, doubtful or worth knowing of the images in SOURCE, and what mends it.

    SOURCE is a folder, a table or a file, or what data_prep.source takes besides; without it, that of the study. Nothing is
    prepared and nothing is changed. The command ends with 1 where something is wrong that data_prep.accept does not name.
    """
    settings = prep_settings(None if source is None else path_from_here(source), env, params)
    checks = checked(settings)
    refused = any(finding.stops(settings.accept) for one, _ in checks for finding in one.findings)
    told = [one.to_json() | {"accept": list(settings.accept)} for one, _ in checks]
    value = told[0] if isinstance(settings.source, str) else told
    if json_file == Path("-"):
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(check_text(one, settings) for one, _ in checks))
        if json_file is not None:
            write_json(json_file, value)
    if csv_file is not None:
        _write_csv(csv_file, [one for one, _ in checks])
    if sheet_file is not None:
        _draw_sheet(sheet_file, checks)
    for file in (json_file, csv_file, sheet_file):
        if file is not None and file != Path("-"):
            click.echo(f"Written: {file}", err=json_file == Path("-"))
    sys.exit(int(refused))


def prep_settings(source: str | None, env: str | None, params: dict[str, Any]) -> "DataPrepSettings":
    """How a study prepares its images, or those of a `source` instead."""
    from vision_studies.catalog.config_loader import StudyConfigLoader
    from vision_studies.config.registry import settings_model
    from vision_studies.project_folders import project_folder
    from vision_studies.settings import CONFIG_LOADER_ARGS

    if source is not None:
        params = params | {"data_prep": params.get("data_prep", {}) | {"source": source}}
    loader = StudyConfigLoader(project_folder() / "conf", env, params, **CONFIG_LOADER_ARGS)
    settings: DataPrepSettings = settings_model("data_prep").model_validate(loader["parameters"]["data_prep"])  # type: ignore[assignment]
    return settings


def checked(settings: "DataPrepSettings") -> list[tuple["Check", Any]]:
    """What a check of each source finds, with its images; a bar shows how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from vision_studies.data.sources.read import check_sources

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Looking at images", total=None)
        return [*check_sources(settings, lambda done, seen: bar.update(task, completed=done, total=seen or None))]


def check_text(one: "Check", settings: "DataPrepSettings") -> str:
    """What was found, in lines that fit the terminal."""
    from vision_studies.errors import visible

    width = min(shutil.get_terminal_size().columns, _WIDEST)
    survey = one.survey
    images = int(survey.readable.sum())
    seen = f" of {one.seen:,} files" if one.seen > images else ""
    blocks = [f"{survey.source}\n{images:,} images{seen} in {len(survey.class_names):,} classes"]
    for finding in one.findings:
        severity = str(finding.kind.severity)
        accepted = severity == "wrong" and not finding.stops(settings.accept)
        head = (
            f"{severity.upper() if severity == 'wrong' else severity.capitalize()}{' (accepted)' if accepted else ''}"
        )
        title = click.style(f"{head}: {finding.kind.title}", fg=_COLOURS[severity], bold=severity != "note")
        lines = [f"{title} [{finding.name}]", *_wrapped(visible(finding.message), width)]
        if severity != "note":
            lines += _wrapped(finding.kind.why, width) + _wrapped(f"-> {finding.mend or finding.kind.mend}", width)
        lines += [f"    {visible(name)}" for name in finding.files[:_NAMED]]
        if len(finding.files) > _NAMED:
            lines.append(f"    and {len(finding.files) - _NAMED:,} more (--csv=FILE names all)")
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, _conclusion(one, settings)])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _conclusion(one: "Check", settings: "DataPrepSettings") -> str:
    severities = [str(finding.kind.severity) for finding in one.findings]
    counts = {name: severities.count(name) for name in ("wrong", "doubtful", "note")}
    stopping = sorted({finding.name for finding in one.findings if finding.stops(settings.accept)})
    if not severities:
        return "Nothing was found that speaks against these images."
    notes = f"{counts['note']} note{'' if counts['note'] == 1 else 's'}"
    told = f"{counts['wrong']} wrong, {counts['doubtful']} doubtful, {notes}."
    if stopping:
        told += f" data_prep stops here; data_prep.accept=[{','.join(stopping)}] goes on as it is."
    return "\n".join(textwrap.wrap(told, min(shutil.get_terminal_size().columns, _WIDEST), break_on_hyphens=False))


def _write_csv(file: Path, checks: Sequence["Check"]) -> None:
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["source", "severity", "finding", "file"])
        for one in checks:
            for finding in one.findings:
                rows = [[one.survey.source, str(finding.kind.severity), finding.name, name] for name in finding.files]
                writer.writerows(rows)


def _draw_sheet(file: Path, checks: Sequence[tuple["Check", Any]]) -> None:
    from vision_studies.data.checks.sheet import pictures_of, rows_of
    from vision_studies.figures.contact_sheet import contact_sheet

    rows = []
    for one, found in checks:
        pictures = pictures_of(one, found)
        rows += rows_of(one.findings, pictures)
    sources = " + ".join(Path(one.survey.source).name for one, _ in checks)
    with atomic_file(file, suffix=".png") as temporary:
        contact_sheet(rows, f"{sources}: images that were found").savefig(
            temporary, dpi=120, bbox_inches="tight", format="png"
        )
