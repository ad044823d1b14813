"""One look for all figures."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from vision_studies.figures.dark import DARK_STYLE, darken
from vision_studies.figures.fonts import BASE, make_legible

# The colours of Okabe and Ito (2008), which colour-blind readers can tell apart, too; the darkest first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
RIGHT, WRONG = "#0072B2", "#D55E00"
INK, SOFT, FAINT = "#1c2127", "#5a6572", "#c9cfd6"
NO_DATA = "#eceff2"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""With the colours, 49 series can be told apart."""

PERCENT = "(%)"
"""How the label of an axis of percentages ends: such an axis reaches from 0 to 100 at most."""

DASHED, DOTTED = (0, (4, 2)), (0, (1, 1))

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "figure.titlesize": 14,
    "figure.titleweight": "bold",
    "font.family": BASE,
    "font.size": 10,
    "grid.color": "#e4e7eb",
    "legend.edgecolor": "none",
    "legend.fontsize": 10,
    "legend.framealpha": 0.85,
    "text.color": INK,
    "text.parse_math": False,  # names of classes and variants may hold a dollar sign
    **{
        f"{axis}tick.{name}": look
        for axis in "xy"
        for name, look in (("color", SOFT), ("labelcolor", INK), ("labelsize", 10))
    },
}

Theme = Literal["light", "dark"]
Setting = Literal["paper", "notebook", "talk", "poster"]
SCALES: Mapping[Setting, float] = {"paper": 0.8, "notebook": 1.0, "talk": 1.5, "poster": 2.0}
"""Where a figure will be seen -> how large it and all in it is, as a multiple of what is usual."""


class Look(NamedTuple):
    """What may be different from figure to figure.

    Attributes:
        setting: decides how large a figure is, with all that is in it; of one with a given width, text and lines alone.
        width: of the figure, in inches; None for its own, times the scale of the setting.
        aspect: width over height; None for the figure's own.
    """

    theme: Theme = "light"
    setting: Setting = "notebook"
    width: float | None = None
    aspect: float | None = None

    @property
    def scale(self) -> float:
        """How large text and lines are, as a multiple of what is usual."""
        return SCALES[self.setting]

    def canvas(self, width: float, height: float) -> tuple[float, float]:
        """Width and height, in inches before they are scaled, of what is drawn on for a figure that asks for these."""
        wide = width if self.width is None else self.width / self.scale
        return wide, wide / (self.aspect or width / height)


_LOOK: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039 - a tuple cannot change

_SERIES: ContextVar[tuple[str, ...]] = ContextVar("series", default=())

_Parameters = ParamSpec("_Parameters")
_Figures = TypeVar("_Figures", bound=Iterable[Any])


def style() -> AbstractContextManager[None]:
    """Draw inside with the project's look; what was set before comes back afterwards."""
    return mpl.rc_context(_STYLE | DARK_STYLE if _LOOK.get().theme == "dark" else _STYLE)


@contextmanager
def looking(look: Look) -> Iterator[None]:
    """Figures that are drawn inside have this look."""
    before = _LOOK.set(look)
    try:
        yield
    finally:
        _LOOK.reset(before)


