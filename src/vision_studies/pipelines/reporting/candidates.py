"""What a study could recommend: its variants, as a verdict takes them, from its results table and what its runs have kept."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vision_studies.config.registry import METHODS
from vision_studies.outcomes import COMPLETE
from vision_studies.predictions import PredictedSplit, Predictions
from vision_studies.project_folders import project_folder
from vision_studies.reports.formatting import is_missing
from vision_studies.reports.tables import labels_of
from vision_studies.stored_predictions import Unavailable, read_predictions
from vision_studies.studies.method import Choice, load_method

if TYPE_CHECKING:
    import numpy as np

    from vision_studies.statistics.evidence import Evidence
    from vision_studies.statistics.verdict import Candidate, Chooser

MOST_READ = 2000
"""Runs of a study whose predictions are read; of more, those with the best validation of each set of images and condition."""

BALANCED: "Chooser" = "validation_balanced_accuracy"

_READERS = 8  # threads: small files keep the disk waiting
_TOLERANCE = 1e-3  # of a test accuracy and that of the predictions


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
    kept = _read(table, models, chosen)
    found: list[Candidate] = []
    known = set()
    for (pipeline, *where), beside in table.groupby(["pipeline", "images", "shared"], sort=False):
        seeds = set(beside["seed"])
        for _, rows in beside.groupby(["variant", "trial"], sort=False):
            runs = (pipeline, *where, *sorted(rows["run_fingerprint"]))
            if runs not in known:  # else the same runs under another name
                known.add(runs)
                found.append(_candidate(rows, chosen[pipeline], seeds, kept))
    return found


@dataclass(frozen=True)
class _Kept:
    """What runs have kept, by their fingerprints: what they said of the test images, and their balanced validation accuracy."""

    test: Mapping[str, Predictions | Unavailable]
    balanced: Mapping[str, float]


def _candidate(rows: pd.DataFrame, choice: Choice, seeds: set[int], kept: _Kept) -> "Candidate":
    from vision_studies.statistics.verdict import Candidate

    first = rows.iloc[0]
    scored = rows[(rows["status"] == COMPLETE) & rows["test_accuracy"].notna()].sort_values("seed")
    variant = str(first["variant"])
    evidence, seeds_only = _evidence(variant, scored, kept.test)
    return Candidate(
        name=variant,
        title=variant.removeprefix(f"{first['condition']}: "),
        pipeline=str(first["pipeline"]),
        condition=str(first["shared"]),
        images=str(first["images"]),
        evidence=evidence,
        training_seconds=_mean(rows["seconds"]),
        macs=_mean(rows["macs"]),
        parameters=_mean(rows["parameters"]),
        statuses={str(status): int(number) for status, number in rows["status"].value_counts(sort=False).items()},
        is_baseline=choice.is_baseline(variant, json.loads(first["configuration"])),
        classes=_classes(scored, kept.test),
        measure=choice.measure,
        choosers=choice.choosers,
        validation=_validation(scored, choice, kept.balanced),
        costs_without=choice.costs_without,
        labels=labels_of(first["configuration"]),
        problems=_problems(rows, seeds),
        seeds_only=seeds_only,
    )


def _evidence(
    variant: str, scored: pd.DataFrame, said: Mapping[str, Predictions | Unavailable]
) -> "tuple[Evidence | None, str]":
    """What scored runs say of the test images, one a seed; and, where these are not known one by one, why."""
    import numpy as np

    from vision_studies.statistics.evidence import Evidence

    if scored.empty:
        return None, ""
    seeds, validation = scored["seed"].to_numpy(), scored["validation_accuracy"].to_numpy(dtype=float)
    by_seed = partial(Evidence.of_seeds, variant, seeds, scored["test_accuracy"].to_numpy(dtype=float), validation)
    known: list[Predictions] = []
    for run in scored.to_dict("records"):
        own = said[run["run_fingerprint"]]
        if isinstance(own, Unavailable):
            return by_seed(), own.reason
        if abs(own.accuracy - run["test_accuracy"]) > _TOLERANCE:
            return by_seed(), f"what the run of seed {run['seed']} has kept does not give its test accuracy"
        known.append(own)
    indices = known[0].indices
    if any(not np.array_equal(own.indices, indices) for own in known):
        return by_seed(), "its seeds were tested on different images"
    predicted = np.stack([_in_image_set(own, own.predicted) for own in known])
    labels = _in_image_set(known[0], known[0].labels)
    return Evidence.of_images(variant, seeds, indices, labels, predicted=predicted, validation=validation), ""


def _classes(scored: pd.DataFrame, said: Mapping[str, Predictions | Unavailable]) -> tuple[int, ...] | None:
    """Labels of the image set that the variant tells apart; None where it does all, or that is not known."""
    for fingerprint in scored["run_fingerprint"]:
        own = said[fingerprint]
        if isinstance(own, Predictions) and own.classes is not None:
            return tuple(own.classes.tolist())
    return None


def _in_image_set(said: Predictions, labels: "np.ndarray") -> "np.ndarray":
    """Labels as the image set numbers them, of labels as the network's outputs are numbered, int64 [N]."""
    return labels if said.classes is None else said.classes[labels]


