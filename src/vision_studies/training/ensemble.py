"""Training many networks of one architecture as one: the same numbers as one by one, in fewer and larger operations."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.config.training import EnsembleSettings
from vision_studies.data.loaders import epoch_order
from vision_studies.errors import CheckpointError, DataError
from vision_studies.files import hash_json
from vision_studies.models.parametrisation import StepScale
from vision_studies.models.statistics import count_parameters
from vision_studies.training.checkpoints import load_state, save_state
from vision_studies.training.fit_result import MEMBER_REASONS, Ended, FitResult
from vision_studies.training.precision import autocast
from vision_studies.training.progress import stack_progress
from vision_studies.training.runtime import derived_seed
from vision_studies.training.selection import EarlyStopping, Tracker
from vision_studies.training.stack import EpochNoise, Stack, StackedOptimizer, StackedSettings

_CHECKPOINT = "stack.safetensors"

BYTES_A_PARAMETER = 26
"""Memory of a parameter in training: float32 weight, gradient, two moments, a temporary, the best; a copy in bfloat16."""

Prune = Callable[[int, int, float], bool]
"""`prune(member, epoch, value)`: whether a member ends here, seen from a validation's value of the selection metric."""

Item = TypeVar("Item")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Member:
    """One network of a stack.

    Attributes:
        network: with its first weights; it is copied, not trained in place.
        optimizer: the network's own hyperparameters.
        seed: seed of the order of images and of dropout.
        subset: int64, the training images that this network sees, as positions in `TensorData.images`; None for all
            of them. Subsets of one stack have one size.
        validation: likewise, the images that this network is validated with; None for `TensorData.validation`.
        scales: how steps of AdamW differ between parameters, by their names; empty where they do not.
    """

    network: nn.Module
    optimizer: StackedSettings
    seed: int
    subset: Tensor | None = None
    validation: Tensor | None = None
    scales: Mapping[str, StepScale] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorData:
    """Images in the memory of the device.

    Attributes:
        images: [N, ...], normalised, of the type that networks compute with; [N, C, H, W] in any memory format.
        labels: int64 [N].
        train: int64, positions of the training images.
        validation: int64, positions of the validation images.
    """

    images: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor

    def take(self, positions: Tensor) -> Tensor:
        """Images [..., C, H, W] at `positions` [...], in the memory format of all of them."""
        if self.images.ndim == 4 and self.images.is_contiguous(memory_format=torch.channels_last):
            # Taken as rows of memory: indexing the view that torch calls channels_last is ten times slower.
            rows = self.images.permute(0, 2, 3, 1).index_select(0, positions.flatten())
            return rows.permute(0, 3, 1, 2).unflatten(0, positions.shape)
        return self.images.index_select(0, positions.flatten()).unflatten(0, positions.shape)


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
        >>> from vision_studies.config.training import EnsembleSettings, SgdSettings
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
    with stack_progress(len(members), settings.epochs) as advance:
        while training.active:
            for member, result in training.run_epoch():
                on_end(member, result)
            for tell in filter(None, (advance, on_epoch)):
                tell(training.epoch, len(training.active))
            if path is not None and training.active and time.monotonic() - saved >= checkpoint_seconds:
                save_state(path, training.state_dict())
                saved = time.monotonic()


def weights_seed(seed: int) -> int:
    """Seed of a network's first weights. Order and dropout come from the seed and the epoch, each in a way of its own."""
    return derived_seed(seed)