def styled(draw: Callable[_Parameters, Figure]) -> Callable[_Parameters, Figure]:
    """Decorator: the function draws its figure in the project's style."""

    @wraps(draw)
    def wrapper(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Figure:
        with style():
            figure = draw(*args, **kwargs)
            for axes in figure.axes:
                _end_percentages(axes)
            make_legible(figure)
            if _LOOK.get().theme == "dark":
                darken(figure)
            if isinstance(figure, _LaidOutFigure):
                _lay_out(figure)
        return figure

    return wrapper


def _end_percentages(axes: Axes) -> None:
    """Neither margins nor intervals carry an axis of percentages beyond its ends; what is drawn on an end is drawn whole."""
    axis = {name: getattr(axes, f"{name}axis", None) for name in "xyz"}
    names = [name for name, each in axis.items() if each is not None and each.get_label_text().endswith(PERCENT)]
    for name in names:
        low, high = getattr(axes, f"get_{name}lim")()
        getattr(axes, f"set_{name}lim")(max(low, 0), min(high, 100))
    if names and axes.name == "rectilinear":
        low, high = np.sort([axes.get_xlim(), axes.get_ylim()]).T
        for line in axes.lines:
            drawn = np.asarray(line.get_xydata(), dtype=float)
            drawn = drawn[np.isfinite(drawn).all(axis=1)]
            line.set_clip_on(not len(drawn) or bool(((drawn < low) | (drawn > high)).any()))


class _LaidOutFigure(Figure):
    """A figure that is cut to what is drawn on it without being drawn once more to find that out."""

    _tight: Bbox | None = None
    """In inches, what is drawn on it, as long as it is not stale."""

    def tight(self) -> Bbox:
        """The box of all that is drawn, in inches; measured again only if something has changed since it was."""
        if self._tight is None or self.stale:
            self._tight = self.get_tightbbox()
            self.stale = False
        return self._tight

    def savefig(self, fname: Any, *, transparent: bool | None = None, **options: Any) -> None:
        if self.get_layout_engine() is not None:  # of a figure that no `styled` function has drawn
            super().savefig(fname, transparent=transparent, **options)
            return
        if options.get("bbox_inches") == "tight":
            # Everything has its place since `styled`; Matplotlib does not know that, and draws for nothing.
            options["bbox_inches"] = self.tight().padded(mpl.rcParams["savefig.pad_inches"])
        stale = self.stale
        super().savefig(fname, transparent=transparent, **options)
        self.stale = stale  # saving changes the figure, and changes it back


def _lay_out(figure: _LaidOutFigure) -> None:
    """Give everything its place, once: each saving would find it out anew, which takes as long as the drawing.

    Ticks are made here, too, and look as the style in force wants them. What is measured on the way, such as the width of a
    word, is measured once, as all of it is asked of one canvas.
    """
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    # How large axes of one aspect are is known only when all has been laid out.
    for _ in range(1 if all(axes.get_aspect() == "auto" for axes in figure.axes) else 2):
        if engine is not None and figure.axes:
            engine.execute(figure)
    figure.set_layout_engine(None)
    figure.tight()
    FigureCanvasBase(figure)  # as it was: a picture of each figure would lie in memory


def figure(width: float, height: float) -> Figure:
    """An empty figure, `width` by `height` inches, that lays itself out when it is first drawn.

    It is made without pyplot, so that no list of open figures holds on to it: it goes when its last user does.
    """
    return _LaidOutFigure(figsize=_LOOK.get().canvas(width, height), layout="constrained")


def heading(figure: Figure, title: str) -> None:
    """Title of the whole figure, at its left edge; broken into lines where it is too long for one."""
    figure.suptitle(wrapped(figure, title, 8.6), x=0.01, ha="left")


def footnote(figure: Figure, text: str) -> None:
    """Small print below everything else."""
    figure.supxlabel(wrapped(figure, text, 14.5), x=0.01, ha="left", fontsize=9, color=SOFT)


def wrapped(figure: Figure, text: str, letters_per_inch: float) -> str:
    """A text in lines that are no longer than the figure is wide."""
    return "\n".join(textwrap.wrap(text, int(figure.get_figwidth() * letters_per_inch)))


def stamped(figures: _Figures, text: str) -> _Figures:
    """The same figures, or dictionary of figures, each with what must be said of it in its upper right corner, if anything."""
    for figure in (figures.values() if isinstance(figures, Mapping) else figures) if text else ():
        figure.text(0.995, 0.995, text, ha="right", va="top", fontsize=9, color=WRONG, fontweight="bold")
    return figures


def short(name: object, letters: int = 18) -> str:
    """A name cut to so many letters, the last of them an ellipsis where something was cut."""
    text = str(name)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


@contextmanager
def series_of(variants: Iterable[object]) -> Iterator[None]:
    """Figures that are drawn inside number these variants so, whichever of them they show: each has one colour and one marker
    in all figures of a study.
    """
    before = _SERIES.set(tuple(dict.fromkeys(map(str, variants))))
    try:
        yield
    finally:
        _SERIES.reset(before)


def numbered(variants: Iterable[object]) -> dict[str, int]:
    """Number of each variant, for `colour` and `look`: that of `series_of`, and after these in the order given.

    Examples:
        >>> from vision_studies.figures.style import numbered, series_of
        >>> numbered(["wide", "deep", "wide"])
        {'wide': 0, 'deep': 1}
        >>> with series_of(["plain", "deep", "wide"]):  # all variants of a study
        ...     numbered(["wide", "deep"])
        {'wide': 2, 'deep': 1}
    """
    names = list(dict.fromkeys(map(str, variants)))
    order = {name: number for number, name in enumerate(dict.fromkeys((*_SERIES.get(), *names)))}
    return {name: order[name] for name in names}


def colour(number: int) -> str:
    """Of the series with this number; colours return after the last."""
    return COLOURS[number % len(COLOURS)]


def look(number: int) -> dict[str, Any]:
    """Colour and marker of a series; the marker changes when the colours return."""
    return {"color": colour(number), "marker": MARKERS[number // len(COLOURS) % len(MARKERS)]}


def light(name: str) -> tuple[float, float, float]:
    """A colour, mixed with three parts of white."""
    red, green, blue = to_rgb(name)
    return 0.75 + red / 4, 0.75 + green / 4, 0.75 + blue / 4
