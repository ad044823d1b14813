"""Several processes of this machine that train one network together: starting them, hearing of them, ending them.

The calling process only watches. Whatever ends it, even `kill -9`, ends the others too, and whatever ends one of them ends
the training: nobody waits for a process that is gone.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from vision_studies.data.loaders import Share
from vision_studies.errors import ParameterError, VisionStudiesError
from vision_studies.training.runtime import select_device

OnEpoch = Callable[[dict[str, Any]], bool | None]
"""Is given the history row of every epoch; True ends the training."""

Work = Callable[[Share, torch.device, OnEpoch | None], Any]
"""What each process does: `work(share, device, on_epoch)`; `on_epoch` is None in all but the first."""

_EXCHANGE_TIMEOUT = timedelta(minutes=10)  # a process that says nothing for so long is taken for dead
_GRACE = 5.0  # seconds: how long the others may tell their own error, and how long an ended process may take to go

_SETTING = "execution.processes_per_run"


class TogetherError(RuntimeError):
    """A process of a training has failed or was killed. The run is a failed one, and the same command tries it again."""


def require_equal_shares(batch_size: int, processes: int) -> None:
    """Refuse batches that cannot be divided evenly.

    Raises:
        ParameterError: `batch_size` is no multiple of `processes`.
    """
    if batch_size % processes:
        smaller = max(batch_size // processes, 1) * processes
        raise ParameterError(
            f"training.batch_size={batch_size} cannot be divided evenly among {_SETTING}={processes} processes; "
            f"choose {smaller} or another multiple of {processes}."
        )


def training_device(name: str, processes: int) -> torch.device:
    """The device of a training, by its name in the execution settings.

    Where several processes train together, each claims a GPU for itself, and the one that starts them claims none.

    Raises:
        ParameterError: torch finds no such device.
    """
    if processes > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    return select_device(name)


def require_devices(processes: int, device: torch.device) -> None:
    """Refuse more processes than there are GPUs for them, and processes where none may be started.

    Raises:
        ParameterError: torch finds too few GPUs, or this process may start no other.
    """
    if device.type == "cuda" and torch.cuda.device_count() < processes:
        raise ParameterError(
            f"{_SETTING}={processes} wants as many GPUs for every run but torch finds {torch.cuda.device_count()} here; "
            "lower it, or let the process see more in CUDA_VISIBLE_DEVICES."
        )
    if multiprocessing.current_process().daemon:
        raise ParameterError(
            f"{_SETTING}={processes} cannot be had in a Dask worker that may start no processes; start the workers with "
            "DASK_DISTRIBUTED__WORKER__DAEMON=False, or set it to 1."
        )


def train_together(work: Work, processes: int, device: torch.device, on_epoch: OnEpoch | None = None) -> Any:
    """Do `work` in several processes that share every batch.

    Args:
        work: what to do; a function of a module with arguments that can be sent (`functools.partial`).
        processes: how many; each gets a GPU of its own, or an equal share of this process's threads.
        device: kind of device; see `training_device`.
        on_epoch: called here with the history row of every epoch.

    Returns:
        What `work` returned in the first of them.

    Raises:
        ParameterError: see `require_devices`.
        VisionStudiesError: what one of them raised.
        TogetherError: one of them failed in another way, or was killed.
    """
    require_devices(processes, device)
    threads = max(torch.get_num_threads() // processes, 1)
    context = multiprocessing.get_context("spawn")
    members: list[_Member] = []
    with tempfile.TemporaryDirectory() as folder:
        setup = (device.type, threads, logging.getLogger().getEffectiveLevel(), Path(folder) / "store")
        try:
            for rank in range(processes):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, Share(rank, processes), *setup), daemon=True)
                with _interrupts_held_back():
                    process.start()
                theirs.close()  # the process alone holds it now, so that its end is heard
                members.append(_Member(rank, process, ours))
            for member in members:  # when all are on their way: sending waits for a process that is ready to take it
                member.tell(work)
            return _listen(members, on_epoch)
        finally:
            _end(members)


@dataclass
class _Member:
    """A process as the calling one sees it."""

    rank: int
    process: BaseProcess
    connection: Connection
    failure: tuple[int, float, Exception] | None = None  # how telling (0 is best), when it happened, what it is
    finished: bool = False
    result: Any = None

    def tell(self, value: Any) -> None:
        # A process that is gone is heard of in another way.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(value)


def _listen(members: Sequence[_Member], on_epoch: OnEpoch | None) -> Any:
    """Serve the processes until all have ended, or one has failed."""
    running = {member.connection: member for member in members}
    until: float | None = None
    while running:
        ready = wait(list(running), None if until is None else max(until - time.monotonic(), 0))
        if not ready:
            break  # they wait for an exchange with the one that failed
        for connection in ready:
            assert isinstance(connection, Connection)  # noqa: S101 - nothing else was asked for
            member = running[connection]
            try:
                kind, value = connection.recv()
            except (EOFError, ConnectionResetError):
                del running[connection]
                _check_exit(member, len(members))
            else:
                _take_message(member, kind, value, on_epoch, len(members))
                if kind == "result" and all(one.finished for one in members):
                    for one in members:  # not before: a process that leaves cuts off exchanges that others still finish
                        one.tell("go")
            if member.failure is not None and until is None:
                until = time.monotonic() + _GRACE
    failures = [member.failure for member in members if member.failure is not None]
    if failures:
        raise min(failures, key=lambda failure: failure[:2])[2]
    return members[0].result


def _take_message(member: _Member, kind: str, value: Any, on_epoch: OnEpoch | None, processes: int) -> None:
    """Do what a message of a process asks for."""
    match kind:
        case "row":
            member.tell(bool(on_epoch is not None and on_epoch(value)))
        case "log":
            logging.getLogger(value.name).handle(value)
        case "result":
            member.finished, member.result = True, value
        case "refusal":
            member.failure = (0, time.monotonic(), value)
        case "failure":
            happened, text, trace = value
            error = TogetherError(f"process {member.rank + 1} of {processes}: {text}")
            error.add_note(trace)
            member.failure = (2, happened, error)


def _check_exit(member: _Member, processes: int) -> None:
    """Look at how a process has ended that says nothing any more."""
    member.process.join(_GRACE)
    code = member.process.exitcode
    if member.failure is None and (not member.finished or code):
        how = f"was killed ({signal.Signals(-code).name})" if code is not None and code < 0 else f"ended with {code}"
        text = f"process {member.rank + 1} of {processes} {how}; the same command continues from the last checkpoint"
        member.failure = (1, time.monotonic(), TogetherError(text))


def _end(members: Sequence[_Member]) -> None:
    """End what still runs."""
    for member in members:
        member.process.terminate()
    until = time.monotonic() + _GRACE
    for member in members:
        member.process.join(max(until - time.monotonic(), 0))
        member.process.kill()
        member.process.join()
        member.connection.close()


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started in here do not hear Ctrl-C, which a terminal sends to all of them: this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Line:
    """The connection of a process to the calling one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        with self._lock:
            self._connection.send((kind, value))

    def ask(self, row: dict[str, Any]) -> bool:
        self.send("row", row)
        return bool(self._connection.recv())

    def put_nowait(self, record: logging.LogRecord) -> None:  # what QueueHandler asks of its queue
        self.send("log", record)