def _read(table: pd.DataFrame, models: Path, chosen: Mapping[str, Choice]) -> _Kept:
    """What each scored run has kept; of too many runs, that of those that validation puts first."""
    scored = table[(table["status"] == COMPLETE) & table["test_accuracy"].notna()]
    runs = scored.drop_duplicates("run_fingerprint")
    test: dict[str, Predictions | Unavailable] = {}
    if len(runs) > MOST_READ:
        keys = ["pipeline", "images", "shared"]
        means = scored.groupby([*keys, "variant"], sort=False)["validation_accuracy"].transform("mean")
        rank = runs.assign(mean=means).groupby(keys, sort=False)["mean"].rank(ascending=False, method="first")
        first = rank.sort_values(kind="stable").index[:MOST_READ]
        reason = (
            f"the study has {len(runs):,} runs, and predictions of the {MOST_READ:,} with the best validation are read"
        )
        test |= dict.fromkeys(runs.drop(first)["run_fingerprint"], Unavailable(reason))
        runs = runs.loc[first]
    validated = runs[runs["pipeline"].isin([name for name, choice in chosen.items() if BALANCED in choice.choosers])]
    with ThreadPoolExecutor(_READERS) as pool:
        test |= zip(
            runs["run_fingerprint"], pool.map(partial(_said, split="test"), _folders(runs, models)), strict=True
        )
        on_validation = list(pool.map(partial(_said, split="validation"), _folders(validated, models)))
    balanced = zip(validated["run_fingerprint"], on_validation, strict=True)
    return _Kept(test, {name: _balanced(said) for name, said in balanced if isinstance(said, Predictions)})


def _folders(runs: pd.DataFrame, models: Path) -> list[Path]:
    return [
        models / (load_method(pipeline).runs_of or pipeline) / "runs" / fingerprint
        for pipeline, fingerprint in zip(runs["pipeline"], runs["run_fingerprint"], strict=True)
    ]


def _said(folder: Path, split: PredictedSplit) -> Predictions | Unavailable:
    """What a run has said of a split, or a reason that names files from the project's folder on."""
    said = read_predictions(folder, split, probabilities=False)
    return said if isinstance(said, Predictions) else Unavailable(said.reason.replace(f"{project_folder()}/", ""))


def _balanced(said: Predictions) -> float:
    """Mean over classes of the share that is named rightly."""
    import numpy as np

    _, member = np.unique(said.labels, return_inverse=True)
    return float((np.bincount(member, weights=said.correct) / np.bincount(member)).mean())


def _validation(scored: pd.DataFrame, choice: Choice, balanced: Mapping[str, float]) -> "dict[Chooser, float]":
    """Means over seeds of what chooses, and of what methods are compared by; what is not known of every seed is left out."""
    values = scored.assign(**{BALANCED: scored["run_fingerprint"].map(dict(balanced)).astype(float)})
    choosers = dict.fromkeys((*choice.choosers, "validation_accuracy", "validation_loss"))
    return {chooser: _mean(values[chooser]) for chooser in choosers if len(values) and values[chooser].notna().all()}


def _problems(rows: pd.DataFrame, seeds: set[int]) -> tuple[str, ...]:
    """Runs without a result, in words that follow the variant's name: what failed and why, and what was not run."""
    by_reason: dict[str, list[int]] = {}
    for row in rows.sort_values("seed").to_dict("records"):
        if row["status"] != COMPLETE:
            reason = "" if is_missing(row["reason"]) else f" ({row['reason']})"
            by_reason.setdefault(f"{row['status']}{reason}", []).append(int(row["seed"]))
        elif is_missing(row["test_accuracy"]):
            by_reason.setdefault("trained, and not scored on test images", []).append(int(row["seed"]))
    absent = sorted(seeds - set(rows["seed"]))
    if absent:
        by_reason["not run, though others were"] = [int(seed) for seed in absent]
    return tuple(f"{_seeds(numbers)} {reason}" for reason, numbers in by_reason.items())


def _seeds(numbers: Sequence[int]) -> str:
    listed = " and ".join(filter(None, [", ".join(map(str, numbers[:-1])), *map(str, numbers[-1:])]))
    return f"seed{'s' * (len(numbers) > 1)} {listed}"


def _mean(values: pd.Series) -> float:
    return float(values.astype(float).mean())
