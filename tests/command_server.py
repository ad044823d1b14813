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
import traceback
import warnings
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
    """The side of the tests: starts the server, and asks it for commands one after the other."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        # One thread and no thread pools: a forked process has none of its parent's threads.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}
        command = [sys.executable, __file__, str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        self._answers = self._socket.makefile()
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
            streams = [output.fileno(), errors.fileno()]
            socket.send_fds(self._socket, [request.encode() + b"\n"], streams)
            self._socket.settimeout(timeout)
            try:
                answer = self._answers.readline()
            except TimeoutError as error:
                self.end()
                raise subprocess.TimeoutExpired(arguments, timeout) from error
            printed = []
            for stream in (output, errors):
                stream.seek(0)
                printed.append(stream.read().decode())
        return subprocess.CompletedProcess(["kedro", *arguments], json.loads(answer), *printed)

    def end(self) -> None:
        """End the server, and a command that it waits for."""
        self._socket.close()
        self._process.terminate()
        self._process.wait()


@cache
def command_server() -> CommandServer:
    """The server of this process, started when it is first asked for."""
    return CommandServer()


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
    while True:
        message, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 2)
        if not message:
            return
        while not message.endswith(b"\n"):
            message += connection.recv(_LONGEST_REQUEST)
        process = os.fork()
        if process == 0:
            connection.close()
            run_command(json.loads(message), streams)
        signal.signal(signal.SIGTERM, lambda *_: (os.kill(process, signal.SIGKILL), os._exit(1)))  # noqa: B023
        for stream in streams:
            os.close(stream)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        connection.sendall(f"{status}\n".encode())


def run_command(request: dict, streams: list[int]) -> NoReturn:
    """In the forked process: be `python -m kedro` in the folder and with the environment of the request."""
    import runpy

    for number, stream in zip((1, 2), streams, strict=True):
        os.dup2(stream, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv = ["kedro", *request["arguments"]]
    status = 0
    try:
        runpy.run_module("kedro", run_name="__main__", alter_sys=True)
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
