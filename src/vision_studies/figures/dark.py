"""Figures for dark pages: the colours of a light figure, turned."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

_PAGE, _INK, _SOFT, _FAINT, _GRID, _STRIPE = "#14181d", "#e8ecf1", "#a3adb8", "#5b656f", "#2b323a", "#1c2228"
_TURNED = {
    "#ffffff": _PAGE,
    "#000000": "#fdfdfd",
    "#1c2127": _INK,
    "#5a6572": _SOFT,
    "#c9cfd6": _FAINT,
    "#e4e7eb": _GRID,
    "#eceff2": _GRID,
    "#f4f6f8": _STRIPE,
}
"""Greys of `style` -> what they are on a dark page."""

ON_COLOUR = "on_colour"
"""What text is called that lies on a colour of its own, such as a number in a cell: it stays as it is on a dark page."""

_DARK = {*_TURNED.values()}
_PALE = 0.7  # a colour whose channels are all above it was mixed with white
_SHARE = 0.25  # of the colour, in such a mixture

DARK_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _SOFT,
    "axes.facecolor": _PAGE,
    "axes.labelcolor": _INK,
    "figure.facecolor": _PAGE,
    "grid.color": _GRID,
    "legend.facecolor": _PAGE,
    "text.color": _INK,
    **{f"{axis}tick.{name}": look for axis in "xy" for name, look in (("color", _SOFT), ("labelcolor", _INK))},
}
"""Matplotlib's parameters, laid over those of `style`."""


def turned(colour: Any) -> Any:
    """A colour of a light figure on a dark page; its opacity stays. Words such as "none" stay as they are."""
    if isinstance(colour, str) and colour in ("none", "auto", "inherit"):
        return colour
    red, green, blue, alpha = to_rgba(colour)
    name = to_hex((red, green, blue))
    if name in _DARK or alpha == 0:
        return colour
    if name in _TURNED:
        return to_rgba(_TURNED[name], alpha)
    if min(red, green, blue) > _PALE:
        page = np.array(to_rgba(_PAGE)[:3])
        full = ((np.array([red, green, blue]) - 1) / _SHARE + 1).clip(0, 1)
        return (*(_SHARE * full + (1 - _SHARE) * page), alpha)
    return colour


def darken(figure: Figure) -> None:
    """Turn all colours of a figure that were not chosen for a dark page."""
    for artist in figure.findobj():
        if isinstance(artist, Text):
            if artist.get_gid() != ON_COLOUR:
                _turn(artist, "color")
            if (box := artist.get_bbox_patch()) is not None:
                _turn(box, "facecolor", "edgecolor")
        elif isinstance(artist, Line2D):
            _turn(artist, "color", "markerfacecolor", "markeredgecolor")
        elif isinstance(artist, Patch):
            _turn(artist, "facecolor", "edgecolor")
        elif isinstance(artist, Collection) and artist.get_array() is None:
            for name in ("facecolor", "edgecolor"):
                colours = getattr(artist, f"get_{name}")()
                if not isinstance(colours, str) and len(colours):
                    getattr(artist, f"set_{name}")([turned(colour) for colour in colours])


def _turn(artist: Any, *names: str) -> None:
    for name in names:
        change: Callable[[Any], None] = getattr(artist, f"set_{name}")
        colour = getattr(artist, f"get_{name}")()
        new = turned(colour)
        if new is not colour:  # setting a marker's own colour would tie it to no line any more
            change(new)
