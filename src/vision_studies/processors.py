"""How many processors this process may use: a container's share of a machine is less than the machine has."""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath


@cache
def processors(root: Path = Path("/")) -> int:
    """Processors for the threads of this process, one at least.

    They are those that it may run on (its affinity), or fewer where a control group that it is in, of version 1 or 2, has a
    quota of processor time: 1.5 of them are two threads.

    Args:
        root: folder in which /proc and /sys are.
    """
    return max(1, min([len(usable()), *map(math.ceil, _quotas(root))]))


def usable() -> set[int]:
    """Numbers of the processors that this process may run on."""
    return os.sched_getaffinity(0)


def _quotas(root: Path) -> Iterator[float]:
    """Processors that the control groups of this process leave it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return  # another system, or none that says
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", maxsplit=2) if line.count(":") > 1 else ("", "none", "/")
        if not controllers:
            for folder in _upwards(groups, path):
                yield from _quota(folder / "cpu.max")
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu"):
                for folder in _upwards(groups / name, path):
                    yield from _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _upwards(root: Path, path: str) -> list[Path]:
    """A group's folder and those above it. A container may see no more than the last of them, which is its own."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    return [root.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _quota(*files: Path) -> Iterator[float]:
    """Processor time by time, from the numbers in these files; none where there is no limit."""
    try:
        quota, period, *_ = " ".join(file.read_text(encoding="utf-8") for file in files).split()
        share = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such group here, or "max"
        return
    if share > 0:  # version 1 writes -1 where there is no limit
        yield share
