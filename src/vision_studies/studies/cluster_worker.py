"""The side of a Dask worker: what all tasks share is unpacked once, after a look whether the worker fits the study."""

import hashlib
import os
import platform
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import joblib
from cloudpickle import loads  # type: ignore[import-untyped]
from distributed import Worker, WorkerPlugin, get_worker

import vision_studies
from vision_studies.errors import ClusterError

_DECIDING = (
    "augmentation",
    "config",
    "data",
    "models",
    "pipelines",
    "statistics",
    "studies",
    "training",
)  # numbers of a run

Parts = dict[int, Any]
"""Some of the parts of a task (its function, its keywords, then its arguments) by their place."""


@dataclass
class SharedParts(WorkerPlugin):
    """What all tasks of one call share, on a worker; unpacked by the first of them.

    Attributes:
        packed: the parts, pickled.
        marks: files that a worker sees if it shares the study's folders with the command.
        environment: of the command; see `environment`.
        threads: of one task; None: its share of the cores of its machine.
        tasks_a_host: host -> how many tasks it does at once.
    """

    packed: bytes
    marks: Sequence[Path]
    environment: dict[str, str]
    threads: int | None
    tasks_a_host: dict[str, int]

    def setup(self, worker: Worker) -> None:
        """Called by Dask when the worker is given the parts."""
        self._worker = worker
        self._lock = threading.Lock()
        self._parts: Parts | None = None

    def parts(self) -> Parts:
        """The shared parts.

        Raises:
            ClusterError: this worker has other versions, more than one thread, or does not see the study's folders.
        """
        with self._lock:
            if self._parts is None:
                self._check()
                self._limit_threads()
                self._parts = loads(self.packed)
            return self._parts

    def _check(self) -> None:
        name = self._worker.address
        own = environment()
        differing = [
            f"{part} {own[part]} (here {wanted})" for part, wanted in self.environment.items() if own[part] != wanted
        ]
        if differing:
            raise ClusterError(
                f"The Dask worker {name} has {', '.join(differing)}; start it anew from the environment and the "
                "checkout that the command has: the numbers of a study come from one version."
            )
        if self._worker.state.nthreads > 1:
            raise ClusterError(
                f"The Dask worker {name} has {self._worker.state.nthreads} threads, whose runs would share random numbers; "
                "start it with `--nthreads 1`, and more workers with `--nworkers`."
            )
        for mark in self.marks:
            if not mark.exists():
                raise ClusterError(
                    f"The Dask worker {name} does not see {mark.parent}; the project's folder must be shared by all machines, "
                    "at the same path."
                )

    def _limit_threads(self) -> None:
        host = self._worker.address.rpartition("/")[2].rpartition(":")[0]
        threads = self.threads or max(1, joblib.cpu_count() // self.tasks_a_host.get(host, 1))
        # What is imported only now reads the variable; torch, where it is there already, has to be told.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


@cache
def environment() -> dict[str, str]:
    """What has to be the same wherever a study's runs are done; the project's source as it was when this process began."""
    root = Path(vision_studies.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for part in _DECIDING for file in (root / part).rglob("*.py")):
        digest.update(file.read_bytes())
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": version("torch"),
        "vision_studies": f"{vision_studies.__version__}, source {digest.hexdigest()[:8]}",
    }


def do_task(name: str, packed: bytes) -> tuple[str, Any]:
    """Do a task on a worker; return the worker's name and what the task returns."""
    worker = get_worker()
    plugin = cast("SharedParts", worker.plugins[name])
    parts = plugin.parts() | loads(packed)
    function, keywords, *arguments = (parts[place] for place in range(len(parts)))
    name = worker.name if isinstance(worker.name, str) else f"worker {worker.name}"
    return name, function(*arguments, **keywords)


environment()  # now: a process has the source that lay there when it began
