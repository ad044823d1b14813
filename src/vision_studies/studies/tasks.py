"""What runs are to whoever does them: tasks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

Task = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""What `joblib.delayed` makes: a function, its arguments and its keywords."""


class Parallel(Protocol):
    """Does tasks; gives what they return, in the order in which they end.

    `when_lost` is given the arguments of a task of which several workers of a cluster have died and, as `reason`, a sentence;
    what it returns takes the place of the task's result. None: an error tells of it at the end.
    """

    def __call__(self, tasks: Iterable[Task], *, when_lost: Callable[..., Any] | None = None) -> Iterator[Any]:
        """Do `tasks`."""
        ...
