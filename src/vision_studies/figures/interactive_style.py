"""What interactive figures have in common: their parts, their colours, and text that is shown as it is written.

Colours of text, axes and paper are left to the page (`reports/templates/charts.js`), which follows light and dark; black
lines become white there. The page also makes the controls that `layout.meta` asks for, as elements of HTML that a
keyboard reaches:

- `views`: {"label", "options": [{"name", "layout"}]}: one of several ways to look at the figure. The figure is
  the first of them. What an option sets in the layout is in its `layout` (dotted keys), and what the others change in a
  trace in its `meta["views"]`: a list with one dictionary for each option from the second on. A trace that is to be seen
  in one option only has the number of it in `meta["view"]`.
- `switches`: {"label"}: traces can be switched on and off. A trace with a switch has `meta["group"]`, by which it can be
  switched together with others, and `meta["label"]`, its name within the group. Both are shown as plain text.
- `wide`: the figure wants the whole width of the page.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Heatmap

from vision_studies.errors import DataError
from vision_studies.figures.style import PERCENT, short

DASHES = ("solid", "dash", "dot", "dashdot")
"""Of lines: with the colours, 28 lines can be told apart."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
"""Of points, the plainest first; the page knows a letter for each of them."""


class InteractiveFigure(NamedTuple):
    """A figure with its words, in the order of `reports.page.Chart`."""

    title: str
    caption: str
    figure: Figure


def escaped(name: object, letters: int | None = None) -> str:
    """A name as a label of Plotly: it reads tags and entities in labels, and would make a link of `<a href=...>`.

    Args:
        letters: cut it to so many.
    """
    # Quotation marks stay: Plotly does not know their entities.
    return html.escape(str(name) if letters is None else short(name, letters), quote=False)


def numbers(values: Any) -> np.ndarray:
    """Numbers as Plotly packs them, float32: it shows five of their seven digits at most."""
    return np.asarray(values, dtype=np.float32)


def hover(text: str, values: str = "") -> str:
    """A hover template that shows a text, which is escaped already, as it is, and below it a template of values."""
    # Braces would be read as room for a value.
    return f"{text.replace('{', '&#123;')}{values}<extra></extra>"


def view(name: str, **layout: Any) -> dict[str, Any]:
    """An option of `layout.meta["views"]`.

    Args:
        name: how the control calls it.
        layout: what it changes, with `__` for a dot, as in `yaxis__title__text`. An axis that gets a title gets its ends, too.
    """
    titles = {key.removesuffix("__title__text"): text for key, text in layout.items() if key.endswith("__title__text")}
    layout |= {f"{axis}__{end}": value for axis, text in titles.items() for end, value in _ends(text).items()}
    return {"name": name, "layout": {key.replace("__", "."): value for key, value in layout.items()}}


def figure(
    traces: Sequence[Any],
    *,
    height: int,
    views: Sequence[Mapping[str, Any]] = (),
    views_label: str = "",
    switches_label: str = "",
    wide: bool = False,
    **layout: Any,
) -> Figure:
    """A figure of these traces without a template, legend or title of its own: the page gives it all three.

    Args:
        height: in pixels; the width is the page's.
        views: from `view`; a single one needs no control.
        views_label: what they are, such as "Metric".
        switches_label: what the traces with switches are, such as "Runs"; empty: there are no switches.
        wide: it wants the whole width of the page.
    """
    meta: dict[str, Any] = {"wide": True} if wide else {}
    if len(views) > 1:
        meta["views"] = {"label": views_label, "options": list(views)}
    if switches_label:
        meta["switches"] = {"label": switches_label}
    fig = Figure(data=list(traces))
    fig.layout.template = None
    fig.update_layout(
        height=height, margin={"l": 60, "r": 16, "t": 32, "b": 64}, showlegend=False, meta=meta or None, **layout
    )
    for axis in (fig.layout.xaxis, fig.layout.yaxis):
        if (text := axis.title.text) is not None:
            axis.update(_ends(text))
    return fig


def _ends(title: str) -> dict[str, int | None]:
    """How far the axis of this title may reach at most."""
    return {"minallowed": 0, "maxallowed": 100} if title.endswith(PERCENT) else {"minallowed": None, "maxallowed": None}


def cells(**content: Any) -> Heatmap:
    """A map with a text in each cell, and with the text of `customdata` where one points at it.

    Args:
        content: z, text and customdata, a list a row; x and y, the names of columns and rows; meta.
    """
    templates = {"texttemplate": "%{text}", "hovertemplate": "%{customdata}<extra></extra>"}
    return Heatmap(coloraxis="coloraxis", xgap=1, ygap=1, **templates, **content)


def categories(title: str) -> dict[str, Any]:
    """An axis of names."""
    # Named as categories: Plotly would take an architecture called 24 for a number, and 2020-01 for a date.
    return {"type": "category", "title": {"text": title}, "automargin": True, "showgrid": False, "zeroline": False}


def colour_scale(colours: Any, title: str, *, y: float = 1.02, **ends: float) -> dict[str, Any]:
    """The axis of colours of a figure, with its scale above the panel; `cmin` and `cmax` are its ends."""
    bar = {"orientation": "h", "thickness": 10, "len": 0.6, "x": 0, "xanchor": "left", "y": y, "yanchor": "bottom"}
    return {
        "colorscale": colours,
        "colorbar": {**bar, "outlinewidth": 0, "title": {"text": title, "side": "top"}},
        **ends,
    }


def need_columns(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Check that a table has the columns that a figure needs.

    Raises:
        DataError: one is missing.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"The table of {what} has no column '{missing[0]}'; run its pipeline again to write it in today's form."
        )
