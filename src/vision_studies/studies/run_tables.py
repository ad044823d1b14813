"""Results and histories of many runs, gathered from their folders."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.merge import flatten
from vision_studies.errors import DataError
from vision_studies.studies.results import COMPLETE, SCHEMA, validate_results
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import read_stage, run_folder


def results_table(runs: Sequence[Run], folder: Path, stages: Sequence[str]) -> pd.DataFrame:
    """Rows of the results table for all `runs` that have a first stage; later stages add their columns."""
    rows = [row for run in runs if (row := _row(run, folder, stages)) is not None]
    return validate_results(pd.DataFrame(rows, columns=list(SCHEMA.names)))


def history_table(runs: Sequence[Run], folder: Path) -> pd.DataFrame:
    """Histories of all runs, one below the other, with the columns study, variant, trial, seed and run (a name)."""
    histories = []
    for run in runs:
        path = run_folder(folder, run) / "history.parquet"
        if path.exists():
            names = {"study": run.study, "variant": run.variant, "trial": run.trial, "seed": run.seed, "run": run.name}
            histories.append(pd.read_parquet(path).assign(**names))
    if not histories:
        raise DataError(f"None of the {len(runs)} runs in {folder} has a history; train them first.")
    return pd.concat(histories, ignore_index=True)


def _row(run: Run, folder: Path, stages: Sequence[str]) -> dict[str, Any] | None:
    first = read_stage(folder, run, stages[0])
    if first is None:
        return None
    row: dict[str, Any] = {
        "pipeline": run.pipeline,
        "study": run.study,
        "variant": run.variant,
        "trial": run.trial,
        "seed": run.seed,
        "configuration": json.dumps(flatten(run.configuration), sort_keys=True),
        "run_fingerprint": run.fingerprint,
        "configuration_hash": run.configuration_hash,
        "data_fingerprint": run.data_fingerprint,
    }
    for stage in stages:
        result = read_stage(folder, run, stage)
        if result is None:
            break
        metrics = dict(result["metrics"])
        if "other_metrics" in metrics:
            metrics["other_metrics"] = json.dumps(metrics["other_metrics"], sort_keys=True)
        provenance = result["provenance"]
        row |= {**metrics, "status": result["status"], "reason": result["reason"]}
        row |= {"git_commit": provenance["git_commit"], "finished_at": provenance["finished_at"]}
        row |= {"versions": json.dumps(provenance["versions"], sort_keys=True)}
        if result["status"] != COMPLETE:
            break
    return row
