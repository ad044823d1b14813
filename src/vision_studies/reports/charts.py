"""Interactive figures in a page that stands alone: the figures as JSON, and Plotly's own script, packed.

A page has `chart_json` of each figure in a block of data and `plotly_archive` once; `templates/charts.js` unpacks the
script when the page is idle or a figure comes into view, and draws. What the page's Content-Security-Policy must allow
for that is in `content_security_sources`; nothing is evaluated from text, and no style is written into markup.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from vision_studies.errors import DataError
from vision_studies.reports.embedding import digest, packed

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_EMPTY = ""  # Plotly adds empty style elements and writes its rules through the object model, which no policy restricts
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


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

    Arrays of NumPy are packed by Plotly (`dtype`, and `bdata` in base64, little-endian); what is not finite is null elsewhere.

    Raises:
        DataError: the figure holds a value that JSON has no form for.
    """
    from plotly.utils import PlotlyJSONEncoder

    content = figure.to_dict()
    content["layout"].pop("template", None)  # 7 kB of defaults, of which the page's own theme leaves none
    written = PlotlyJSONEncoder(default=_plain, separators=(",", ":"), ensure_ascii=False).encode(content)
    for character, escape in _MARKUP.items():
        written = written.replace(character, escape)
    return written


def _plain(value: Any) -> Any:
    from plotly.utils import PlotlyJSONEncoder

    try:
        return PlotlyJSONEncoder().default(value)
    except TypeError as error:
        raise DataError(
            f"A figure holds a {type(value).__name__}; give it numbers, text, lists and dictionaries alone."
        ) from error


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
