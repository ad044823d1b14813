"""Names in any script: drawn with a font that has their characters, or else written as escapes, never as boxes."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

BASE = "DejaVu Sans"
"""The font of all figures, which comes with Matplotlib."""

_NAMING = (FixedFormatter, FuncFormatter, StrCategoryFormatter)
"""What writes names at an axis; others write numbers."""


def make_legible(figure: Figure) -> None:
    """Let every text of a figure be drawn whole: its characters that the usual font lacks come from installed ones.

    Those that no font has are written as in a Python string, such as \\\\u732b. Called before anything is drawn, as Matplotlib
    warns of missing characters when it draws.
    """
    axes = [axis for each in figure.axes if each.get_visible() for axis in (each.xaxis, each.yaxis)]
    # Asking an axis of numbers for its labels would leave ticks there that are not drawn in the end.
    labels = {axis: axis.get_majorticklabels() for axis in axes if isinstance(axis.get_major_formatter(), _NAMING)}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    unusual = _unusual({text.get_text() for text in texts})
    if not unusual:
        return
    families, lacking = fonts_with(unusual)
    of_ticks = {text for each in labels.values() for text in each}
    for text in texts:
        if _unusual([text.get_text()]):
            text.set_fontfamily([BASE, *families])
            if text not in of_ticks:
                text.set_text(escaped(text.get_text(), lacking))
    for axis, each in labels.items():
        if _unusual(label.get_text() for label in each):
            axis.set_tick_params(labelfontfamily=[BASE, *families])
            _write_escaped(axis, lacking)


def fonts_with(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Installed fonts that have these characters, those of the Noto family first, and the characters that none has."""
    lacking, families = set(characters), []
    for name, path in _installed():
        if not lacking:
            break
        has = lacking & _characters(path)
        if has:
            families.append(name)
            lacking -= has
    return tuple(families), frozenset(lacking)


def escaped(text: str, lacking: Iterable[str]) -> str:
    """A text with these characters as a Python string has them.

    Examples:
        >>> from vision_studies.figures.fonts import escaped
        >>> print(escaped("a cat: 猫", {"猫"}))
        a cat: \\u732b
    """
    return text.translate({ord(character): character.encode("unicode_escape").decode() for character in lacking})


def legible(text: str) -> str:
    """A text as it can be drawn, with the characters that no font has escaped: as long as it will be."""
    unusual = _unusual([text])
    return escaped(text, fonts_with(unusual)[1]) if unusual else text


def _unusual(texts: Iterable[str]) -> frozenset[str]:
    """Characters that the usual font lacks."""
    characters = {character for text in texts for character in text if character > "~"}
    return frozenset(characters - _characters(font_manager.findfont(BASE))) if characters else frozenset()


@cache
def _characters(path: str) -> frozenset[str]:
    """What a font can draw; nothing where it cannot be read, as fonts of coloured pictures cannot."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Name and file of each upright font of usual weight."""
    fonts = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and entry.weight in (400, "normal", "regular") and "Last Resort" not in entry.name
    }
    return tuple(sorted(fonts.items(), key=lambda font: (not font[0].startswith("Noto"), font[0])))


class _Escaping(Formatter):
    """Another formatter's labels without characters that no font has."""

    def __init__(self, inner: Formatter, lacking: frozenset[str]) -> None:
        self._inner, self._lacking = inner, lacking

    def __call__(self, x: float, pos: int | None = None) -> str:
        return escaped(self._inner(x, pos), self._lacking)

    def set_locs(self, locs: Any) -> None:
        self._inner.set_locs(locs)

    def get_offset(self) -> str:
        return self._inner.get_offset()


def _write_escaped(axis: Axis, lacking: frozenset[str]) -> None:
    if lacking:
        axis.set_major_formatter(_Escaping(axis.get_major_formatter(), lacking))
