"""Tables as text: Markdown, LaTeX with booktabs, and comma-separated values for spreadsheets."""

import re
from typing import Any

import pandas as pd
from tabulate import tabulate

_FORMULA = re.compile(r"\s*[=+\-@]|\t")
_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?( ± [\d.,]+)?( ?%)?\Z")


def markdown_table(table: pd.DataFrame, title: str) -> str:
    """A heading and a table of texts."""
    text = tabulate(table.astype(str).to_dict("list"), headers="keys", tablefmt="github", disable_numparse=True)
    return f"## {title}\n\n{text}\n"


def latex_table(table: pd.DataFrame, caption: str, label: str) -> str:
    """A table of texts for `booktabs`, with every character that LaTeX would take for a command escaped.

    Args:
        table: one row a line.
        caption: below it.
        label: to refer to it by.
    """
    shown = table.astype(str).map(_escape)
    shown.columns = [_escape(str(name)) for name in shown.columns]
    columns = "l" + "r" * (len(shown.columns) - 1)
    return shown.style.hide(axis="index").to_latex(
        column_format=columns, hrules=True, caption=_escape(caption), label=label, position_float="centering"
    )


def csv_table(table: pd.DataFrame, float_format: str | None = None) -> str:
    """A table of texts and numbers as comma-separated values for a spreadsheet, which takes no cell for a formula.

    A spreadsheet computes what begins with `=`, `+`, `-` or `@`, unless it is a number, and a formula can open programs: such
    a text gets an apostrophe before it, as spreadsheets write texts themselves.

    Args:
        table: one row a line.
        float_format: of numbers with a fraction, such as `%.1f`; as many digits as they have without it.
    """
    shown = table.map(_as_cell)
    shown.columns = [_as_cell(str(name)) for name in shown.columns]
    return shown.to_csv(index=False, float_format=float_format, lineterminator="\n")


def _as_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which ends a row for some readers, even where it stands in a cell
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def _escape(text: str) -> str:
    replaced = {
        "\\": r"\textbackslash{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "×": r"$\times$",
    }
    return "".join(replaced.get(character, character) for character in text)
