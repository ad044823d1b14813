"""What is drawn into a panel by more than one figure: boxes, dots, intervals, cells with numbers, and pictures."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgba
from matplotlib.image import AxesImage

from vision_studies.figures.style import INK, NO_DATA, SOFT


def boxes(
    axes: Axes,
    groups: Sequence[Any],
    positions: Sequence[float] | np.ndarray,
    width: float,
    *,
    fill: Any,
    edge: Any,
    whiskers: Any = None,
    dots: Any = None,
    orientation: Literal["vertical", "horizontal"] = "vertical",
    **box: Any,
) -> None:
    """A box for each group that has values: quartiles, and whiskers to the last value within 1.5 times their distance.

    Args:
        positions: one a group.
        width: of a box.
        fill: its colour; the median is dark or white, whichever stands out.
        edge: colour of its edge.
        whiskers: their colour; that of the edge if missing.
        dots: colour of values beyond the whiskers; if missing there are none.
        box: of the patches, such as hatch.
    """
    filled = [(np.asarray(values), x) for values, x in zip(groups, positions, strict=True) if len(values)]
    if not filled:
        return
    *red_green_blue, opacity = to_rgba(fill)
    median = "white" if opacity * luminance(red_green_blue) + 1 - opacity < 0.5 else INK
    line = {"color": edge if whiskers is None else whiskers}
    axes.boxplot(
        [values for values, _ in filled],
        positions=[x for _, x in filled],
        widths=width,
        orientation=orientation,
        manage_ticks=False,
        patch_artist=True,
        showfliers=dots is not None,
        boxprops={"facecolor": fill, "edgecolor": edge, **box},
        medianprops={"color": median, "linewidth": 1.5},
        whiskerprops=line,
        capprops=line,
        flierprops={"marker": "o", "markersize": 3, "markerfacecolor": dots, "markeredgewidth": 0},
    )


def spread(count: int, reach: float) -> np.ndarray:
    """Shifts that keep so many dots of one position apart, from minus to plus `reach`: float64 [count]."""
    return np.linspace(-reach, reach, count) if count > 1 else np.zeros(count)


def cells(
    axes: Axes,
    values: np.ndarray,
    write: Callable[[float], str],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    slanted: bool = False,
    font_size: float = 9,
    **look: Any,
) -> AxesImage:
    """A heat map with a number in every cell; what is missing is grey, with a dash.

    Args:
        values: float [R, C].
        write: a value as text.
        rows: R names.
        columns: C names.
        slanted: let the names of the columns be slanted.
        font_size: of the numbers.
        look: of `Axes.imshow`: norm, cmap.
    """
    image = axes.imshow(np.ma.masked_invalid(values), aspect="auto", **look)
    for (row, column), value in np.ndenumerate(values):
        missing = bool(np.isnan(value))
        ink = SOFT if missing else "white" if luminance(image.to_rgba(value)) < 0.55 else INK
        text = "–" if missing else write(value)
        axes.text(column, row, text, ha="center", va="center", fontsize=font_size, color=ink)
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    bare(axes)
    return image


def colour_scale(axes: Axes, image: AxesImage, **look: Any) -> None:
    """The scale of a heat map, beside it and without a frame."""
    axes.get_figure().colorbar(image, ax=axes, pad=0.02, **look).outline.set_visible(False)  # type: ignore[union-attr]


def bare(axes: Axes) -> None:
    """No grid and no frame; what has no value is grey."""
    axes.set_facecolor(NO_DATA)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def luminance(colour: Sequence[float] | np.ndarray) -> float:
    """How light red, green and blue (0 to 1) look together, from 0 to 1."""
    red, green, blue = colour[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def picture(axes: Axes, image: np.ndarray, *, colour: str = SOFT, linewidth: float = 0.6) -> None:
    """An image in a frame.

    Args:
        image: uint8 [H, W, C], C of 1 or 3.
        colour: of the frame, like its linewidth.
    """
    axes.set_axis_on()
    pixels(axes, image)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=colour, linewidth=linewidth)


def pixels(axes: Axes, image: np.ndarray) -> None:
    """An image as it is, uint8 [H, W, C], C of 1 or 3; nothing is smoothed."""
    axes.imshow(image.squeeze(), cmap="gray", norm=Normalize(0, 255), interpolation="nearest")
    axes.grid(visible=False)
