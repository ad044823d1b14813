"""Lengths of time as parameters have them."""

import re

LENGTH_OF_TIME = r"^\d+(\.\d+)?\s*(s|min|m|h)$"
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


def budget_seconds(budget: str) -> float:
    """Seconds of a budget such as 90s, 10m, 10min or 1h. Raises ValueError where it is none.

    Examples:
        >>> from vision_studies.config.lengths_of_time import budget_seconds
        >>> budget_seconds("90s"), budget_seconds("10m"), budget_seconds("1.5 h")
        (90.0, 600.0, 5400.0)
    """
    if not re.match(LENGTH_OF_TIME, budget):
        raise ValueError(f"'{budget}' is no length of time; write 90s, 10m or 1h")
    number, unit = re.fullmatch(r"([\d.]+)\s*([a-z]+)", budget).groups()  # type: ignore[union-attr] # it has matched
    return float(number) * _UNITS[unit]
