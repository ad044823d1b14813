"""What a study could recommend: its variants, as a verdict takes them, from its results table and what its runs have kept."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vision_studies.config.registry import METHODS
from vision_studies.outcomes import ABSENT, COMPLETE
from vision_studies.predictions import Predictions
from vision_studies.project_folders import project_folder
from vision_studies.reports.formatting import is_missing
from vision_studies.reports.tables import labels_of
from vision_studies.stored_predictions import read_predictions
from vision_studies.studies.evidence import (
    RUN_COLUMNS,
    VariantEvidence,
    VariantRuns,
    Wanted,
    is_scored,
    read_evidence,
    runs_of_variant,
)
from vision_studies.studies.method import Choice, load_method

if TYPE_CHECKING:
    from vision_studies.statistics.verdict import Candidate, Chooser

MOST_PREDICTED = 2000
"""Runs of a study of which the predicted classes are read; of more it is read which images they get right, and not what they
take the others for.
"""

_COLUMNS = (
    *RUN_COLUMNS,
    *(
        "images",
        "shared",
        "configuration",
        "reason",
        "validation_loss",
        "other_metrics",
        "seconds",
        "macs",
        "parameters",
    ),
)

Rows = Sequence[Mapping[str, Any]]
"""Rows of the results table, by column."""

BALANCED: "Chooser" = "validation_balanced_accuracy"


def candidates(results: pd.DataFrame, images: Sequence[str], models: Path) -> "list[Candidate]":
    """Every variant of the methods that recommend something, in the order of reports.

    Args:
        results: rows of a study's results tables.
        images: what the images of each row are called.
        models: the study's folder of runs, which has one a pipeline.
    """
    choices = {name: load_method(name).verdict for name in METHODS}
    chosen = {name: choice for name, choice in choices.items() if isinstance(choice, Choice)}
    table = results.assign(images=list(images))
    table = table[table["pipeline"].isin(chosen)]
    place = table["pipeline"].map({name: number for number, name in enumerate(chosen)})
    table = table.loc[place.sort_values(kind="stable").index]
    shared = [
        chosen[pipeline].condition(None if is_missing(condition) else condition)
        for pipeline, condition in zip(table["pipeline"], table["condition"], strict=True)
    ]
    table = table.assign(shared=pd.Series(shared, index=table.index, dtype=object))
    # Rows as dictionaries: of thousands of variants, a table of its own for each would take most of the time of a report.
    rows = table[list(_COLUMNS)].to_dict("records")
    parts: list[tuple[Rows, set[int]]] = []
    known = set()
    for where, beside in _grouped(rows, "pipeline", "images", "shared").items():
        seeds = {int(row["seed"]) for row in beside}
        for own in _grouped(beside, "variant", "trial").values():
            runs = (*where, *sorted(row["run_fingerprint"] for row in own))
            if runs not in known:  # else the same runs under another name
                known.add(runs)
                parts.append((own, seeds))
    evidence = _read([own for own, _ in parts], models)
    return [
        _candidate(own, chosen[own[0]["pipeline"]], seeds, said, models)
        for (own, seeds), said in zip(parts, evidence, strict=True)
    ]


def _grouped(rows: Rows, *names: str) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """Rows that are equal in these columns together, in the order in which they first come."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _candidate(rows: Rows, choice: Choice, seeds: set[int], own: VariantEvidence | None, models: Path) -> "Candidate":
    from vision_studies.statistics.verdict import Candidate

    first = rows[0]
    variant, condition = str(first["variant"]), first["condition"]
    scored = [row for row in rows if is_scored(row)]
    folders = [_runs(str(first["pipeline"]), models) / row["run_fingerprint"] for row in scored]
    configuration = json.loads(first["configuration"])
    is_balanced = choice.is_balanced(configuration)
    choosers = (BALANCED, "validation_accuracy") if is_balanced else choice.choosers
    return Candidate(
        name=variant,
        title=variant.removeprefix(f"{condition}: ") + (f", trial {first['trial']}" if first["trial"] else ""),
        pipeline=str(first["pipeline"]),
        condition=str(first["shared"]),
        images=str(first["images"]),
        evidence=None if own is None else own.evidence,
        training_seconds=_mean(_known(rows, "seconds")),
        macs=_mean(_known(rows, "macs")),
        parameters=_mean(_known(rows, "parameters")),
        statuses=dict(Counter(str(row["status"]) for row in rows)),
        is_baseline=choice.is_baseline(variant, configuration),
        classes=None if own is None or own.seeds_only else _classes(folders[0]),
        measure="balanced_accuracy" if is_balanced else choice.measure,
        choosers=choosers,
        validation=_validation(scored, choosers, folders),
        folds=0 if own is None else own.evidence.number_of_folds,
        costs_without=choice.costs_without,
        labels=labels_of(first["configuration"]),
        problems=_problems(rows, set() if choice.is_of_one_seed(configuration) else seeds),
        seeds_only="" if own is None else _shown(own.seeds_only or own.aligned or ""),
    )


