"""Tables of cuts: what `analysis.rankings` has computed, as a description of each cell, and comparisons of cuts or of modes."""

from typing import Any

import pandas as pd

from vision_studies.reports.formatting import MISSING, is_missing, number, points, significant, spread
from vision_studies.reports.table import Table

_BASELINE = -1
_TOO_FEW = "too few repeats"
_ACCURACIES_NOTE = (
    "Mean ± standard deviation over repeats. Bold: highest mean test accuracy of a share. "
    "*: differs significantly from the baseline (signed ranks, corrected for the number of pairs)."
)
_EXPERIMENTS_NOTE = (
    "Mean ± standard deviation of the test accuracy over repeats. "
    "Higher: the mode that is significantly better (signed ranks, corrected for the number of cuts)."
)


def accuracies(description: pd.DataFrame, comparisons: pd.DataFrame, title: str, label: str) -> Table:
    """Every fraction and cut of a mode, against the baseline.

    Args:
        description: from `analysis.rankings.describe`, of one mode and the baseline: fraction, cut, n, mean,
            standard_deviation, train_mean, images.
        comparisons: from `analysis.rankings.compare_pairs`: fraction, first, second, difference, p_holm, significant.
        title: its heading.
        label: to refer to it by.
    """
    against = comparisons[comparisons["second"] == _BASELINE]
    differences = {(row["fraction"], row["first"]): row for row in against.to_dict("records")}
    best = description.groupby("fraction")["mean"].max()
    rows, bold = [], []
    for number_of_row, cell in enumerate(description.sort_values(["fraction", "cut"]).to_dict("records")):
        pair: dict[Any, Any] = differences.get((cell["fraction"], cell["cut"]), {})
        rows.append(
            {
                "Images": _share(cell),
                "Cut": _cut(cell["cut"]),
                "Repeats": number(cell["n"]),
                "Train (%)": spread(100 * cell["train_mean"], None),
                "Test (%)": spread(100 * cell["mean"], 100 * cell["standard_deviation"]),
                "Minus baseline (points)": points(pair.get("difference")) + "*" * bool(pair.get("significant")),
                "Corrected p": significant(pair.get("p_holm")),
            }
        )
        if cell["mean"] == best[cell["fraction"]]:
            bold.append((number_of_row, "Test (%)"))
    return _grouped(rows, bold, title, label, _ACCURACIES_NOTE)


def experiments(
    first_description: pd.DataFrame, second_description: pd.DataFrame, compared: pd.DataFrame, title: str, label: str
) -> Table:
    """Two modes at every fraction and cut that both have, and which of them is higher.

    Args:
        first_description: from `analysis.rankings.describe`, of the first mode.
        second_description: of the second.
        compared: from `analysis.rankings.compare_experiments`: fraction, cut, first and second (labels), difference, p_holm,
            verdict, can_be_significant.
        title: its heading.
        label: to refer to it by.
    """
    first, second = (
        {(row["fraction"], row["cut"]): row for row in table.to_dict("records")}
        for table in (first_description, second_description)
    )
    rows, bold = [], []
    for number_of_row, pair in enumerate(compared.sort_values(["fraction", "cut"]).to_dict("records")):
        cell = (pair["fraction"], pair["cut"])
        higher = {"higher": pair["first"], "lower": pair["second"]}.get(pair["verdict"])
        rows.append(
            {
                "Images": _share(first[cell]),
                "Cut": _cut(pair["cut"]),
                f"{pair['first']} (%)": spread(100 * first[cell]["mean"], 100 * first[cell]["standard_deviation"]),
                f"{pair['second']} (%)": spread(100 * second[cell]["mean"], 100 * second[cell]["standard_deviation"]),
                "Difference (points)": points(pair["difference"]),
                "Corrected p": significant(pair["p_holm"]),
                "Higher": (higher or MISSING) if pair["can_be_significant"] else _TOO_FEW,
            }
        )
        if higher:
            bold.append((number_of_row, f"{higher} (%)"))
    return _grouped(rows, bold, title, label, _EXPERIMENTS_NOTE)


def _grouped(rows: list[dict[str, str]], bold: list[tuple[int, str]], title: str, label: str, note: str) -> Table:
    """The fraction is written in the first of its rows alone."""
    shares = [row["Images"] for row in rows]
    begins = [place for place, share in enumerate(shares) if place == 0 or share != shares[place - 1]]
    shown = [row if place in begins else row | {"Images": ""} for place, row in enumerate(rows)]
    align = "ll" + "r" * (len(rows[0]) - 2) if rows else ""
    return Table(shown, title, label=label, note=note, align=align, begins=begins, bold=bold)


def _share(cell: dict[Any, Any]) -> str:
    share = f"{100 * cell['fraction']:g} %"
    return share if is_missing(cell.get("images")) else f"{share} ({number(cell['images'])})"


def _cut(cut: int) -> str:
    return "baseline" if cut == _BASELINE else str(cut)
