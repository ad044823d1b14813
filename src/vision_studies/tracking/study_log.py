"""What a study has left in its folders, as trackers are given it: records of runs, and the files that are shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from vision_studies.config.merge import flatten
from vision_studies.config.registry import METHODS
from vision_studies.files import hash_json, visible_files
from vision_studies.project_folders import MODELS, OUTPUTS, REPORTS
from vision_studies.run_folders import HISTORY_FILE, MEND, read_description, read_stage, run_folders, stage_files
from vision_studies.stored_tables import read_table
from vision_studies.studies.method import load_method
from vision_studies.studies.results import IDENTITY, SCHEMA, results_row
from vision_studies.studies.runs import run_name
from vision_studies.tracking.histories import fold_steps, history_steps, is_number, joined_steps
from vision_studies.tracking.records import RunRecord

FOLDER = Path("data/09_tracking")
"""Where trackers keep what they keep on this machine, as seen from the project."""

PLOTLY_FILE = Path("scripts/plotly.page.js")
"""What draws the interactive figures of all reports, as seen from the folder of reports."""

_NAMES = ["variant", "trial", "seed"]  # what names a run within the tables of one pipeline
_METRICS = [field.name for field in SCHEMA if not pa.types.is_string(field.type) and field.name not in IDENTITY]
_TAGS = [name for name in SCHEMA.names if name not in (*_METRICS, "configuration", "other_metrics", "versions")]
_WEIGHTS = "*weights*.safetensors"
_FOLD_HISTORIES = "base_histories.parquet"
_TRAINED = "training"


@dataclass(frozen=True)
class StudyFolders:
    """Where a study's tables and runs lie, in a folder a pipeline each, and its figures, tables for readers and the report."""

    outputs: Path
    models: Path
    reports: Path

    @classmethod
    def of(cls, project: Path, study: str) -> "StudyFolders":
        """The folders of a study in a project."""
        return cls(project / OUTPUTS / study, project / MODELS / study, project / REPORTS / study)

    def state(self) -> dict[str, tuple[int, int]]:
        """Size and time of every table and of the results of every run: where they are as they were, no run is new."""
        files = [*self.outputs.glob("*/*.parquet"), *self.models.glob("*/runs/*/*.json")]
        statuses = {str(file): file.stat() for file in sorted(files)}
        return {file: (status.st_size, status.st_mtime_ns) for file, status in statuses.items()}

    def summary(self) -> str:
        """What the study has found, in a few lines; empty before there is a report."""
        file = self.reports / "summary.txt"
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def verdict(self) -> dict[str, str]:
        """Tags that say the verdict of the study; none before there is a report, or where its file is damaged."""
        try:
            tags = json.loads((self.reports / "verdict.json").read_text(encoding="utf-8"))["tags"]
            return {str(name): str(value) for name, value in tags.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def find_artefacts(folders: StudyFolders, largest_bytes: int = 25_000_000) -> dict[str, Path]:
    """What a study shows (figures in their newest version, tables, sentences, the report with all that it loads), and its
    results tables.

    Plotly, which the pages of all studies share, stands among the scripts of the report, where it looks for it, too.

    Returns:
        Path in the tracker -> file, without files of more than `largest_bytes`.
    """
    artefacts = {f"{file.parent.name}/{file.name}": file for file in sorted(folders.outputs.glob("*/results.*"))}
    for file in visible_files(folders.reports):
        path = file.relative_to(folders.reports)
        if path.parts[0] != "run_records":
            artefacts[path.as_posix()] = file
    shared = folders.reports.parent / PLOTLY_FILE
    if "report.html" in artefacts and any((folders.reports / PLOTLY_FILE.parent).glob("chart-*")) and shared.is_file():
        artefacts[PLOTLY_FILE.as_posix()] = shared
    return {path: file for path, file in artefacts.items() if file.stat().st_size <= largest_bytes}


def read_runs(folders: StudyFolders, *, with_weights: bool = False) -> list[RunRecord]:
    """All runs of a study, pipeline by pipeline, in the order of their tables."""
    records: dict[str, RunRecord] = {}
    for folder in sorted(folders.outputs.glob("*/")):
        tables = list(run_tables(folder))
        trained = {_key(row): row for stem, rows, _ in tables if stem == _TRAINED for row in rows}
        trained_names = {_run_names(row) for row in trained.values()}
        for stem, rows, histories in tables:
            for row in rows:
                key, names = _key(row), _run_names(row)
                if key in records or (key not in trained and names in trained_names):
                    continue  # the second: an earlier configuration's row, which the new one is about to replace
                run_folder = folders.models / folder.name / "runs" / row["run_fingerprint"]
                together = stem != "results" or key in trained  # else its history is not in the newest table of them
                history = histories.get(names) if together else _read(run_folder / HISTORY_FILE)
                folds, weights = _read(run_folder / _FOLD_HISTORIES), _weights(run_folder, with_weights)
                records[key] = run_record(row, history, folds, table=stem, first=trained.get(key), files=weights)
    return list(records.values())


def run_tables(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]], dict[tuple[Any, ...], pd.DataFrame]]]:
    """Tables of runs in a pipeline's folder of results: file stem, rows, and histories by variant, trial and seed.

    Which there are says the method; those of the last stage come first, and a run of several of them is to be taken from the
    first.
    """
    tables = load_method(folder.name).run_tables if folder.name in METHODS else []
    by_run = {name: _histories(_read(folder / f"{name}.parquet")) for name in {histories for _, histories in tables}}
    for data_set, histories in tables:
        stem = file_stem(data_set)
        table = _read(folder / f"{stem}.parquet")
        if table is not None and {*IDENTITY, "configuration", "run_fingerprint", "status"} <= {*table.columns}:
            rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
            yield stem, rows, by_run[histories]


