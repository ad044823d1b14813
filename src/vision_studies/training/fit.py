"""The training loop."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from vision_studies.config.training import TrainingSettings
from vision_studies.data.loaders import Loader
from vision_studies.errors import CheckpointError, DataError
from vision_studies.files import hash_json
from vision_studies.run_folders import FINAL_FILE, keep_for_good, numbered_checkpoints, unneeded_checkpoints
from vision_studies.training.averaging import Averaging, averaged_weights, build_averaging
from vision_studies.training.checkpoints import (
    copied_weights,
    load_state,
    random_state,
    restore_random_state,
    save_state,
)
from vision_studies.training.collectives import BatchPart, agreed, joined, total
from vision_studies.training.evaluation import predict_outputs
from vision_studies.training.fit_result import REASONS, Ended, FitResult
from vision_studies.training.gradients import BatchGradients
from vision_studies.training.mixing import mix_batch
from vision_studies.training.objectives import CLASSIFICATION, Objective
from vision_studies.training.optimizers import build_optimizers
from vision_studies.training.precision import place_images, place_model, rescale
from vision_studies.training.progress import training_progress
from vision_studies.training.runtime import derived_seed, peak_memory_mb
from vision_studies.training.schedules import Schedule
from vision_studies.training.selection import EarlyStopping, Tracker

logger = logging.getLogger(__name__)

_LOSS_CHECK = 50  # steps from one look at the loss to the next


def fit(
    model: nn.Module,
    train_loader: Loader,
    validation_loader: Loader,
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    folder: Path | None = None,
    on_epoch: Callable[[dict[str, Any]], bool | None] | None = None,
    objective: Objective = CLASSIFICATION,
    keep_every: int | None = None,
) -> FitResult:
    """Train `model` and keep the weights of its best validation epoch.

    With a `folder`, checkpoints are written there. A call that was interrupted, however roughly, is continued by the same
    call and ends with the same numbers (bit by bit on a CPU); one that had finished is not repeated.

    Where the loaders give a share of each batch, the other processes of the training (`training.distributed`) call this
    with the same arguments but theirs; all end with the same weights, and the first alone writes and reports.

    Args:
        model: the network, with its first weights; trained in place.
        train_loader: shuffled, augmented training images.
        validation_loader: images that choose the epoch.
        settings: how to train.
        seed: seed of everything that is drawn at random here.
        device: where to train.
        folder: where checkpoints are kept.
        on_epoch: called with the history row of every epoch, in the first process alone; True ends the training.
        objective: what is computed, minimised and measured.
        keep_every: numbered checkpoints of every so many epochs stay for good; None: of none.

    Raises:
        DataError: there is no batch to train on.
        CheckpointError: the folder holds checkpoints of another training.

    Examples:
        A linear network, with the base values of `conf/` but for what is named:

        >>> from pathlib import Path
        >>> import numpy as np, torch, yaml
        >>> from vision_studies.config.training import TrainingSettings
        >>> from vision_studies.data.image_set import ImageSet
        >>> from vision_studies.data.prepared import PreparedData
        >>> from vision_studies.data.splits import Splits
        >>> from vision_studies.training.fit import fit
        >>> base = yaml.safe_load(Path("conf/base/parameters_cifar_resnet.yml").read_text())["cifar_resnet"]["run"]
        >>> settings = TrainingSettings(**base["training"] | {"epochs": 2, "mixing": None})
        >>> labels = np.arange(400) % 2
        >>> images = np.broadcast_to(200 * labels[:, None, None, None], (400, 4, 4, 1)).astype(np.uint8)
        >>> image_set = ImageSet.create("greys", images, labels, ("dark", "bright"), np.zeros(400, bool), origin={})
        >>> data = PreparedData(image_set, Splits(np.arange(300), np.arange(300, 350), np.arange(350, 400)), {})
        >>> cpu = torch.device("cpu")
        >>> options = {"kind": "device", "batch_size": 50, "device": cpu}
        >>> train, validation = data.loader("train", **options), data.loader("validation", **options)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> result = fit(model, train, validation, settings, seed=0, device=cpu)
        >>> result.history["epoch"].tolist(), result.best_value, sorted(result.weights)
        ([1, 2], 1.0, ['1.bias', '1.weight'])
    """
    if len(train_loader) == 0:
        raise DataError(
            f"{train_loader.num_samples} training images give no batch of {train_loader.batch_size}; use more images or "
            "a smaller training.batch_size."
        )
    torch.manual_seed(derived_seed(seed))  # dropout and stochastic depth draw from torch's own generator
    training = _Training(model, train_loader, validation_loader, settings, seed, device, objective)
    if folder is not None:
        training.resume(folder)
        if training.share.rank == 0:
            keep_for_good(folder, keep_every)
    with training_progress(settings.epochs, training.epoch) as advance:
        while not training.ended:
            row = training.run_epoch()
            if folder is not None:
                training.checkpoint(folder)
            advance(row)
            unwanted = on_epoch is not None and training.share.rank == 0 and bool(on_epoch(row))
            if agreed(unwanted, training.share, device):
                training.prune(folder)
    return training.result()


class LossWatch:
    """Whether losses are finite, without waiting for a device that is still at work on them.

    On a device that is given its work ahead of time, a loss is copied when it is shown and looked at when the next one is
    shown, by when it has long been there; at which step a training is given up does not depend on how fast the device is.

    Args:
        at_once: look at each loss when it is shown.
    """

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self._shown: Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def is_finite(self, loss: Tensor) -> bool:
        """Whether this loss [] is, or the one that was shown before; True where none was."""
        if self._at_once:
            return math.isfinite(float(loss))
        if self._copied is not None:
            self._copied.synchronize()
        before, self._shown = self._shown, loss.to("cpu", non_blocking=True)
        if loss.is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()
        return before is None or math.isfinite(before.numpy())


@dataclass
class _Training:
    """State of one training, from one epoch to the next."""

    model: nn.Module
    train_loader: Loader
    validation_loader: Loader
    settings: TrainingSettings
    seed: int
    device: torch.device
    objective: Objective

    def __post_init__(self) -> None:
        self.epoch = 0  # epochs that are done
        self.ended = False
        self.share = self.train_loader.share
        model, settings, device = self.model, self.settings, self.device
        place_model(model, settings, device)
        forward = joined(model, self.share, device)
        self._optimizers = build_optimizers(model, settings.optimizer)
        forward = torch.compile(forward) if settings.compile else forward
        alone = self.share.processes == 1
        self._gradients = BatchGradients(forward, self.objective, self._optimizers, settings, device, alone=alone)
        self._schedule = Schedule(settings.schedule, self._optimizers, settings.epochs, len(self.train_loader))
        self._averaging = build_averaging(model, settings)
        self._selection = Tracker(settings.selection)
        self._stopping = EarlyStopping(settings.early_stopping) if settings.early_stopping else None
        self._parts: dict[str, Schedule | Averaging | Tracker | None] = {
            "schedule": self._schedule,
            "averaging": self._averaging,
            "selection": self._selection,
            "stopping": self._stopping,
        }
        self._rows: list[dict[str, Any]] = []
        self._best_weights: dict[str, Tensor] = {}
        self._seconds = 0.0
        self._stopped_early = self._diverged = self._pruned = False

    def run_epoch(self) -> dict[str, Any]:
        """Train one epoch, validate where it is due, decide whether to go on."""
        started = time.perf_counter()
        loss, accuracy, further = self._train()
        trained = time.perf_counter() - started
        self.epoch += 1
        self._diverged = not math.isfinite(loss)
        last = self.epoch == self.settings.epochs or self._diverged
        validation = {"validation_loss": math.nan, "validation_accuracy": math.nan}
        if not self._diverged and (last or self.epoch % self.settings.validate_every == 0):
            validation = self._validate()
        steps = len(self.train_loader)
        learning_rate = self._schedule.apply(min(self.epoch, self.settings.epochs) * steps)
        self._seconds += time.perf_counter() - started
        self.ended = last or self._stopped_early
        row = {
            "epoch": self.epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            **validation,
            "learning_rate": learning_rate,
            **further,
            "seconds": self._seconds,
            "images_per_second": self.train_loader.num_samples / trained,
            "peak_memory_mb": peak_memory_mb(self.device),
        }
        self._rows.append(row)
        return row

    def result(self) -> FitResult:
        ended: Ended = "stopped" if self._stopped_early else "complete"
        ended = "diverged" if self._diverged else "pruned" if self._pruned else ended
        return FitResult(
            history=pd.DataFrame(self._rows),
            best_epoch=self._selection.best_epoch,
            best_value=self._selection.best,
            weights=self._best_weights,
            seconds=self._seconds,
            ended=ended,
            reason=REASONS.get(ended),
            final_weights=copied_weights(self.model),
        )

    def prune(self, folder: Path | None) -> None:
        """End the training because the caller wants it, unless it has ended anyway."""
        if not self.ended:
            self.ended = self._pruned = True
            if folder is not None and self.share.rank == 0:
                save_state(folder / FINAL_FILE, self._state())

    def resume(self, folder: Path) -> None:
        """Continue from the newest whole checkpoint in `folder`, if there is one."""
        final = folder / FINAL_FILE
        for path in [*([final] if final.exists() else []), *reversed(numbered_checkpoints(folder))]:
            try:
                state = load_state(path)
            except CheckpointError as error:
                logger.warning("%s An older one is used where there is one.", error)
                continue
            if state["fingerprint"] != self._fingerprint():
                raise CheckpointError(
                    f"{folder} holds checkpoints of a training with other settings, data or seed; delete the folder or "
                    "give this training another one."
                )
            self._load(state)
            if not self.ended:
                logger.info("continuing after epoch %d of %d", self.epoch, self.settings.epochs)
            elif path != final and self.share.rank == 0:  # killed before the final one was written
                save_state(final, state)
            return

    def checkpoint(self, folder: Path) -> None:
        """Write the state where it is due, and remove numbered checkpoints that are no longer kept."""
        if self.share.rank or (not self.ended and self.epoch % self.settings.checkpoint_every):
            return
        if self.epoch % self.settings.checkpoint_every == 0:
            save_state(folder / f"epoch_{self.epoch:04d}.safetensors", self._state())
        if self.ended:
            save_state(folder / FINAL_FILE, self._state())
        for old in unneeded_checkpoints(folder, newest=self.settings.keep_last):
            old.unlink()

    def _train(self) -> tuple[float, float, dict[str, float]]:
        """One pass over the training images.

        Returns:
            Mean loss and accuracy over images, and the means of the objective's further metrics.
        """
        settings = self.settings
        self.model.train()
        self.objective.begin_epoch(self.epoch / settings.epochs)
        if self.share.processes > 1:  # dropout differs between processes, and needs no memory of the epoch before
            torch.manual_seed(derived_seed(self.seed, self.epoch, self.share.rank))
        # Summed on the device and read once: a GPU must not wait for the reading of every step's loss.
        sums: dict[str, Tensor] = {}
        images_seen = 0
        watch = LossWatch(at_once=self.device.type == "cpu")
        scale = settings.image_scales[self.epoch * len(settings.image_scales) // settings.epochs]
        for index, batch in enumerate(self.train_loader.epoch(self.epoch)):
            step = self.epoch * len(self.train_loader) + index
            self._schedule.apply(step)
            images = place_images(rescale(batch.images, scale), settings, self.device)
            labels = batch.labels.to(self.device, non_blocking=True)
            part = None if self.share.processes == 1 else BatchPart.of(self.train_loader, index)
            draw = {"seed": self.seed, "epoch": self.epoch, "batch": index}
            mixed = mix_batch(images, labels, settings.mixing, **draw, part=part)
            for name, value in self._gradients(mixed, batch.indices, part.weight if part else 1.0).items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value
            if settings.gradient_clip is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
            for optimizer in self._optimizers:
                optimizer.step()
            if self._averaging is not None:
                self._averaging.update()
            images_seen += part.count if part else len(labels)
            if index % _LOSS_CHECK == 0 and not watch.is_finite(total(sums["loss"], self.share)):
                break
        means = {name: float(total(value, self.share)) / images_seen for name, value in sums.items()}
        return means.pop("loss"), means.pop("hits"), means

    def _validate(self) -> dict[str, float]:
        with averaged_weights(self.model, self._averaging):
            arguments = (self.model, self.validation_loader, self.settings, self.device, self.objective)
            metrics = self.objective.validation_metrics(*predict_outputs(*arguments))
            row = {"epoch": self.epoch, **metrics}
            if self._selection.update(row):
                self._best_weights = copied_weights(self.model)
        self._schedule.after_validation(row)
        self._stopped_early = self._stopping is not None and self._stopping.ends(row)
        return metrics

    def _fingerprint(self) -> str:
        """What must be equal for a checkpoint to be continued."""
        shapes = [[name, list(value.shape)] for name, value in self.model.state_dict().items()]
        data = [self.train_loader.num_samples, self.train_loader.batch_size, self.validation_loader.num_samples]
        # How often checkpoints are written changes no number, and may be changed in the middle of a training.
        settings = self.settings.model_dump(mode="json", exclude={"checkpoint_every", "keep_last"})
        return hash_json([settings, self.seed, shapes, data])

    def _state(self) -> dict[str, Any]:
        return {
            "fingerprint": self._fingerprint(),
            "epoch": self.epoch,
            "ended": self.ended,
            "model": self.model.state_dict(),
            "best_weights": self._best_weights,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            **{name: part.state_dict() if part else None for name, part in self._parts.items()},
            "objective": self.objective.state_dict(),
            "history": self._rows,
            "seconds": self._seconds,
            "stopped_early": self._stopped_early,
            "diverged": self._diverged,
            "pruned": self._pruned,
            "random": random_state(),
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        for optimizer, stored in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        for name, part in self._parts.items():
            if part is not None:
                part.load_state_dict(state[name])
        self.objective.load_state_dict(state.get("objective", {}))  # earlier versions have stored none
        self.epoch, self.ended, self._seconds = state["epoch"], state["ended"], state["seconds"]
        self._best_weights, self._rows = state["best_weights"], state["history"]
        self._stopped_early, self._diverged, self._pruned = state["stopped_early"], state["diverged"], state["pruned"]
        restore_random_state(state["random"])
