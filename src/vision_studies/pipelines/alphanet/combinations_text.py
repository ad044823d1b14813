"""Learnt combinations of classifiers and the mistakes that they change, for the terminal and for documents."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.learnt_combinations import LearntCombination
from vision_studies.reports.formatting import is_missing, text
from vision_studies.reports.table import Table

_RULE = "*" * 44
_INDENT = " " * 8


def combinations_text(combinations: Sequence[LearntCombination], mistake_n: int | None = None) -> str:
    """Coefficients, accuracies and most frequent mistakes of each class, in the layout of the AlphaNet project.

    A line of mistakes reads: class (split): images with the baseline -> mean with AlphaNet (total / repeats); the one below
    it counts the images of that class which are taken for the selected one.

    Args:
        combinations: one a class.
        mistake_n: how many mistakes to show in each list; all if missing.

    Raises:
        ParameterError: `mistake_n` is below 1.
    """
    _check(mistake_n)
    blocks = [_block(combination, mistake_n) for combination in combinations]
    return "\n".join([_RULE, *(f"{block}\n{_RULE}" for block in blocks)])


def combinations_markdown(combinations: Sequence[LearntCombination], mistake_n: int | None = None) -> str:
    """As `combinations_text`, as a section with tables for each class.

    Raises:
        ParameterError: `mistake_n` is below 1.
    """
    _check(mistake_n)
    return "\n".join(_section(combination, mistake_n) for combination in combinations)


def _check(mistake_n: int | None) -> None:
    if mistake_n is not None and mistake_n < 1:
        raise ParameterError(f"mistake_n is {mistake_n}, but must be at least 1, or missing to show all mistakes.")


def _block(combination: LearntCombination, mistake_n: int | None) -> str:
    start = f"[{combination.name}] = "
    terms = [
        f"{' ' * len(start)}+ ({_coefficient(row)})[{row['name']}]{_seen(row, combination)}"
        for row in combination.neighbours.to_dict("records")
    ]
    wrong = combination.mistakes
    baseline_wrong, wrong_in_all = _count(wrong["before"].sum()), wrong["after_total"].sum()
    lines = [
        f"{start}[{combination.name}]",
        *terms,
        "",
        f"Training images: {combination.train_images}",
        f"Baseline accuracy: {combination.baseline_accuracy:.2f}",
        f"Mean AlphaNet accuracy: {combination.accuracy:.2f}",
        "",
        f"Most frequent mistakes of the baseline (wrong in {baseline_wrong} of {combination.test_images} predictions),",
        "and AlphaNet's mean counts of the same",
        f"(wrong in {wrong_in_all} of {combination.test_images * combination.repeats} predictions, {_repeats(combination)}):",
        *_mistake_lines(combination, _most_frequent(wrong, "before", mistake_n)),
        "",
        "Most frequent mistakes of AlphaNet:",
        *_mistake_lines(combination, _most_frequent(wrong, "after", mistake_n)),
    ]
    return "\n".join(lines)


def _mistake_lines(combination: LearntCombination, rows: list[dict[Any, Any]]) -> list[str]:
    lines = []
    for row in rows:
        lines.append(f"{_INDENT}{row['name']} ('{row['split']}' split): {_counts(row, '', combination)}")
        lines.append(f"{_INDENT * 2}|-> as '{combination.name}': {_counts(row, 'reverse_', combination)}")
    return lines or [f"{_INDENT}none"]


def _section(combination: LearntCombination, mistake_n: int | None) -> str:
    wrong = combination.mistakes
    neighbours = [
        {
            "Neighbour": f"{row['name']}{_seen(row, combination)}",
            "Split": text(row["split"]),
            "Coefficient": _coefficient(row),
        }
        for row in combination.neighbours.to_dict("records")
    ]
    facts = (
        f"{combination.train_images} training images. Accuracy {combination.baseline_accuracy:.2f} with the baseline "
        f"({_count(wrong['before'].sum())} of {combination.test_images} predictions are wrong) and "
        f"{combination.accuracy:.2f} on average with AlphaNet ({wrong['after_total'].sum()} of "
        f"{combination.test_images * combination.repeats} are wrong, {_repeats(combination)})."
    )
    parts = [f"### {combination.name}", facts, Table(neighbours).markdown().rstrip("\n")]
    for title, column in (("the baseline", "before"), ("AlphaNet", "after")):
        rows = [
            {
                "Predicted": row["name"],
                "Split": text(row["split"]),
                "Baseline → AlphaNet": _counts(row, "", combination, "→"),
                f"As {combination.name}": _counts(row, "reverse_", combination, "→"),
            }
            for row in _most_frequent(wrong, column, mistake_n)
        ]
        parts.append(f"Most frequent mistakes of {title}:" if rows else f"There are no mistakes of {title}.")
        parts += [Table(rows).markdown().rstrip("\n")] if rows else []
    return "\n\n".join(parts) + "\n"


def _most_frequent(wrong: pd.DataFrame, column: str, number: int | None) -> list[dict[Any, Any]]:
    """Equally frequent ones come by label."""
    ordered = wrong[wrong[column] > 0].sort_values("predicted").sort_values(column, ascending=False, kind="stable")
    return ordered.head(len(ordered) if number is None else number).to_dict("records")


def _counts(row: dict[Any, Any], direction: str, combination: LearntCombination, arrow: str = "->") -> str:
    before, after = row[f"{direction}before"], row[f"{direction}after"]
    return f"{_count(before)} {arrow} {after:.2f} ({row[f'{direction}after_total']}/{combination.repeats})"


def _count(images: float) -> str:
    """Baselines that differ between repeats have a mean that need not be whole."""
    return f"{images:.0f}" if float(images).is_integer() else f"{images:.2f}"


def _coefficient(row: dict[Any, Any]) -> str:
    deviation = "" if is_missing(row["deviation"]) else f" ± {row['deviation']:.2g}"
    return f"{row['coefficient']:.2g}{deviation}"


def _seen(row: dict[Any, Any], combination: LearntCombination) -> str:
    """Neighbours that are drawn at random differ between repeats."""
    return "" if row["repeats"] == combination.repeats else f" in {row['repeats']} of {_repeats(combination)}"


def _repeats(combination: LearntCombination) -> str:
    return "1 repeat" if combination.repeats == 1 else f"{combination.repeats} repeats"
