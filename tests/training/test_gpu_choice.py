"""Machines with several GPUs, of which torch is told here what it would find."""

import multiprocessing
from types import SimpleNamespace

import pytest
import torch

from vision_studies.training import runtime
from vision_studies.training.runtime import select_device


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Makes torch find GPUs of these names, in their order."""
    chosen = []

    def find(*names: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=names[index]))
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)

    monkeypatch.setattr(runtime.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(runtime, "_CLAIMED", [])
    find.chosen = chosen
    return find


class Worker:
    """A process that chooses a device, tells which, and lives until it is ended."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")  # it inherits what torch finds
        self._here, there = context.Pipe()
        self._process = context.Process(target=self._work, args=(there,), daemon=True)
        self._process.start()
        self.device = self._here.recv()

    def _work(self, pipe) -> None:
        pipe.send([str(select_device(name)) for name in ("auto", "cuda", "auto")])
        pipe.recv()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def test_each_process_has_a_gpu_of_its_own_and_leaves_it_when_it_dies(gpus):
    gpus("GPU-a", "GPU-b")
    workers = [Worker() for _ in range(3)]
    assert [worker.device for worker in workers] == [["cuda:0"] * 3, ["cuda:1"] * 3, ["cuda:0"] * 3]
    workers[1].kill()
    workers.append(Worker())
    assert workers[3].device == ["cuda:1"] * 3
    for worker in workers:
        worker.kill()


def test_gpus_are_told_apart_by_their_own_names(gpus):
    gpus("GPU-a", "GPU-b", "GPU-c")
    first = Worker()
    gpus("GPU-b", "GPU-a")  # CUDA_VISIBLE_DEVICES=1,0 in another process
    second = Worker()
    assert (first.device[0], second.device[0]) == ("cuda:0", "cuda:0")
    gpus("GPU-b", "GPU-c")
    third = Worker()
    assert third.device[0] == "cuda:1"
    for worker in (first, second, third):
        worker.kill()


def test_one_process_alone_has_the_first_and_torch_is_told(gpus):
    gpus("GPU-a", "GPU-b")
    assert select_device("auto") == torch.device("cuda", 0)
    assert gpus.chosen == [0]
    assert select_device("cuda:1") == torch.device("cuda", 1)
    assert select_device("cpu") == torch.device("cpu")


def test_one_gpu_is_shared_and_no_file_is_written(gpus, tmp_path):
    gpus("GPU-a")
    assert select_device("auto") == select_device("cuda") == torch.device("cuda")
    assert list(tmp_path.iterdir()) == []
