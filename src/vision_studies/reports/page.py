"""Self-contained HTML pages: no file beside them, no network, and nothing in them is taken for markup.

Figures are embedded, and made smaller where they would make a page too large. A page with interactive figures has
`chart_json` of each in a block of data and `plotly_archive` once; `templates/charts.js` unpacks the script when the page is
idle or a figure comes into view, and draws. What the page's Content-Security-Policy must allow for that is in
`content_security_sources`; nothing is evaluated from text, and no style is written into markup.
"""

import base64
import gzip
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from vision_studies.errors import DataError
from vision_studies.reports import formatting

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PAGE_BYTES = 5_000_000
"""A page is smaller than this."""

_WIDE = 1.7  # a figure so many times as wide as high gets a row of its own
_QUALITY = 80  # of WebP: lines and letters stay sharp, and files shrink to a third
_SHRINK = 0.7


@dataclass(frozen=True)
class Chart:
    """An interactive figure with its words.

    Attributes:
        title: heading.
        caption: what to look for; with the title it stands for the figure where that is not seen.
        figure: from `figures.interactive_*`; its `layout.meta` says which controls it has.
    """

    title: str
    caption: str
    figure: "Figure"


@dataclass(frozen=True)
class ReportFigure:
    """A figure with the words that stand for it.

    Attributes:
        title: heading; the caption says what to look for.
        png: content of the file.
        pipeline: whose it is.
        alternative_text: what the figure shows, for those who do not see it; empty: title and caption.
    """

    title: str
    caption: str
    png: bytes
    pipeline: str
    alternative_text: str = ""


def render_page(template: str, *, charts: Sequence[Chart] = (), **values: Any) -> str:
    """A template as a page, with the style sheet and the script of all reports.

    Args:
        template: its name below `templates`.
        charts: all that the page has; with them comes the library that draws them.
        values: what the template shows.
    """
    environment = _environment()
    loader = environment.loader
    assert loader is not None  # noqa: S101 - set in the function below
    stems = ["report", "charts"] if charts else ["report"]
    css, javascript = (
        [loader.get_source(environment, f"{stem}.{ending}")[0] for stem in stems] for ending in ("css", "js")
    )
    # The page names the only styles and scripts it may use: what slips past the escaping is still not run.
    needed = content_security_sources() if charts else {}
    allowed = {
        "default-src": ["'none'"],
        "img-src": ["data:"],
        "style-src": [*map(digest, css), *needed.get("style-src", ())],
        "script-src": [*map(digest, javascript), *needed.get("script-src", ())],
    }
    return environment.get_template(template).render(
        **values,
        charts=charts,
        plotly=plotly_archive() if charts else "",
        styles=[Markup(source) for source in css],  # noqa: S704 - our own files
        scripts=[Markup(source) for source in javascript],  # noqa: S704
        policy="; ".join(f"{directive} {' '.join(sources)}" for directive, sources in allowed.items()),
    )


def template_environment(filters: Sequence[str], *, autoescape: bool, **options: Any) -> Environment:
    """Where the templates are read, with functions of `formatting` as their filters; what a template lacks is an error."""
    environment = Environment(
        loader=PackageLoader("vision_studies.reports"),
        autoescape=autoescape,  # noqa: S701 - of Markdown, its own filters escape what comes from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters |= {name: getattr(formatting, name) for name in filters}
    return environment


@cache
def _environment() -> Environment:
    names = ("text", "percent", "points", "number", "significant", "count", "duration")
    environment = template_environment(names, autoescape=True)
    environment.filters["breakable"] = _breakable
    environment.filters["chart_json"] = lambda figure: Markup(chart_json(figure))  # noqa: S704 - it escapes what it holds
    environment.tests["missing"] = formatting.is_missing
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken into lines after an underscore or a dot."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.])", name))  # escapes the parts


