"""A run in the files of the original project ("Deep Learning Spring 2025 Project 1"), so that its scripts go on working.

Its layout is `metrics.csv` (one row an epoch, accuracies in percent), `config.json` (33 keys) and `training.log`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vision_studies.config.network_run import RunSettings
from vision_studies.errors import DataError, one_line
from vision_studies.files import write_json
from vision_studies.reports.table import Table
from vision_studies.run_folders import CHECKPOINTS, numbered_checkpoints
from vision_studies.studies.stored_runs import StoredRun

if TYPE_CHECKING:
    from vision_studies.figures.style import Look

COMBINED = "combined_plot"
GRAPHS = {
    "loss_plot": "loss_figure",
    "validation_plot": "validation_figure",
    "learning_rate_plot": "learning_rate_figure",
    COMBINED: "learning_curves",
}
"""File names of the original project -> functions of `figures.training`."""

GRAPHED = {"epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate"}
"""Columns of a history that the graphs need."""

_TALLER = 1.5  # the original's figure of three panels, where the others are 10 inches by 6

_COLUMNS = {
    "epoch": "epoch",
    "train_loss": "train_loss",
    "train_acc": "train_accuracy",
    "val_loss": "validation_loss",
    "val_acc": "validation_accuracy",
    "learning_rate": "learning_rate",
}
"""Column of `metrics.csv` -> the column of a history that it comes from; accuracies are in percent there."""


def write_logs(
    run: StoredRun, history: pd.DataFrame, experiment: str, folder: Path, keys: Mapping[str, Any] | None = None
) -> None:
    """Write `metrics.csv`, `config.json`, `training.log` and `figures/` of a run that has ended, with its history.

    Args:
        experiment: what the run is called in them.
        keys: what `config.json` has besides.
    """
    settings = RunSettings.model_validate(run.description["configuration"])
    finished = datetime.fromisoformat(run.stages["training"]["provenance"]["finished_at"])
    parameters, device = int(run.metric("parameters")), str(run.metric("device"))
    config = config_table(settings, experiment=experiment, device=device)
    write_json(folder / "config.json", {**config, **(keys or {})})
    metrics_table(history, settings).to_csv(folder / "metrics.csv", index=False)
    saved = numbered_checkpoints(run.folder / CHECKPOINTS).values()
    head: dict[str, Any] = {"experiment": experiment, "parameters": parameters, "layers": layer_lines(run)}
    text = training_log(history, settings, **head, finished=finished, saved=saved)
    (folder / "training.log").write_text(text, encoding="utf-8")
    draw_graphs(history, folder / "figures")


def draw_graphs(histories: pd.DataFrame, folder: Path, dpi: int = 150, look: "Look | None" = None) -> None:
    """Draw the four training graphs of one run, or of several in one; that of all of them is half as high again as the look
    has it.
    """
    from vision_studies.figures import training
    from vision_studies.figures.saving import save_figure
    from vision_studies.figures.style import Look, looking

    for name, function in GRAPHS.items():
        of_graph = look or Look()
        if of_graph.aspect is not None and name == COMBINED:
            of_graph = of_graph._replace(aspect=of_graph.aspect / _TALLER)
        with looking(of_graph):
            save_figure(getattr(training, function)(histories), folder / f"{name}.png", of_graph, dpi=dpi)


def layer_lines(run: StoredRun) -> list[str]:
    """The layers of a run's network with their parameters, one a line; or why they are not known."""
    from vision_studies.models.statistics import layer_rows
    from vision_studies.serving.opened_models import open_run

    try:
        return Table(layer_rows(open_run(run.folder).network), align="llr").terminal().splitlines()
    except DataError:  # they alone say what the network was built for
        return ["Layers: not known, because the images that it was trained on are not there any more"]


