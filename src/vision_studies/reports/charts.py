"""Interactive figures in a page that stands alone: the figures as JSON, and Plotly's own script, packed.

A page has `chart_json` of each figure in a block of data and `plotly_archive` once; `templates/charts.js` unpacks the
script when the page is idle or a figure comes into view, and draws. What the page's Content-Security-Policy must allow
for that is in `content_security_sources`; nothing is evaluated from text, and no style is written into markup.
"""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_studies.errors import DataError
from vision_studies.reports.embedding import digest, packed
from vision_studies.reports.formatting import is_missing

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_DIGITS = 5  # what a screen can show of a number
_EMPTY = ""  # Plotly adds empty style elements and writes its rules through the object model, which no policy restricts
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SHORT_LIST = 16  # below, naming the type of packed numbers costs more than it saves


@dataclass(frozen=True)
class Chart:
    """An interactive figure with its words.

    Attributes:
        title: heading.
        caption: what to look for; with the title it stands for the figure where that is not seen.
        figure: from `plots.interactive_*`; its `layout.meta` says which controls it has.
    """

    title: str
    caption: str
    figure: "Figure"


def chart_json(figure: "Figure") -> str:
    """Data and layout of a figure as compact JSON that can stand within a script element.

    Fractional numbers have five significant digits, whole ones all theirs; what is not finite is null. Long lists of
    numbers are packed as Plotly does it (`dtype`, and `bdata` in base64, little-endian) where that is shorter.

    Raises:
        DataError: the figure holds a value that JSON has no form for.
    """
    layout = figure.layout.to_plotly_json()
    layout.pop("template", None)  # 7 kB of defaults, of which the page's own theme leaves none
    content = {"data": [_plain(trace.to_plotly_json()) for trace in figure.data], "layout": _plain(layout)}
    written = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character, escape in _MARKUP.items():
        written = written.replace(character, escape)
    return written


@cache
def plotly_archive() -> str:
    """Plotly's minified script, gzipped, in base64: 2 MB, where the script itself has 4.8 MB."""
    return packed(_plotly_script())


@cache
def content_security_sources() -> dict[str, tuple[str, ...]]:
    """Directive of a Content-Security-Policy -> sources that charts need in it beside those of the page.

    The scripts are Plotly's, by its digest; the page itself has to name `charts.js`, as it names its other scripts.
    """
    return {"script-src": (digest(_plotly_script()),), "style-src": (digest(_EMPTY),)}


@cache
def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _plain(value: Any) -> Any:
    """The value in lists, dictionaries, strings and numbers of Python alone, rounded and packed."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return _shortest([_plain(own) for own in value])
    if isinstance(value, str | bool | int):
        return value
    if is_missing(value):
        return None
    if isinstance(value, float):
        return _rounded(value)
    raise DataError(f"A figure holds a {type(value).__name__}; give it numbers, text, lists and dictionaries alone.")


def _rounded(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _shortest(values: list[Any]) -> Any:
    """The list itself, or the same numbers packed where that takes fewer letters."""
    if len(values) < _SHORT_LIST or any(
        isinstance(own, bool) or not (own is None or isinstance(own, int | float)) for own in values
    ):
        return values
    shorter = _typed(values)
    return shorter if shorter and len(json.dumps(shorter)) < len(json.dumps(values, separators=(",", ":"))) else values


def _typed(values: list[Any]) -> dict[str, str] | None:
    if all(isinstance(own, int) for own in values):
        kinds = [name for name in ("i1", "i2", "i4") if _holds(np.iinfo(name), values)]
        if not kinds:
            return None
        kind = kinds[0]
    elif all(own is None or own == 0 or 1e-30 < abs(own) < 1e30 for own in values):
        kind = "f4"  # seven digits, more than are kept
    else:
        return None
    numbers = np.array([math.nan if own is None else own for own in values], dtype=f"<{kind}")
    return {"dtype": kind, "bdata": base64.b64encode(numbers.tobytes()).decode("ascii")}


def _holds(limits: np.iinfo, values: list[int]) -> bool:
    return limits.min <= min(values) and max(values) <= limits.max
