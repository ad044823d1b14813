"""Figures inside a page: embedded in it, and made smaller where they would make it too large."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vision_studies.errors import DataError

_WIDE = 1.7  # a figure so many times as wide as high gets a row of its own
_QUALITY = 80  # of WebP: lines and letters stay sharp, and files shrink to a third
_SHRINK = 0.7


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
