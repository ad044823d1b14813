"""What a training tells while it goes on: a bar on a terminal, elsewhere a line now and then."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

_BAR_AFTER = 1.0  # seconds: what is over sooner would only flicker
_LINE_AFTER = 30.0  # seconds from line to line, and never less than a quarter of the time that has passed: ever rarer


_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


@contextmanager
def without_progress() -> Iterator[None]:
    """Nothing is told in the block: a training that is only timed is nobody's."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


@contextmanager
def training_progress(epochs: int, done: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that is given the history row of every finished epoch.

    Args:
        epochs: epochs of the whole training.
        done: epochs that an interrupted call has finished.
    """
    with _epochs(epochs, done) as tell:

        def advance(row: dict[str, Any]) -> None:
            accuracy = row["validation_accuracy"]
            validation = "" if accuracy != accuracy else f", validation accuracy {accuracy:.3f}"  # noqa: PLR0124 - NaN
            tell(row["epoch"], f"loss {row['train_loss']:.3f}{validation}")

        yield advance


@contextmanager
def stack_progress(members: int, epochs: int) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that is given the number of every finished epoch of a stack, and how many members go on."""
    with _epochs(epochs, 0) as tell:

        def advance(epoch: int, active: int) -> None:
            tell(epoch, f"{active} of {members} networks" if members > 1 else "")

        yield advance


@contextmanager
def _epochs(epochs: int, done: int) -> Iterator[Callable[[int, str], None]]:
    """Yield a function that is given the number of every finished epoch and what to say of it."""
    console = get_console()  # the one that is logged to: a line of log then moves above the bar instead of through it
    # Bars of several processes would overwrite each other.
    if _SILENT.get() or multiprocessing.parent_process() is not None:
        yield lambda _epoch, _text: None
    elif console.is_terminal:
        yield from _bar(epochs, done)
    else:
        yield _lines(epochs)


def _bar(epochs: int, done: int) -> Iterator[Callable[[int, str], None]]:
    text, left = TextColumn("{task.fields[text]}"), TextColumn("left")
    columns = (TextColumn("          epoch"), MofNCompleteColumn(), BarColumn(20), text, TimeRemainingColumn(), left)
    progress = Progress(*columns, console=get_console(), transient=True)
    task = progress.add_task("", total=epochs, completed=done, text="")
    start = threading.Timer(_BAR_AFTER, progress.start)
    start.daemon = True
    start.start()
    try:
        yield lambda epoch, text: progress.update(task, completed=epoch, text=text)
    finally:
        start.cancel()
        start.join()
        if progress.live.is_started:
            progress.stop()


def _lines(epochs: int) -> Callable[[int, str], None]:
    started = last_line = time.monotonic()
    done: int | None = None  # epochs of an interrupted call took none of this one's time

    def tell(epoch: int, text: str) -> None:
        nonlocal last_line, done
        done = epoch - 1 if done is None else done
        now = time.monotonic()
        if now - last_line < max(_LINE_AFTER, (now - started) / 4) or epoch >= epochs:
            return
        last_line = now
        left = timedelta(seconds=round((now - started) / (epoch - done) * (epochs - epoch)))
        logger.info("epoch %d of %d: %s", epoch, epochs, ", ".join(filter(None, (text, f"about {left} left"))))

    return tell
