"""What more than one figure draws into a panel: boxes, dots, cells with numbers, pictures, and axes with their ticks.

Axes have names instead of numbers, plain numbers on logarithmic scales, and ticks at the values that were run.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from vision_studies.figures.dark import ON_COLOUR
from vision_studies.figures.style import INK, NO_DATA, SOFT

FEWEST_BOXED = 4
"""Values of a box; fewer are shown one by one."""


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
    """A box for each group of four values or more: quartiles, and whiskers to the last value within 1.5 times their distance.
    Of fewer, which have no quartiles to speak of, every value is a dot, and their median a line.

    Args:
        positions: one a group.
        width: of a box.
        fill: its colour; the median is dark or white, whichever stands out.
        edge: colour of its edge.
        whiskers: their colour; that of the edge if missing.
        dots: colour of values beyond the whiskers; if missing there are none.
        box: of the patches, such as hatch.
    """
    given = [(np.asarray(values), x) for values, x in zip(groups, positions, strict=True) if len(values)]
    line = {"color": edge if whiskers is None else whiskers}
    for values, x in given:
        if len(values) < FEWEST_BOXED:
            _few(axes, values, x, width, orientation, colour=edge, ink=line["color"])
    filled = [(values, x) for values, x in given if len(values) >= FEWEST_BOXED]
    if not filled:
        return
    *red_green_blue, opacity = to_rgba(fill)
    median = "white" if opacity * luminance(red_green_blue) + 1 - opacity < 0.5 else INK
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


def _few(axes: Axes, values: np.ndarray, x: float, width: float, orientation: str, *, colour: Any, ink: Any) -> None:
    places = x + spread(len(values), 0.25 * width)
    median, ends = [np.median(values)] * 2, [x - 0.4 * width, x + 0.4 * width]
    swap = orientation == "horizontal"
    axes.plot(*((values, places) if swap else (places, values)), "o", color=colour, markersize=4, zorder=3)
    axes.plot(*((median, ends) if swap else (ends, median)), color=ink, linewidth=1.5, zorder=3)


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
        axes.text(column, row, text, ha="center", va="center", fontsize=font_size, color=ink, gid=ON_COLOUR)
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    bare(axes)
    return image


def colour_scale(axes: Axes, image: ScalarMappable, **look: Any) -> None:
    """The scale of a heat map or a surface, beside it and without a frame; `look` is that of `Figure.colorbar`."""
    axes.get_figure().colorbar(image, ax=axes, **{"pad": 0.02, **look}).outline.set_visible(False)  # type: ignore[union-attr]


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


def pixels(axes: Axes, image: np.ndarray, extent: tuple[float, float, float, float] | None = None) -> None:
    """An image as it is, uint8 [H, W, C], C of 1 or 3; nothing is smoothed.

    Args:
        image: its pixels.
        extent: left, right, bottom and top edge, in the data of the axes; a unit a pixel if missing.
    """
    axes.imshow(
        image.squeeze(axis=2) if image.shape[2] == 1 else image,
        cmap="gray",
        norm=Normalize(0, 255),
        interpolation="nearest",
        extent=extent,
    )
    axes.grid(visible=False)


def thousands(value: float, _: Any = None) -> str:
    """A number with its thousands separated; fractions below 1 as they are."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def with_unit(value: float, _: Any = None) -> str:
    """A number in thousands, millions or billions (k, M, G)."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def logarithmic(
    axis: Axis,
    steps: Sequence[int] | None = (1, 2, 5),
    write: Callable[[float, Any], str] = thousands,
    *,
    most: int | None = None,
) -> None:
    """A logarithmic axis with plain numbers: the style does not read powers as formulas.

    Args:
        steps: which multiples of a power of ten are named; if missing, those that Matplotlib names.
        write: a number as text.
        most: how many ticks at most, where that is not left to Matplotlib.
    """
    _set_logarithmic(axis)
    if steps is not None:
        axis.set_major_locator(LogLocator(subs=steps, numticks=most))
    axis.set_major_formatter(FuncFormatter(write))
    axis.set_minor_formatter(NullFormatter())


def decades(values: np.ndarray) -> tuple[int, ...]:
    """Which multiples of a power of ten to name for values of such a range."""
    return (1,) if values.max() > 100 * max(values.min(), 1) else (1, 2, 5)


def top_without_blow_up(losses: np.ndarray) -> float | None:
    """Where an axis of losses is to end, if one of them would flatten all the rest: ten times the third quartile, or more."""
    usual = float(np.quantile(losses, 0.75)) if len(losses) else 0.0
    return 5 * usual if usual > 0 and losses.max() > 10 * usual else None


def whole_numbers(axis: Axis) -> None:
    """Ticks at whole numbers alone, as of epochs."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def names(axes: Axes, which: Literal["x", "y"], labels: Sequence[str], *, beside: float = 0.5, **look: Any) -> None:
    """Names at 0, 1, ... without a grid between them; downwards on a vertical axis.

    Args:
        beside: how far the axis reaches beyond the first and the last of them.
        look: of the labels.
    """
    end = max(1, len(labels)) - 1 + beside
    if which == "x":
        axes.set_xticks(range(len(labels)), labels, **look)
        axes.set_xlim(-beside, end)
    else:
        axes.set_yticks(range(len(labels)), labels, **look)
        axes.set_ylim(end, -beside)
    axes.grid(visible=False, axis=which)


def have_room(positions: Sequence[float] | np.ndarray, apart: float) -> list[bool]:
    """Which of ascending positions have room for a name, if names are to be so far apart (as a part of the axis)."""
    reach = max(float(np.ptp(positions)), 1e-9)
    named = [False] * len(positions)
    last = np.inf
    for number in reversed(range(len(positions))):  # the last is named in any case
        if last - positions[number] >= apart * reach:
            named[number], last = True, positions[number]
    return named


def values_run(axis: Axis, values: Sequence[float], labels: Sequence[str], apart: float, *, log: bool = True) -> None:
    """A tick at every one of the values, which ascend, with its label where it has room.

    Args:
        apart: how far apart names must be, as a part of the axis.
        log: make the axis logarithmic.
    """
    if log:
        _set_logarithmic(axis)
        axis.set_minor_locator(NullLocator())
    named = np.array(have_room(np.log10(values) if log else values, apart))
    axis.set_ticks(np.array(values)[named], labels=np.array(labels)[named])
    axis.set_ticks(np.array(values)[~named], minor=True)
    axis.set_minor_formatter(NullFormatter())


def _set_logarithmic(axis: Axis) -> None:
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
