"""Images of a few class and of its neighbours."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vision_studies.figures.marks import picture
from vision_studies.figures.panels import finished, small_multiples
from vision_studies.figures.style import COLOURS, INK, SOFT, short, styled

_LETTERS = 24  # of a line of a label


@styled
def class_examples(images: np.ndarray, names: Sequence[str], note: str) -> Figure:
    """Examples of a few class and, below them, of each of its neighbours.

    Args:
        images: uint8 [n, m, H, W, C], m of each of n classes; the few class first.
        names: n labels, which may hold a coefficient and line breaks.
        note: small print below: how images were chosen, for example.
    """
    rows, columns = images.shape[:2]
    across = columns + 1  # the first holds the label
    panels = small_multiples(
        rows * across,
        columns=across,
        size=(1.15, 1.22),
        margin=(2.6 - 1.15, 1.1),
        width_ratios=[2.0, *[1.15] * columns],
    )
    for row, name in enumerate(names):
        label, *pictures = panels.axes[row * across : (row + 1) * across]
        ink, weight, colour, linewidth = (COLOURS[0], "bold", COLOURS[0], 2) if row == 0 else (INK, "normal", SOFT, 0.6)
        label.set_axis_off()
        middle: dict[str, Any] = {"ha": "right", "va": "center", "linespacing": 1.3}
        label.text(1, 0.5, _broken(name), fontsize=10.5, color=ink, fontweight=weight, **middle)
        for axes, image in zip(pictures, images[row], strict=True):
            picture(axes, image, colour=colour, linewidth=linewidth)
    return finished(panels.figure, "A class with few training images and its neighbours", small_print=note)


def _broken(name: str) -> str:
    """At most two lines of each line of a name, so that labels of rows do not meet."""
    lines = []
    for line in name.splitlines():
        first, *rest = textwrap.wrap(line, _LETTERS) or [""]
        lines += [first, short(" ".join(rest), _LETTERS)] if rest else [first]
    return "\n".join(lines)
