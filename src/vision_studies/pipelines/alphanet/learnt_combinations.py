"""What AlphaNet has learnt for single classes: the coefficients of their neighbours, and which mistakes they change.

`class_accuracies` has one row a run and class, `combinations` one a run, few class and neighbour, and `changes` one a run,
class of the images, class that the baseline predicts and class that AlphaNet predicts, with the number of such images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from vision_studies.errors import DataError, ParameterError

_TIES = 12
"""Decimals within which two means count as equal."""


@dataclass(frozen=True, eq=False)
class LearntCombination:
    """What repeats of an experiment have learnt for a class, and what it does to the predictions.

    Attributes:
        label: of the class.
        name: of the class.
        repeats: how many there are.
        train_images: of the class.
        test_images: of the class; each repeat predicts all of them.
        baseline_accuracy: mean fraction of its test images that the baseline classifies rightly.
        accuracy: the same for AlphaNet.
        neighbours: one row a neighbour, from the nearest on: neighbour (label), name, split, coefficient (mean over the
            repeats that have it), deviation (of the sample; NaN for one), repeats (that have it).
        mistakes: from `mistakes`, with name and split of the predicted class.
    """

    label: int
    name: str
    repeats: int
    train_images: int
    test_images: int
    baseline_accuracy: float
    accuracy: float
    neighbours: pd.DataFrame
    mistakes: pd.DataFrame


def select_classes(
    class_accuracies: pd.DataFrame,
    experiment: str,
    *,
    by: Literal["gain", "accuracy"],
    largest: bool,
    number: int,
) -> list[int]:
    """Labels of the few classes with the largest or smallest mean over repeats, beginning with the extreme one.

    Args:
        class_accuracies: columns experiment, label, split, accuracy and baseline_accuracy.
        experiment: whose classes.
        by: accuracy, or its gain over the baseline of the same repeat.
        largest: the largest values; otherwise the smallest.
        number: how many classes; fewer are found if there are fewer few classes. Of equal ones the lower label comes first.

    Raises:
        ParameterError: the experiment is unknown, `by` is, or the number is below 1.
    """
    if number < 1:
        raise ParameterError(f"number is {number}, but at least 1 class must be selected.")
    if by not in ("gain", "accuracy"):
        raise ParameterError(f"Classes cannot be selected by '{by}'; choose 'gain' or 'accuracy'.")
    own = _of_experiment(class_accuracies, experiment)
    few = own[own["split"] == "few"]
    values = few["accuracy"] - few["baseline_accuracy"] if by == "gain" else few["accuracy"]
    means = values.groupby(few["label"]).mean().dropna().round(_TIES).sort_index()
    return [int(label) for label in means.sort_values(ascending=not largest, kind="stable").index[:number]]


def mistakes(changes: pd.DataFrame, label: int, *, classifier: str, experiment: str) -> pd.DataFrame:
    """Wrong predictions of the images of a class, and images of the predicted classes taken for it, before and after.

    Every repeat holds the predictions of the baseline anew, so they are averaged over repeats like AlphaNet's.

    Args:
        changes: columns classifier, experiment, repeat, label, before, after, images, for test images of all classes.
        label: of the class.
        classifier: that AlphaNet was trained on.
        experiment: AlphaNet's.

    Returns:
        One row a class that either predicts wrongly, the baseline's most frequent first, then by label: predicted,
        before (baseline's images a repeat), after (AlphaNet's images a repeat), after_total (over all repeats),
        reverse_before, reverse_after, reverse_after_total (the same for images of the predicted class that are
        taken for `label`) and repeats.

    Raises:
        ParameterError: the table has no row of the classifier and experiment.
    """
    own = _of_experiment(changes[changes["classifier"] == classifier], experiment)
    repeats = own["repeat"].nunique()
    images = own[own["label"] == label]
    counts = {
        "before": images.groupby("before")["images"].sum(),
        "after": images.groupby("after")["images"].sum(),
        "reverse_before": own[own["before"] == label].groupby("label")["images"].sum(),
        "reverse_after": own[own["after"] == label].groupby("label")["images"].sum(),
    }
    predicted = pd.Index(sorted((set(counts["before"].index) | set(counts["after"].index)) - {label}), dtype="int64")
    totals = {name: own_counts.reindex(predicted, fill_value=0).astype("int64") for name, own_counts in counts.items()}
    found = pd.DataFrame(
        {
            "before": totals["before"] / repeats,
            "after": totals["after"] / repeats,
            "after_total": totals["after"],
            "reverse_before": totals["reverse_before"] / repeats,
            "reverse_after": totals["reverse_after"] / repeats,
            "reverse_after_total": totals["reverse_after"],
        },
        index=predicted.rename("predicted"),
    ).assign(repeats=repeats)
    return found.sort_values("before", ascending=False, kind="stable").reset_index()


def learnt_combinations(
    class_accuracies: pd.DataFrame,
    combinations: pd.DataFrame,
    changes: pd.DataFrame,
    *,
    experiment: str,
    labels: Sequence[int],
) -> list[LearntCombination]:
    """Gather what an experiment has learnt for some classes.

    Args:
        class_accuracies: columns classifier, experiment, repeat, label, name, split, train_images, test_images, accuracy,
            baseline_accuracy, for all classes.
        combinations: columns experiment, repeat, label, position, neighbour, neighbour_name, neighbour_split, coefficient.
        changes: as for `mistakes`.
        experiment: AlphaNet's.
        labels: of few classes, such as from `select_classes`.

    Returns:
        One of each label, in their order.

    Raises:
        ParameterError: the experiment is unknown, or a label is not of a few class.
        DataError: a predicted class is not in `class_accuracies`.
    """
    own = _of_experiment(class_accuracies, experiment)
    learnt = _of_experiment(combinations, experiment)
    classes = own.drop_duplicates("label").set_index("label")
    found = []
    for label in labels:
        coefficients = learnt[learnt["label"] == label]
        if label not in classes.index or coefficients.empty:
            raise ParameterError(f"Experiment '{experiment}' has learnt nothing for label {label}; choose a few class.")
        of_class = classes.loc[label]
        wrong = mistakes(changes, label, classifier=str(of_class["classifier"]), experiment=experiment)
        unknown = set(wrong["predicted"]) - set(classes.index)
        if unknown:
            raise DataError(
                f"Label {min(unknown)} is predicted in experiment '{experiment}' but has no accuracies; "
                "give the accuracies of all classes."
            )
        names = classes.loc[wrong["predicted"], ["name", "split"]]
        accuracies = own[own["label"] == label]
        found.append(
            LearntCombination(
                label=int(label),
                name=str(of_class["name"]),
                repeats=int(accuracies["repeat"].nunique()),
                train_images=int(of_class["train_images"]),
                test_images=int(of_class["test_images"]),
                baseline_accuracy=float(accuracies["baseline_accuracy"].mean()),
                accuracy=float(accuracies["accuracy"].mean()),
                neighbours=_neighbours(coefficients),
                mistakes=wrong.assign(name=names["name"].tolist(), split=names["split"].tolist()),
            )
        )
    return found


def _neighbours(coefficients: pd.DataFrame) -> pd.DataFrame:
    """Repeats may have neighbours of their own; those of most repeats come first, then the nearest."""
    grouped = coefficients.groupby("neighbour").agg(
        name=("neighbour_name", "first"),
        split=("neighbour_split", "first"),
        coefficient=("coefficient", "mean"),
        deviation=("coefficient", "std"),
        repeats=("repeat", "nunique"),
        position=("position", "mean"),
    )
    ordered = grouped.sort_values(["repeats", "position"], ascending=[False, True], kind="stable")
    return ordered.drop(columns="position").reset_index()


def _of_experiment(table: pd.DataFrame, experiment: str) -> Any:
    own = table[table["experiment"] == experiment]
    if own.empty:
        known = list(dict.fromkeys(table["experiment"]))
        raise ParameterError(f"There is no experiment '{experiment}'; the experiments of the table are {known}.")
    return own
