"""One look for all figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by colour-blind readers, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
RIGHT, WRONG = "#0072B2", "#D55E00"

_STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",
    "figure.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside with the project's look. Figures are made without pyplot, so none is left open."""
    with mpl.rc_context(_STYLE):
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, which lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")
