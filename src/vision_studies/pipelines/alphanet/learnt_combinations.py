"""What AlphaNet has learnt for single classes, as data and as text: coefficients of neighbours, and mistakes that they change.

`class_accuracies` has one row a run and class, `combinations` one a run, few class and neighbour, and `changes` one a run,
class of the images, class that the baseline predicts and class that AlphaNet predicts, with the number of such images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from vision_studies.errors import DataError, ParameterError
from vision_studies.reports.formatting import is_missing, text
from vision_studies.reports.table import Table

_TIES = 12  # decimals within which two means count as equal
_RULE = "*" * 44
_INDENT = " " * 8


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
    class_accuracies: pd.DataFrame, experiment: str, *, by: Literal["gain", "accuracy"], largest: bool, number: int
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
    few = _of_experiment(class_accuracies, experiment).query("split == 'few'")
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
    rows = _of_experiment(changes[changes["classifier"] == classifier], experiment)
    repeats = rows["repeat"].nunique()
    counts = {}
    for which in ("before", "after"):
        counts[which] = rows[rows["label"] == label].groupby(which)["images"].sum()
        counts[f"reverse_{which}"] = rows[rows[which] == label].groupby("label")["images"].sum()
    predicted = counts["before"].index.union(counts["after"].index).difference([label]).rename("predicted")
    totals = pd.DataFrame({name: images.reindex(predicted, fill_value=0) for name, images in counts.items()})
    means = (totals / repeats).join(totals[["after", "reverse_after"]].add_suffix("_total")).assign(repeats=repeats)
    return means.sort_values("before", ascending=False, kind="stable").reset_index()


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
    accuracies = _of_experiment(class_accuracies, experiment)
    learnt = _of_experiment(combinations, experiment)
    classes = accuracies.drop_duplicates("label").set_index("label")
    gathered = []
    for label in labels:
        coefficients = learnt[learnt["label"] == label]
        if label not in classes.index or coefficients.empty:
            raise ParameterError(f"Experiment '{experiment}' has learnt nothing for label {label}; choose a few class.")
        of_class, repeated = classes.loc[label], accuracies[accuracies["label"] == label]
        wrong = mistakes(changes, label, classifier=str(of_class["classifier"]), experiment=experiment)
        unknown = set(wrong["predicted"]) - set(classes.index)
        if unknown:
            raise DataError(
                f"Label {min(unknown)} is predicted in experiment '{experiment}' but has no accuracies; "
                "give the accuracies of all classes."
            )
        gathered.append(
            LearntCombination(
                label=int(label),
                name=str(of_class["name"]),
                repeats=int(repeated["repeat"].nunique()),
                train_images=int(of_class["train_images"]),
                test_images=int(of_class["test_images"]),
                baseline_accuracy=float(repeated["baseline_accuracy"].mean()),
                accuracy=float(repeated["accuracy"].mean()),
                neighbours=_neighbours(coefficients),
                mistakes=wrong.join(classes[["name", "split"]], on="predicted"),
            )
        )
    return gathered


def combinations_text(combinations: Sequence[LearntCombination], mistake_n: int | None = None) -> str:
    """Coefficients, accuracies and most frequent mistakes of each class, in the layout of the AlphaNet project.

    Numbers of images are means over repeats. A line of mistakes reads: class (split): images with the baseline -> images with
    AlphaNet (their sum / repeats); the one below it counts the images of that class which are taken for the selected one.

    Args:
        combinations: one a class.
        mistake_n: how many mistakes to show in each list; all if missing.

    Raises:
        ParameterError: `mistake_n` is below 1.
    """
    blocks = [_block(combination, mistake_n) for combination in combinations]
    return "\n".join([_RULE, *(f"{block}\n{_RULE}" for block in blocks)])


def combinations_markdown(combinations: Sequence[LearntCombination], mistake_n: int | None = None) -> str:
    """As `combinations_text`, as a section with tables for each class.

    Raises:
        ParameterError: `mistake_n` is below 1.
    """
    return "\n".join(_section(combination, mistake_n) for combination in combinations)


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


def _of_experiment(table: pd.DataFrame, experiment: str) -> pd.DataFrame:
    rows = table[table["experiment"] == experiment]
    if rows.empty:
        names = list(dict.fromkeys(table["experiment"]))
        raise ParameterError(f"There is no experiment '{experiment}'; the experiments of the table are {names}.")
    return rows


def _block(combination: LearntCombination, mistake_n: int | None) -> str:
    start = f"[{combination.name}] = "
    terms = [
        f"{' ' * len(start)}+ ({_coefficient(row)})[{row['name']}]{_in_repeats(row, combination)}"
        for row in combination.neighbours.to_dict("records")
    ]
    lines = [
        f"{start}[{combination.name}]",
        *terms,
        "",
        f"Training images: {combination.train_images}",
        f"Mean baseline accuracy: {combination.baseline_accuracy:.2f}",
        f"Mean AlphaNet accuracy: {combination.accuracy:.2f}",
        "",
        _wrong(combination),
        "",
        "Most frequent mistakes of the baseline:",
        *_mistake_lines(combination, "before", mistake_n),
        "",
        "Most frequent mistakes of AlphaNet:",
        *_mistake_lines(combination, "after", mistake_n),
    ]
    return "\n".join(lines)


def _mistake_lines(combination: LearntCombination, which: str, mistake_n: int | None) -> list[str]:
    lines = []
    for row in _most_frequent(combination.mistakes, which, mistake_n):
        lines.append(f"{_INDENT}{row['name']} ('{row['split']}' split): {_counts(row, '', combination)}")
        lines.append(f"{_INDENT * 2}|-> as '{combination.name}': {_counts(row, 'reverse_', combination)}")
    return lines or [f"{_INDENT}none"]


def _section(combination: LearntCombination, mistake_n: int | None) -> str:
    facts = (
        f"{combination.train_images} training images. Mean accuracy {combination.baseline_accuracy:.2f} with the baseline and "
        f"{combination.accuracy:.2f} with AlphaNet. {_wrong(combination, '→')}."
    )
    neighbours = [
        {
            "Neighbour": row["name"] + _in_repeats(row, combination),
            "Split": text(row["split"]),
            "Coefficient": _coefficient(row),
        }
        for row in combination.neighbours.to_dict("records")
    ]
    parts = [f"### {combination.name}", facts, Table(neighbours).markdown().rstrip("\n")]
    for title, column in (("the baseline", "before"), ("AlphaNet", "after")):
        rows = [
            {
                "Predicted": row["name"],
                "Split": text(row["split"]),
                "Baseline → AlphaNet": _counts(row, "", combination, "→"),
                f"As {combination.name}": _counts(row, "reverse_", combination, "→"),
            }
            for row in _most_frequent(combination.mistakes, column, mistake_n)
        ]
        parts.append(f"Most frequent mistakes of {title}:" if rows else f"There are no mistakes of {title}.")
        parts += [Table(rows).markdown().rstrip("\n")] if rows else []
    return "\n\n".join(parts) + "\n"


def _most_frequent(wrong: pd.DataFrame, column: str, number: int | None) -> list[dict[Any, Any]]:
    """Equally frequent ones come by label."""
    if number is not None and number < 1:
        raise ParameterError(f"mistake_n is {number}, but must be at least 1, or missing to show all mistakes.")
    made = wrong[wrong[column] > 0].sort_values([column, "predicted"], ascending=[False, True])
    return made[:number].to_dict("records")


def _counts(row: dict[Any, Any], direction: str, combination: LearntCombination, arrow: str = "->") -> str:
    before, after = row[f"{direction}before"], row[f"{direction}after"]
    return f"{_count(before)} {arrow} {after:.2f} ({row[f'{direction}after_total']}/{combination.repeats})"


def _wrong(combination: LearntCombination, arrow: str = "->") -> str:
    """How many test images are predicted wrongly, before and after, counted as each mistake is."""
    all_of_them = {name: combination.mistakes[name].sum() for name in ("before", "after", "after_total")}
    mean = "" if combination.repeats == 1 else "mean of "
    images = f"{combination.test_images} test images, {mean}{_repeats(combination)}"
    return f"Wrong of {images}: {_counts(all_of_them, '', combination, arrow)}"


def _count(images: float) -> str:
    """Baselines that differ between repeats have a mean that need not be whole."""
    return f"{images:.0f}" if float(images).is_integer() else f"{images:.2f}"


def _coefficient(row: dict[Any, Any]) -> str:
    deviation = "" if is_missing(row["deviation"]) else f" ± {row['deviation']:.2g}"
    return f"{row['coefficient']:.2g}{deviation}"


def _in_repeats(row: dict[Any, Any], combination: LearntCombination) -> str:
    """Neighbours that are drawn at random differ between repeats."""
    return "" if row["repeats"] == combination.repeats else f" in {row['repeats']} of {_repeats(combination)}"


def _repeats(combination: LearntCombination) -> str:
    return "1 repeat" if combination.repeats == 1 else f"{combination.repeats} repeats"
