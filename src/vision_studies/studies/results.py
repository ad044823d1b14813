"""Results and histories of many runs: gathered from their folders, one row a run, one schema for every pipeline."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vision_studies.config.merge import flatten
from vision_studies.errors import DataError, one_line
from vision_studies.outcomes import COMPLETE, STATUSES
from vision_studies.run_folders import HISTORY_FILE, MEND
from vision_studies.statistics.metrics import METRICS
from vision_studies.stored_tables import READ_OPTIONS, WRITE_OPTIONS
from vision_studies.studies.runs import Run

if TYPE_CHECKING:
    from vision_studies.studies.run_store import RunStore

SCHEMA_VERSION = 1
_READERS = 8  # threads: small files keep the disk waiting, above all one on a network
_BATCH = 256  # files that a thread is given at a time


def _fields(kind: pa.DataType, *names: str, nullable: bool = True) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=nullable) for name in names]


def _measured(*, cost: bool) -> list[pa.Field]:
    metrics = [metric for metric in METRICS if (metric.of == "cost") == cost]
    return [pa.field(metric.column, pa.int64() if metric.is_whole else pa.float64()) for metric in metrics]


SCHEMA = pa.schema(
    [
        # identity
        *_fields(pa.string(), "pipeline", "study", "variant", nullable=False),
        *_fields(pa.string(), "condition"),  # variants are compared where it is equal; missing: all with each other
        *_fields(pa.int64(), "trial", "seed", nullable=False),
        # configuration: JSON, flattened to dotted keys
        *_fields(pa.string(), "configuration", nullable=False),
        # metrics: accuracies are fractions, losses are nats per image; other_metrics: JSON, what only this pipeline measures
        *_measured(cost=False),
        *_fields(pa.string(), "other_metrics"),
        *_measured(cost=True),
        # status
        *_fields(pa.string(), "status", nullable=False),
        *_fields(pa.string(), "reason"),
        # provenance; versions: JSON, library -> version; finished_at: ISO 8601, UTC
        *_fields(pa.string(), "run_fingerprint", "configuration_hash", "data_fingerprint", nullable=False),
        *_fields(pa.string(), "git_commit", "versions", "device", "finished_at"),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)

IDENTITY = ("pipeline", "study", "variant", "trial", "seed")
"""The columns that name a row."""


def results_table(runs: Sequence[Run], store: "RunStore", stages: Sequence[str]) -> pd.DataFrame:
    """Rows of the results table for all `runs` that have a first stage; later stages add their columns."""
    configurations: dict[str, str] = {}  # thousands of runs share a few
    rows = []
    for run in runs:
        results = list(_ended_stages(run, store, stages))
        if results:
            if run.configuration_hash not in configurations:
                configurations[run.configuration_hash] = _json(flatten(run.configuration))
            names = {name: getattr(run, name) for name in (*IDENTITY, "configuration_hash", "data_fingerprint")}
            names["run_fingerprint"] = run.fingerprint
            rows.append(results_row(names, configurations[run.configuration_hash], results))
    return validate_results(pd.DataFrame(rows, columns=SCHEMA.names))


def history_table(runs: Sequence[Run], store: "RunStore") -> pd.DataFrame:
    """Histories of all runs, one below the other, with the columns study, variant, trial, seed and run (a name). Raises
    DataError where there is none, or one is damaged.
    """
    batches = [runs[start : start + _BATCH] for start in range(0, len(runs), _BATCH)]
    with ThreadPoolExecutor(_READERS) as readers:
        read = [table for tables in readers.map(lambda batch: _histories(batch, store), batches) for table in tables]
    trained = [(run, table) for run, table in zip(runs, read, strict=True) if table is not None]
    if not trained:
        raise DataError(f"None of the {len(runs)} runs in {store.folder} has a history; train them first.")
    # Runs of two kinds may have other columns each, or whole numbers where others have fractions.
    together = pa.concat_tables([table for _, table in trained], promote_options="permissive").to_pandas()
    columns = ["study", "variant", "trial", "seed", "run"]
    names = pd.DataFrame(
        [[run.study, run.variant, run.trial, run.seed, run.name] for run, _ in trained], columns=columns
    )
    repeated = names.loc[names.index.repeat([len(table) for _, table in trained])].reset_index(drop=True)
    first = trained[0][1].column_names
    return pd.concat([together[first], repeated, together.drop(columns=first)], axis=1)


def _histories(runs: Sequence[Run], store: "RunStore") -> list[pa.Table | None]:
    histories: list[pa.Table | None] = []
    for run in runs:
        file = store.path(run, HISTORY_FILE)
        try:
            # Far faster for small files than pandas or `parquet.read_table`, which ask about whole folders of them.
            with pq.ParquetFile(file, **READ_OPTIONS) as opened:
                histories.append(opened.read(use_threads=False).replace_schema_metadata(None))
        except FileNotFoundError:
            histories.append(None)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file} is damaged ({one_line(error)}); {MEND}.") from error
    return histories


def _ended_stages(run: Run, store: "RunStore", stages: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Results of a run's stages, until one is missing or has not been complete."""
    for stage in stages:
        result = store.result(run, stage)
        if result is None:
            return
        yield result
        if result["status"] != COMPLETE:
            return


