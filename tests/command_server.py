"""Commands without their start: a process that has imported the libraries forks one for every command.

A third of a short command's time is the import of torch, Kedro and matplotlib. Each command here is a process of its own, with
its own folder, environment and output, which imports the project's own code itself; what it does not do again is to import
the libraries. `tests/test_cli.py` starts commands from nothing, and holds what they import.

Run as a script, this file is the server. It reads requests from the socket whose number it is given: a line of JSON (arguments,
folder, environment) that brings the descriptors for stdout and stderr, and answers each with a line of JSON: the exit status.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

PRELOADED = (
    *("torch", "sklearn.cluster", "sklearn.linear_model", "scipy.stats", "pandas", "pyarrow.parquet"),
    *("matplotlib.pyplot", "plotly.graph_objects", "pydantic", "optuna", "joblib", "safetensors.torch", "PIL.Image"),
    *("kedro.framework.cli", "kedro.framework.session", "kedro.runner", "kedro.config", "kedro_datasets.pandas"),
    *("kedro_datasets.matplotlib", "kedro_datasets.json", "kedro_datasets.partitions", "kedro_datasets.text"),
    *("kedro_datasets.yaml", "kedro_telemetry.plugin", "kedro_viz.launchers.cli.main", "filelock", "tabulate"),
    *("pyarrow.dataset", "rich.console", "rich.table", "jinja2", "distributed", "torch.utils.data", "pathspec"),
)
_LONGEST_REQUEST = 1_000_000


class CommandServer:
    """The side of the tests: starts the server, and asks it for commands that it waits for, or that go on."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        # One thread and no thread pools: a forked process has none of its parent's threads.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}
        command = [sys.executable, __file__, str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        self._answers = self._socket.makefile()
        self._lock = threading.Lock()
        atexit.register(self.end)

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """What `kedro` with these arguments prints and ends with, in `folder`.

        Raises:
            subprocess.TimeoutExpired: it took longer than `timeout` seconds; the server is of no use then any more.
        """
        request = json.dumps({"arguments": arguments, "folder": str(folder), "environment": environment})
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                answer = self.ask(request.encode() + b"\n", [output.fileno(), errors.fileno()], timeout)
            except TimeoutError as error:
                self.end()
                raise subprocess.TimeoutExpired(arguments, timeout) from error
            printed = []
            for stream in (output, errors):
                stream.seek(0)
                printed.append(stream.read().decode())
        return subprocess.CompletedProcess(["kedro", *arguments], json.loads(answer), *printed)

    def start(
        self, arguments: list[str], folder: Path, environment: dict[str, str], output: int | None = None
    ) -> "StartedCommand":
        """Begin such a command, and go on; what it prints goes to the descriptor `output`, or else can be read."""
        request = {"arguments": arguments, "folder": str(folder), "environment": environment, "goes_on": True}
        read, written = ([], [output, output]) if output is not None else zip(os.pipe(), os.pipe(), strict=True)
        pid = int(self.ask(json.dumps(request).encode() + b"\n", list(written)))
        if output is None:
            for stream in written:
                os.close(stream)
        return StartedCommand(self, pid, list(read))

    def status(self, pid: int) -> int | None:
        """What a started command has ended with; None while it goes on."""
        return json.loads(self.ask(json.dumps({"status_of": pid}).encode() + b"\n", []))

    def ask(self, request: bytes, streams: list[int], timeout: float | None = None) -> str:
        """Send a request, with descriptors for stdout, stderr and, if there is one, stdin, and wait for its answer."""
        with self._lock:
            socket.send_fds(self._socket, [request], streams)
            self._socket.settimeout(timeout)
            return self._answers.readline()

    def end(self) -> None:
        """End the server, and a command that it waits for."""
        self._socket.close()
        self._process.terminate()
        self._process.wait()


class StartedCommand:
    """A command that goes on beside the tests: of `subprocess.Popen`, what they ask for. It leads a group of processes."""

    def __init__(self, server: CommandServer, pid: int, read: list[int]) -> None:
        self.pid, self.returncode = pid, None
        self._server = server
        self.stdout, self.stderr = (os.fdopen(stream) for stream in read) if read else (None, None)

    def poll(self) -> int | None:
        """What it has ended with; None while it goes on."""
        if self.returncode is None:
            self.returncode = self._server.status(self.pid)
        return self.returncode

    def wait(self, timeout: float = 900) -> int:
        """Wait until it has ended, and tell with what. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout)
            time.sleep(0.01)
        return status

    def communicate(self, timeout: float = 900) -> tuple[str, str]:
        """Wait until it has ended, and tell what has not been read of what it printed."""
        said: dict[str, str] = {}
        readers = [
            threading.Thread(target=lambda name=name: said.update({name: getattr(self, name).read()}))
            for name in ("stdout", "stderr")
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        self.stdout.close()
        self.stderr.close()
        return said["stdout"], said["stderr"]

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it goes on."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


@cache
def command_server() -> CommandServer:
    """The server of this process, started when it is first asked for."""
    return CommandServer()


@contextmanager
def kedro_for_shells(folder: Path) -> Iterator[Path]:
    """A folder with a program `kedro` that has the server do the command, for the PATH of scripts that are run inside."""
    address = str(folder / "kedro.socket")
    program = folder / "bin/kedro"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable} -IS\n{_SHELL_PROGRAM.format(address=address)}", encoding="utf-8")
    program.chmod(0o755)
    with socket.create_server(address, family=socket.AF_UNIX) as listening:
        threading.Thread(target=_pass_on, args=(listening,), daemon=True).start()
        yield program.parent
        listening.shutdown(socket.SHUT_RDWR)


_SHELL_PROGRAM = """
import json, os, socket, sys

request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [json.dumps(request).encode() + b"\\n"], [1, 2, 0])
    sys.exit(int(server.makefile().readline()) % 256)
