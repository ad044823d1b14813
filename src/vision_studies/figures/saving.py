"""Figures as files, in the look in which they were drawn."""

from pathlib import Path

from matplotlib.figure import Figure

from vision_studies.figures.style import Look
from vision_studies.files import atomic_file


def save_figure(figure: Figure, file: Path, look: Look, *, dpi: int = 150, transparent: bool = False) -> None:
    """Write a figure to a file; its ending says in which format.

    Args:
        figure: drawn with this look.
        file: of the picture.
        look: with it the picture is as large as it asks for; without a width, what is empty around the figure is cut off.
        dpi: pixels an inch.
        transparent: nothing behind the figure.
    """
    box = "tight" if look.width is None else None
    with atomic_file(file) as temporary:
        figure.savefig(
            temporary, dpi=dpi * look.scale, bbox_inches=box, format=file.suffix[1:], transparent=transparent
        )
