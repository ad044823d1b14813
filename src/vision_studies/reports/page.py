"""Self-contained HTML pages: no file beside them, no network, and nothing in them is taken for markup."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vision_studies.reports import formatting
from vision_studies.reports.charts import Chart, chart_json, content_security_sources, plotly_archive
from vision_studies.reports.embedding import digest

PAGE_BYTES = 5_000_000
"""A page is smaller than this."""


def render_page(
    template: str, *, styles: Sequence[str], scripts: Sequence[str], charts: Sequence[Chart] = (), **values: Any
) -> str:
    """A template as a page.

    Args:
        template: its name below `templates`.
        styles: names of style sheets there; they are put into the page.
        scripts: names of scripts there, likewise.
        charts: all that the page has; with them comes the library that draws them.
        values: what the template shows.
    """
    environment = _environment()
    styles, scripts = ((*styles, "charts.css"), (*scripts, "charts.js")) if charts else (styles, scripts)
    css, javascript = ([_source(environment, name) for name in names] for names in (styles, scripts))
    # The page names the only styles and scripts it may use: what slips past the escaping is still not run.
    needed = content_security_sources() if charts else {}
    allowed = {
        "default-src": ["'none'"],
        "img-src": ["data:"],
        "style-src": [digest(source) for source in css],
        "script-src": [digest(source) for source in javascript],
    }
    for directive, sources in needed.items():
        allowed[directive] = [*allowed.get(directive, []), *sources]
    return environment.get_template(template).render(
        **values,
        charts=charts,
        plotly=plotly_archive() if charts else "",
        styles=[Markup(source) for source in css],  # noqa: S704 - our own files
        scripts=[Markup(source) for source in javascript],  # noqa: S704
        policy="; ".join(f"{directive} {' '.join(sources)}" for directive, sources in allowed.items()),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vision_studies.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("text", "percent", "points", "number", "significant", "count", "duration"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["breakable"] = _breakable
    environment.filters["chart_json"] = lambda figure: Markup(chart_json(figure))  # noqa: S704 - it escapes what it holds
    environment.tests["missing"] = formatting.is_missing
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken into lines after an underscore or a dot."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.])", name))  # escapes the parts


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101 - set two functions above
    return environment.loader.get_source(environment, name)[0]