def chart_json(figure: "Figure") -> str:
    """Data and layout of a figure as compact JSON that can stand within a script element.

    Arrays of NumPy are packed by Plotly (`dtype`, and `bdata` in base64, little-endian); what is not finite is null elsewhere.

    Raises:
        DataError: the figure holds a value that JSON has no form for.
    """
    from plotly.utils import PlotlyJSONEncoder

    def plain(value: Any) -> Any:
        try:
            return PlotlyJSONEncoder().default(value)
        except TypeError as error:
            raise DataError(
                f"A figure holds a {type(value).__name__}; give it numbers, text, lists and dictionaries alone."
            ) from error

    content = figure.to_dict()
    content["layout"].pop("template", None)  # 7 kB of defaults, of which the page's own theme leaves none
    written = PlotlyJSONEncoder(default=plain, separators=(",", ":"), ensure_ascii=False).encode(content)
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return written


@cache
def plotly_archive() -> str:
    """Plotly's minified script, gzipped, in base64: 2 MB, where the script itself has 4.8 MB."""
    return packed(_plotly_script())


@cache
def content_security_sources() -> dict[str, tuple[str, ...]]:
    """Directive of a Content-Security-Policy -> sources that charts need in it beside those of the page.

    The scripts are Plotly's, by its digest; the page itself has to name `charts.js`, as it names its other scripts. Plotly adds
    empty style elements and writes its rules through the object model, which no policy restricts.
    """
    return {"script-src": (digest(_plotly_script()),), "style-src": (digest(""),)}


@cache
def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def packed(text: str) -> str:
    """Text for a script of the page to unpack: base64 of gzip, without a time in it, so that equal pages are equal files."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def digest(source: str) -> str:
    """What a content security policy calls a script or a style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode('ascii')}'"


def describe_figure(figure: ReportFigure) -> dict[str, Any]:
    """Title, caption, alternative_text, width, height (pixels) and wide: what a template says of a figure.

    Raises:
        DataError: the figure is not a PNG file.
    """
    try:
        with Image.open(io.BytesIO(figure.png), formats=["PNG"]) as image:
            width, height = image.size
    except OSError as error:
        raise DataError(
            f"The figure '{figure.title}' is not a PNG file; delete its file and run its pipeline again."
        ) from error
    return {
        "title": figure.title,
        "caption": figure.caption,
        "alternative_text": figure.alternative_text or f"{figure.title}: {figure.caption}",
        "width": width,
        "height": height,
        "wide": width > _WIDE * height,
    }


def figure_sources(figures: Sequence[ReportFigure], budget: int) -> list[str]:
    """Data address of every figure.

    Args:
        figures: PNG files.
        budget: bytes that all of them may take together; the largest are written as WebP, and then smaller, until they do.
    """
    embedded = [_Embedded(figure.png, figure.png) for figure in figures]
    while sum(len(one.content) for one in embedded) > budget:
        largest = max((one for one in embedded if one.can_shrink), key=lambda one: len(one.content), default=None)
        if largest is None:
            break
        largest.shrink()
    return [f"data:image/{one.kind};base64,{base64.b64encode(one.content).decode()}" for one in embedded]


@dataclass
class _Embedded:
    original: bytes
    content: bytes
    kind: str = "png"
    scale: float = 1.0
    can_shrink: bool = True

    def shrink(self) -> None:
        """Write the figure as WebP; once it is that, with fewer pixels. A step that gains nothing is the last one."""
        if self.kind == "webp":
            self.scale *= _SHRINK
        with Image.open(io.BytesIO(self.original), formats=["PNG"]) as image:
            width, height = (max(1, round(side * self.scale)) for side in image.size)
            smaller = image.convert("RGB")
        file = io.BytesIO()
        (smaller if self.scale == 1 else smaller.resize((width, height))).save(file, "webp", quality=_QUALITY, method=2)
        gains = len(file.getvalue()) < len(self.content)
        self.can_shrink = gains and min(width, height) > 100
        if gains:
            self.content, self.kind = file.getvalue(), "webp"
