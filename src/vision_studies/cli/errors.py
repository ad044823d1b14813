"""Errors that are the user's to mend, told in one sentence."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from vision_studies.errors import ParameterError, VisionStudiesError, one_line
from vision_studies.files import access_refused

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C has stopped, as shells have it."""


def told_in_a_sentence(command: Callable[..., Any], *, when_stopped: str = "Stopped.") -> Callable[..., Any]:
    """Print the message of an error that is the user's to mend, and nothing else. Other errors are left alone.

    VISION_STUDIES_TRACEBACK=1 shows where it came from. `when_stopped` is what to say when Ctrl-C stops the command.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.secho(f"\n{when_stopped}", fg="yellow", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            user_error = _user_error(error)
            if user_error is None or os.environ.get("VISION_STUDIES_TRACEBACK"):
                raise
            click.secho(f"Error: {user_error}", fg="red", err=True)
            sys.exit(1)

    return wrapped


def _user_error(error: BaseException) -> VisionStudiesError | None:
    """The error of ours behind what Kedro raised, or one that tells of files that the user may not read or write."""
    visited: set[int] = set()
    current: BaseException | None = error
    while current is not None and not isinstance(current, VisionStudiesError) and id(current) not in visited:
        visited.add(id(current))
        current = current.__cause__ or current.__context__
    if isinstance(error, PermissionError) and not isinstance(current, VisionStudiesError):
        return access_refused(error)
    if isinstance(error, NotImplementedError) and "MPS device" in str(error):
        return ParameterError(
            f"Apple's GPU cannot compute this ({one_line(error)}); use the processor: --params=execution.device=cpu."
        )
    return current if isinstance(current, VisionStudiesError) else None
