"""Finding what the pipelines of a study have left: results tables, sentences, figures and records of its runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.pipelines.reporting.sections import page_sections
from vision_studies.reports.figures import ReportFigure
from vision_studies.studies.results import read_results

PAGE_VERSION = 2
"""Pages of another version are made again."""


@dataclass(frozen=True)
class StudyFolders:
    """Where a study lies.

    Attributes:
        name: as `--env` named it.
        outputs: results tables, in a folder a pipeline.
        reports: figures, sentences and records of runs.
    """

    name: str
    outputs: Path
    reports: Path

    def has_results(self) -> bool:
        """Whether a pipeline of the study has left a results table."""
        return any(self.outputs.glob("*/results.parquet"))

    def fingerprint(self) -> str:
        """Changes when a file changes that the study's page is made from."""
        tables = (file for file in self.outputs.rglob("[!.]*") if file.is_file())
        shown = (
            file for pattern in ("*/*.json", "*/*/*/*.json", "*/*.png/*/*.png") for file in self.reports.glob(pattern)
        )
        files = [*tables, *(file for file in shown if file.parent.name != "run_records")]
        known = {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)}
        newest = collect_records(self)[-1:]
        parameters = [[record["parameters"], record.get("differences_from_base")] for record in newest]
        return hash_json({"version": PAGE_VERSION, "files": known, "parameters": parameters})[:16]


def find_studies(outputs: Path, reports: Path) -> list[StudyFolders]:
    """Every study that has results, by name."""
    found = [StudyFolders(folder.name, folder, reports / folder.name) for folder in sorted(outputs.glob("*/"))]
    return [study for study in found if study.has_results()]


def collect_results(study: StudyFolders) -> pd.DataFrame:
    """Rows of the results tables of all pipelines.

    Raises:
        DataError: there is none; or one is damaged, of another schema, or of another study.
    """
    files = sorted(study.outputs.glob("*/results.parquet"))
    if not files:
        raise DataError(
            f"There are no results in {study.outputs} yet; run a pipeline of this study first, for example "
            f"`kedro run --env={study.name} --pipeline=cifar_resnet`."
        )
    tables = []
    for file in files:
        table = read_results(file)
        others = sorted(set(table["study"]) - {study.name})
        if others:
            raise DataError(
                f"{file} holds runs of the study '{others[0]}' but lies in the folder of '{study.name}', so that two studies "
                f"would have one name; move the folder back, or rename it to '{others[0]}'."
            )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def collect_conclusions(study: StudyFolders) -> dict[str, list[str]]:
    """Pipeline -> sentences in which it has put its answer.

    Raises:
        DataError: a file is damaged.
    """
    found = {}
    for file in sorted(study.reports.glob("*/conclusions.json")):
        try:
            found[file.parent.name] = [str(sentence) for sentence in json.loads(file.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise DataError(f"{file} cannot be read ({error}); delete it and run its pipeline again.") from error
    return found


def collect_figures(study: StudyFolders) -> tuple[list[ReportFigure], list[str]]:
    """The newest version of every figure that pages show, in their order, and a sentence for each that is missing.

    A figure is missing when the folder of its versions is there, and holds none.
    """
    figures, missing = [], []
    texts = [(pipeline, *entry) for pipeline, section in page_sections().items() for entry in section.figures.items()]
    for pipeline, name, text in texts:
        folder = study.reports / pipeline / f"{name}.png"
        if not folder.is_dir():
            continue
        versions = sorted(folder.glob(f"*/{name}.png"))  # versions are time stamps: the last one sorts last
        if versions:
            figures.append(ReportFigure(text.title, text.caption, versions[-1].read_bytes(), pipeline))
        else:
            missing.append(f"The figure '{text.title}' is missing in {folder}; run `{pipeline}` again to draw it.")
    return figures, missing


def collect_classes(study: StudyFolders) -> list[str]:
    """Names of the classes, from the newest data card that the study has drawn; none where there is no such card.

    Raises:
        DataError: the card is damaged.
    """
    cards = sorted((study.reports / "data_prep/data_card.json").glob("*/data_card.json"))
    if not cards:
        return []
    try:
        return [str(name) for name in json.loads(cards[-1].read_text(encoding="utf-8"))["class_names"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{cards[-1]} cannot be read ({error!r}); delete it and run data_prep again.") from error


def collect_records(study: StudyFolders) -> list[dict[str, Any]]:
    """Records of the study's runs, the oldest first; what cannot be read is left out, for results do not depend on it."""
    records = []
    for file in sorted((study.reports / "run_records").glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        records += [record] if isinstance(record, dict) and "parameters" in record else []
    return records
