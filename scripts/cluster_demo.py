"""A Dask scheduler and workers on this machine, and a small study on them: `make cluster-demo`.

    python -m scripts.cluster_demo [--env resnet_se+demo+cluster] [--workers 2] [further options of kedro run]

Everything listens on 127.0.0.1 alone, at ports that the system chooses, and ends with this command, also on Ctrl-C.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

START_SECONDS = 60
_PR_SET_PDEATHSIG = 1  # of Linux' prctl
_LIBC = ctypes.CDLL(None)


class LocalDask:
    """A scheduler and workers as processes of their own, as `dask scheduler` and `dask worker` start them.

    Args:
        workers: how many to start.
        options: further options of `dask worker`, such as `--resources "GPU=1"`.
        variables: environment variables that differ from this process.
    """

    def __init__(
        self, workers: int, *, options: Sequence[str] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        self._number = workers
        self._options = list(options)
        self._variables = dict(os.environ) | dict(variables or {})
        self._scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> "LocalDask":
        self._folder = tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True)
        try:
            self.start_scheduler()
            for _ in range(self._number):
                self.start_worker()
            if self._number:
                self.wait_for_workers(self._number)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_scheduler(self) -> None:
        """Start the scheduler; its address is known when this returns."""
        file = Path(self._folder.name) / "scheduler.json"
        options = [
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
            "--no-show",
            "--idle-timeout",
            "600",
        ]
        self._scheduler = self._start("scheduler", "scheduler", *options, "--scheduler-file", str(file))
        deadline = time.monotonic() + START_SECONDS
        while not self.address:
            if self._scheduler.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The Dask scheduler has not started:\n{self.log('scheduler')}")
            if file.exists() and (text := file.read_text(encoding="utf-8")).rstrip().endswith("}"):
                self.address = json.loads(text)["address"]
            time.sleep(0.05)

    def start_worker(self) -> None:
        """Start one more worker, called worker-1, worker-2 ..., with one thread, as two runs in one process are refused."""
        name = f"worker-{len(self.workers) + 1}"
        own = ["--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--name", name]
        # Mapped images count as memory of a worker, though the system takes them back: no limit.
        limits = ["--memory-limit", "0", "--death-timeout", "30", "--local-directory", self._folder.name]
        self.workers.append(self._start(name, "worker", self.address, *own, *limits, *self._options))

    def wait_for_workers(self, number: int) -> None:
        """Wait until so many workers have come to the scheduler."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=START_SECONDS)

    def kill_worker(self, place: int) -> None:
        """SIGKILL a worker and the nanny that would start it again."""
        _kill(self.workers[place])

    def kill_scheduler(self) -> None:
        """SIGKILL the scheduler."""
        if self._scheduler is not None:
            _kill(self._scheduler)

    def log(self, name: str) -> str:
        """What `scheduler` or `worker-<number>` has said."""
        return (Path(self._folder.name) / f"{name}.log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """End all of it and remove its files."""
        for process in [*self.workers, *([self._scheduler] if self._scheduler is not None else [])]:
            _kill(process)
        self._folder.cleanup()

    def _start(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (Path(self._folder.name) / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this command, which then ends the others in their order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - it makes one system call
            )


def _end_with_parent() -> None:
    """In a process about to start: let the system end it when this command dies in whatever way, even of SIGKILL."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def main() -> int:
    """Start the cluster, run the study, and end the cluster whatever happens; return the exit code of `kedro run`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="resnet_se+demo+cluster", help="the study")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--params", default="", help="further parameters, as `kedro run` has them")
    arguments, options = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    study: subprocess.Popen[bytes] | None = None
    try:
        with LocalDask(arguments.workers) as dask:
            listed = ", ".join(f"worker-{place} (process {worker.pid})" for place, worker in enumerate(dask.workers, 1))
            print(f"Dask scheduler at {dask.address} with {listed}", flush=True)
            params = ",".join(filter(None, [f"execution.scheduler_address={dask.address}", arguments.params]))
            command = ["kedro", "run", f"--env={arguments.env}", f"--params={params}", *options]
            print(" ".join(command), flush=True)
            study = subprocess.Popen([sys.executable, "-m", *command])
            return study.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        if study is not None and study.poll() is None:
            study.send_signal(signal.SIGINT)
            try:
                study.wait(20)
            except subprocess.TimeoutExpired:
                study.kill()
        print("The scheduler and the workers have ended.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