def _serve(connection: Connection, share: Share, device_type: str, threads: int, log_level: int, store: Path) -> None:
    """What a started process does."""
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as an error: half-written files are removed on the way
    line = _Line(connection)
    root = logging.getLogger()
    root.setLevel(log_level)
    # They do the same and would say the same: the first speaks for all.
    root.addHandler(QueueHandler(line) if share.rank == 0 else logging.NullHandler())  # type: ignore[arg-type]
    try:
        work: Work = connection.recv()
        torch.set_num_threads(threads)
        device = _join(share, device_type, store)
        result = work(share, device, line.ask if share.rank == 0 else None)
        line.send("result", result if share.rank == 0 else None)
        connection.recv()  # until all have ended their work
        torch.distributed.destroy_process_group()
    except VisionStudiesError as error:
        line.send("refusal", error)
    except Exception as error:
        line.send("failure", (time.monotonic(), f"{type(error).__name__}: {error}", traceback.format_exc()))
    connection.close()


def _join(share: Share, device_type: str, store: Path) -> torch.device:
    """Meet the other processes; return the device of this one."""
    device = select_device(device_type)
    if sys.platform == "linux":  # all are on this machine, whose name may lead nowhere
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{store}",
        rank=share.rank,
        world_size=share.processes,
        timeout=_EXCHANGE_TIMEOUT,
    )
    return device


def _end_with_the_caller() -> None:
    """Wait for the end of the process that started this one, and go with it, in the middle of whatever is done."""
    caller = multiprocessing.parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)
