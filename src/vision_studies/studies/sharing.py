"""Work that several processes share: who holds what, and waiting for what others hold.

What is worked on is held with a lock that the system takes from a process that dies, however it dies.
"""

import fcntl
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vision_studies.files import full_disk_told, remove
from vision_studies.studies.stages import Artifact, Artifacts

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_LINE_AFTER = 60.0  # seconds from line to line while others are waited for


def this_process() -> str:
    """How this process is called where others have to wait for it, as in `process 4242 on workstation`."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def try_to_hold(lock_file: Path, holder: str) -> Iterator[bool]:
    """Hold a lock, whose folder must exist, for the block, unless another process does; yield whether it is held here.

    Others are told to wait for `holder`.
    """
    lock = FileLock(lock_file, blocking=False)
    try:
        with full_disk_told(lock_file):
            lock.acquire()
    except Timeout:
        yield False
        return
    try:
        name_holder(lock_file, holder)
        yield True
    finally:
        lock.release()


@contextmanager
def hold(lock_file: Path, what: str, waiting: str = "waiting for %s, which works on %s") -> Iterator[None]:
    """Hold a lock, whose folder is made where it is missing, for the block; where another process does, say so once and wait.

    What is said has the name of that process and `what`, as in `the features of digits`.
    """
    lock = FileLock(lock_file)
    with full_disk_told(lock_file):
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            logger.info(waiting, holder_of(lock_file), what)
            lock.acquire()
    try:
        name_holder(lock_file)
        yield
    finally:
        lock.release()


def is_held(lock_file: Path) -> bool:
    """Whether a living process holds a lock; it is asked for and not kept, and no file is made."""
    try:
        with suppress(FileNotFoundError), lock_file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def name_holder(lock_file: Path, holder: str | None = None) -> None:
    """Let others know who holds a lock: this process, or `holder`, for which it works."""
    with full_disk_told(lock_file):
        _holder_file(lock_file).write_text(holder or this_process(), encoding="utf-8")


def holder_of(lock_file: Path) -> str:
    """Who holds a lock, or was the last to hold it."""
    with suppress(FileNotFoundError):
        return _holder_file(lock_file).read_text(encoding="utf-8") or "another process"
    return "another process"


def log_reused(stage: str, finished: int, total: int, are: str = "are") -> None:
    """Say how much need not be done again, if any."""
    if finished:
        logger.info("%s: %d of %d %s finished and reused", stage, finished, total, are)


class Elsewhere:
    """Waits for work of a stage that other processes do, and says for whom: at once, and then every minute."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._last_line = -_LINE_AFTER

    def wait(self, held: Sequence[tuple[Path, int]]) -> None:
        """Return as soon as one of the locks is free, because its work has ended or its process has died.

        `held` has the locks with the number of runs behind each.
        """
        while all(is_held(lock_file) for lock_file, _ in held):
            if time.monotonic() - self._last_line >= _LINE_AFTER:
                self._tell(held)
            time.sleep(_POLL_SECONDS)

    def _tell(self, held: Sequence[tuple[Path, int]]) -> None:
        counts: Counter[str] = Counter()
        for lock_file, runs in held:
            counts[holder_of(lock_file)] += runs
        first, *others = counts
        who = ", ".join(f"{count} by {holder}" for holder, count in counts.items()) if others else first
        total = counts.total()
        are = "run is" if total == 1 else "runs are"
        logger.info("%s: %d %s worked on elsewhere (%s); waiting", self._stage, total, are, who)
        self._last_line = time.monotonic()


def share(artifacts: Artifacts, *, fresh: bool = False, note: Callable[[Artifact, float], None] | None = None) -> None:
    """Make every artifact that is not there, each in one of the processes that call this; return when all are there.

    `fresh`: delete those that are there first. `note` is given each that was made here with the seconds that it took.
    """
    for artifact in artifacts.items if fresh else ():
        remove(artifact.remove)
    waiting = [artifact for artifact in artifacts.items if not artifact.file.exists()]
    log_reused(artifacts.label, len(artifacts.items) - len(waiting), len(artifacts.items))
    elsewhere = Elsewhere(artifacts.label)
    while waiting:
        held = []
        for artifact in waiting:
            artifact.lock.parent.mkdir(parents=True, exist_ok=True)
            with try_to_hold(artifact.lock, this_process()) as free:
                if not free:
                    held.append((artifact.lock, 1))
                elif not artifact.file.exists():
                    started = time.monotonic()
                    artifact.make()
                    if note is not None:
                        note(artifact, time.monotonic() - started)
        if held:
            elsewhere.wait(held)
        waiting = [artifact for artifact in waiting if not artifact.file.exists()]


def _holder_file(lock_file: Path) -> Path:
    return lock_file.with_name(f"{lock_file.name.removesuffix('.lock')}.holder")
