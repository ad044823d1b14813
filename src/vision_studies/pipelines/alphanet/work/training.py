"""Training AlphaNets from cached logits, several that share a schedule as one.

The same numbers as the literal form trained alone, within rounding: networks start from their own seeds, every network
draws its own images with its own generator, and the optimisers allowed here treat every number by itself.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.classifiers.alpha_networks import StackedAlphaNetworks
from vision_studies.data.class_splits import SPLITS
from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.settings import (
    AlphaNetworkSettings,
    CombinationRunSettings,
    CombinationTrainingSettings,
    SelectionMetric,
    TorchSettings,
)
from vision_studies.pipelines.alphanet.work.accuracy import class_accuracies, macro_f1, split_accuracies
from vision_studies.pipelines.alphanet.work.cached_logits import CachedLogits, cross_entropy, few_scores, predict
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, draw_epoch
from vision_studies.run_folders import numbered_checkpoints, unneeded_checkpoints
from vision_studies.training.checkpoints import load_state, save_state
from vision_studies.training.fit_result import FitResult
from vision_studies.training.progress import stack_progress
from vision_studies.training.runtime import derived_seed

_DRAW, _ORDER = 1, 2  # purposes of a run's generators
_LOST = "the loss was not finite; lower the learning rate (alphanet.training.optimizer)"


@dataclass(frozen=True, kw_only=True)
class TrainedAlphaNet(FitResult):
    """What one network has learnt; nothing of it is used where it diverged.

    Its history has one row an epoch: train_loss, learning_rate, of each coefficient its mean, minimum and maximum over
    classes, and with validation its accuracies.

    Attributes:
        neighbours: of the F few classes.
        parameters: of the network.
        coefficients: float32 [F, k], of the kept epoch.
        epoch_coefficients: float32 [epochs, F, k], of every epoch.
        layers: weights and biases of the kept epoch.
        batch_losses: float32, of every step.
    """

    neighbours: Neighbours
    parameters: int
    coefficients: Tensor
    epoch_coefficients: Tensor
    layers: list[tuple[Tensor, Tensor]]
    batch_losses: Tensor

    def state(self) -> dict[str, Any]:
        """What is kept of it; `experiments.read_combinations` and `event_logs.write_event_logs` read it."""
        return {
            "neighbours": torch.from_numpy(self.neighbours.labels),
            "distances": torch.from_numpy(self.neighbours.distances),
            "coefficients": self.coefficients,
            "epoch_coefficients": self.epoch_coefficients,
            "layers": self.layers,
            "batch_losses": self.batch_losses,
        }


@dataclass
class _Member:
    """What is kept of a network while its stack is trained."""

    best: float = -1.0
    best_epoch: int = 0
    coefficients: Tensor = field(default_factory=lambda: torch.empty(0))
    epoch_coefficients: list[Tensor] = field(default_factory=list)
    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    diverged: bool = False


def train_stack(
    networks: StackedAlphaNetworks,
    neighbours: Sequence[Neighbours],
    settings: CombinationRunSettings,
    seeds: Sequence[int],
    train: CachedLogits,
    validation: CachedLogits | None,
    *,
    folder: Path | None = None,
    checkpoints: int = 2,
) -> list[TrainedAlphaNet]:
    """Train R networks with the same settings; an interrupted call continues from the newest checkpoint.

    A network whose loss is not finite leaves the others as they are.

    Args:
        networks: R networks, each with its `neighbours` of the few classes and its seed of draws and orders in `seeds`.
        train: logits of the training images, on the device of the networks.
        validation: of the validation images; None keeps the last epoch.
        folder: of the checkpoints, one an epoch, of which as many as `checkpoints` are kept; None writes none.

    Raises:
        ParameterError: optimiser or scheduler do not take their parameters.
    """
    training = settings.training
    optimizer = _build_optimizer(training.optimizer, networks)
    scheduler = _build_scheduler(training.scheduler, optimizer)
    index = ClassIndex(train.labels.cpu().numpy(), train.splits)
    columns = torch.stack([train.neighbour_columns(near) for near in neighbours])
    members = [_Member() for _ in seeds]
    learners = {"networks": networks, "optimizer": optimizer, "scheduler": scheduler}
    first, seconds = 1, 0.0
    if saved := list(numbered_checkpoints(folder)) if folder is not None else []:
        state = load_state(saved[-1])
        first, seconds = state["epoch"] + 1, state["seconds"]
        _restore(state, learners, members)
    with stack_progress(len(seeds), training.epochs) as advance:
        for epoch in range(first, training.epochs + 1):
            started = time.perf_counter()
            orders = [epoch_order(training.samplers, index, seed, epoch) for seed in seeds]
            order = torch.stack(orders).to(columns.device)
            rate = float(optimizer.param_groups[0]["lr"])
            losses = _train_epoch(networks, optimizer, train, columns, order, training.batch_size)
            if scheduler is not None:
                scheduler.step()
            with torch.no_grad():
                coefficients = networks()
            for number, (member, near, learnt, of_member) in enumerate(
                zip(members, neighbours, coefficients, losses, strict=True)
            ):
                member.diverged |= not bool(of_member.isfinite().all())
                if member.diverged:
                    continue
                record = {"epoch": epoch, "learning_rate": rate, "train_loss": float(of_member.mean())}
                record |= _describe(learnt)
                if validation is not None:
                    record |= validate(validation, near, learnt, training.evaluation_batch_size)
                member.records.append(record)
                member.epoch_coefficients.append(learnt.cpu().clone())
                member.losses += of_member.tolist()
                if _is_kept(settings, epoch, record, member, validated=validation is not None):
                    member.best_epoch = epoch
                    member.coefficients = member.epoch_coefficients[-1]
                    member.layers = networks.member(number)
            seconds += time.perf_counter() - started
            if folder is not None:
                _save(folder, checkpoints, epoch, seconds, learners, members)
            going = sum(not member.diverged for member in members)
            advance(epoch, going)
            if not going:
                break
    size = sum(parameter.numel() for parameter in networks.parameters()) // len(seeds)
    return [
        TrainedAlphaNet(
            history=pd.DataFrame(member.records),
            best_epoch=None if member.diverged else member.best_epoch,
            best_value=None if member.diverged else member.best,
            weights={},
            seconds=seconds / len(seeds),
            ended="diverged" if member.diverged else "complete",
            reason=_LOST if member.diverged else None,
            neighbours=near,
            parameters=size,
            coefficients=member.coefficients,
            epoch_coefficients=torch.stack(member.epoch_coefficients or [torch.empty(0)]),
            layers=member.layers,
            batch_losses=torch.tensor(member.losses),
        )
        for member, near in zip(members, neighbours, strict=True)
    ]


def validate(cached: CachedLogits, neighbours: Neighbours, coefficients: Tensor, rows: int) -> dict[str, float]:
    """Accuracies and macro F1 on validation images, as columns of the history; NaN for a split without images."""
    predictions, among_top = (values.cpu().numpy() for values in predict(cached, neighbours, coefficients, rows))
    labels, splits = cached.labels.cpu().numpy(), cached.splits
    hits = predictions == labels
    by_class = class_accuracies(hits, labels, splits.num_classes)
    by_split = split_accuracies(hits, labels, splits)
    return {
        "validation_accuracy": by_split["overall"],
        "validation_balanced_accuracy": float(np.nanmean(by_class)),
        "validation_top_5": float(among_top.mean()),
        "validation_f1": macro_f1(predictions, labels, splits.num_classes),
        **{f"validation_{split}": by_split[split] for split in SPLITS},
    }


def epoch_order(samplers: Any, index: ClassIndex, seed: int, epoch: int) -> Tensor:
    """The images of one network's epoch in the order in which it sees them."""
    images = draw_epoch(samplers, index, np.random.default_rng(derived_seed(seed, _DRAW, epoch)))
    return torch.from_numpy(np.random.default_rng(derived_seed(seed, _ORDER, epoch)).permutation(images))


