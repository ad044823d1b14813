"""A run in the files of the original project ("Deep Learning Spring 2025 Project 1"), so that its scripts go on working.

Its layout is `metrics.csv` (one row an epoch, accuracies in percent), `config.json` (33 keys) and `training.log`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from vision_studies.config.network_run import RunSettings
from vision_studies.files import atomic_file, write_json
from vision_studies.studies.stored_runs import StoredRun

GRAPHS = {
    "loss_plot": "loss_figure",
    "validation_plot": "validation_figure",
    "learning_rate_plot": "learning_rate_figure",
    "combined_plot": "learning_curves",
}
"""File names of the original project -> functions of `figures.training`."""


def write_logs(run: StoredRun, history: pd.DataFrame, experiment: str, folder: Path) -> None:
    """Write `metrics.csv`, `config.json`, `training.log` and `figures/` of a run that has ended, with its history.

    Args:
        experiment: what the run is called in them.
    """
    settings = RunSettings.model_validate(run.description["configuration"])
    finished = datetime.fromisoformat(run.stages["training"]["provenance"]["finished_at"])
    parameters, device = int(run.metric("parameters")), str(run.metric("device"))
    write_json(folder / "config.json", config_table(settings, experiment=experiment, device=device))
    metrics_table(history, settings).to_csv(folder / "metrics.csv", index=False)
    text = training_log(history, settings, experiment=experiment, parameters=parameters, finished=finished)
    (folder / "training.log").write_text(text, encoding="utf-8")
    draw_graphs(history, folder / "figures")


def draw_graphs(histories: pd.DataFrame, folder: Path) -> None:
    """Draw the four training graphs of one run, or of several in one."""
    from vision_studies.figures import training

    for name, function in GRAPHS.items():
        with atomic_file(folder / f"{name}.png") as temporary:
            getattr(training, function)(histories).savefig(temporary, dpi=150, bbox_inches="tight", format="png")


def metrics_table(history: pd.DataFrame, settings: RunSettings) -> pd.DataFrame:
    """`metrics.csv`: epoch, losses, accuracies in percent, learning rate, seconds, memory, batch time, hours left."""
    seconds = history["seconds"]
    last = settings.training.epochs
    return pd.DataFrame(
        {
            "epoch": history["epoch"],
            "train_loss": history["train_loss"],
            "train_acc": 100 * history["train_accuracy"],
            "val_loss": history["validation_loss"],
            "val_acc": 100 * history["validation_accuracy"],
            "learning_rate": history["learning_rate"],
            "time_elapsed": seconds,
            "memory_used_mb": history["peak_memory_mb"],
            "batch_time_ms": 1000 * settings.training.batch_size / history["images_per_second"],
            "eta_hours": seconds / history["epoch"] * (last - history["epoch"]) / 3600,
        }
    )


def config_table(settings: RunSettings, *, experiment: str, device: str) -> dict[str, Any]:
    """`config.json` with the original's keys; what a run does not have is null or false."""
    training = settings.training
    optimizer, schedule, mixing = training.optimizer, training.schedule, training.mixing
    steps: dict[str, dict[str, Any]] = {step.name: step.model_dump() for step in settings.augmentation.steps}
    jitter = steps.get("color_jitter")
    cutmix = mixing if mixing and mixing.name == "cutmix" else None
    mixup = mixing if mixing and mixing.name == "mixup" else None
    return {
        "model_name": settings.model.name,
        "data_dir": None,
        "batch_size": training.batch_size,
        "num_workers": 0,
        "pin_memory": False,
        "num_epochs": training.epochs,
        "learning_rate": optimizer.learning_rate,
        "weight_decay": optimizer.weight_decay,
        "momentum": getattr(optimizer, "momentum", None),
        "lr_schedule": schedule.name,
        "max_lr": optimizer.learning_rate,
        "random_crop_padding": _option(steps, "random_crop", "padding"),
        "random_horizontal_flip": "random_flip" in steps,
        "mixup_alpha": mixup.alpha if mixup else None,
        "cutout_holes": 1 if "cutout" in steps else 0,
        "cutout_length": _option(steps, "cutout", "size"),
        "random_rotation": _option(steps, "random_rotation", "degrees"),
        "color_jitter": {key: value for key, value in jitter.items() if key != "name"} if jitter else None,
        "use_randaugment": "rand_augment" in steps,
        "randaugment_num_ops": _option(steps, "rand_augment", "num_ops"),
        "randaugment_magnitude": _option(steps, "rand_augment", "magnitude"),
        "use_cutmix": cutmix is not None,
        "cutmix_alpha": cutmix.alpha if cutmix else None,
        "cutmix_prob": cutmix.probability if cutmix else None,
        "label_smoothing": training.label_smoothing,
        "dropout_rate": getattr(settings.model, "dropout", None),
        "grad_clip": training.gradient_clip,
        "device": device,
        "log_interval": None,
        "save_interval": training.checkpoint_every,
        "output_dir": None,
        "experiment_name": experiment,
        "resume_from": None,
    }


def training_log(
    history: pd.DataFrame, settings: RunSettings, *, experiment: str, parameters: int, finished: datetime
) -> str:
    """`training.log`: a stamped block for the model, the settings and every epoch.

    Stamps are reckoned back from the end of the run: only its end and its epochs' seconds are stored.
    """
    metrics = metrics_table(history, settings)
    total = float(metrics["time_elapsed"].iloc[-1])
    started = finished - timedelta(seconds=total)
    lines: list[str] = []

    def write(seconds: float, *messages: str) -> None:
        stamp = f"[{started + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}]"
        lines.extend(f"{stamp} {message}" for message in messages)

    write(0, "MODEL INFORMATION", f"Model: {settings.model.name}", f"Total Parameters: {parameters:,}")
    write(0, "TRAINING CONFIGURATION", f"experiment_name: {experiment}")
    write(0, *(f"{key}: {value}" for key, value in settings.training.model_dump(mode="json").items()))
    write(0, "TRAINING LOG")
    best = 0.0
    for row in metrics.itertuples():
        write(
            row.time_elapsed,
            f"Epoch {row.epoch}/{settings.training.epochs}",
            f"Train Loss: {row.train_loss:.4f}, Train Acc: {row.train_acc:.2f}%",
            f"Val Loss: {row.val_loss:.4f}, Val Acc: {row.val_acc:.2f}%",
            f"Learning Rate: {row.learning_rate:.6g}",
        )
        if row.val_acc > best:
            best = row.val_acc
            write(row.time_elapsed, f"New best validation accuracy: {best:.2f}%")
    hours, rest = divmod(int(total), 3600)
    done = f"Training completed in {hours}h {rest // 60}m {rest % 60}s. Best validation accuracy: {best:.4f}%"
    write(total, done)
    return "\n".join(lines) + "\n"


def _option(steps: Mapping[str, Mapping[str, Any]], step: str, option: str) -> Any:
    return steps[step][option] if step in steps else None
