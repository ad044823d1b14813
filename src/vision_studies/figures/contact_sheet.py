"""Images that a check has found, in a row for each finding."""

import unicodedata
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vision_studies.figures.fonts import legible
from vision_studies.figures.marks import pixels
from vision_studies.figures.style import INK, SOFT, WRONG, figure, heading, styled

_COLUMNS = 12
_SEVERITIES = {"wrong": WRONG, "doubtful": "#8a5a00", "note": SOFT}
_LETTERS = 14  # of a name below its picture; wide ones, such as those of Chinese, count twice

# Inches.
_COLUMN, _ROW = 0.97, 1.45
_TOP, _SIDE = 0.3, 0.87  # of a picture, below the top of its row, and how high or wide it is at most


class Row(Protocol):
    """A finding with its images; see `data.checks.sheet.SheetRow`."""

    @property
    def title(self) -> str:
        """Of the finding."""

    @property
    def severity(self) -> str:
        """One of wrong, doubtful and note."""

    @property
    def total(self) -> int:
        """How many it concerns."""

    @property
    def names(self) -> Sequence[str]:
        """Of the images."""

    @property
    def images(self) -> Sequence[np.ndarray]:
        """Uint8 [H, W, 1 or 3] each."""


@styled
def contact_sheet(rows: Sequence[Row], title: str) -> Figure:
    """The images of each row, with the finding above them and the ends of their names below."""
    sheet = figure(12, 0.7 + _ROW * max(1, len(rows)))
    heading(sheet, title)
    if not rows:
        sheet.text(0.01, 0.4, "Nothing was found that could be shown.", color=INK)
        return sheet
    axes = sheet.add_subplot()  # a single one: of hundreds, each would be laid out
    for number, row in enumerate(rows):
        _row(axes, number * _ROW, row)
    axes.set(xlim=(0, _COLUMNS * _COLUMN), ylim=(len(rows) * _ROW, 0), aspect="equal", anchor="NW")
    axes.set_axis_off()
    return sheet


def _row(axes: Axes, top: float, row: Row) -> None:
    more = f", {len(row.images)} of {row.total:,} shown" if row.total > len(row.images) else f", {row.total:,}"
    finding = f"{row.severity}: {row.title}{more}"
    axes.text(0, top + 0.1, finding, va="center", fontsize=10, fontweight="bold", color=_SEVERITIES[row.severity])
    for place, (image, name) in enumerate(zip(row.images, row.names, strict=True)):
        height, width = (_SIDE * side / max(image.shape[:2]) for side in image.shape[:2])
        left, above = place * _COLUMN + (_SIDE - width) / 2, top + _TOP + (_SIDE - height) / 2
        pixels(axes, image, extent=(left, left + width, above + height, above))
        frame = Rectangle((left, above), width, height, fill=False, edgecolor=SOFT, linewidth=0.6)
        axes.add_patch(frame)
        middle, below = place * _COLUMN + _SIDE / 2, top + _TOP + _SIDE + 0.05
        axes.text(middle, below, _end(name), ha="center", va="top", fontsize=7, color=INK)


def _end(name: str) -> str:
    """The end of a name, which tells more than its beginning."""
    name = legible(name)
    wide = np.cumsum([1 + (unicodedata.east_asian_width(letter) in "WF") for letter in reversed(name)])
    if not len(wide) or wide[-1] <= _LETTERS:
        return name
    return f"…{name[-int((wide < _LETTERS).sum()) :]}"
