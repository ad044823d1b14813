"""Histories of base learners that are trained on folds: what all folds of a learner have in common, and how far they differ."""

import pandas as pd

_COLUMNS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_acc",
    "validation_loss": "val_loss",
    "validation_accuracy": "val_acc",
    "learning_rate": "lr",
}
"""Column of a history -> its name in the stacked-generalization project."""


def fold_steps(histories: pd.DataFrame) -> dict[int, dict[str, float]]:
    """Epoch -> logged name -> mean over the folds, and one standard deviation above and below it.

    Names are those of the stacked-generalization project, `model_<learner>/<metric>/{mean,upper,lower}`, learners counted
    from 0. An epoch that one fold alone has reached has no spread.

    Args:
        histories: one row a learner, fold and epoch: learner (from 0), fold, epoch and the columns of a history.
    """
    steps: dict[int, dict[str, float]] = {}
    columns = [name for name in _COLUMNS if name in histories]
    for (learner, epoch), own in histories.groupby(["learner", "epoch"]):
        for column in columns:
            values = own[column].dropna()
            if values.empty:
                continue
            mean, spread = float(values.mean()), float(values.std(ddof=0))
            name = f"model_{learner}/{_COLUMNS[column]}"
            logged = {f"{name}/mean": mean, f"{name}/upper": mean + spread, f"{name}/lower": mean - spread}
            steps.setdefault(int(epoch), {}).update(logged)
    return steps
