"""Training many networks of one architecture as one: the same numbers as one by one, in fewer and larger operations."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.config.ensemble import EnsembleSettings
from vision_studies.data.loaders import epoch_order
from vision_studies.errors import CheckpointError, DataError
from vision_studies.files import hash_json
from vision_studies.training.checkpoints import load_state, save_state
from vision_studies.training.fit_result import MEMBER_REASONS, FitResult
from vision_studies.training.members import Member, Prune, TensorData
from vision_studies.training.noise import EpochNoise
from vision_studies.training.precision import autocast
from vision_studies.training.selection import Tracker
from vision_studies.training.stack import Stack
from vision_studies.training.stacked_optimizers import StackedOptimizer

_CHECKPOINT = "stack.safetensors"


def fit_ensemble(
    members: Sequence[Member],
    data: TensorData,
    settings: EnsembleSettings,
    *,
    device: torch.device,
    on_end: Callable[[int, FitResult], None],
    folder: Path | None = None,
    checkpoint_seconds: float = 30.0,
    prune: Prune | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
    images_at_once: int | None = None,
) -> None:
    """Train all `members` until each has ended by its own early stopping; those that ended leave the stack.

    Each member has its own hyperparameters, order of images and dropout, and gets the numbers that it would get alone,
    within rounding. With a `folder`, a call that was interrupted is continued by the same call, with the same numbers on a
    CPU; members that ended after the last checkpoint are then reported once more.

    Args:
        members: networks of one architecture, with one kind of optimiser.
        data: images, labels and splits.
        settings: what the members share.
        device: where to train.
        on_end: called with the place of a member among `members` and its result as soon as it has ended.
        folder: where the checkpoint is kept.
        checkpoint_seconds: time from one checkpoint to the next.
        prune: asked after every validation of a member; called in the order of epochs and, within one, of members.
        on_epoch: called after every epoch with its number and how many members go on.
        images_at_once: images of all members together that are computed at a time. Batches beyond it go in parts, which
            give the gradient of the whole for networks without statistics of the batch; None computes whole batches.

    Raises:
        DataError: there are no training or validation images, or subsets differ in size.
        CheckpointError: the folder holds the checkpoint of another stack.
        ValueError: the networks or optimisers cannot be stacked.

    Examples:
        >>> from pathlib import Path
        >>> import torch, yaml
        >>> from vision_studies.config.ensemble import EnsembleSettings
        >>> from vision_studies.config.training import SgdSettings
        >>> from vision_studies.training.ensemble import Member, TensorData, fit_ensemble
        >>> base = yaml.safe_load(Path("conf/base/parameters_mlp_transfer.yml").read_text())["mlp_transfer"]
        >>> settings = EnsembleSettings(**base["training"] | {"epochs": 3})
        >>> data = TensorData(torch.rand(100, 8), torch.arange(100) % 2, torch.arange(80), torch.arange(80, 100))
        >>> sgd = SgdSettings(name="sgd", learning_rate=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
        >>> members = [Member(torch.nn.Linear(8, 2), sgd, seed) for seed in (0, 1)]
        >>> results = {}
        >>> fit_ensemble(members, data, settings, device=torch.device("cpu"), on_end=results.__setitem__)
        >>> [(member, result.ended, len(result.history)) for member, result in sorted(results.items())]
        [(0, 'complete', 3), (1, 'complete', 3)]
    """
    training = _EnsembleTraining(members, data, settings, device, prune, images_at_once)
    path = None if folder is None else folder / _CHECKPOINT
    if path is not None and path.exists():
        training.load_state_dict(load_state(path), path)
    saved = time.monotonic()
    while training.active:
        for place, result in training.run_epoch():
            on_end(place, result)
        if on_epoch is not None:
            on_epoch(training.epoch, len(training.active))
        if path is not None and training.active and time.monotonic() - saved >= checkpoint_seconds:
            save_state(path, training.state_dict())
            saved = time.monotonic()


class _EnsembleTraining:
    """State of a stack's training, from one epoch to the next."""

    def __init__(
        self,
        members: Sequence[Member],
        data: TensorData,
        settings: EnsembleSettings,
        device: torch.device,
        prune: Prune | None,
        images_at_once: int | None,
    ) -> None:
        self._members = members
        self._data = data
        self._settings = settings
        self._device = device
        self._prune = prune
        self._images_at_once = images_at_once
        self._subsets = [data.train if member.subset is None else member.subset for member in members]
        self._validations = [data.validation if member.validation is None else member.validation for member in members]
        _check(self._subsets, self._validations)
        self._feeds = _feeds(members)
        self.epoch = 0
        self.active = list(range(len(members)))
        self._stack = Stack([member.network for member in members], device)
        self._optimizer = StackedOptimizer([member.optimizer for member in members], self._stack.trained())
        stopping = settings.early_stopping
        self._selection = [Tracker(settings.selection) for _ in members]
        self._stopping = [Tracker(stopping.metric, stopping.min_delta) if stopping else None for _ in members]
        self._rows: list[list[dict[str, Any]]] = [[] for _ in members]
        self._best: dict[str, dict[str, Tensor]] = {}  # by member; names are strings, as checkpoints have them
        self._seconds = [0.0] * len(members)

    def run_epoch(self) -> list[tuple[int, FitResult]]:
        """Train an epoch, validate where it is due, and take the members that have ended out of the stack."""
        started = time.perf_counter()
        losses, accuracies = self._train()
        self.epoch += 1
        diverged = [not math.isfinite(loss) for loss in losses]
        validated = self._settings.validates(self.epoch)
        validation = self._validate() if validated else [(math.nan, math.nan)] * len(self.active)
        share = (time.perf_counter() - started) / len(self.active)
        ended: dict[int, str] = {}
        for place, member in enumerate(self.active):
            self._seconds[member] += share
            row = {
                "epoch": self.epoch,
                "train_loss": losses[place],
                "train_accuracy": accuracies[place],
                "validation_loss": validation[place][0],
                "validation_accuracy": validation[place][1],
                "learning_rate": self._members[member].optimizer.learning_rate,
                "seconds": self._seconds[member],
            }
            self._rows[member].append(row)
            if diverged[place] or (validated and not math.isfinite(row["validation_loss"])):
                ended[place] = "diverged"
            elif validated and (reason := self._judge(place, member, row)):
                ended[place] = reason
            elif self.epoch == self._settings.epochs:
                ended[place] = "complete"
        results = [(self.active[place], self._result(self.active[place], why)) for place, why in ended.items()]
        self._remove(list(ended))
        return results

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {
            "fingerprint": self._fingerprint(),
            "epoch": self.epoch,
            "active": self.active,
            "stack": self._stack.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "selection": [tracker.state_dict() for tracker in self._selection],
            "stopping": [tracker.state_dict() if tracker else None for tracker in self._stopping],
            "rows": self._rows,
            "best": self._best,
            "seconds": self._seconds,
        }

    def load_state_dict(self, state: dict[str, Any], path: Path) -> None:
        """Go on from where `state_dict` was called."""
        if state["fingerprint"] != self._fingerprint():
            raise CheckpointError(f"{path} belongs to a stack with other members, settings or data; delete it.")
        self.epoch = state["epoch"]
        self._rows, self._best, self._seconds = state["rows"], state["best"], state["seconds"]
        for tracker, stored in zip(self._selection, state["selection"], strict=True):
            tracker.load_state_dict(stored)
        for stopping, stored in zip(self._stopping, state["stopping"], strict=True):
            if stopping is not None:
                stopping.load_state_dict(stored)
        if self._prune is not None:
            self._replay(self._prune)
        self.active = state["active"]
        self._stack.load_state_dict(state["stack"])
        self._optimizer.keep(self.active)
        self._optimizer.load_state_dict(state["optimizer"])

    def _replay(self, prune: Prune) -> None:
        """Let a pruner see the validations of earlier calls, in the order in which they were made."""
        rows = [(row["epoch"], member, row) for member, own in enumerate(self._rows) for row in own]
        for epoch, member, row in sorted(rows, key=lambda each: each[:2]):
            if math.isfinite(row[self._settings.selection]):
                prune(member, epoch, row[self._settings.selection])

    def _train(self) -> tuple[list[float], list[float]]:
        """One pass of every member over its training images.

        Returns:
            Mean loss and accuracy of each active member over its images.
        """
        settings, count = self._settings, len(self.active)
        self._stack.train()
        feeds = sorted({self._feeds[member] for member in self.active})
        leaders = [self._feeds.index(feed) for feed in feeds]  # the first member that is fed so
        followed = [feeds.index(self._feeds[member]) for member in self.active]
        orders = torch.stack([self._order(leader) for leader in leaders])
        batch_size = min(settings.batch_size, len(self._subsets[0]))
        noise_units = self._stack.noise_units
        noise = EpochNoise([self._members[leader].seed for leader in leaders], self.epoch, self._device)
        loss_sum = torch.zeros(count, device=self._device)
        hits = torch.zeros(count, device=self._device)
        for batch in orders.split(batch_size, dim=1):
            drawn = noise.draw(batch.shape[1], noise_units) if noise_units else None
            part = self._part(batch.shape[1])
            for start in range(0, batch.shape[1], part):
                places = slice(start, start + part)
                positions = batch[:, places]
                given = [self._data.take(positions), self._data.labels[positions]]
                given += [] if drawn is None else [drawn[:, places]]
                images, labels, *rest = (_dealt(tensor, followed) for tensor in given)
                with autocast(settings, self._device):
                    logits = self._stack(images, *rest)
                logits, labels = logits.float(), labels.expand(count, -1)
                losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(count, -1)
                # The sum over members: no member's loss depends on another's weights.
                (losses.sum(dim=1) / batch.shape[1]).sum().backward()
                loss_sum += losses.detach().sum(dim=1)
                hits += (logits.detach().argmax(dim=2) == labels).sum(dim=1)
            self._optimizer.step(self._stack.trained())
        images_seen = orders.shape[1]
        return (loss_sum / images_seen).tolist(), (hits / images_seen).tolist()

    @torch.inference_mode()
    def _validate(self) -> list[tuple[float, float]]:
        """Loss and accuracy of every active member on the validation images."""
        self._stack.train(False)
        count = len(self.active)
        loss_sum = torch.zeros(count, dtype=torch.float64, device=self._device)
        hits = torch.zeros(count, dtype=torch.float64, device=self._device)
        own = [self._validations[member] for member in self.active]
        shared = all(each is own[0] for each in own)
        validation = own[0].unsqueeze(0) if shared else torch.stack(own)
        # Images that all share are there once, and without gradients nothing of them is kept.
        part = self._images_at_once or self._settings.batch_size if shared else self._part(self._settings.batch_size)
        for positions in validation.split(part, dim=1):
            with autocast(self._settings, self._device):
                logits = self._stack(self._data.take(positions)).float()
            labels = self._data.labels[positions].expand(count, -1)
            losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(count, -1)
            loss_sum += losses.double().sum(dim=1)
            hits += (logits.argmax(dim=2) == labels).sum(dim=1)
        images = validation.shape[1]
        return list(zip((loss_sum / images).tolist(), (hits / images).tolist(), strict=True))

    def _judge(self, place: int, member: int, row: dict[str, Any]) -> str | None:
        """Note a member's validation; return why it ends here, if it does."""
        if self._selection[member].update(row):
            self._best[str(member)] = self._stack.weights(place)
        pruned = self._prune is not None and self._prune(member, self.epoch, row[self._settings.selection])
        stopping, tracker = self._settings.early_stopping, self._stopping[member]
        if stopping is not None and tracker is not None:
            tracker.update(row)
            if tracker.waited >= stopping.patience:
                return "stopped"
        return "pruned" if pruned and self.epoch < self._settings.epochs else None

    def _result(self, member: int, ended: Any) -> FitResult:
        selection, weights = self._selection[member], self._best.get(str(member), {})
        epoch, value = selection.best_epoch, selection.best
        if ended == "complete" and self._settings.restore == "best_if_stopped":
            epoch, value = self.epoch, self._rows[member][-1][self._settings.selection]
            weights = self._stack.weights(self.active.index(member))
        return FitResult(
            history=pd.DataFrame(self._rows[member]),
            best_epoch=epoch,
            best_value=value,
            weights=weights,
            seconds=self._seconds[member],
            ended=ended,
            reason=MEMBER_REASONS.get(ended),
        )

    def _remove(self, places: Sequence[int]) -> None:
        if not places:
            return
        staying = [place for place in range(len(self.active)) if place not in set(places)]
        for place in places:
            self._best.pop(str(self.active[place]), None)
        self.active = [self.active[place] for place in staying]
        if self.active:
            self._stack.keep(staying)
            self._optimizer.keep(staying)

    def _order(self, member: int) -> Tensor:
        """Positions of the images that a member sees in this epoch, in their order."""
        subset, seed, steps = self._subsets[member], self._members[member].seed, self._settings.steps_per_epoch
        size = len(subset)
        if steps is None:
            order = epoch_order(size, seed, self.epoch, shuffle=True)
        else:
            seen = steps * min(self._settings.batch_size, size)
            start = self.epoch * seen
            passes = range(start // size, (start + seen - 1) // size + 1)
            order = torch.cat([epoch_order(size, seed, number, shuffle=True) for number in passes])
            order = order[start - passes[0] * size :][:seen]
        return subset[order.to(subset.device)]

    def _part(self, images: int) -> int:
        """How many of so many images each member computes at a time."""
        return images if self._images_at_once is None else max(1, min(images, self._images_at_once // len(self.active)))

    def _fingerprint(self) -> str:
        """What must be equal for a checkpoint to be continued."""
        members = [[member.optimizer.model_dump(mode="json"), member.seed] for member in self._members]
        shapes = [[name, list(value.shape)[1:]] for name, value in self._stack.parameters.items()]
        data = [[len(subset), int(subset.sum())] for subset in [*self._subsets, *self._validations]]
        return hash_json([self._settings.model_dump(mode="json"), members, shapes, data])


def _check(subsets: Sequence[Tensor], validations: Sequence[Tensor]) -> None:
    if any(len(own) == 0 for own in [*subsets, *validations]):
        raise DataError("A stack needs at least one training and one validation image for each of its members.")
    for images in (subsets, validations):
        sizes = {len(own) for own in images}
        if len(sizes) > 1:
            raise DataError(
                f"Subsets of one stack must have one size, not {sorted(sizes)}; stack equal sizes together."
            )


def _feeds(members: Sequence[Member]) -> list[int]:
    """A number for each member; members of one number see the same images and the same noise at every step."""
    keys = [(member.seed, None if member.subset is None else hash(tuple(member.subset.tolist()))) for member in members]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]


def _dealt(tensor: Tensor, followed: Sequence[int]) -> Tensor:
    """What each member is given: [feeds, ...] -> [members, ...], or [1, ...] where all are given the same."""
    if len(tensor) == 1 or list(followed) == list(range(len(tensor))):
        return tensor
    return tensor[torch.tensor(followed, device=tensor.device)]
