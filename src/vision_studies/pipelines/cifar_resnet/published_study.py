"""A study in the folders of the project "dp_sp25_proj1": training runs, best and final models, and evaluations.

Its checkpoints are files of torch. Here they hold tensors, numbers and texts alone, so that they are read without running
anything: `config` is a mapping, where the project pickles an object, and there is no state of optimiser and schedule.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.network_run import RunSettings
from vision_studies.errors import DataError
from vision_studies.pipelines.cifar_resnet.published_files import config_table, write_logs
from vision_studies.predictions import Predictions
from vision_studies.run_folders import CHECKPOINTS, WEIGHTS_FILE, numbered_checkpoints
from vision_studies.stored_predictions import Unavailable, read_predictions
from vision_studies.studies.published import Published, StoredStudy, copied, plain_name, unused, write_csv
from vision_studies.studies.stored_runs import StoredRun

_MINUTE = "%Y_%m_%d_%H_%M"
_NAMES = (
    (r"^stem\.", "conv1."),
    (r"^stem_norm\.", "bn1."),
    (r"^stages\.(\d+)\.", lambda match: f"layer{int(match[1]) + 1}."),
    (r"\.convolution([12])\.", r".conv\1."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.squeeze_excitation\.squeeze\.", ".se.fc.0."),
    (r"\.squeeze_excitation\.excite\.", ".se.fc.2."),
    (r"\.shortcut\.", ".downsample."),
    (r"^classifier\.", "fc."),
)
"""Names of a residual network's weights here -> those of the published one, which has the same layers."""


def write_study(study: StoredStudy, folder: Path) -> None:
    """Write every complete run of a study, and its accuracies in `results/model_accuracy.csv`."""
    accuracies = []
    for row, run in study.complete_runs():
        checkpoint = _write_run(study, run, folder / "outputs")
        accuracies.append(
            {
                "model_path": str(checkpoint.relative_to(folder)),
                "model_name": RunSettings.model_validate(run.description["configuration"]).model.name,
                "test_accuracy": 100 * row["test_accuracy"],
                "val_accuracy": 100 * row["validation_accuracy"],
            }
        )
    write_csv(pd.DataFrame(accuracies), folder / "results/model_accuracy.csv")


def published_weights(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights under the names of the published network; those of a network that is not residual stay as they are."""
    if "stem_norm.weight" not in weights or not any(name.startswith("stages.") for name in weights):
        return weights
    named = {}
    for name, value in weights.items():
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        named[name] = value
    return named


def _write_run(study: StoredStudy, run: StoredRun, outputs: Path) -> Path:
    """One run in all its places; returns its checkpoint among the best models."""
    import torch

    from vision_studies.training.checkpoints import load_state
    from vision_studies.training.network_run import submissions

    history, experiment = run.history(), plain_name(run.name)
    if (outputs / f"best_models/{experiment}_best.pth").exists():  # labels may differ in signs that no file has
        experiment += f"_{run.fingerprint}"
    settings = RunSettings.model_validate(run.description["configuration"])
    config = config_table(settings, experiment=experiment, device=str(run.metric("device")))
    finished = datetime.fromisoformat(run.stages["training"]["provenance"]["finished_at"])
    started = finished - timedelta(seconds=float(history["seconds"].iloc[-1]))
    place = unused(outputs / "training_runs" / f"{started:{_MINUTE}}")
    weights = load_state(study.part(run, WEIGHTS_FILE))
    write_logs(run, history, experiment, place / "logs")
    torch.save(_checkpoint(weights, history, int(run.metric("best_epoch")), config), place / "best.pth")
    (place / "checkpoints").mkdir()
    for file in numbered_checkpoints(run.folder / CHECKPOINTS):
        state = load_state(file)
        checkpoint = _checkpoint(state["model"], history, state["epoch"], config)
        torch.save(checkpoint, place / f"checkpoints/epoch_{state['epoch']}.pth")
    best = outputs / f"best_models/{experiment}_best.pth"
    copied(place / "best.pth", best)
    accuracy = 100 * float(run.metric("validation_accuracy"))
    final = run.folder / CHECKPOINTS / "final.safetensors"
    if final.is_file():
        target = outputs / f"final_models/{experiment}_final.pth"
        target.parent.mkdir(exist_ok=True)
        state = {"model_state_dict": published_weights(load_state(final)["model"]), "config": config}
        test_accuracy = run.metric("test_accuracy")
        scored = None if test_accuracy is None else 100 * float(test_accuracy)
        torch.save({**state, "test_accuracy": scored, "best_val_accuracy": accuracy}, target)
    if "evaluation" in run.stages:
        ended = datetime.fromisoformat(run.stages["evaluation"]["provenance"]["finished_at"])
        name = f"{experiment}_val_acc_{accuracy:.2f}_{ended:{_MINUTE}}_model_{best.name}"
        for predictions, table in submissions(_said(run.folder, settings.evaluation.views)).items():
            write_csv(table, outputs / f"evaluations/{name}/{predictions}.csv")
        copied(best, outputs / f"evaluations/{name}/model.pth")
    return best


def _said(folder: Path, views: Sequence[int]) -> list[Predictions]:
    """What a run has said of the test images with each number of views. Raises DataError where that is not to be had."""
    predictions = []
    for number in sorted({1, *views}):
        said = read_predictions(folder, views=number, probabilities=False)
        if isinstance(said, Unavailable):
            raise DataError(said.reason)
        predictions.append(said)
    return predictions


def _checkpoint(weights: dict[str, Any], history: pd.DataFrame, epoch: int, config: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint of an epoch, from 1, holds; the project counts epochs from 0."""
    so_far = history[history["epoch"] <= epoch]
    percent = {"train_acc": "train_accuracy", "val_acc": "validation_accuracy"}
    plain = {"train_loss": "train_loss", "val_loss": "validation_loss", "learning_rate": "learning_rate"}
    metrics = {name: so_far[column].tolist() for name, column in plain.items()}
    metrics |= {name: (100 * so_far[column]).tolist() for name, column in percent.items()}
    return {
        "epoch": epoch - 1,
        "model_state_dict": published_weights(weights),
        "best_acc": float(100 * so_far["validation_accuracy"].max()),
        "config": config,
        "metrics_history": metrics,
    }


PUBLISHED = Published("dp_sp25_proj1", write_study)
