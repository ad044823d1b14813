"""A line on the terminal while a network looks at images; nothing where the output is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def image_progress(images: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many images more have been dealt with.

    Args:
        images: how many there are.
    """
    console = get_console()
    columns = (TextColumn("images"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=images)

        def advance(more: int) -> None:
            progress.update(task, advance=more)

        yield advance
