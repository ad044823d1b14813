"""HTML pages that need no server and no network, and in which nothing is taken for markup.

What is seen first is in the page; what is large lies beside it and is read when it is looked at: figures as files of their own,
and scripts in a folder `scripts`: Plotly, the data of interactive figures, all runs of a study, its gallery. A script and not
JSON, since a page that is opened as a file may load scripts from beside it and fetch nothing. The Content-Security-Policy
allows files from where the page lies, the page's own script by its digest, and nothing else.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vision_studies.errors import DataError
from vision_studies.page_theme import page_theme
from vision_studies.reports import formatting
from vision_studies.reports.glossary import Explained

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SCRIPTS = "scripts"
"""Folder beside a page in which its scripts lie."""

PLOTLY = "plotly"
"""Name of the script that draws the interactive figures of all pages; it lies beside the page of all studies."""

STUDY_ENDING, INDEX_ENDING = ".page.js", ".index.js"
"""How files of scripts end that come with pages of studies, and with the page of all studies: each has its own data set."""

_HERE = ("'self'", "file:")  # of which browsers take one or the other for what lies beside a page that is a file


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
        address: of its file, from the page.
        width: and `height`: in pixels, where its letters are as large as those of the page.
        pipeline: whose it is.
        alternative_text: what the figure shows, for those who do not see it; empty: title and caption.
    """

    title: str
    caption: str
    address: str
    width: int
    height: int
    pipeline: str
    alternative_text: str = ""

    @property
    def words(self) -> str:
        """Stand for the figure where it is not seen."""
        return self.alternative_text or f"{self.title}: {self.caption}"


class Page(NamedTuple):
    """A page as HTML, and the scripts that lie beside it in the folder `SCRIPTS`: name without ending -> JavaScript."""

    html: str
    scripts: dict[str, str]


class NamedChart(NamedTuple):
    """A figure on a page, and the name of the script that has its data."""

    name: str
    chart: Chart


def named_charts(charts: Sequence[Chart], first: int = 1) -> list[NamedChart]:
    """The figures of a page with names of their own, from a number on."""
    return [NamedChart(f"chart-{number}", chart) for number, chart in enumerate(charts, first)]


def render_page(
    template: str,
    *,
    root: str,
    ending: str,
    charts: Sequence[NamedChart] = (),
    data: dict[str, str] | None = None,
    **values: Any,
) -> Page:
    """A template as a page, with the style sheet and the script of all reports.

    Args:
        template: its name below `templates`.
        root: where the page of all studies lies, from this one: "." or "..".
        ending: of the files of its scripts.
        charts: all that the page has; with them comes what draws them.
        data: name of a script -> text that it gives to the page.
        values: what the template shows.
    """
    environment = _environment()
    loader = environment.loader
    assert loader is not None  # noqa: S101 - set in the function below
    stems = ["report", *(["charts"] if charts else []), *(["gallery"] if "gallery" in (data or {}) else [])]
    css, javascript = (
        [loader.get_source(environment, f"{stem}.{ending}")[0] for stem in stems] for ending in ("css", "js")
    )
    css[0] = page_theme() + css[0]
    javascript.insert(1, loader.get_source(environment, "tables.js")[0])
    # The page names the only styles and scripts it may use: what slips past the escaping is still not run.
    allowed = {
        "default-src": ["'none'"],
        "img-src": ["data:", *_HERE],
        "style-src": [*map(digest, css), *([digest("")] if charts else [])],  # Plotly adds empty style elements
        "script-src": [*map(digest, javascript), *_HERE],
    }
    explained = Explained()
    html = environment.get_template(template).render(
        **values,
        explained=explained,
        charts=charts,
        script_address=f"{SCRIPTS}/*{ending}",
        plotly=f"{root}/{SCRIPTS}/{PLOTLY}{STUDY_ENDING}",
        plotly_sheet=_plotly_sheet() if charts else "",
        styles=[Markup(source) for source in css],  # noqa: S704 - our own files
        scripts=[Markup(source) for source in javascript],  # noqa: S704
        policy="; ".join(f"{directive} {' '.join(sources)}" for directive, sources in allowed.items()),
    )
    given = {name: chart_json(chart.figure) for name, chart in charts} | (data or {})
    return Page(html, {name: giving(name, text) for name, text in given.items()})


def giving(name: str, text: str) -> str:
    """A script that gives a text to the page that asks for it by this name."""
    return f"visionStudies({json.dumps(name)}, {json.dumps(text, ensure_ascii=False)});\n"


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
    environment.tests["missing"] = formatting.is_missing
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken into lines after an underscore or a dot."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.])", name))  # escapes the parts


def chart_json(figure: "Figure") -> str:
    """Data and layout of a figure as compact JSON.

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
    return PlotlyJSONEncoder(default=plain, separators=(",", ":"), ensure_ascii=False).encode(content)


@cache
def plotly_script() -> str:
    """Plotly, minified: 4.8 MB, which pages share."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@cache
def _plotly_sheet() -> str:
    """Name of the style sheet for maps that Plotly would add: no figure has a map, and the policy forbids the sheet."""
    found = re.search(r'getElementById\("([0-9a-f]{64})"\)', plotly_script())
    return found.group(1) if found else ""


def packed(text: str) -> str:
    """Text for a script of the page to unpack: base64 of gzip, without a time in it, so that equal pages are equal files."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


def digest(source: str) -> str:
    """What a content security policy calls a script or a style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode('ascii')}'"
