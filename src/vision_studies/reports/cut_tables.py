"""Tables of cuts as text: Markdown, and LaTeX with booktabs.

They show what `analysis.rankings` has computed: a description of each cell, and comparisons of cuts or of two modes.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from vision_studies.reports.booktabs import markdown_table
from vision_studies.reports.formatting import MISSING, is_missing, number, points, significant

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

_ESCAPED = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {character: f"\\{character}" for character in "&%$#_{}"}
)


@dataclass(frozen=True)
class _Texts:
    """Cells as text, which of them are bold, and which rows begin a fraction."""

    cells: pd.DataFrame
    bold: pd.DataFrame
    begins: list[bool]


def accuracies_markdown(description: pd.DataFrame, comparisons: pd.DataFrame, title: str) -> str:
    """Every fraction and cut of a mode, against the baseline.

    Args:
        description: from `analysis.rankings.describe`, of one mode and the baseline: fraction, cut, n, mean,
            standard_deviation, train_mean, images.
        comparisons: from `analysis.rankings.compare_pairs`: fraction, first, second, difference, p_holm, significant.
        title: its heading.
    """
    return _markdown(_accuracies(description, comparisons), title, _ACCURACIES_NOTE)


def accuracies_latex(description: pd.DataFrame, comparisons: pd.DataFrame, caption: str, label: str) -> str:
    """As `accuracies_markdown`, for LaTeX.

    Args:
        description: as there.
        comparisons: as there.
        caption: a sentence, which the meaning of the marks follows.
        label: to refer to it by.
    """
    return _latex(_accuracies(description, comparisons), f"{caption} {_ACCURACIES_NOTE}", label)


def experiments_markdown(
    first_description: pd.DataFrame, second_description: pd.DataFrame, compared: pd.DataFrame, title: str
) -> str:
    """Two modes at every fraction and cut that both have, and which of them is higher.

    Args:
        first_description: from `analysis.rankings.describe`, of the first mode.
        second_description: of the second.
        compared: from `analysis.rankings.compare_experiments`: fraction, cut, first and second (labels), difference, p_holm,
            verdict, can_be_significant.
        title: its heading.
    """
    return _markdown(_experiments(first_description, second_description, compared), title, _EXPERIMENTS_NOTE)


def experiments_latex(
    first_description: pd.DataFrame,
    second_description: pd.DataFrame,
    compared: pd.DataFrame,
    caption: str,
    label: str,
) -> str:
    """As `experiments_markdown`, for LaTeX; caption and label as in `accuracies_latex`."""
    texts = _experiments(first_description, second_description, compared)
    return _latex(texts, f"{caption} {_EXPERIMENTS_NOTE}", label)


def _accuracies(description: pd.DataFrame, comparisons: pd.DataFrame) -> _Texts:
    against = comparisons[comparisons["second"] == _BASELINE]
    differences = {(row["fraction"], row["first"]): row for row in against.to_dict("records")}
    rows, best, fractions = [], [], []
    for fraction, own in description.groupby("fraction"):
        for cell in own.sort_values("cut").to_dict("records"):
            pair: dict[Any, Any] = differences.get((fraction, cell["cut"]), {})
            rows.append(
                {
                    "Images": _share(cell),
                    "Cut": _cut(cell["cut"]),
                    "Repeats": number(cell["n"]),
                    "Train (%)": _percent(cell["train_mean"]),
                    "Test (%)": _spread(cell),
                    "Minus baseline (points)": points(pair.get("difference")) + "*" * bool(pair.get("significant")),
                    "Corrected p": significant(pair.get("p_holm")),
                }
            )
            best.append(cell["mean"] == own["mean"].max())
            fractions.append(fraction)
    return _texts(rows, {"Test (%)": best}, fractions)


def _experiments(first: pd.DataFrame, second: pd.DataFrame, compared: pd.DataFrame) -> _Texts:
    cells = [{(row["fraction"], row["cut"]): row for row in table.to_dict("records")} for table in (first, second)]
    rows, fractions = [], []
    higher: dict[str, list[bool]] = {}
    for pair in compared.sort_values(["fraction", "cut"]).to_dict("records"):
        place = (pair["fraction"], pair["cut"])
        names = [f"{pair['first']} (%)", f"{pair['second']} (%)"]
        verdict = {"higher": pair["first"], "lower": pair["second"]}.get(pair["verdict"], MISSING)
        rows.append(
            {
                "Images": _share(cells[0][place]),
                "Cut": _cut(pair["cut"]),
                **{name: _spread(own[place]) for name, own in zip(names, cells, strict=True)},
                "Difference (points)": points(pair["difference"]),
                "Corrected p": significant(pair["p_holm"]),
                "Higher": verdict if pair["can_be_significant"] else _TOO_FEW,
            }
        )
        for name, wanted in zip(names, ("higher", "lower"), strict=True):
            higher.setdefault(name, []).append(pair["verdict"] == wanted)
        fractions.append(pair["fraction"])
    return _texts(rows, higher, fractions)


def _texts(rows: list[dict[str, str]], bold: dict[str, list[bool]], fractions: list[float]) -> _Texts:
    """The fraction is written in the first of its rows alone."""
    begins = [place == 0 or fraction != fractions[place - 1] for place, fraction in enumerate(fractions)]
    cells = pd.DataFrame([row if first else row | {"Images": ""} for row, first in zip(rows, begins, strict=True)])
    marked = pd.DataFrame({name: bold.get(name, [False] * len(rows)) for name in cells.columns}, dtype=bool)
    return _Texts(cells, marked, begins)


def _markdown(texts: _Texts, title: str, note: str) -> str:
    shown = texts.cells.map(lambda text: text.replace("|", "\\|"))
    shown = shown.mask(texts.bold, "**" + shown + "**")
    shown.columns = [str(name).replace("|", "\\|") for name in shown.columns]
    return f"{markdown_table(shown, title)}\n{note}\n".replace("*: differs", "\\*: differs")


def _latex(texts: _Texts, caption: str, label: str) -> str:
    columns = "ll" + "r" * (texts.cells.shape[1] - 2)
    styler = texts.cells.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    styler = styler.apply(lambda _: texts.bold.replace({True: "textbf:--rwrap;", False: ""}), axis=None)
    text = styler.to_latex(
        column_format=columns, hrules=True, caption="CAPTION", label=label, position_float="centering"
    )
    head, body = text.split("\\midrule\n")
    lines = body.splitlines(keepends=True)
    ruled = ["\\midrule\n" + line if first else line for line, first in zip(lines, texts.begins, strict=False)]
    text = head + "".join(ruled + lines[len(texts.begins) :])
    return text.replace("CAPTION", caption.translate(_ESCAPED), 1).replace("±", "$\\pm$")


def _share(cell: dict[Any, Any]) -> str:
    share = f"{100 * cell['fraction']:g} %"
    return share if is_missing(cell.get("images")) else f"{share} ({number(cell['images'])})"


def _cut(cut: int) -> str:
    return "baseline" if cut == _BASELINE else str(cut)


def _percent(value: Any) -> str:
    return MISSING if is_missing(value) else f"{100 * value:.2f}"


def _spread(cell: dict[Any, Any]) -> str:
    mean, deviation = _percent(cell["mean"]), _percent(cell["standard_deviation"])
    return mean if deviation == MISSING else f"{mean} ± {deviation}"
