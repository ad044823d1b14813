"""A line on the terminal while a network trains; nothing where the output is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def training_progress(epochs: int, done: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that is given the history row of every finished epoch.

    Args:
        epochs: epochs of the whole training.
        done: epochs that an interrupted call has finished.
    """
    console = get_console()  # the one that Kedro logs to: a line of log then moves above the bar instead of through it
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[losses]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=epochs, completed=done, losses="")

        def advance(row: dict[str, Any]) -> None:
            accuracy = row["validation_accuracy"]
            validation = "" if accuracy != accuracy else f", validation accuracy {accuracy:.3f}"  # noqa: PLR0124 - NaN
            progress.update(task, advance=1, losses=f"loss {row['train_loss']:.3f}{validation}")

        yield advance


@contextmanager
def stack_progress(members: int, epochs: int) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that is given the number of every finished epoch of a stack, and how many members go on."""
    console = get_console()
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[going]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=epochs, going=f"{members} networks")

        def advance(epoch: int, active: int) -> None:
            progress.update(task, completed=epoch, going=f"{active} of {members} networks")

        yield advance
