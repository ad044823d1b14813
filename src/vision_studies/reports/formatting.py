"""How numbers look in reports."""

import math
from typing import Any

import pandas as pd

MISSING = "–"
"""Stands wherever a value is missing."""


def is_missing(value: Any) -> bool:
    """Whether a value of a table is None, NaN or pandas' own missing value."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def text(value: Any) -> str:
    """Any value as text."""
    return MISSING if is_missing(value) else str(value)


def percent(value: Any, *, sign: str = "") -> str:
    """A fraction as percent with two decimals; `sign="+"` shows the sign of a positive one, too.

    Examples:
        >>> from vision_studies.reports.formatting import percent
        >>> percent(0.4792), percent(0.0134, sign="+"), percent(None)
        ('47.92 %', '+1.34 %', '–')
    """
    return MISSING if is_missing(value) else f"{100 * float(value):{sign}.2f} %"


def with_interval(value: Any, low: Any, high: Any, *, percent: bool) -> str:
    """A number with its interval: a fraction as percent without its sign, other numbers with four decimals.

    Examples:
        >>> from vision_studies.reports.formatting import with_interval
        >>> with_interval(0.912, 0.9, 0.921, percent=True), with_interval(0.31, None, None, percent=False)
        ('91.20 (90.00 to 92.10)', '0.3100')
    """
    if is_missing(value):
        return MISSING
    shown, *ends = (
        f"{100 * number:.2f}" if percent else f"{number:.4f}" for number in (value, low, high) if number is not None
    )
    return shown if is_missing(low) else f"{shown} ({ends[0]} to {ends[1]})"


def points(value: Any) -> str:
    """A difference of two fractions, in percentage points, with its sign."""
    return MISSING if is_missing(value) else f"{100 * float(value):+.2f}"


def number(value: Any, decimals: int = 0) -> str:
    """A number with its thousands separated."""
    return MISSING if is_missing(value) else f"{float(value):,.{decimals}f}"


def spread(mean: Any, deviation: Any, decimals: int = 2, decimals_of_deviation: int | None = None) -> str:
    """Mean ± standard deviation, with as many decimals as the mean unless said otherwise; of one value the mean alone."""
    if is_missing(mean):
        return MISSING
    fine = decimals if decimals_of_deviation is None else decimals_of_deviation
    return f"{mean:.{decimals}f}" + ("" if is_missing(deviation) else f" ± {deviation:.{fine}f}")


def significant(value: Any, digits: int = 2) -> str:
    """A number with so many significant digits, as p values are written."""
    return MISSING if is_missing(value) else f"{float(value):.{digits}g}"


def count(value: Any) -> str:
    """A large number in thousands, millions or billions (k, M, G) with three digits."""
    if is_missing(value):
        return MISSING
    size = float(value)
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(size) >= 0.9995 * factor:
            scaled = size / factor
            return f"{scaled:.{max(0, 2 - int(math.log10(max(abs(scaled), 1))))}f} {unit}"
    return f"{size:g}"


def duration(seconds: Any) -> str:
    """Seconds as a length of time, to the second from a minute on and to the minute from an hour on.

    Examples:
        >>> from vision_studies.reports.formatting import duration
        >>> duration(8.41), duration(95), duration(101_000)
        ('8.4 s', '1 min 35 s', '28 h 03 min')
    """
    if is_missing(seconds):
        return MISSING
    value = float(seconds)
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes:02d} min"
