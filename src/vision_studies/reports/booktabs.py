"""Tables as text: Markdown, and LaTeX with booktabs."""

import pandas as pd
from tabulate import tabulate


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
