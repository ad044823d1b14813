"""Tasks on a Dask cluster: each is done by a worker that is free, and again by another one if its worker dies.

Dask is asked directly: joblib's backend for it waits for ever for a task that the scheduler has given up, and sends what all
tasks share (a data set's splits, the study's settings) with every one of them. Here each worker is sent that once, and unpacks
it after a look whether it fits the study.
"""

import asyncio
import hashlib
import logging
import os
import platform
import queue
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from cloudpickle import dumps, loads  # type: ignore[import-untyped]
from distributed import Client, Future, LocalCluster, Security, Worker, WorkerPlugin, get_worker
from distributed.comm import connect
from distributed.scheduler import KilledWorker

import vision_studies
from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import ClusterError
from vision_studies.processors import processors
from vision_studies.storage.kept_data import kept_with
from vision_studies.studies.tasks import Task

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10
_POLL_SECONDS = 1.0  # between looks whether the scheduler is still there
_WORKERS_WITHIN = 5.0  # seconds without any worker after which the terminal is told
_AGAIN_AFTER = 60.0
_WORKERS_NAMED = 8  # at most: a line for a hundred of them would be none
_DECIDING = ("augmentation", "config", "data", "models", "pipelines", "statistics", "studies", "training")
"""What decides numbers of a run."""

Parts = dict[int, Any]
"""Some of the parts of a task (its function, its keywords, then its arguments) by their position."""


class DaskCluster:
    """Does tasks on the cluster of `execution.scheduler_address`, or on one that it starts on this machine.

    It is connected by the first task: a study that is finished needs no cluster.
    """

    def __init__(self, settings: ExecutionSettings) -> None:
        self._settings = settings
        self._opened = ExitStack()
        self._client: Client | None = None
        self._warned = 0.0

    def do(self, tasks: Iterable[Task], *, when_lost: Callable[..., Any] | None = None) -> Iterator[Any]:
        """Do `tasks`; see `tasks.Parallel`.

        A task whose worker dies is done again by another. One that several workers have died of is given up. Raises
        ClusterError where there is no scheduler, it is lost, workers do not fit the project, or die of a task.
        """
        parts = [(function, keywords, *arguments) for function, arguments, keywords in tasks]
        if not parts:
            return
        client = self._connected()
        done: Counter[str] = Counter()
        given_up: list[str] = []
        with ExitStack() as stack:
            shared, rests = _divide(parts)
            name = self._share(client, shared, _folders(parts[0]), stack)
            tries = [dict(enumerate(rests))]
            for tried in tries:
                for position, ended in self._ended(client, name, tried):
                    if not isinstance(ended, KilledWorker):
                        done[ended[0]] += 1
                        yield ended[1]
                    elif tried is tries[0]:
                        # Dask blames what waited at a worker that died, too: alone, a task shows whether it kills.
                        tries.append({position: rests[position]})
                    elif when_lost is None:
                        given_up.append(_title(parts[position]))
                    else:
                        reason = f"{ended.allowed_failures + 1} workers died of it (killed, or out of memory)"
                        _, keywords, *arguments = parts[position]
                        yield when_lost(*arguments, **keywords, reason=reason)
        if len(done) <= _WORKERS_NAMED:
            logger.info("cluster: %s", ", ".join(f"{number} by {worker}" for worker, number in sorted(done.items())))
        if given_up:
            raise ClusterError(
                f"Several workers died of {'; '.join(given_up)} (killed, or out of memory), which was given up; what else "
                "there was is done: see what the workers say, give them more memory, and repeat the command."
            )

    def _ended(self, client: Client, name: str, tasks: dict[int, Parts]) -> Iterator[tuple[int, Any]]:
        """Do tasks; give the position of each with its worker and result, or the error that says that it killed workers."""
        ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        resources = dict(self._settings.resources) or None
        waiting: dict[Any, tuple[int, Future]] = {}
        for position, parts in tasks.items():
            key = f"run-{uuid.uuid4().hex}"
            future = client.submit(do_task, name, dumps(parts), pure=False, resources=resources, key=key)
            waiting[key] = (position, future)  # Dask forgets a task whose future nobody holds
            future.add_done_callback(ended.put)
        quiet_since = time.monotonic()
        while waiting:
            try:
                future = ended.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                self._look(client, quiet_since)
                continue
            quiet_since = time.monotonic()
            position, _ = waiting.pop(future.key)
            try:
                result: Any = future.result()
            except KilledWorker as error:
                result = error
            except (Exception, CancelledError) as error:
                if future.cancelled() or client.status != "running":
                    raise self._lost() from error
                raise
            yield position, result

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._opened.close()

    def _connected(self) -> Client:
        if self._client is None:
            address: Any = self._settings.scheduler_address
            if address is None:
                # Mapped images count as a worker's memory, though the system takes them back: no limit.
                started = LocalCluster(
                    n_workers=self._settings.workers,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                    resources=dict(self._settings.resources) or None,
                )
                address = self._opened.enter_context(started)
            # That a connection is lost is told in a sentence here, not with Dask's traceback.
            logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
            try:
                _require_scheduler(address)
                client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError) as error:  # a time-out is an OSError
                raise ClusterError(
                    f"No Dask scheduler answers at execution.scheduler_address={address} within {_CONNECT_SECONDS} s; "
                    "start it with `dask scheduler`, or correct the address (tcp://host:8786)."
                ) from error
            self._client = self._opened.enter_context(client)
        return self._client

    def _share(self, client: Client, shared: Parts, folders: Sequence[Path], stack: ExitStack) -> str:
        """Give what all tasks share to every worker, those that join later included; return how they find it."""
        name = f"vision-studies-{uuid.uuid4().hex}"
        # A store brings its folders to workers that do not see them.
        marks = [folder.absolute() / f".{name}" for folder in folders if kept_with(folder) is None]
        for mark in marks:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            stack.callback(mark.unlink, missing_ok=True)
        absolute = {position: part.absolute() if isinstance(part, Path) else part for position, part in shared.items()}
        threads = os.environ.get("OMP_NUM_THREADS", "")
        tasks_a_host: Counter[str] = Counter()
        for worker in self._workers(client):
            tasks_a_host[worker["host"]] += worker["nthreads"]
        task_threads = int(threads) if threads.isdigit() else None
        plugin = SharedParts(dumps(absolute), marks, environment(), task_threads, dict(tasks_a_host))
        try:
            client.register_plugin(plugin, name=name)
        except OSError as error:
            raise self._lost() from error
        except Exception as error:  # Dask raises a bare one with the text of what went wrong on the worker
            raise ClusterError(
                f"A Dask worker cannot import this project ({error}); start workers with `dask worker` of the environment "
                "that the project is installed in (.venv/bin/dask)."
            ) from error
        stack.callback(_forget, client, name)
        return name

    def _workers(self, client: Client) -> Sequence[dict[str, Any]]:
        try:
            return list(client.scheduler_info(n_workers=-1)["workers"].values())
        except (OSError, ValueError, RuntimeError, AttributeError) as error:  # whichever the lost connection gives
            raise self._lost() from error

    def _look(self, client: Client, quiet_since: float) -> None:
        """Tell what keeps the tasks waiting. Raises ClusterError where the scheduler is lost."""
        if client.status != "running":
            raise self._lost()
        now = time.monotonic()
        if now - quiet_since < _WORKERS_WITHIN or (self._warned and now - self._warned < _AGAIN_AFTER):
            return
        workers = self._workers(client)
        wanted = self._settings.resources
        offers = [worker.get("resources", {}) for worker in workers]
        if not any(all(offer.get(name, 0) >= amount for name, amount in wanted.items()) for offer in offers):
            listed = " ".join(f"{name}={amount:g}" for name, amount in wanted.items())
            option = f' --resources "{listed}"' if wanted else ""
            some = f"none of {len(workers)} workers has execution.resources ({listed})"
            lack, address = some if workers else "no worker is there", client.scheduler.address
            logger.warning(
                "Waiting: %s at the Dask scheduler %s; start one with `dask worker %s --nthreads 1%s`",
                *(lack, address, address, option),
            )
            self._warned = now

    def _lost(self) -> ClusterError:
        where = self._settings.scheduler_address or "of this machine"
        return ClusterError(
            f"The Dask scheduler {where} is lost (stopped, or the network is down); start it and its workers again and repeat "
            "the command: finished runs are kept, the others go on from their checkpoints."
        )


