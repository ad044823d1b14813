import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest

pytest.importorskip("distributed", reason="Dask is an optional library")
import cloudpickle
from cloudpickle import dumps
from scripts.cluster_demo import LocalDask

from vision_studies.config.study import ExecutionSettings
from vision_studies.errors import ClusterError, DataError
from vision_studies.studies import cluster
from vision_studies.studies.cluster import SharedParts, environment
from vision_studies.studies.parallel import parallel_runs

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers started by `dask worker` cannot import a test
FAST = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}


def settings(**changes):
    common = {
        "backend": "dask",
        "workers": 2,
        "scheduler_address": None,
        "resources": {},
        "processes_per_run": 1,
        "device": "cpu",
    }
    return ExecutionSettings(**(common | changes))


class Images:
    """Notes in a file when it is unpacked, as mapping a data set would be noted."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __reduce__(self):
        return _unpacked, (self.log,)


def _unpacked(log: Path) -> Images:
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return Images(log)


def use(number: int, images: Images, large: np.ndarray, folder: Path):
    return number, os.getpid(), int(large.sum()), folder.is_absolute()


def die(number: int, times: int, folder: Path) -> int:
    deaths = len(list(folder.glob(f"{number}-*")))
    if number == 1 and deaths < times:
        (folder / f"{number}-{deaths}").touch()
        os.kill(os.getpid(), 9)
    return number


def variables(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def refuse(_: int) -> None:
    raise DataError("the images are gone.")


def do(execution, function, *arguments, numbers=range(4), **options):
    with parallel_runs(execution) as parallel:
        return sorted(parallel([joblib.delayed(function)(number, *arguments) for number in numbers], **options))


@pytest.fixture(scope="module")
def two_workers():
    with LocalDask(2, variables=FAST) as started:
        yield started


@pytest.fixture
def dask(two_workers):
    two_workers.wait_for_workers(2)  # a test before may have killed one, which is started again
    return two_workers


@pytest.mark.slow
def test_what_all_tasks_share_is_sent_to_each_worker_once(dask, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    large = np.ones(100_000, np.int64)
    arguments = (Images(tmp_path / "unpacked"), large, Path("runs"))
    found = do(settings(scheduler_address=dask.address), use, *arguments, numbers=range(8))
    assert [(number, total, absolute) for number, _, total, absolute in found] == [(n, 100_000, True) for n in range(8)]
    assert sorted((tmp_path / "unpacked").read_text().split()) == sorted({str(process) for _, process, *_ in found})
    assert "by worker-1" in caplog.text
    assert list((tmp_path / "runs").iterdir()) == []
    _, own = cluster._divide([(use, {}, number, *arguments) for number in range(8)])
    assert max(len(dumps(rest)) for rest in own) < 200


@pytest.mark.slow
def test_a_task_whose_worker_dies_is_done_again_and_one_that_kills_all_is_given_up(dask, tmp_path):
    execution = settings(scheduler_address=dask.address)
    once, often = tmp_path / "once", tmp_path / "often"
    assert do(execution, die, 1, once) == [0, 1, 2, 3]
    assert len(list(once.iterdir())) == 1
    tasks = [joblib.delayed(die)(number, 9, often) for number in range(3)]
    with parallel_runs(execution) as parallel, pytest.raises(ClusterError, match=r"Several workers died of die \("):
        list(parallel(tasks))
    assert len(list(often.iterdir())) == 4  # two workers among others, two alone


@pytest.mark.slow
def test_the_caller_may_say_what_takes_the_place_of_a_task_that_was_given_up(dask, tmp_path):
    def lost(number: int, times: int, folder: Path, *, reason: str) -> int:
        assert "2 workers died of it" in reason
        return -number

    assert do(settings(scheduler_address=dask.address), die, 9, tmp_path, when_lost=lost) == [-1, 0, 2, 3]


@pytest.mark.slow
def test_threads_are_the_commands_or_the_workers_share_of_the_cores(dask, monkeypatch):
    execution = settings(scheduler_address=dask.address)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set(do(execution, variables)) == {"3"}
    monkeypatch.delenv("OMP_NUM_THREADS")
    share = str(max(1, joblib.cpu_count() // 2))
    assert set(do(execution, variables)) == {share}
    assert set(do(settings(backend="loky"), variables)) == {share}


def test_an_error_of_the_user_comes_back_as_it_is(dask):
    with pytest.raises(DataError, match="images are gone"):
        do(settings(scheduler_address=dask.address), refuse)


@pytest.mark.slow
def test_a_resource_that_no_worker_has_is_told_and_waited_for(dask, monkeypatch):
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "_WORKERS_WITHIN", 0.1)
    told = []

    class Starter(logging.Handler):
        def emit(self, record):
            if not told:
                dask._options = ["--resources", "GPU=1"]
                dask.start_worker()
            told.append(record.getMessage())

    handler = Starter(logging.WARNING)
    cluster.logger.addHandler(handler)
    try:
        assert do(settings(scheduler_address=dask.address, resources={"GPU": 1}), variables, numbers=[0])
    finally:
        cluster.logger.removeHandler(handler)
    assert "none of 2 workers has execution.resources (GPU=1)" in told[0]
    assert f'`dask worker {dask.address} --nthreads 1 --resources "GPU=1"`' in told[0]
    assert len(told) == 1


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "_WORKERS_WITHIN", 0.1)
    with LocalDask(0) as alone:
        monkeypatch.setattr(cluster.logger, "warning", lambda text, lack, *_: (lack, alone.kill_scheduler()))
        with pytest.raises(ClusterError, match=f"scheduler {alone.address} is lost"):
            do(settings(scheduler_address=alone.address), variables)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://somewhere", "tcp://no-such-host.invalid:8786"])
def test_a_scheduler_that_is_not_there_is_told_in_a_sentence(address, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.3)
    with pytest.raises(ClusterError, match=f"No Dask scheduler answers at execution.scheduler_address={address}"):
        do(settings(scheduler_address=address), variables)


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_here(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert do(settings(scheduler_address=None, resources={"GPU": 1}), variables) == ["1"] * 4
    assert "by worker 1" in caplog.text or "by worker 0" in caplog.text


def test_nothing_to_do_needs_no_scheduler():
    assert do(settings(scheduler_address="tcp://127.0.0.1:9"), variables, numbers=[]) == []


@pytest.mark.slow
def test_a_worker_of_another_environment_is_told_in_a_sentence(tmp_path):
    (tmp_path / "vision_studies.py").write_text("raise ImportError('not this one')\n")
    path = os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    with (
        LocalDask(1, variables={"PYTHONPATH": path}) as strange,
        pytest.raises(ClusterError, match=r"cannot import this project .*not this one.*\.venv/bin/dask"),
    ):
        do(settings(scheduler_address=strange.address), variables)


@pytest.mark.parametrize(
    ("threads", "own", "mark", "told"),
    [
        (1, {"torch": "1.0"}, ".", r"tcp://here:1 has torch .* \(here 1\.0\); start it anew"),
        (2, {}, ".", "has 2 threads, .* `--nthreads 1`"),
        (1, {}, "gone", "does not see .*; the project's folder must be shared"),
    ],
)
def test_a_worker_that_does_not_fit_is_told_in_a_sentence(tmp_path, threads, own, mark, told):
    parts = SharedParts(dumps({}), [tmp_path / mark], environment() | own, None, {})
    parts.setup(SimpleNamespace(address="tcp://here:1", state=SimpleNamespace(nthreads=threads)))
    with pytest.raises(ClusterError, match=told):
        parts.parts()


def test_the_environment_names_what_decides_the_numbers():
    assert set(environment()) == {"Python", "torch", "vision_studies"}
    for folder in cluster._DECIDING:
        assert (Path(cluster.vision_studies.__file__).parent / folder).is_dir()


@pytest.mark.slow
def test_a_killed_process_of_the_loky_backend_is_told_in_a_sentence(tmp_path):
    with pytest.raises(ClusterError, match="One of the 2 processes .* lower execution.workers"):
        do(settings(backend="loky"), die, 9, tmp_path)
