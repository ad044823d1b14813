"""One table of texts, written for readers, papers, spreadsheets, terminals and notebooks."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_FORMULA = re.compile(r"\s*[=+\-@]|\t")
_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?( ± [\d.,]+)?( ?%)?\Z")
_COMMANDS = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "×": r"$\times$",
    }
)


class Latex(str):
    """A text that is LaTeX already."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Rows below headings.

    Attributes:
        rows: one dictionary a row, all with the same keys, which are the headings: texts, or numbers, of which only `csv`
            keeps the type.
        title: heading in Markdown.
        caption: in LaTeX; the title as a sentence if empty.
        label: to refer to it by in LaTeX.
        note: sentences below it in Markdown, and behind the caption in LaTeX.
        align: `l` or `r` for each column; if empty the first is aligned to the left and all others to the right.
        begins: rows that begin a group; LaTeX has a rule above them.
        bold: pairs of row and column.
    """

    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    caption: str = ""
    label: str = ""
    note: str = ""
    align: str = ""
    begins: Collection[int] = ()
    bold: Collection[tuple[int, str]] = ()

    @property
    def headings(self) -> list[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    @property
    def alignment(self) -> str:
        """A letter a column."""
        return self.align or "l" + "r" * (len(self.headings) - 1)

    def markdown(self) -> str:
        """Heading, table and note."""
        rows = [{name: _in_markdown(row[name]) for name in self.headings} for row in self.rows]
        cells = [
            [f"**{text}**" if (number, name) in self.bold else text for name, text in row.items()]
            for number, row in enumerate(rows)
        ]
        title = f"## {self.title}\n\n" if self.title else ""
        note = f"\n{self.note}\n".replace("*", "\\*") if self.note else ""
        return f"{title}{_tabulated(cells, [_in_markdown(name) for name in self.headings], 'github')}\n{note}"

    def latex(self) -> str:
        """A table for `booktabs`, with every character that LaTeX would take for a command escaped."""
        caption = self.caption or self.title.rstrip(".") + "."
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_in_latex(f'{caption} {self.note}'.strip())}}}"]
        lines += [rf"\label{{{self.label}}}", rf"\begin{{tabular}}{{{self.alignment}}}", r"\toprule"]
        lines += [_latex_row(map(_in_latex, self.headings)), r"\midrule"]
        for number, row in enumerate(self.rows):
            lines += [r"\midrule"] if number and number in self.begins else []
            cells = {name: _in_latex(value) for name, value in row.items()}
            bold = {name: rf"\textbf{{{cells[name]}}}" for name in row if (number, name) in self.bold}
            lines.append(_latex_row((cells | bold).values()))
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])

    def csv(self, decimals: int | None = None) -> str:
        """Comma-separated values for a spreadsheet, which takes no cell for a formula; what is missing is empty.

        A spreadsheet computes what begins with `=`, `+`, `-` or `@`, unless it is a number, and a formula can open programs:
        such a text gets an apostrophe before it, as spreadsheets write texts themselves.

        Args:
            decimals: of numbers with a fraction; as many as they have if missing.
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        for row in (self.headings, *(row.values() for row in self.rows)):
            writer.writerow([_in_spreadsheet(value, decimals) for value in row])
        return file.getvalue()

    def terminal(self) -> str:
        """Columns with dashes below their headings."""
        return _tabulated([list(row.values()) for row in self.rows], self.headings, "simple", self.alignment)

    def without(self, *empty: str) -> "Table":
        """The same table without those of these columns that have no value in any row."""
        names = [name for name in self.headings if name not in empty or any(row[name] for row in self.rows)]
        letters = dict(zip(self.headings, self.alignment, strict=True))
        rows = [{name: row[name] for name in names} for row in self.rows]
        return replace(self, rows=rows, align="".join(letters[name] for name in names))

    def html(self) -> str:
        """An element of HTML, in which nothing is markup."""
        return _tabulated([list(row.values()) for row in self.rows], self.headings, "html", self.alignment)

    _repr_html_ = html  # how a notebook shows it


def _tabulated(rows: list[list[Any]], headings: list[str], kind: str, align: str = "") -> str:
    from tabulate import tabulate

    aligned = [{"l": "left", "r": "right"}[letter] for letter in align] or None
    return tabulate(rows, headers=headings, tablefmt=kind, disable_numparse=True, colalign=aligned)


def _in_markdown(value: Any) -> str:
    return str(value).replace("|", "\\|")


def _in_latex(value: Any) -> str:
    return value if isinstance(value, Latex) else str(value).translate(_COMMANDS)


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _in_spreadsheet(value: Any, decimals: int | None) -> Any:
    if isinstance(value, str):
        text = value.replace("\r", " ")  # which ends a row for some readers, even where it stands in a cell
        return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text
    if isinstance(value, float):
        return "" if value != value else value if decimals is None else f"{value:.{decimals}f}"  # noqa: PLR0124 - NaN
    return value
