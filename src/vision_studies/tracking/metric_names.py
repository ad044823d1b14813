"""Names of logged histories: those of the stacked-generalization project, for all pipelines alike."""

import re
from collections.abc import Mapping

from vision_studies.config.merge import flatten

_SPLITS = {"train": "train", "validation": "val"}
_METRICS = {"loss": "loss", "accuracy": "acc"}
_WHOLE = {
    "train_loss": "train/epoch_loss",
    "train_accuracy": "train/epoch_acc",
    "validation_loss": "val/loss",
    "validation_accuracy": "val/acc",
    "learning_rate": "train/lr",
    "train_loss_meta": "meta/train_epoch_loss",
}
_META = {
    "train_loss": "meta/train_epoch_loss",
    "train_accuracy": "meta/train_epoch_acc",
    "validation_loss": "meta/val_loss",
    "validation_accuracy": "meta/val_acc",
    "learning_rate": "meta/learning_rate",
}
_LEARNER = re.compile(r"(train|validation)_(loss|accuracy)_base_(\d+)")


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
        split, metric, number = learner.groups()
        return [f"model_{int(number) - 1}/{_SPLITS[split]}_{_METRICS[metric]}"]
    split, _, rest = column.partition("_")
    names = [_WHOLE.get(column) or (f"{_SPLITS[split]}/{rest}" if split in _SPLITS else f"epoch/{column}")]
    of_all = is_joint and column in ("train_loss", "learning_rate")
    if is_stack and column in _META and not of_all:
        names.append(_META[column])
    return names


def flat_parameters(configuration: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys for everything, lists of groups included: `base_learners.0.model.name`."""
    flat: dict[str, object] = {}
    for key, value in configuration.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            for place, entry in enumerate(value):
                flat |= flat_parameters(flatten({f"{key}.{place}": entry}))
        else:
            flat[key] = value
    return flat
