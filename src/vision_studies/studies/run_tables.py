"""Results and histories of many runs, gathered from their folders."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pandas as pd

from vision_studies.config.merge import flatten
from vision_studies.errors import DataError
from vision_studies.outcomes import COMPLETE
from vision_studies.run_folders import HISTORY_FILE, MEND
from vision_studies.stored_tables import READ_OPTIONS
from vision_studies.studies.results import SCHEMA, validate_results
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run

if TYPE_CHECKING:
    import pyarrow as pa

_READERS = 8  # threads: small files keep the disk waiting, above all one on a network
_BATCH = 256  # files that a thread is given at a time


def results_table(runs: Sequence[Run], store: RunStore, stages: Sequence[str]) -> pd.DataFrame:
    """Rows of the results table for all `runs` that have a first stage; later stages add their columns."""
    configurations: dict[str, str] = {}  # thousands of runs share a few
    rows = []
    for run in runs:
        found = _stages(run, store, stages)
        if found:
            key = run.configuration_hash
            if key not in configurations:
                configurations[key] = json.dumps(flatten(run.configuration), sort_keys=True)
            rows.append(_row(run, configurations[key], found))
    return validate_results(pd.DataFrame(rows, columns=list(SCHEMA.names)))


def history_table(runs: Sequence[Run], store: RunStore) -> pd.DataFrame:
    """Histories of all runs, one below the other, with the columns study, variant, trial, seed and run (a name).

    Raises:
        DataError: there is none, or one is damaged.
    """
    import pyarrow as pa

    batches = [runs[start : start + _BATCH] for start in range(0, len(runs), _BATCH)]
    with ThreadPoolExecutor(_READERS) as readers:
        read = [table for tables in readers.map(lambda own: _histories(own, store), batches) for table in tables]
    found = [(run, table) for run, table in zip(runs, read, strict=True) if table is not None]
    if not found:
        raise DataError(f"None of the {len(runs)} runs in {store.folder} has a history; train them first.")
    # Runs of two kinds may have other columns each, or whole numbers where others have fractions.
    together = pa.concat_tables([table for _, table in found], promote_options="permissive").to_pandas()
    names = pd.DataFrame([[run.study, run.variant, run.trial, run.seed, run.name] for run, _ in found])
    names.columns = ["study", "variant", "trial", "seed", "run"]
    repeated = names.loc[names.index.repeat([len(table) for _, table in found])].reset_index(drop=True)
    first = found[0][1].column_names
    others = [name for name in together.columns if name not in first]
    return pd.concat([together[first], repeated, together[others]], axis=1)


def _histories(runs: Sequence[Run], store: RunStore) -> "list[pa.Table | None]":
    import pyarrow as pa
    from pyarrow import parquet

    found: list[pa.Table | None] = []
    for run in runs:
        file = store.path(run, HISTORY_FILE)
        try:
            # Far faster for small files than pandas or `parquet.read_table`, which ask about whole folders of them.
            with parquet.ParquetFile(file, **READ_OPTIONS) as opened:
                found.append(opened.read(use_threads=False).replace_schema_metadata(None))
        except FileNotFoundError:
            found.append(None)
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{file} is damaged ({reason}); {MEND}.") from error
    return found


def _stages(run: Run, store: RunStore, stages: Sequence[str]) -> list[dict[str, Any]]:
    """What has been found of a run, until a stage is missing or has not been complete."""
    found = []
    for stage in stages:
        result = store.result(run, stage)
        if result is None:
            break
        found.append(result)
        if result["status"] != COMPLETE:
            break
    return found


def _row(run: Run, configuration: str, stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "pipeline": run.pipeline,
        "study": run.study,
        "variant": run.variant,
        "trial": run.trial,
        "seed": run.seed,
        "configuration": configuration,
        "run_fingerprint": run.fingerprint,
        "configuration_hash": run.configuration_hash,
        "data_fingerprint": run.data_fingerprint,
    }
    for result in stages:
        metrics = dict(result["metrics"])
        if "other_metrics" in metrics:
            metrics["other_metrics"] = json.dumps(metrics["other_metrics"], sort_keys=True)
        provenance = result["provenance"]
        row |= {**metrics, "status": result["status"], "reason": result["reason"]}
        row |= {"git_commit": provenance["git_commit"], "finished_at": provenance["finished_at"]}
        row |= {"versions": json.dumps(provenance["versions"], sort_keys=True)}
    return row