def _train_epoch(
    networks: StackedAlphaNetworks,
    optimizer: torch.optim.Optimizer,
    train: CachedLogits,
    columns: Tensor,
    order: Tensor,
    batch_size: int,
) -> Tensor:
    """One pass over [R, N] images; losses [R, steps]."""
    losses = []
    flat = columns.flatten(1)[:, None]
    for rows in order.split(batch_size, dim=1):
        logits = train.neighbour[rows]  # [R, N, U]
        neighbour = logits.gather(2, flat.expand(-1, logits.shape[1], -1)).unflatten(2, columns.shape[1:])
        few = few_scores(train.few_baseline[rows], neighbour, networks())
        loss = cross_entropy(few, train.base_log_sum_exp[rows], train.base_score[rows], train.few_column[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses, dim=1).cpu()


def _describe(coefficients: Tensor) -> dict[str, float]:
    """Mean, minimum and maximum of each coefficient over the few classes."""
    return {
        f"coefficient_{position}_{name}": float(value)
        for name, over in (("mean", Tensor.mean), ("minimum", Tensor.amin), ("maximum", Tensor.amax))
        for position, value in enumerate(over(coefficients, dim=0), start=1)
    }


def _is_kept(
    settings: CombinationRunSettings, epoch: int, record: dict[str, Any], member: _Member, *, validated: bool
) -> bool:
    training = settings.training
    policy = training.selection.policy if validated else "last"
    if policy == "last":
        return epoch == training.epochs
    if policy == "first_eligible":
        return epoch == training.minimum_epochs
    value = _selected(training.selection.metric, record)
    if epoch < training.minimum_epochs or value <= member.best:
        return False
    member.best = value
    return True


def _selected(metric: SelectionMetric, record: Mapping[str, Any]) -> float:
    """What an epoch is chosen by, from its row of the history."""
    if metric == "worst_group":
        return float(np.nanmin([record[f"validation_{split}"] for split in SPLITS]))
    return float(record["validation_f1" if metric == "macro_f1" else f"validation_{metric}"])


def _save(
    folder: Path, checkpoints: int, epoch: int, seconds: float, learners: Mapping[str, Any], members: list[_Member]
) -> None:
    state = {
        "epoch": epoch,
        "seconds": seconds,
        **{name: None if learner is None else _values(learner.state_dict()) for name, learner in learners.items()},
        "members": [
            {**vars(member), "records": json.dumps(member.records), "losses": torch.tensor(member.losses)}
            for member in members
        ],
    }
    save_state(folder / f"epoch_{epoch:05d}.safetensors", state)
    for old in unneeded_checkpoints(folder, newest=checkpoints):
        old.unlink()


def _restore(state: dict[str, Any], learners: Mapping[str, Any], members: list[_Member]) -> None:
    for name, learner in learners.items():
        if learner is not None:
            learner.load_state_dict(state[name])
    for member, stored in zip(members, state["members"], strict=True):
        vars(member).update(stored, records=json.loads(stored["records"]), losses=stored["losses"].tolist())


def _values(state: dict[str, Any]) -> dict[str, Any]:
    """The parts of a state that are values; functions of a scheduler are made anew from the settings."""
    return {
        name: value
        for name, value in state.items()
        if isinstance(value, Tensor | bool | int | float | str | list | dict | None)
    }


def check_settings(network: AlphaNetworkSettings, training: CombinationTrainingSettings) -> None:
    """Try activation, optimiser and scheduler on a network of a few numbers, for as many epochs as there are.

    Raises:
        ParameterError: one of them is unknown or does not take its parameters.
    """
    _check_activation(network.activation)
    tiny = StackedAlphaNetworks(torch.zeros(1, 6), 2, network.hidden, "relu", [0])
    optimizer = _build_optimizer(training.optimizer, tiny)
    scheduler = _build_scheduler(training.scheduler, optimizer)
    try:
        for _ in range(training.epochs):
            part, choice = "optimizer", training.optimizer
            tiny().sum().backward()
            optimizer.step()
            if scheduler is not None and training.scheduler is not None:
                part, choice = "scheduler", training.scheduler
                scheduler.step()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"alphanet.training.{part}: {choice.name} does not work with {choice.parameters} over {training.epochs} "
            f"epochs ({error})."
        ) from error


