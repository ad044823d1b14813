"""What kedro-viz shows of a data set in its side panel: short forms of tables, texts and folders of files.

A study that works with a few pipelines only leaves the data sets of the others unmade; they say so in place of a preview,
so that building the site of such a study warns of nothing.
"""

import base64
import html
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kedro_datasets._typing import HTMLPreview, JSONPreview, TablePreview

if TYPE_CHECKING:
    import pandas as pd

NOT_MADE = "Nothing here: not made yet, or not part of this study."
NO_JSON, NO_TABLE = JSONPreview(json.dumps(NOT_MADE)), TablePreview({"columns": [NOT_MADE], "data": []})
"""Say that the data set has not been made."""

LONGEST_CELL = 60
LONGEST_TEXT = 4000


def table_preview(table: "pd.DataFrame") -> TablePreview:
    """The table with four significant digits and short cells, without the columns that are empty in all of these rows."""
    shown = table.dropna(axis="columns", how="all") if len(table) else table
    rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False, name=None)]
    return TablePreview({"columns": [str(name) for name in shown.columns], "data": rows})


def text_preview(text: str) -> HTMLPreview:
    """The beginning of a text as it is written."""
    return HTMLPreview(_written(text))


def partitions_preview(partitions: Mapping[str, Callable[[], Any]], number: int, *, markdown: bool) -> HTMLPreview:
    """The first files with their names: figures as pictures, tables, texts and JSON; of the others, their names.

    `partitions` has the names with functions that load: bytes of a PNG, a table, text (Markdown or not), or what JSON can hold.
    """
    if not partitions:
        return HTMLPreview(f"<p>{NOT_MADE}</p>")
    names = sorted(partitions)
    parts = [f"<h4>{_safe(name)}</h4>{_partition(name, partitions[name](), markdown)}" for name in names[:number]]
    others = f"<h4>and {len(names) - number} more</h4><p>{_safe(', '.join(names[number:]))}</p>"
    return HTMLPreview("".join(parts) + (others if len(names) > number else ""))


def _partition(name: str, content: Any, markdown: bool) -> str:
    if isinstance(content, bytes):
        picture = base64.b64encode(content).decode()
        return f'<img src="data:image/png;base64,{picture}" alt="{_safe(name)}" style="max-width: 100%">'
    if isinstance(content, str):
        return f"\n\n{_safe(content)}\n\n" if markdown else _written(content)
    if hasattr(content, "columns"):
        table = table_preview(content.head())
        rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in table["data"])
        return f'<div style="overflow-x: auto"><table><tr>{_cells("th", table["columns"])}</tr>{rows}</table></div>'
    return _written(json.dumps(content, indent=2))


def _written(text: str) -> str:
    return f"<pre>{_safe(_cut(text, LONGEST_TEXT))}</pre>"


def _cells(kind: str, values: list[Any]) -> str:
    return "".join(f"<{kind}>{_safe(str(value))}</{kind}>" for value in values)


def _safe(text: str) -> str:
    # kedro-viz takes two underscores on a line for Markdown's italics, even in preformatted text; this is their lookalike.
    return html.escape(text).replace("_", "\N{MODIFIER LETTER LOW MACRON}")


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else float(f"{value:.4g}") if abs(value) < 1 else round(value, 2)  # noqa: PLR0124
    if value is None or str(value) in ("<NA>", "NaT"):
        return ""
    return _cut(value, LONGEST_CELL) if isinstance(value, str) else value


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 2] + " …"