def results_row(names: Mapping[str, Any], configuration: str, results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A row of the results table: what identifies a run, its flattened configuration as JSON, and what its stages have found,
    of which a later one counts.
    """
    row = {**names, "configuration": configuration}
    for result in results:
        row |= {**result["metrics"], "status": result["status"], "reason": result["reason"]}
        if "other_metrics" in result["metrics"]:
            row["other_metrics"] = _json(result["metrics"]["other_metrics"])
        provenance = result["provenance"]
        row |= {name: provenance[name] for name in ("git_commit", "finished_at")}
        row["versions"] = _json(provenance["versions"])
    return row


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def validate_results(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with exactly the columns and types of `SCHEMA`; absent optional columns become missing values. Raises
    DataError where a column is unknown, a required one is missing or empty, a type does not fit, a status is not one of
    `outcomes.STATUSES`, or two rows share one identity.
    """
    unknown = sorted(set(table.columns) - set(SCHEMA.names))
    if unknown:
        raise DataError(
            f"The results table has unknown columns {unknown}; the schema (version {SCHEMA_VERSION}) has "
            f"{SCHEMA.names}, so results of another version must be moved aside and made again."
        )
    complete = table.reindex(columns=SCHEMA.names)
    for field in SCHEMA:
        if not field.nullable and complete[field.name].isna().any():
            raise DataError(f"The results table has rows without '{field.name}'; every row needs it.")
    try:
        typed = pa.Table.from_pandas(complete, schema=SCHEMA, preserve_index=False).to_pandas()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The results table has a value of the wrong type: {error}.") from error
    if not typed["status"].isin(STATUSES).all():
        wrong = sorted(set(typed["status"]) - set(STATUSES))
        raise DataError(f"The results table has the unknown status {wrong}; allowed are {list(STATUSES)}.")
    if typed.duplicated(list(IDENTITY)).any():
        raise DataError(f"The results table names a run twice; {', '.join(IDENTITY)} must differ between rows.")
    return typed


def read_results(file: Path) -> pd.DataFrame:
    """A stored results table, with the columns and types of `SCHEMA`. Raises DataError where it is not there, damaged, or of
    another schema.
    """
    if not file.is_file():
        raise DataError(f"There is no results table {file} yet; run its pipeline first.")
    try:
        version = (pq.read_schema(file).metadata or {}).get(b"schema_version", str(SCHEMA_VERSION).encode()).decode()
        table = pd.read_parquet(file, **READ_OPTIONS) if version == str(SCHEMA_VERSION) else None
    except Exception as error:  # pandas and pyarrow have many errors for what a damaged file may be
        raise DataError(
            f"{file} cannot be read ({one_line(error)}); delete it and run its pipeline again: the runs it lists "
            "are kept."
        ) from error
    if table is None:
        raise DataError(
            f"{file} has version {version} of the schema and this project reads version {SCHEMA_VERSION}; move it aside and "
            "run its pipeline again: the runs it lists are kept."
        )
    try:
        return validate_results(table)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def write_results(table: pd.DataFrame, file: Path) -> None:
    """Write a valid results table as Parquet, with the version of its schema."""
    pq.write_table(pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False), file, **WRITE_OPTIONS)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by variant, in the order in which variants first come, and seed."""
    rank = table.groupby(list(IDENTITY[:-1]), sort=False).ngroup()
    return table.assign(rank=rank).sort_values(["rank", "seed"], ignore_index=True).drop(columns="rank")
