"""Images that a check has found, in a row for each finding."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from vision_studies.figures.marks import picture
from vision_studies.figures.style import INK, SOFT, WRONG, figure, heading, short, styled

_COLUMNS = 12
_SEVERITIES = {"wrong": WRONG, "doubtful": "#8a5a00", "note": SOFT}
_ROW_INCHES = 1.45
_LETTERS = 16  # of a name below its picture


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
    sheet = figure(12, 0.7 + _ROW_INCHES * max(1, len(rows)))
    heading(sheet, title)
    if not rows:
        sheet.text(0.01, 0.4, "Nothing was found that could be shown.", color=INK)
        return sheet
    strips = sheet.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for strip, row in zip(strips, rows, strict=True):
        more = f", {len(row.images)} of {row.total:,} shown" if row.total > len(row.images) else f", {row.total:,}"
        strip.suptitle(
            f"{row.severity}: {row.title}{more}", x=0.01, ha="left", fontsize=10, color=_SEVERITIES[row.severity]
        )
        axes = strip.subplots(1, _COLUMNS)
        for place, each in enumerate(axes):
            each.set_axis_off()
            if place < len(row.images):
                picture(each, row.images[place])
                each.set_xlabel(_end(row.names[place]), fontsize=7, labelpad=2)
    return sheet


def _end(name: str) -> str:
    """The end of a name, which tells more than its beginning."""
    return short(name[::-1], _LETTERS)[::-1]
