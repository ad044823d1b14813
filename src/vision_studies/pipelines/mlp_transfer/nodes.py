"""Nodes of `mlp_transfer` that train: search, retraining at home, transfer to other shapes."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.execution import ExecutionSettings
from vision_studies.config.mlp_transfer import MlpTransferSettings, architecture_name
from vision_studies.config.study import StudySettings
from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.pipelines.mlp_transfer.work import (
    EVALUATION,
    TRAINING,
    Workplace,
    evaluate_runs,
    search_runs,
    train_runs,
)
from vision_studies.studies.results import COMPLETE
from vision_studies.studies.run_tables import history_table, results_table
from vision_studies.studies.runs import Run


def search_hyperparameters(
    settings: MlpTransferSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every trial of every architecture; return rows and histories of all, earlier calls' included."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    runs = search_runs(place, fresh=fresh)
    stages = [TRAINING]
    if settings.protocol == "published":  # the original scores every trial; nothing is chosen by it
        evaluate_runs(place, runs)
        stages.append(EVALUATION)
    return results_table(runs, runs_folder, stages), history_table(runs, runs_folder)


def select_hyperparameters(
    settings: MlpTransferSettings, image_set: ImageSet, splits: pd.DataFrame, search_results: pd.DataFrame
) -> dict[str, Any]:
    """The trial with the lowest validation loss of each architecture, the first of equals, and what it was chosen from."""
    chosen = {}
    for widths in settings.architectures:
        name = architecture_name(widths)
        own = search_results[search_results["variant"] == name].sort_values("trial")
        complete = own[(own["status"] == COMPLETE) & own["validation_loss"].notna()]
        if complete.empty:
            counts = ", ".join(f"{count} {status}" for status, count in own["status"].value_counts().items())
            raise DataError(
                f"No trial of the architecture {name} gave usable weights ({counts}); lower "
                "mlp_transfer.search.space.lr.high, or raise mlp_transfer.search.trials."
            )
        best = complete.loc[complete["validation_loss"].idxmin()]
        configuration = json.loads(best["configuration"])
        prefix = "hyperparameters."
        chosen[name] = {
            "layers": list(widths),
            "hyperparameters": {
                key.removeprefix(prefix): value for key, value in configuration.items() if key.startswith(prefix)
            },
            "trial": int(best["trial"]),
            "validation_loss": float(best["validation_loss"]),
            "best_epoch": int(best["best_epoch"]),
            "terminating_epoch": int(json.loads(best["other_metrics"])["terminating_epoch"]),
            "run_fingerprint": best["run_fingerprint"],
        }
    return {"search": _search_identity(settings, image_set, splits), "architectures": chosen}


def retrain_architectures(
    settings: MlpTransferSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    search_results: pd.DataFrame,
    best: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every architecture anew with its own best hyperparameters and every seed, and score it once on test."""
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    _check_search(best, settings, image_set, splits)
    runs = home_runs(place, best)
    # In the published protocol one of the seeds is the search's own: that run is there already.
    train_runs(place, _without(runs, search_results), fresh=fresh)
    evaluate_runs(place, runs)
    return results_table(runs, runs_folder, [TRAINING, EVALUATION]), history_table(runs, runs_folder)


def transfer_hyperparameters(
    settings: MlpTransferSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    fresh: bool,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
    search_results: pd.DataFrame,
    best: dict[str, Any],
    results: pd.DataFrame,
) -> pd.DataFrame:
    """Train every architecture with every other's best hyperparameters and every seed; score each once on test.

    Returns:
        One row a target, source and seed, the architectures at home included: target_arch, source_arch, seed, status,
        test_loss, test_accuracy, validation_loss, best_epoch, run_fingerprint, and reused: whether the same perceptron was
        there already under another name.
    """
    place = workplace(settings, study, execution, image_set, splits, runs_folder)
    _check_search(best, settings, image_set, splits)
    cells = transfer_cells(place, best)
    runs = [run for _, _, run in cells]
    train_runs(place, _without(runs, search_results, results), fresh=fresh)
    evaluate_runs(place, runs)
    rows = []
    seen = {*search_results["run_fingerprint"], *results["run_fingerprint"]}
    for target, source, run in cells:
        found = results_table([run], runs_folder, [TRAINING, EVALUATION])
        row: dict[str, Any] = found.iloc[0].to_dict() if len(found) else {"status": "failed"}
        kept = ("seed", "status", "test_loss", "test_accuracy", "validation_loss", "best_epoch", "run_fingerprint")
        reused = run.fingerprint in seen
        rows.append(
            {"target_arch": target, "source_arch": source, **{key: row.get(key) for key in kept}, "reused": reused}
        )
        seen.add(run.fingerprint)
    return pd.DataFrame(rows)


def transfer_cells(place: Workplace, best: dict[str, Any]) -> list[tuple[str, str, Run]]:
    """Target, source and run, for every pair of architectures and every seed."""
    own = best["architectures"]
    return [
        (target, source, place.run(target, 0, seed, tuple(own[target]["layers"]), own[source]["hyperparameters"]))
        for target in own
        for source in own
        for seed in place.settings.seeds
    ]


def home_runs(place: Workplace, best: dict[str, Any]) -> list[Run]:
    """Every architecture with its own best hyperparameters and every seed."""
    return [
        place.run(name, 0, seed, tuple(chosen["layers"]), chosen["hyperparameters"])
        for seed in place.settings.seeds
        for name, chosen in best["architectures"].items()
    ]


def _without(runs: list[Run], *tables: pd.DataFrame) -> list[Run]:
    """The runs that stand in none of the results tables."""
    there = {fingerprint for table in tables for fingerprint in table["run_fingerprint"]}
    return [run for run in runs if run.fingerprint not in there]


def workplace(
    settings: MlpTransferSettings,
    study: StudySettings,
    execution: ExecutionSettings,
    image_set: ImageSet,
    splits: pd.DataFrame,
    runs_folder: Path,
) -> Workplace:
    """Where the runs of the study are done."""
    from vision_studies.data.prepared import PreparedData

    return Workplace(settings, study, execution, PreparedData.from_catalog(image_set, splits, {}), runs_folder)


def _search_identity(settings: MlpTransferSettings, image_set: ImageSet, splits: pd.DataFrame) -> dict[str, Any]:
    """All that the choice of hyperparameters depends on, part by part, as hashes."""
    from vision_studies.data.prepared import PreparedData
    from vision_studies.methods.mlp_transfer import METHOD_VERSION

    dumped = settings.model_dump(mode="json")
    parts = ("architectures", "search", "training", "normalise", "protocol")
    return {
        **{name: hash_json(dumped[name])[:16] for name in parts},
        "data": PreparedData.from_catalog(image_set, splits, {}).fingerprint,
        "method_version": METHOD_VERSION,
    }


def _check_search(
    best: dict[str, Any], settings: MlpTransferSettings, image_set: ImageSet, splits: pd.DataFrame
) -> None:
    expected = _search_identity(settings, image_set, splits)
    differing = [name for name, value in expected.items() if best["search"].get(name) != value]
    if differing:
        raise DataError(
            f"The study's best hyperparameters were searched for with another configuration ({', '.join(differing)} "
            "differ); run the search of this one first: the same command with --tags=search."
        )
