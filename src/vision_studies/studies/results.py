"""The results table: one row a run, one schema for every pipeline."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vision_studies.errors import DataError
from vision_studies.outcomes import STATUSES
from vision_studies.statistics.metrics import METRICS, Metric
from vision_studies.stored_tables import READ_OPTIONS, WRITE_OPTIONS

SCHEMA_VERSION = 1


def _field(metric: Metric) -> pa.Field:
    return pa.field(metric.column, pa.int64() if metric.is_whole else pa.float64())


SCHEMA = pa.schema(
    [
        # identity
        pa.field("pipeline", pa.string(), nullable=False),
        pa.field("study", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("condition", pa.string()),  # variants are compared where it is equal; missing: all with each other
        pa.field("trial", pa.int64(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        # configuration: JSON, flattened to dotted keys
        pa.field("configuration", pa.string(), nullable=False),
        # metrics: accuracies are fractions, losses are nats per image
        *(_field(metric) for metric in METRICS if metric.of != "cost"),
        pa.field("other_metrics", pa.string()),  # JSON: what only this pipeline measures
        *(_field(metric) for metric in METRICS if metric.of == "cost"),
        # status
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        # provenance
        pa.field("run_fingerprint", pa.string(), nullable=False),
        pa.field("configuration_hash", pa.string(), nullable=False),
        pa.field("data_fingerprint", pa.string(), nullable=False),
        pa.field("git_commit", pa.string()),
        pa.field("versions", pa.string()),  # JSON: library -> version
        pa.field("device", pa.string()),
        pa.field("finished_at", pa.string()),  # ISO 8601, UTC
    ],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)

IDENTITY = ("pipeline", "study", "variant", "trial", "seed")
"""The columns that name a row."""


def validate_results(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with exactly the columns and types of `SCHEMA`; absent optional columns become missing values.

    Raises:
        DataError: a column is unknown, a required one is missing or empty, a type does not fit, a status is not one
            of `outcomes.STATUSES`, or two rows share one identity.
    """
    unknown = sorted(set(table.columns) - set(SCHEMA.names))
    if unknown:
        raise DataError(
            f"The results table has unknown columns {unknown}; the schema (version {SCHEMA_VERSION}) has "
            f"{list(SCHEMA.names)}, so results of another version must be moved aside and made again."
        )
    complete = table.reindex(columns=list(SCHEMA.names))
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
    """A stored results table, with the columns and types of `SCHEMA`.

    Raises:
        DataError: it is not there, damaged, or of another schema.
    """
    if not file.is_file():
        raise DataError(f"There is no results table {file} yet; run its pipeline first.")
    try:
        version = (pq.read_schema(file).metadata or {}).get(b"schema_version", str(SCHEMA_VERSION).encode()).decode()
        table = pd.read_parquet(file, **READ_OPTIONS) if version == str(SCHEMA_VERSION) else None
    except Exception as error:  # pandas and pyarrow have many errors for what a damaged file may be
        reason = " ".join(str(error).split())
        raise DataError(
            f"{file} cannot be read ({reason}); delete it and run its pipeline again: the runs it lists are kept."
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


def merge_results(stored: pd.DataFrame | None, new: pd.DataFrame) -> pd.DataFrame:
    """Add `new` rows to the `stored` ones of the same question.

    Rows are averaged by variant, so that a variant must mean one thing: stored rows leave the table where they were made
    from other data, or where their variant has another configuration now; and where one variant has, the rows of variants
    that are not among the new ones leave, too, for they were made beside its earlier meaning. Their runs stay in their
    folders, and running the earlier configuration again brings the rows back without any training.

    Examples:
        >>> import pandas as pd
        >>> from vision_studies.studies.results import merge_results
        >>> run = {"pipeline": "mine", "study": "widths", "variant": "narrow", "trial": 0, "status": "complete"}
        >>> run |= {"configuration": "{}", "configuration_hash": "c", "data_fingerprint": "d"}
        >>> stored = pd.DataFrame([run | {"seed": 0, "run_fingerprint": "a", "test_accuracy": 0.90}])
        >>> new = pd.DataFrame([run | {"seed": 1, "run_fingerprint": "b", "test_accuracy": 0.92}])
        >>> results = merge_results(stored, new)
        >>> results[["seed", "test_accuracy"]].to_dict("list")
        {'seed': [0, 1], 'test_accuracy': [0.9, 0.92]}
    """
    new = validate_results(new)
    if stored is None:
        return _in_order(new)
    stored = validate_results(stored)
    replaced = _among(stored, new, IDENTITY)
    other_data = ~stored["data_fingerprint"].isin(new["data_fingerprint"])
    variant = IDENTITY[:-1]
    other_meaning = _among(stored, new, variant) & ~_among(stored, new, (*variant, "configuration_hash"))
    beside_it = ~_among(stored, new, variant) if other_meaning.any() else other_meaning
    kept = stored[~(replaced | other_data | other_meaning | beside_it)]
    rows = [*new.to_dict("records"), *kept.to_dict("records")]
    return validate_results(_in_order(pd.DataFrame(rows, columns=list(SCHEMA.names))))


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by variant and seed, so that a table is the same whether it was written at once or in parts.

    Variants stay in the order of the newest table: the first one is what reports compare the others with.
    """
    rank = table.groupby(list(IDENTITY[:-1]), sort=False).ngroup()
    return table.assign(rank=rank).sort_values(["rank", "seed"], ignore_index=True).drop(columns="rank")


def _among(rows: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """For each of `rows`, whether some of `others` has the same values in `columns`."""
    keys = pd.MultiIndex.from_frame(others[list(columns)])
    return pd.Series(pd.MultiIndex.from_frame(rows[list(columns)]).isin(keys), index=rows.index)
