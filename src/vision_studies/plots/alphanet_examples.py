"""Images of a few class and of its neighbours."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vision_studies.plots.style import COLOURS, INK, SOFT, figure, footnote, heading, short, styled

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
    drawn = figure(2.6 + 1.15 * columns, 1.1 + 1.22 * rows)
    grid = drawn.subplots(rows, columns + 1, squeeze=False, width_ratios=[2.0, *[1.15] * columns])
    for row, name in enumerate(names):
        label = grid[row, 0]
        label.set_axis_off()
        label.text(
            1,
            0.5,
            _broken(name),
            ha="right",
            va="center",
            fontsize=10.5,
            color=COLOURS[0] if row == 0 else INK,
            fontweight="bold" if row == 0 else "normal",
            linespacing=1.3,
        )
        for axes, image in zip(grid[row, 1:], images[row], strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.grid(visible=False)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=COLOURS[0] if row == 0 else SOFT, linewidth=2 if row == 0 else 0.6)
    heading(drawn, "A class with few training images and its neighbours")
    footnote(drawn, note)
    return drawn


def _broken(name: str) -> str:
    """At most two lines of each line of a name, so that labels of rows do not meet."""
    lines = []
    for line in name.splitlines():
        first, *rest = textwrap.wrap(line, _LETTERS) or [""]
        lines += [first, short(" ".join(rest), _LETTERS)] if rest else [first]
    return "\n".join(lines)
