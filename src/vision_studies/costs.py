"""What a piece of work costs, in units of which each takes as long, and what a unit has been found to take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from vision_studies.errors import DataError
from vision_studies.files import hash_json


class Measured(NamedTuple):
    """What a little of some work took.

    Attributes:
        seconds: of one unit, measured once or several times.
        disk: bytes that the work leaves, whatever its units are.
    """

    seconds: tuple[float, ...]
    disk: float = 0.0


@dataclass(frozen=True)
class Cost:
    """Work of one kind: so many units, of which each takes as long on one machine wherever kind and shape are the same.

    Attributes:
        kind: what is done, as in "train".
        shape: all that decides how long a unit takes, as JSON: network, size of images and batches, number format and the like.
        units: how many there are; of most trainings, images times epochs.
        operations: multiply-adds of a unit, roughly: by them the time of a shape that was not measured follows from others.
        measure: does a little of it.
        least: how many units there are at least, where work may end sooner than planned; None: all.

    Examples:
        >>> from vision_studies.costs import Cost, Measured
        >>> steps = Cost("train", {"batch": 8}, 100, lambda: 1e6, lambda: Measured((0.01, 0.012)))
        >>> steps.key == Cost("train", {"batch": 8}, 5, lambda: 0, lambda: Measured((1.0,))).key
        True
    """

    kind: str
    shape: Mapping[str, Any]
    units: float
    operations: Callable[[], float]
    measure: Callable[[], Measured]
    least: float | None = None

    @cached_property
    def key(self) -> str:
        """What costs share of which a unit takes as long."""
        return hash_json([self.kind, dict(self.shape)])[:16]


Costs = Sequence[Cost]
"""Of one piece of work."""


def costs_nothing(*_: Any) -> Costs:
    """Of work that is not worth counting, such as reading a small file."""
    return ()


def costs_unknown(reason: str) -> Costs:
    """Of work whose amount cannot be told yet, for the `reason`."""

    def measure() -> Measured:
        raise DataError(reason)

    return [Cost("unknown", {"reason": reason}, 1, lambda: 0.0, measure)]
