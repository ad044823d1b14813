"""Figures inside a page: embedded in it, and made smaller where they would make it too large."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from vision_studies.errors import DataError

_WIDE = 1.7  # a figure so many times as wide as high gets a row of its own
_QUALITY = 80  # of WebP: lines and letters stay sharp, and files shrink to a third
_SHRINK = 0.7


@dataclass(frozen=True)
class ReportFigure:
    """A figure with the words that stand for it.

    Attributes:
        title: heading.
        caption: what to look for.
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
    embedded = _Embedded.of(figure)
    return {
        "title": figure.title,
        "caption": figure.caption,
        "alternative_text": figure.alternative_text or f"{figure.title}: {figure.caption}",
        "width": embedded.width,
        "height": embedded.height,
        "wide": embedded.width > _WIDE * embedded.height,
    }


def figure_sources(figures: Sequence[ReportFigure], budget: int) -> list[str]:
    """Data address of every figure.

    Args:
        figures: PNG files.
        budget: bytes that all of them may take together; the largest are written as WebP, and then smaller, until they do.
    """
    embedded = [_Embedded.of(figure) for figure in figures]
    while sum(len(one.content) for one in embedded) > budget:
        largest = max((one for one in embedded if one.can_shrink), key=lambda one: len(one.content), default=None)
        if largest is None:
            break
        largest.shrink()
    return [f"data:image/{one.kind};base64,{base64.b64encode(one.content).decode()}" for one in embedded]


@dataclass
class _Embedded:
    content: bytes
    original: bytes
    kind: str
    width: int
    height: int
    scale: float = 1.0
    can_shrink: bool = True

    @classmethod
    def of(cls, figure: ReportFigure) -> "_Embedded":
        try:
            with Image.open(io.BytesIO(figure.png), formats=["PNG"]) as image:
                width, height = image.size
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(
                f"The figure '{figure.title}' is not a PNG file; delete its file and run its pipeline again."
            ) from error
        return cls(figure.png, figure.png, "png", width, height)

    def shrink(self) -> None:
        """Write the figure as WebP; once it is that, with fewer pixels. A step that gains nothing is the last one."""
        if self.kind == "webp":
            self.scale *= _SHRINK
        with Image.open(io.BytesIO(self.original), formats=["PNG"]) as image:
            size = (max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale)))
            drawn = image.convert("RGB") if size == image.size else image.convert("RGB").resize(size)
        file = io.BytesIO()
        drawn.save(file, "webp", quality=_QUALITY, method=2)
        self.can_shrink = len(file.getvalue()) < len(self.content) and min(size) > 100
        if len(file.getvalue()) < len(self.content):
            self.content, self.kind = file.getvalue(), "webp"