def _check_activation(name: str) -> None:
    """Functions that mix numbers (softmax, normalize) or are drawn (dropout) would mix classes and networks of a stack."""
    try:
        function, values = getattr(F, name), torch.linspace(-2, 2, 64)
        together, alone = function(values.view(2, 32)), function(values)
        if not isinstance(together, Tensor) or together.shape != (2, 32):
            raise TypeError("it does not give as many numbers as it takes")
        if not torch.allclose(together.flatten(), alone):
            raise TypeError("it does not treat every number by itself")
    except (AttributeError, TypeError, ValueError, RuntimeError, LookupError) as error:
        raise ParameterError(
            f"alphanet.network.activation: '{name}' is no activation of torch.nn.functional ({error}); try leaky_relu, relu, "
            "gelu or tanh."
        ) from error


def _build_optimizer(settings: TorchSettings, networks: StackedAlphaNetworks) -> torch.optim.Optimizer:
    return _built("optimizer", torch.optim, settings, networks.parameters())


def _build_scheduler(
    settings: TorchSettings | None, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler | None:
    return None if settings is None else _built("scheduler", torch.optim.lr_scheduler, settings, optimizer)


def _built(part: str, module: Any, settings: TorchSettings, target: Any) -> Any:
    try:
        return getattr(module, settings.name)(target, **settings.parameters)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"alphanet.training.{part}: {settings.name} does not take {settings.parameters} ({error})."
        ) from error
