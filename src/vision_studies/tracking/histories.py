"""Histories as trackers take them: epoch -> name -> value, under the names of the stacked-generalization project."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

_OF_LEARNER = {
    "train_loss": "train_loss",
    "train_accuracy": "train_acc",
    "validation_loss": "val_loss",
    "validation_accuracy": "val_acc",
    "learning_rate": "lr",
}
_OF_RUN = {
    "train_loss": "train/epoch_loss",
    "train_accuracy": "train/epoch_acc",
    "validation_loss": "val/loss",
    "validation_accuracy": "val/acc",
    "learning_rate": "train/lr",
    "train_loss_meta": "meta/train_epoch_loss",
}
_OF_META_LEARNER = {
    "train_loss": "meta/train_epoch_loss",
    "train_accuracy": "meta/train_epoch_acc",
    "validation_loss": "meta/val_loss",
    "validation_accuracy": "meta/val_acc",
    "learning_rate": "meta/learning_rate",
}
_SPLITS = {"train": "train", "validation": "val"}
_LEARNER = re.compile(r"((?:train|validation)_(?:loss|accuracy))_base_(\d+)")
_NO_METRICS = {"study", "variant", "trial", "seed", "run", "epoch"}


def history_steps(history: pd.DataFrame, method: str) -> dict[int, dict[str, float]]:
    """Epoch -> logged name -> value, without what was not measured in that epoch.

    Args:
        history: one row an epoch.
        method: of the run's configuration; that of a stack is `joint` or `cross_validated`.
    """
    is_joint = method == "joint"
    names = {
        str(column): logged_names(str(column), is_stack=is_joint or method == "cross_validated", is_joint=is_joint)
        for column in history.columns
        if column not in _NO_METRICS and pd.api.types.is_numeric_dtype(history[column])
    }
    return {
        int(row["epoch"]): {
            name: float(row[column]) for column, logged in names.items() if is_number(row[column]) for name in logged
        }
        for row in history.to_dict("records")
    }


def fold_steps(histories: pd.DataFrame) -> dict[int, dict[str, float]]:
    """Epoch -> logged name -> mean over the folds, and one standard deviation above and below it.

    Names are `model_<learner>/<metric>/{mean,upper,lower}`, learners counted from 0. An epoch that one fold alone has reached
    has no spread.

    Args:
        histories: one row a learner, fold and epoch: learner (from 0), fold, epoch and the columns of a history.
    """
    steps: dict[int, dict[str, float]] = {}
    columns = [name for name in _OF_LEARNER if name in histories]
    for (learner, epoch), of_epoch in histories.groupby(["learner", "epoch"]):
        for column in columns:
            values = of_epoch[column].dropna()
            if values.empty:
                continue
            mean, spread = float(values.mean()), float(values.std(ddof=0))
            name = f"model_{learner}/{_OF_LEARNER[column]}"
            logged = {f"{name}/mean": mean, f"{name}/upper": mean + spread, f"{name}/lower": mean - spread}
            steps.setdefault(int(epoch), {}).update(logged)
    return steps


def joined_steps(*histories: Mapping[int, Mapping[str, float]]) -> dict[int, dict[str, float]]:
    """Several histories as one, in the order of epochs."""
    epochs = sorted({epoch for history in histories for epoch in history})
    return {
        epoch: {name: value for history in histories for name, value in history.get(epoch, {}).items()}
        for epoch in epochs
    }


def logged_names(column: str, *, is_stack: bool, is_joint: bool) -> list[str]:
    """What a column of a history is called in trackers; more than one name where two things are one number.

    Args:
        column: the column.
        is_stack: the run is a stack of networks with a meta-learner, whose answer is the stack's.
        is_joint: base learners and meta-learner are trained as one, so that the training loss is the sum over all of
            them; else the history is the meta-learner's alone.
    """
    learner = _LEARNER.fullmatch(column)
    if learner:
        return [f"model_{int(learner[2]) - 1}/{_OF_LEARNER[learner[1]]}"]
    split, _, rest = column.partition("_")
    names = [_OF_RUN.get(column) or (f"{_SPLITS[split]}/{rest}" if split in _SPLITS else f"epoch/{column}")]
    of_all = is_joint and column in ("train_loss", "learning_rate")
    if is_stack and column in _OF_META_LEARNER and not of_all:
        names.append(_OF_META_LEARNER[column])
    return names


def is_number(value: Any) -> bool:
    """Whether trackers can take it for a number: not missing, infinite, text or yes and no."""
    if isinstance(value, (bool, str)) or value is None or not hasattr(value, "__float__"):
        return False
    return math.isfinite(float(value))
