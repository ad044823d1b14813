"""From the tables that a study has left to records for trackers."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.analysis.metrics import METRICS
from vision_studies.config.merge import flatten
from vision_studies.files import hash_json
from vision_studies.tracking.fold_histories import fold_steps
from vision_studies.tracking.metric_names import flat_parameters, logged_names
from vision_studies.tracking.records import RunRecord
from vision_studies.tracking.study_files import StudyPlace

TABLES = (
    ("results", "histories"),
    ("training", "histories"),  # the same runs, before they have met the test images
    ("classifiers", "histories"),
    ("trial_results", "trial_histories"),
    ("search_results", "search_histories"),
    ("pretraining", "pretraining_histories"),
    ("backbones", "backbone_histories"),
)
"""Tables of runs with their histories; a run of several of them is taken from the first."""

IDENTITY = ["variant", "trial", "seed"]
"""What names a run within the tables of one pipeline."""

_TAGS = (
    "pipeline",
    "study",
    "variant",
    "condition",
    "trial",
    "seed",
    "status",
    "reason",
    "run_fingerprint",
    "configuration_hash",
    "data_fingerprint",
    "git_commit",
    "device",
    "finished_at",
)
_NAMES = {"study", "variant", "trial", "seed", "run", "epoch"}  # columns of histories that are no metrics
_WEIGHTS = "*weights*.safetensors"
_FOLD_HISTORIES = "base_histories.parquet"


def read_runs(place: StudyPlace, *, with_weights: bool = False) -> list[RunRecord]:
    """All runs of a study, pipeline by pipeline, in the order of their tables."""
    records: dict[str, RunRecord] = {}
    for folder in sorted(place.outputs.glob("*/")):
        tables = {stem: _read(folder / f"{stem}.parquet") for pair in TABLES for stem in pair}
        trained = {_key(row): row for row in _rows(tables["training"])}
        trained_names = {_identity(row) for row in trained.values()}
        for stem, histories in TABLES:
            by_run = _histories(tables[histories])
            for row in _rows(tables[stem]):
                key, names = _key(row), _identity(row)
                if key in records or (key not in trained and names in trained_names):
                    continue  # the second: an earlier configuration's row, which the new one is about to replace
                own = place.models / folder.name / "runs" / row["run_fingerprint"]
                together = stem != "results" or key in trained  # else its history is not in the newest table of them
                history = by_run.get(names) if together else _read(own / "history.parquet")
                files = tuple(sorted(own.glob(_WEIGHTS))) if with_weights else ()
                folds = _read(own / _FOLD_HISTORIES)
                records[key] = run_record(row, history, folds, first=trained.get(key), table=stem, files=files)
    return list(records.values())


def read_new_runs(place: StudyPlace, since: float, *, with_weights: bool = False) -> list[RunRecord]:
    """Runs that have ended a stage since a moment (seconds since 1970), from their own folders: no table has them yet."""
    records = []
    for folder in sorted(place.models.glob("*/runs/*/")):
        files = [file for file in folder.glob("*.json") if file.name not in ("run.json", "label.json")]
        if files and max(file.stat().st_mtime for file in files) >= since:
            row = _row_of_folder(folder, files)
            history = _read(folder / "history.parquet")
            weights = tuple(sorted(folder.glob(_WEIGHTS))) if with_weights else ()
            folds = _read(folder / _FOLD_HISTORIES)
            records.append(run_record(row, history, folds, table="training", files=weights))
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
    """The record of one row.

    Args:
        row: a row of the results table.
        history: one row an epoch; None for a run without epochs.
        folds: one row a base learner, fold and epoch, of a stack by folds.
        table: the table's name, which becomes a tag.
        first: the row as training left it, for the time when the run began; None where it is the same.
        files: weights.
    """
    configuration = json.loads(row["configuration"])
    others = json.loads(row["other_metrics"]) if _is_there(row.get("other_metrics")) else {}
    method = configuration.get("method")
    metrics = {metric.column: row.get(metric.column) for metric in METRICS} | others
    tags = {name: str(row[name]) for name in _TAGS if _is_there(row.get(name))} | {"table": table}
    tags |= {name: value for name, value in others.items() if isinstance(value, str)}
    if method is not None:
        tags["method"] = str(method)
    trial = f", trial {row['trial']}" if row["trial"] else ""
    ended = _seconds(row.get("finished_at"))
    seconds = row["seconds"] if _is_number(row.get("seconds")) else 0.0
    started = min(ended, _seconds((first or row).get("finished_at")) - float(seconds))
    return RunRecord(
        key=_key(row),
        name=f"{row['pipeline']}: {row['variant']}{trial}, seed {row['seed']}",
        pipeline=row["pipeline"],
        status=row["status"],
        parameters={"variant": row["variant"], "trial": int(row["trial"]), "seed": int(row["seed"])}
        | flat_parameters(configuration),
        tags=tags,
        metrics={name: float(value) for name, value in metrics.items() if _is_number(value)},
        history=_joined(
            {} if history is None else _steps(history, str(method)), {} if folds is None else fold_steps(folds)
        ),
        started=started,
        ended=ended,
        files=tuple(files),
    )


def _read(file: Path) -> pd.DataFrame | None:
    return pd.read_parquet(file) if file.is_file() else None


def _rows(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    return (
        [] if table is None else [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    )


def _row_of_folder(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """A row of the results table, as far as the stages of a run have come."""
    described = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    stages = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    row: dict[str, Any] = described | {
        "configuration": json.dumps(flatten(described["configuration"])),
        "run_fingerprint": folder.name,
        "configuration_hash": hash_json(described["configuration"]),
    }
    for stage in sorted(stages, key=lambda stage: stage["provenance"]["finished_at"]):
        row |= stage["metrics"] | {"status": stage["status"], "reason": stage["reason"]}
        row |= {name: stage["provenance"][name] for name in ("git_commit", "finished_at")}
    row["other_metrics"] = json.dumps(row.get("other_metrics", {}))
    return row


def _histories(table: pd.DataFrame | None) -> dict[tuple[Any, ...], pd.DataFrame]:
    if table is None or "epoch" not in table or not set(IDENTITY) <= set(table.columns):
        return {}
    return {key: own for key, own in table.groupby(IDENTITY, sort=False) if isinstance(key, tuple)}


def _steps(history: pd.DataFrame, method: str) -> dict[int, dict[str, float]]:
    """Epoch -> logged name -> value, without what was not measured in that epoch."""
    is_joint = method == "joint"
    is_stack = is_joint or method == "cross_validated"
    names = {
        str(column): logged_names(str(column), is_stack=is_stack, is_joint=is_joint)
        for column in history.columns
        if column not in _NAMES and pd.api.types.is_numeric_dtype(history[column])
    }
    steps: dict[int, dict[str, float]] = {}
    for row in history.to_dict("records"):
        values = {name: float(row[column]) for column, own in names.items() if _is_number(row[column]) for name in own}
        steps[int(row["epoch"])] = values
    return steps


def _joined(*histories: Mapping[int, Mapping[str, float]]) -> dict[int, dict[str, float]]:
    steps: dict[int, dict[str, float]] = {}
    for history in histories:
        for epoch, values in history.items():
            steps.setdefault(epoch, {}).update(values)
    return dict(sorted(steps.items()))


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in IDENTITY)


def _key(row: Mapping[str, Any]) -> str:
    identity = [row["pipeline"], row["study"], row["variant"], int(row["trial"]), int(row["seed"])]
    return hash_json([*identity, row["run_fingerprint"]])[:16]


def _seconds(moment: Any) -> float:
    return datetime.fromisoformat(moment).timestamp() if _is_there(moment) else 0.0


def _is_there(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_number(value: Any) -> bool:
    """Whether trackers can take it for a number: not missing, infinite, text or yes and no."""
    if isinstance(value, (bool, str)) or value is None or not hasattr(value, "__float__"):
        return False
    return math.isfinite(float(value))