"""


def _pass_on(listening: socket.socket) -> None:
    """Have the server do what programs ask for, one after the other, until no more is listened to."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            message, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 3)
            while not message.endswith(b"\n"):
                message += connection.recv(_LONGEST_REQUEST)
            try:
                with suppress(BrokenPipeError):  # who asked has been ended meanwhile
                    connection.sendall(command_server().ask(message, streams).encode())
            finally:
                for stream in streams:
                    os.close(stream)


def serve(connection: socket.socket) -> None:
    """Fork a process for every request, and answer with its exit status (minus the signal that killed it)."""
    for name in PRELOADED:
        importlib.import_module(name)
    torchvision_compat = importlib.import_module("vision_studies.torchvision_compat")
    torchvision_compat.torchvision_module("torchvision.transforms.v2")
    for name in [name for name in sys.modules if name.split(".")[0] == "vision_studies"]:
        del sys.modules[name]  # commands import what their project has
    # From Python 3.12 on: the other thread is the allocator's of pyarrow, which is made for forks.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
    gc.collect()
    gc.freeze()  # what is shared with the commands stays shared: no collection of theirs touches it
    alive: set[int] = set()
    signal.signal(signal.SIGTERM, lambda *_: ([os.kill(own, signal.SIGKILL) for own in alive], os._exit(1)))
    while True:
        message, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 3)
        if not message:
            return
        while not message.endswith(b"\n"):
            message += connection.recv(_LONGEST_REQUEST)
        request = json.loads(message)
        if "status_of" in request:
            ended, status = os.waitpid(request["status_of"], os.WNOHANG)
            alive.discard(ended)
            connection.sendall(f"{os.waitstatus_to_exitcode(status) if ended else 'null'}\n".encode())
            continue
        process = os.fork()
        if process == 0:
            connection.close()
            run_command(request, streams)
        alive.add(process)
        for stream in streams:
            os.close(stream)
        if request.get("goes_on"):
            connection.sendall(f"{process}\n".encode())
            continue
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        alive.remove(process)
        connection.sendall(f"{status}\n".encode())


def run_command(request: dict, streams: list[int]) -> NoReturn:
    """In the forked process: be `kedro` in the folder and with the environment of the request."""
    import runpy

    for number, stream in zip((1, 2, 0), streams, strict=False):  # whoever wants nothing to be read brings no third
        os.dup2(stream, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    if request.get("goes_on"):
        os.setsid()
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if (Path(folder) / "sitecustomize.py").is_file():  # which an interpreter imports when it starts
            runpy.run_path(f"{folder}/sitecustomize.py")
    sys.argv = ["kedro", *request["arguments"]]
    status = 0
    try:
        # As the script `kedro` does it: for frames of runpy, which are no file's, dynaconf would look through all modules.
        importlib.import_module("kedro.framework.cli").main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # what the end of an interpreter does, but for taking down its modules one by one
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