def _read(parts: Sequence[Rows], models: Path) -> list[VariantEvidence | None]:
    """Evidence of each part, the rows of one candidate; None where none of its runs is scored."""
    scored = [[row for row in rows if is_scored(row)] for rows in parts]
    groups = [runs_of_variant(rows) if rows else None for rows in scored]
    wanted: Wanted = "predicted" if sum(map(len, parts)) <= MOST_PREDICTED else "correct"
    found: dict[VariantRuns, VariantEvidence] = {}
    for pipeline in dict.fromkeys(group.pipeline for group in groups if group is not None):
        own = [group for group in groups if group is not None and group.pipeline == pipeline]
        found |= zip(own, read_evidence(own, _runs(pipeline, models), wanted), strict=True)
    return [None if group is None else found[group] for group in groups]


def _runs(pipeline: str, models: Path) -> Path:
    """Folder of the runs of a pipeline."""
    return load_method(pipeline).runs_folder(models)


def _classes(folder: Path) -> tuple[int, ...] | None:
    """Labels of the image set that a run tells apart, as its outputs are numbered; None where it does all."""
    said = read_predictions(folder, probabilities=False)
    return tuple(said.classes.tolist()) if isinstance(said, Predictions) and said.classes is not None else None


def _shown(reason: str) -> str:
    """A reason that names files from the project's folder on."""
    return reason.replace(f"{project_folder()}/", "")


def _others(row: Mapping[str, Any]) -> dict[str, Any]:
    return {} if is_missing(row["other_metrics"]) else dict(json.loads(row["other_metrics"]))


def _balanced(said: Predictions) -> float:
    """Mean over classes of the share that is named rightly."""
    import numpy as np

    _, member = np.unique(said.labels, return_inverse=True)
    return float((np.bincount(member, weights=said.correct) / np.bincount(member)).mean())


def _validation(scored: Rows, choosers: "Sequence[Chooser]", folders: Sequence[Path]) -> "dict[Chooser, float]":
    """Means over seeds of what chooses, and of what methods are compared by; what is not known of every seed is left out."""
    values: dict[Chooser, list[float]] = {}
    for chooser in dict.fromkeys((*choosers, "validation_accuracy", "validation_loss")):
        told = [float(value) for row in scored if (value := _others(row).get(chooser)) is not None]
        if told:  # of images of inner folds, which no run keeps as validation images
            values[chooser] = told
        elif chooser == BALANCED:
            said = [read_predictions(folder, "validation", probabilities=False) for folder in folders]
            values[chooser] = [_balanced(own) for own in said if isinstance(own, Predictions)]
        else:
            values[chooser] = _known(scored, chooser)
    return {chooser: _mean(own) for chooser, own in values.items() if own and len(own) == len(scored)}


def _problems(rows: Rows, seeds: set[int]) -> tuple[str, ...]:
    """Runs without a result, in words that follow the variant's name: what failed and why, and what was not run."""
    by_reason: dict[str, list[int]] = {}
    for row in sorted((row for row in rows if not is_scored(row)), key=lambda row: int(row["seed"])):
        if row["status"] != COMPLETE:
            reason = "" if is_missing(row["reason"]) else f" ({row['reason']})"
            by_reason.setdefault(f"{row['status']}{reason}", []).append(int(row["seed"]))
        else:
            by_reason.setdefault("trained, and not scored on test images", []).append(int(row["seed"]))
    absent = sorted(seeds - {int(row["seed"]) for row in rows})
    if absent:
        by_reason[ABSENT] = absent
    return tuple(f"{_seeds(numbers)} {reason}" for reason, numbers in by_reason.items())


def _seeds(numbers: Sequence[int]) -> str:
    listed = " and ".join(filter(None, [", ".join(map(str, numbers[:-1])), *map(str, numbers[-1:])]))
    return f"seed{'s' * (len(numbers) > 1)} {listed}"


def _known(rows: Rows, column: str) -> list[float]:
    """Values of a column, without those that are missing."""
    return [float(row[column]) for row in rows if not is_missing(row[column])]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