def initial_network(build: Callable[[], Network], seed: int) -> Network:
    """A network whose first weights depend on `seed` alone; torch's own generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(weights_seed(seed))
        return build()


def divide_into_stacks(items: Sequence[Item], bytes_each: int, memory_mb: int) -> list[Sequence[Item]]:
    """Stacks of nearly equal size, in order, that each stay within the memory; a single network may exceed it.

    Args:
        items: what is to be stacked.
        bytes_each: memory of one of them, from `member_bytes`.
        memory_mb: memory of a stack, in millions of bytes.
    """
    largest = max(1, int(memory_mb * 1e6) // bytes_each)
    number = -(-len(items) // largest)
    edges = [len(items) * part // number for part in range(number + 1)]
    return [items[start:end] for start, end in pairwise(edges)]


def member_bytes(network: nn.Module, image: Tensor, settings: EnsembleSettings) -> int:
    """Memory that a member of a stack takes, estimated: weights with all that training keeps of them, and activations.

    Args:
        network: one member; it is run on the image in evaluation mode to see its activations.
        image: one image, as the network takes it.
        settings: batch size and precision.
    """
    sizes: list[int] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [
        leaf.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.numel())) for leaf in leaves
    ]
    was_training = network.training
    try:
        with torch.inference_mode():
            network.eval()(image.float().unsqueeze(0))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    weights = count_parameters(network) * BYTES_A_PARAMETER
    # An activation is kept with its gradient, its gain and the noise behind it, in four bytes at most.
    return weights + settings.batch_size * (sum(sizes) * 16 + image.numel() * 4)


@dataclass
class _EnsembleTraining:
    """State of a stack's training, from one epoch to the next."""

    members: Sequence[Member]
    data: TensorData
    settings: EnsembleSettings
    device: torch.device
    prune: Prune | None
    images_at_once: int | None

    def __post_init__(self) -> None:
        members, data, settings = self.members, self.data, self.settings
        self._subsets = [data.train if member.subset is None else member.subset for member in members]
        self._validations = [data.validation if member.validation is None else member.validation for member in members]
        _check(self._subsets, self._validations)
        self._feeds = _feeds(members)
        self.epoch = 0
        self.active = list(range(len(members)))
        self._stack = Stack([member.network for member in members], self.device)
        self._optimizer = StackedOptimizer(
            [member.optimizer for member in members],
            self._stack.trained(),
            [member.scales for member in members],
        )
        self._selection = [Tracker(settings.selection) for _ in members]
        self._stopping = [EarlyStopping(settings.early_stopping) if settings.early_stopping else None for _ in members]
        self._rows: list[list[dict[str, Any]]] = [[] for _ in members]
        self._best: dict[str, dict[str, Tensor]] = {}  # by member; names are strings, as checkpoints have them
        self._seconds = [0.0] * len(members)

    def run_epoch(self) -> list[tuple[int, FitResult]]:
        """Train an epoch, validate where it is due, and take the members that have ended out of the stack."""
        started = time.perf_counter()
        trained = self._train()
        self.epoch += 1
        validated = self.settings.validates(self.epoch)
        validation = self._validate() if validated else [(math.nan, math.nan)] * len(self.active)
        share = (time.perf_counter() - started) / len(self.active)
        ended: dict[int, Ended] = {}
        for slot, member in enumerate(self.active):
            self._seconds[member] += share
            row = {
                "epoch": self.epoch,
                "train_loss": trained[slot][0],
                "train_accuracy": trained[slot][1],
                "validation_loss": validation[slot][0],
                "validation_accuracy": validation[slot][1],
                "learning_rate": self.members[member].optimizer.learning_rate,
                "seconds": self._seconds[member],
            }
            self._rows[member].append(row)
            if not math.isfinite(row["train_loss"]) or (validated and not math.isfinite(row["validation_loss"])):
                ended[slot] = "diverged"
            elif validated and (reason := self._judge(slot, member, row)):
                ended[slot] = reason
            elif self.epoch == self.settings.epochs:
                ended[slot] = "complete"
        results = [(self.active[slot], self._result(slot, reason)) for slot, reason in ended.items()]
        if ended:
            self._remove(ended)
        return results

    def state_dict(self) -> dict[str, Any]:
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
        if state["fingerprint"] != self._fingerprint():
            raise CheckpointError(f"{path} belongs to a stack with other members, settings or data; delete it.")
        self.epoch = state["epoch"]
        self._rows, self._best, self._seconds = state["rows"], state["best"], state["seconds"]
        trackers, states = [*self._selection, *self._stopping], [*state["selection"], *state["stopping"]]
        for tracker, stored in zip(trackers, states, strict=True):
            if tracker is not None:
                tracker.load_state_dict(stored)
        if self.prune is not None:
            # A pruner sees the validations of earlier calls, in the order in which they were made.
            rows = [(row["epoch"], member, row) for member, history in enumerate(self._rows) for row in history]
            for epoch, member, row in sorted(rows, key=lambda each: each[:2]):
                if math.isfinite(row[self.settings.selection]):
                    self.prune(member, epoch, row[self.settings.selection])
        self.active = state["active"]
        self._stack.load_state_dict(state["stack"])
        self._optimizer.keep(self.active)
        self._optimizer.load_state_dict(state["optimizer"])

    def _train(self) -> list[tuple[float, float]]:
        """One pass of every active member over its training images: its mean loss and accuracy over them."""
        settings, count = self.settings, len(self.active)
        self._stack.train()
        feeds = sorted({self._feeds[member] for member in self.active})
        leaders = [self._feeds.index(feed) for feed in feeds]  # the first member that is fed so
        followed = [feeds.index(self._feeds[member]) for member in self.active]
        orders = torch.stack([self._order(leader) for leader in leaders])
        batch_size = min(settings.batch_size, len(self._subsets[0]))
        noise_units = self._stack.noise_units
        noise = EpochNoise([self.members[leader].seed for leader in leaders], self.epoch, self.device)
        loss_sum = torch.zeros(count, device=self.device)
        hits = torch.zeros(count, device=self.device)
        for batch in orders.split(batch_size, dim=1):
            batch_noise = noise.draw(batch.shape[1], noise_units) if noise_units else None
            part = self._part(batch.shape[1])
            for start in range(0, batch.shape[1], part):
                columns = slice(start, start + part)
                positions = batch[:, columns]
                given = [self.data.take(positions), self.data.labels[positions]]
                given += [] if batch_noise is None else [batch_noise[:, columns]]
                images, labels, *rest = (_dealt(tensor, followed) for tensor in given)
                with autocast(settings, self.device):
                    logits = self._stack(images, *rest)
                losses, right = _scored(logits, labels)
                # The sum over members: no member's loss depends on another's weights.
                (losses.sum(dim=1) / batch.shape[1]).sum().backward()
                loss_sum += losses.detach().sum(dim=1)
                hits += right
            self._optimizer.step(self._stack.trained())
        return _means(loss_sum, hits, orders.shape[1])

    @torch.inference_mode()
    def _validate(self) -> list[tuple[float, float]]:
        """Loss and accuracy of every active member on the validation images."""
        self._stack.train(False)
        loss_sum = torch.zeros(len(self.active), dtype=torch.float64, device=self.device)
        hits = torch.zeros_like(loss_sum)
        subsets = [self._validations[member] for member in self.active]
        shared = all(subset is subsets[0] for subset in subsets)
        validation = subsets[0].unsqueeze(0) if shared else torch.stack(subsets)
        # Images that all share are there once, and without gradients nothing of them is kept.
        part = self.images_at_once or self.settings.batch_size if shared else self._part(self.settings.batch_size)
        for positions in validation.split(part, dim=1):
            with autocast(self.settings, self.device):
                logits = self._stack(self.data.take(positions))
            losses, right = _scored(logits, self.data.labels[positions])
            loss_sum += losses.double().sum(dim=1)
            hits += right
        return _means(loss_sum, hits, validation.shape[1])

    def _judge(self, slot: int, member: int, row: dict[str, Any]) -> Ended | None:
        """Note a member's validation; return why it ends here, if it does."""
        if self._selection[member].update(row):
            self._best[str(member)] = self._stack.weights(slot)
        pruned = self.prune is not None and self.prune(member, self.epoch, row[self.settings.selection])
        stopping = self._stopping[member]
        if stopping is not None and stopping.ends(row):
            return "stopped"
        return "pruned" if pruned and self.epoch < self.settings.epochs else None

    def _result(self, slot: int, ended: Ended) -> FitResult:
        member = self.active[slot]
        epoch, value = self._selection[member].best_epoch, self._selection[member].best
        weights = self._best.get(str(member), {})
        if ended == "complete" and self.settings.restore == "best_if_stopped":
            epoch, value = self.epoch, self._rows[member][-1][self.settings.selection]
            weights = self._stack.weights(slot)
        return FitResult(
            history=pd.DataFrame(self._rows[member]),
            best_epoch=epoch,
            best_value=value,
            weights=weights,
            seconds=self._seconds[member],
            ended=ended,
            reason=MEMBER_REASONS.get(ended),
        )

    def _remove(self, slots: Collection[int]) -> None:
        for slot in slots:
            self._best.pop(str(self.active[slot]), None)
        staying = [slot for slot in range(len(self.active)) if slot not in slots]
        self.active = [self.active[slot] for slot in staying]
        if staying:
            self._stack.keep(staying)
            self._optimizer.keep(staying)

    def _order(self, member: int) -> Tensor:
        """Positions of the images that a member sees in this epoch, in their order."""
        subset, seed, steps = self._subsets[member], self.members[member].seed, self.settings.steps_per_epoch
        size = len(subset)
        if steps is None:
            order = epoch_order(size, seed, self.epoch, shuffle=True)
        else:
            count = steps * min(self.settings.batch_size, size)
            start = self.epoch * count
            passes = range(start // size, (start + count - 1) // size + 1)
            order = torch.cat([epoch_order(size, seed, number, shuffle=True) for number in passes])
            order = order[start - passes[0] * size :][:count]
        return subset[order.to(subset.device)]

    def _part(self, images: int) -> int:
        """How many of so many images each member computes at a time."""
        return images if self.images_at_once is None else max(1, min(images, self.images_at_once // len(self.active)))

    def _fingerprint(self) -> str:
        """What must be equal for a checkpoint to be continued."""
        members = [[member.optimizer.model_dump(mode="json"), member.seed] for member in self.members]
        shapes = [[name, list(value.shape)[1:]] for name, value in self._stack.parameters.items()]
        data = [[len(subset), int(subset.sum())] for subset in [*self._subsets, *self._validations]]
        scales = [
            {name: asdict(scale) for name, scale in member.scales.items()} for member in self.members if member.scales
        ]
        return hash_json([self.settings.model_dump(mode="json"), members, shapes, data, *([scales] if scales else [])])


def _scored(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Losses [M, B] and numbers of right predictions [M] of logits [M, B, classes], for labels [M or 1, B]."""
    logits, labels = logits.float(), labels.expand(len(logits), -1)
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    return losses, (logits.argmax(dim=2) == labels).sum(dim=1)


def _means(loss_sum: Tensor, hits: Tensor, images: int) -> list[tuple[float, float]]:
    return list(zip((loss_sum / images).tolist(), (hits / images).tolist(), strict=True))


def _check(subsets: Sequence[Tensor], validations: Sequence[Tensor]) -> None:
    for images in (subsets, validations):
        sizes = {len(subset) for subset in images}
        if 0 in sizes:
            raise DataError("A stack needs at least one training and one validation image for each of its members.")
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
