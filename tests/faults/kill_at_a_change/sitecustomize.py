"""Python imports this when it starts: counts what a process changes on disk, and kills it at a given change.

FAULTS_KILL_AT: the change before which all processes of the group are killed; 0 for never.
FAULTS_COUNT_IN: the file that the number of changes is written to when the process ends.
FAULTS_FOLDER: the folder in which changes count.
"""

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

_folder = os.environ.get("FAULTS_FOLDER", "")
_kill_at = int(os.environ.get("FAULTS_KILL_AT", "0"))
_changes = [0]


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"):
        return str(arguments[0]).startswith(_folder)
    if event == "open":
        path, _, flags = arguments
        return (
            isinstance(path, (str, os.PathLike))
            and bool(flags & (os.O_WRONLY | os.O_RDWR))
            and (os.fspath(path).startswith(_folder))
        )
    return False


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    if _is_change(event, arguments):
        _changes[0] += 1
        if _changes[0] == _kill_at:
            os.killpg(0, signal.SIGKILL)


def _tell() -> None:
    if os.getpid() == os.getpgrp():  # the command itself, and none that it has started
        Path(os.environ["FAULTS_COUNT_IN"]).write_text(str(_changes[0]), encoding="utf-8")


if _folder:
    sys.addaudithook(_count)
    atexit.register(_tell)
