"""Finding what the pipelines of a study have left: results tables, sentences, figures and records of its runs."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.registry import METHODS
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.pipelines.data_prep.section import SECTION
from vision_studies.reports.page import Chart, ReportFigure
from vision_studies.studies.method import ChartSource, PageSection, load_method
from vision_studies.studies.results import read_results

PAGE_VERSION = 2
"""Pages of another version are made again."""


@cache
def page_sections() -> dict[str, PageSection]:
    """Pipeline -> what a page shows of it and in what words, in the order of the page."""
    return {**{name: load_method(name).section for name in METHODS}, "data_prep": SECTION}


@dataclass(frozen=True)
class StudyFolders:
    """Where a study lies that `--env` named so: its results tables, in a folder a pipeline, and its figures and records."""

    name: str
    outputs: Path
    reports: Path

    def has_results(self) -> bool:
        """Whether a pipeline of the study has left a results table."""
        return any(self.outputs.glob("*/results.parquet"))

    def fingerprint(self) -> str:
        """Changes when a file changes that the study's page is made from."""
        tables = (file for file in self.outputs.rglob("[!.]*") if file.is_file())
        patterns = ("*/*.json", "*/*/*/*.json", "*/*.png/*/*.png")
        shown = (file for pattern in patterns for file in self.reports.glob(pattern))
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
    tables = []
    for file in sorted(study.outputs.glob("*/results.parquet")):
        table = read_results(file)
        if others := sorted(set(table["study"]) - {study.name}):
            raise DataError(
                f"{file} holds runs of the study '{others[0]}' but lies in the folder of '{study.name}', so that two studies "
                f"would have one name; move the folder back, or rename it to '{others[0]}'."
            )
        tables.append(table)
    if not tables:
        raise DataError(
            f"There are no results in {study.outputs} yet; run a pipeline of this study first, for example "
            f"`kedro run --env={study.name} --pipeline=cifar_resnet`."
        )
    return pd.concat(tables, ignore_index=True)


def collect_conclusions(study: StudyFolders) -> dict[str, list[str]]:
    """Pipeline -> sentences in which it has put its answer.

    Raises:
        DataError: a file is damaged.
    """
    sentences = {}
    for file in sorted(study.reports.glob("*/conclusions.json")):
        with _readable(file):
            sentences[file.parent.name] = [str(sentence) for sentence in _read_json(file)]
    return sentences


def collect_charts(outputs: Path) -> dict[str, list[Chart]]:
    """Pipeline -> its interactive figures: learning curves of every pipeline, and what else there is to look into.

    Args:
        outputs: the study's folder of results, with one folder a pipeline.

    Raises:
        DataError: a table is damaged or lacks a column.
    """
    charts: dict[str, list[Chart]] = {}
    sources = [(pipeline, source) for pipeline, section in page_sections().items() for source in section.charts]
    for pipeline, source in [*sources, ("*", ChartSource("histories.parquet", _learning_curves))]:
        for file in sorted(outputs.glob(f"{pipeline}/{source.file}")):
            with _readable(file):
                content = _READERS[file.suffix](file)
            if (figure := source.draw(content)) is not None:
                charts.setdefault(file.relative_to(outputs).parts[0], []).append(Chart(*figure))
    return charts


def collect_figures(study: StudyFolders) -> tuple[list[ReportFigure], list[str]]:
    """The newest version of every figure that pages show, in their order, and a sentence for each that is missing.

    A figure is missing when the folder of its versions is there, and holds none.
    """
    figures, missing = [], []
    entries = ((pipeline, *entry) for pipeline, section in page_sections().items() for entry in section.figures.items())
    for pipeline, name, text in entries:
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
        return [str(name) for name in _read_json(cards[-1])["class_names"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{cards[-1]} cannot be read ({error!r}); delete it and run data_prep again.") from error


def collect_records(study: StudyFolders) -> list[dict[str, Any]]:
    """Records of the study's runs, the oldest first; what cannot be read is left out, for results do not depend on it."""
    records = []
    for file in sorted((study.reports / "run_records").glob("*.json")):
        try:
            record = _read_json(file)
        except ValueError:
            continue
        records += [record] if isinstance(record, dict) and "parameters" in record else []
    return records


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # pandas and pyarrow have many errors for what a damaged file may be
        raise DataError(f"{file} cannot be read ({error}); delete it and run its pipeline again.") from error


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _learning_curves(histories: pd.DataFrame) -> Any:
    from vision_studies.figures.interactive_results import learning_curves

    return learning_curves(histories)


_READERS: dict[str, Callable[[Path], Any]] = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".json": _read_json}