def metrics_table(history: pd.DataFrame, settings: RunSettings) -> pd.DataFrame:
    """`metrics.csv`: epoch, losses, accuracies in percent, learning rate, seconds, memory, batch time, hours left."""
    seconds = history["seconds"]
    last = settings.training.epochs
    return pd.DataFrame(
        {
            **{name: history[column] * (100 if name.endswith("_acc") else 1) for name, column in _COLUMNS.items()},
            "time_elapsed": seconds,
            "memory_used_mb": history["peak_memory_mb"],
            "batch_time_ms": 1000 * settings.training.batch_size / history["images_per_second"],
            "eta_hours": seconds / history["epoch"] * (last - history["epoch"]) / 3600,
        }
    )


def read_metrics(file: Path) -> pd.DataFrame:
    """What training graphs need of a `metrics.csv`: epoch, losses, accuracies (fractions) and learning rate, a row an epoch.

    Raises:
        DataError: the file is missing, or no such table.
    """
    try:
        table = pd.read_csv(file)[[*_COLUMNS]].astype(float)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {file}; name the metrics.csv of an exported run.") from error
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{file} is no metrics.csv ({one_line(error)}); it needs the columns {', '.join(_COLUMNS)}, all of numbers."
        ) from error
    history = table.rename(columns=_COLUMNS)
    accuracies = ["train_accuracy", "validation_accuracy"]
    return history.assign(**{name: history[name] / 100 for name in accuracies})


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
    history: pd.DataFrame,
    settings: RunSettings,
    *,
    experiment: str,
    parameters: int,
    finished: datetime,
    layers: Sequence[str] = (),
    saved: Collection[int] = (),
) -> str:
    """`training.log`: a stamped block for the model with its `layers`, the settings and every epoch.

    Stamps are reckoned back from the end of the run: only its end and its epochs' seconds are stored. `saved` are the epochs
    of which there is a checkpoint.
    """
    metrics = metrics_table(history, settings)
    total = float(metrics["time_elapsed"].iloc[-1])
    started = finished - timedelta(seconds=total)
    lines: list[str] = []

    def write(seconds: float, *messages: str) -> None:
        stamp = f"[{started + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}]"
        lines.extend(f"{stamp} {message}" for message in messages)

    write(0, "MODEL INFORMATION", f"Model: {settings.model.name}", f"Total Parameters: {parameters:,}")
    write(0, *layers)
    write(0, "TRAINING CONFIGURATION", f"experiment_name: {experiment}")
    write(0, *(f"{key}: {value}" for key, value in settings.training.model_dump(mode="json").items()))
    write(0, "TRAINING LOG")
    best = 0.0
    for row in metrics.itertuples():
        is_best, best = row.val_acc > best, max(best, row.val_acc)
        write(
            row.time_elapsed,
            f"Epoch {row.epoch}/{settings.training.epochs}",
            f"Time: {row.time_elapsed:.1f}s, ETA: {row.eta_hours:.2f}h",
            f"Train Loss: {row.train_loss:.4f}, Train Acc: {row.train_acc:.2f}%",
            f"Val Loss: {row.val_loss:.4f}, Val Acc: {row.val_acc:.2f}%, Best Val Acc: {best:.2f}%",
            f"Learning Rate: {row.learning_rate:.6g}",
            f"Memory: {row.memory_used_mb:.0f} MB, Batch: {row.batch_time_ms:.1f} ms",
            *([f"New best validation accuracy: {best:.2f}%"] if is_best else []),
            *([f"Saved checkpoint: checkpoints/epoch_{row.epoch}.safetensors"] if row.epoch in saved else []),
        )
    hours, rest = divmod(int(total), 3600)
    done = f"Training completed in {hours}h {rest // 60}m {rest % 60}s. Best validation accuracy: {best:.4f}%"
    write(total, done)
    return "\n".join(lines) + "\n"


def _option(steps: Mapping[str, Mapping[str, Any]], step: str, option: str) -> Any:
    return steps[step][option] if step in steps else None
