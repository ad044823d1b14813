"""Figures as SVG for pages: text in the page's font, nothing behind it, and colours that follow light and dark."""

import io
import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vision_studies.figures.dark import ON_COLOUR, turned
from vision_studies.figures.fonts import BASE

MOST_BYTES = 400_000
"""A figure of more, such as one of thousands of points, is better a picture."""

_PANELS, _LINES = 4, 6  # that are described
_FONTS = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
_DARK_TEXT = {"#0072b2": "#56b4e9", "#d55e00": "#f0934f", "#009e73": "#3fbf97", "#8a5a00": "#e0a94a"}
_PARAMETERS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "vision-studies", "svg.image_inline": True}


def vector(figure: Figure) -> str | None:
    """A figure as SVG; None where it would be larger than a picture should be.

    Its letters are text, so that they can be searched, read aloud and enlarged. On a dark page a rule of the file's own turns
    what was drawn for a light one, as `dark` turns it in pictures.
    """
    file = io.BytesIO()
    with mpl.rc_context(_PARAMETERS):
        figure.savefig(file, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    svg = file.getvalue().decode()
    if len(svg) > MOST_BYTES:
        return None
    svg = svg.replace(f"'{BASE}'", _FONTS.replace('"', "'"))
    about = f"<desc>{escape(described(figure))}</desc>"
    styles = f"image{{image-rendering:pixelated}}@media (prefers-color-scheme:dark){{{''.join(_dark_rules(svg))}}}"
    return svg.replace("<defs>", f"{about}<style>{styles}</style>\n <defs>", 1)


def described(figure: Figure) -> str:
    """What a figure says, for those who do not see it: the words that its function has given it (`Figure.set_label`), or else
    its titles, and what each of its first panels shows and between which values.
    """
    if figure.get_label():
        return str(figure.get_label())
    panels = [words for words in map(_panel, figure.axes[:_PANELS]) if words]
    heading = figure.get_suptitle().replace("\n", " ")
    more = f"and {len(figure.axes) - _PANELS} more panels" if len(figure.axes) > _PANELS else ""
    return "; ".join(part for part in (heading, *panels, more) if part)


def _panel(axes: Axes) -> str:
    title = axes.get_title(loc="left") or axes.get_title()
    drawn = {line: _finite(line) for line in axes.lines}
    values = [value for each in drawn.values() for value in each]
    what = axes.get_ylabel()
    spread = f"{what} from {min(values):.3g} to {max(values):.3g}" if what and values else what
    named = [
        (line, each) for line, each in drawn.items() if len(each) > 1 and not str(line.get_label()).startswith("_")
    ]
    ends = [f"{line.get_label()} ends at {each[-1]:.3g}" for line, each in named[:_LINES]]
    return ", ".join(part for part in (title, spread, *ends) if part).replace("\n", " ")


def _finite(line: Line2D) -> list[float]:
    """Heights of a line's points; none where they are names."""
    heights = np.atleast_1d(np.asarray(line.get_ydata(orig=False), dtype=float))
    return [float(height) for height in heights if np.isfinite(height)]


def _dark_rules(svg: str) -> Iterator[str]:
    text = f'g:not([id^="{ON_COLOUR}"])>text'
    yield f"{text}{{fill:{_hex(turned('#000000'))}}}"  # of which no colour is written
    for what, colour in sorted(set(_COLOUR.findall(svg))):
        dark = (what == "fill" and _DARK_TEXT.get(colour)) or _hex(turned(colour))
        if dark != colour:
            if what == "fill" and colour in _DARK_TEXT:  # letters need more contrast than areas
                yield f'{text}[style*="{what}: {colour}"]{{{what}:{dark}!important}}'
                continue
            holders = (f"{text}", f"{text} tspan", "path", "use", "rect", "line") if what == "fill" else ("path", "use")
            selectors = ",".join(f'{holder}[style*="{what}: {colour}"]' for holder in holders)
            yield f"{selectors}{{{what}:{dark}!important}}"


def _hex(colour: object) -> str:
    return mpl.colors.to_hex(colour)  # type: ignore[arg-type]
