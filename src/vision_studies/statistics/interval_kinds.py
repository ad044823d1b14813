"""Kinds of intervals, and what small print calls them: for figures, which import no statistics to be drawn."""

from typing import Literal

Interval = Literal["t", "bootstrap"]
"""t: Student's interval of the mean. bootstrap: bias-corrected and accelerated (Efron 1987); too narrow below ten values."""

INTERVAL_NAMES: dict[Interval, str] = {"t": "Student's t", "bootstrap": "bootstrap"}