def _require_scheduler(address: Any) -> None:
    """Connect once and part again (OSError, ValueError): a client that finds no scheduler hangs when it is thrown away."""
    if not isinstance(address, str):
        return  # a cluster that this process has started

    async def meet() -> None:
        arguments = Security().get_connection_args("client")
        comm = await connect(address, timeout=_CONNECT_SECONDS, **arguments)
        await comm.close()

    with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop of its own, in which no other can run
        thread.submit(asyncio.run, meet()).result()


def _divide(tasks: Sequence[tuple[Any, ...]]) -> tuple[Parts, list[Parts]]:
    """The parts that are one and the same object in all tasks, and what remains of each task."""
    first, *others = tasks
    alike = all(len(task) == len(first) for task in others)
    shared = {
        position: part
        for position, part in enumerate(first)
        if alike and all(task[position] is part for task in others)
    }
    return shared, [{position: part for position, part in enumerate(task) if position not in shared} for task in tasks]


def _folders(task: tuple[Any, ...]) -> list[Path]:
    """The folders that a task is given to work in, alone or as the `folder` of what it is given."""
    named = [part if isinstance(part, Path) else getattr(part, "folder", None) for part in task]
    return [part for part in named if isinstance(part, Path)]


def _title(task: tuple[Any, ...]) -> str:
    """How a task is called: after its runs where it has some."""
    lists = [runs for argument in task[2:] if isinstance(runs := getattr(argument, "runs", None), list)]
    names = [run.name for runs in lists for run in runs]
    return ", ".join(names) or getattr(task[0], "__name__", "a task")


def _forget(client: Client, name: str) -> None:
    if client.status == "running":
        client.unregister_worker_plugin(name)


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
        """The shared parts. Raises ClusterError where this worker has other versions, more than one thread, or does not see the
        study's folders.
        """
        with self._lock:
            if self._parts is None:
                self._check()
                self._limit_threads()
                self._parts = loads(self.packed)
            return self._parts

    def _check(self) -> None:
        name, ours = self._worker.address, environment()
        differing = [
            f"{part} {ours[part]} (here {there})" for part, there in self.environment.items() if ours[part] != there
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
        threads = self.threads or max(1, processors() // self.tasks_a_host.get(host, 1))
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
    function, keywords, *arguments = (parts[position] for position in range(len(parts)))
    worker_name = worker.name if isinstance(worker.name, str) else f"worker {worker.name}"
    return worker_name, function(*arguments, **keywords)


environment()  # now: a process has the source that lay there when it began
