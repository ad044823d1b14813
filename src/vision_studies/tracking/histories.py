"""Histories as trackers take them: epoch -> name -> value, under the names of the stacked-generalization project."""

import math
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import pandas as pd

_LOGGED = {
    "train_loss": ("train_loss", "train/epoch_loss", "meta/train_epoch_loss"),
    "train_accuracy": ("train_acc", "train/epoch_acc", "meta/train_epoch_acc"),
    "validation_loss": ("val_loss", "val/loss", "meta/val_loss"),
    "validation_accuracy": ("val_acc", "val/acc", "meta/val_acc"),
    "learning_rate": ("lr", "train/lr", "meta/learning_rate"),
}
"""Column -> what it is called of a base learner (below model_<number>), of a run, and of a meta-learner."""

_FOLLOWED = {"validation_stability": "prediction_stability", "validation_confidence": "confidence"}
"""The same of what is followed of base learners by folds alone."""

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
    known = {column: name for column, (name, _, _) in _LOGGED.items()} | _FOLLOWED
    columns = {column: name for column, name in known.items() if column in histories}
    for (learner, epoch), of_epoch in histories.groupby(["learner", "epoch"]):
        for column, name in columns.items():
            values = of_epoch[column].dropna()
            if values.empty:
                continue
            mean, spread = float(values.mean()), float(values.std(ddof=0))
            bounds = {"mean": mean, "upper": mean + spread, "lower": mean - spread}
            steps.setdefault(int(epoch), {}).update({f"model_{learner}/{name}/{key}": bounds[key] for key in bounds})
    return steps


def joined_steps(*histories: Mapping[int, Mapping[str, float]]) -> dict[int, dict[str, float]]:
    """Several histories as one, in the order of epochs."""
    steps: dict[int, dict[str, float]] = {}
    for epoch, values in chain.from_iterable(history.items() for history in histories):
        steps.setdefault(epoch, {}).update(values)
    return dict(sorted(steps.items()))


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
        return [f"model_{int(learner[2]) - 1}/{_LOGGED[learner[1]][0]}"]
    if column == "train_loss_meta":
        return [_LOGGED["train_loss"][2]]
    if column in _LOGGED:
        _, of_run, of_meta_learner = _LOGGED[column]
        of_all = is_joint and column in ("train_loss", "learning_rate")
        return [of_run, of_meta_learner] if is_stack and not of_all else [of_run]
    split, _, rest = column.partition("_")
    return [f"{_SPLITS[split]}/{rest}" if split in _SPLITS else f"epoch/{column}"]


def is_number(value: Any) -> bool:
    """Whether trackers can take it for a number: not missing, infinite, text or yes and no."""
    if isinstance(value, (bool, str)) or value is None or not hasattr(value, "__float__"):
        return False
    return math.isfinite(float(value))