def file_stem(data_set: str) -> str:
    """File in which the catalog keeps a table, without its suffix."""
    return _TRAINED if data_set == "training_results" else data_set


def read_new_runs(folders: StudyFolders, since: float, *, with_weights: bool = False) -> list[RunRecord]:
    """Runs that have ended a stage since a moment (seconds since 1970), from their own folders: no table has them yet."""
    records = []
    for folder in chain.from_iterable(map(run_folders, sorted(folders.models.glob("*/runs")))):
        files = stage_files(folder)
        if any(file.stat().st_mtime >= since for file in files):
            row, history = _row_of_folder(folder, files), _read(folder / HISTORY_FILE)
            folds, weights = _read(folder / _FOLD_HISTORIES), _weights(folder, with_weights)
            records.append(run_record(row, history, folds, table=_TRAINED, files=weights))
    return records


def run_record(
    row: Mapping[str, Any],
    history: pd.DataFrame | None,
    folds: pd.DataFrame | None = None,
    *,
    table: str,
    first: Mapping[str, Any] | None = None,
    files: Sequence[Path] = (),
) -> RunRecord:
    """The record of a row of the results table.

    Args:
        row: the row.
        history: one row an epoch; None for a run without epochs.
        folds: one row a base learner, fold and epoch, of a stack by folds.
        table: its name, which becomes a tag.
        first: the row as training left it, for the time when the run began; None where it is the same.
        files: weights.
    """
    configuration = json.loads(row["configuration"])
    others = json.loads(row["other_metrics"]) if _is_there(row.get("other_metrics")) else {}
    metrics: dict[str, Any] = {name: row.get(name) for name in _METRICS} | others
    tags = {name: str(row[name]) for name in _TAGS if _is_there(row.get(name))} | {"table": table}
    tags |= {name: value for name, value in others.items() if isinstance(value, str)}
    method = configuration.get("method")
    tags |= {} if method is None else {"method": str(method)}
    ended = _seconds(row.get("finished_at"))
    seconds = row["seconds"] if is_number(row.get("seconds")) else 0.0
    return RunRecord(
        key=_key(row),
        name=f"{row['pipeline']}: {run_name(row['variant'], row['trial'], row['seed'])}",
        pipeline=row["pipeline"],
        status=row["status"],
        parameters={"variant": row["variant"], "trial": int(row["trial"]), "seed": int(row["seed"])}
        | flat_parameters(configuration),
        tags=tags,
        metrics={name: float(value) for name, value in metrics.items() if is_number(value)},
        history=joined_steps(
            {} if history is None else history_steps(history, str(method)), {} if folds is None else fold_steps(folds)
        ),
        started=min(ended, _seconds((first or row).get("finished_at")) - float(seconds)),
        ended=ended,
        files=tuple(files),
    )


def flat_parameters(configuration: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys for everything, lists of groups included: `base_learners.0.model.name`."""
    flat: dict[str, object] = {}
    for key, value in configuration.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            for number, entry in enumerate(value):
                flat |= flat_parameters(flatten({f"{key}.{number}": entry}))
        else:
            flat[key] = value
    return flat


def _read(file: Path) -> pd.DataFrame | None:
    return read_table(file, MEND) if file.is_file() else None


def _weights(folder: Path, with_weights: bool) -> list[Path]:
    return sorted(folder.glob(_WEIGHTS)) if with_weights else []


def _row_of_folder(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """A row of the results table, as far as the stages of a run have come."""
    description = read_description(folder, ("configuration",))
    configuration = description["configuration"]
    names = description | {"run_fingerprint": folder.name, "configuration_hash": hash_json(configuration)}
    stages = sorted(map(read_stage, files), key=lambda stage: stage["provenance"]["finished_at"])
    return results_row(names, json.dumps(flatten(configuration)), stages)


def _histories(table: pd.DataFrame | None) -> dict[tuple[Any, ...], pd.DataFrame]:
    if table is None or "epoch" not in table or not set(_NAMES) <= set(table.columns):
        return {}
    return {key: rows for key, rows in table.groupby(_NAMES, sort=False) if isinstance(key, tuple)}


def _run_names(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _NAMES)


def _key(row: Mapping[str, Any]) -> str:
    identity = [row["pipeline"], row["study"], row["variant"], int(row["trial"]), int(row["seed"])]
    return hash_json([*identity, row["run_fingerprint"]])[:16]


def _seconds(moment: Any) -> float:
    return datetime.fromisoformat(moment).timestamp() if _is_there(moment) else 0.0


def _is_there(value: Any) -> bool:
    return isinstance(value, str) or is_number(value)
