"""A search in a real PostgreSQL server; what is maximised is a function, not a network."""

import getpass
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from pydantic import TypeAdapter

from debian_packages import found_or_installed
from vision_studies.config.search import SearchDomain, SharedSearchSettings
from vision_studies.errors import BusyError, StorageError
from vision_studies.outcomes import Outcome
from vision_studies.studies.search import SharedSearch

SPACE = {"learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}}


def installed_server() -> str | None:
    """Folder of the newest server's programs: Debian keeps them out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return str(found[-1].parent) if found else None


class Server:
    """A PostgreSQL server of its own, on a free port of this machine, as a user that it accepts."""

    def __init__(self, programs: str) -> None:
        self.programs = Path(programs)
        self.folder = Path(tempfile.mkdtemp(prefix="postgresql"))
        self.user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # the server refuses to run as root
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"
        self._program(
            "initdb", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8", "-D", self.folder / "data"
        )

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        log = self.folder / "log"
        self._program("pg_ctl", "-D", self.folder / "data", "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self) -> None:
        self._program("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def _program(self, name: str, *arguments: object) -> None:
        command = [str(self.programs / name), *map(str, arguments)]
        user = self.user if os.geteuid() == 0 else None
        # Into a file: the server would keep a pipe open for as long as it runs.
        with (self.folder / f"{name}.out").open("w") as output:
            done = subprocess.run(
                command, cwd=self.folder, user=user, stdout=output, stderr=output, timeout=120, check=False
            )
        assert done.returncode == 0, (self.folder / f"{name}.out").read_text()


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs, reason = found_or_installed(installed_server, "postgresql", "PostgreSQL")
    if programs is None:
        pytest.skip(reason)
    server = Server(programs)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(server.folder)


def make(url, folder, *, trials=8, name="s"):
    sampler = {"name": "tpe", "startup_trials": 3}
    own = {"trials": trials, "timeout": None, "seed": 3, "storage": url, "sampler": sampler, "pruner": None}
    settings = SharedSearchSettings.model_validate({**own, "spaces": {"only": SPACE}})
    space = TypeAdapter(dict[str, SearchDomain]).validate_python(SPACE)
    base = {"learning_rate": 0.1}
    return SharedSearch(settings, space, base, name=name, folder=folder, pruner=optuna.pruners.NopPruner())


def evaluate(trial, _report):
    return Outcome({"validation_accuracy": 1 - abs(trial.drawn["learning_rate"] - 0.2), "seconds": 1.0})


def work_slowly(url, folder, done):
    def slow(trial, report):
        time.sleep(0.1)
        return evaluate(trial, report)

    done.put(make(url, folder, trials=12, name="shared").work(slow))


def hang_in_the_third(url, folder):
    def hang(trial, report):
        if trial.number == 3:
            (folder / "hanging").touch()
            time.sleep(600)
        return evaluate(trial, report)

    make(url, folder, name="killed").work(hang)


@pytest.mark.slow
def test_two_processes_without_a_common_folder_share_the_trials_and_overshoot_nothing(server, tmp_path):
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    workers = [context.Process(target=work_slowly, args=(server.url, tmp_path / name, done)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    counts = [done.get() for _ in workers]
    assert sum(counts) == 12
    trials = make(server.url, tmp_path / "c", trials=12, name="shared").trials()
    assert [trial.number for trial in trials] == list(range(1, 13))
    assert {trial.status for trial in trials} == {"complete"}
    assert len({trial.drawn["learning_rate"] for trial in trials}) == 12


@pytest.mark.slow
def test_the_trial_of_a_killed_process_is_taken_up_by_another(server, tmp_path):
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=hang_in_the_third, args=(server.url, tmp_path))
    worker.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "hanging").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(BusyError, match="Another process works on trial 3"):
        make(server.url, tmp_path / "other", name="killed").forget()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    search = make(server.url, tmp_path / "other", name="killed")
    numbers = []

    def noted(trial, report):
        numbers.append(trial.number)
        return evaluate(trial, report)

    search.work(noted)
    assert numbers == [3, 4, 5, 6, 7, 8]
    whole = make(None, tmp_path / "whole")
    whole.work(evaluate)
    # A database rounds nothing here: the draws are those of a journal, and of a search that was never killed.
    assert search.trials() == whole.trials()


@pytest.mark.slow
def test_a_trial_is_taken_once_even_by_the_process_that_has_it(server, tmp_path):
    search = make(server.url, tmp_path, name="locks")
    release = search._locks.take(0)
    assert release is not None
    assert search._locks.take(0) is None
    assert make(server.url, tmp_path, name="locks")._locks.take(0) is None
    assert make(server.url, tmp_path, name="another")._locks.take(0) is not None
    release()
    assert make(server.url, tmp_path, name="locks")._locks.take(0) is not None


@pytest.mark.slow
def test_a_server_that_goes_away_is_told_in_a_sentence_and_the_search_goes_on_when_it_is_back(server, tmp_path):
    def stop_in_the_third(trial, report):
        if trial.number == 3:
            server.stop()
        return evaluate(trial, report)

    with pytest.raises(StorageError, match=r"kept in postgresql://.*cannot be reached .*run the same command again"):
        make(server.url, tmp_path, trials=4, name="stopped").work(stop_in_the_third)
    with pytest.raises(StorageError, match="cannot be reached"):
        make(server.url, tmp_path, trials=4, name="stopped")
    server.start()
    search = make(server.url, tmp_path, trials=4, name="stopped")
    assert search.work(evaluate) == 2
    whole = make(None, tmp_path / "whole", trials=4)
    whole.work(evaluate)
    assert search.trials() == whole.trials()
