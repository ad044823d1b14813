"""The check of a GPU, rehearsed on a CPU; that it can fail is shown by what it finds where something is wrong."""

import sys
from collections import Counter

import pytest
import torch

from benchmarks import gpu
from vision_studies.training import fit

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images():
    return gpu.made_images(gpu.REHEARSAL)


@pytest.mark.slow
def test_a_rehearsal_is_marked_and_not_kept(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpu, "RESULT", tmp_path / "gpu.md")
    monkeypatch.setattr(
        gpu, "ratios", lambda *_: [{"form": "any", "ms": 1.0, "times the first": 1.0, "middle half": ""}]
    )
    monkeypatch.setattr(gpu, "largest_stack", lambda *_: "4")
    monkeypatch.setattr(sys, "argv", ["gpu", "--device=cpu", "--rehearse", "--write"])
    gpu.main()
    printed = capsys.readouterr().out
    assert "**A rehearsal: its numbers say nothing of any device.**" in printed
    assert "Waits of the host in an epoch: {'reads a number': 3}" in printed
    assert not gpu.RESULT.exists()


def test_a_cpu_alone_cannot_pass_for_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "--device=cpu", "--write"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "a CPU can only rehearse the check" in capsys.readouterr().err


def test_a_look_at_every_loss_is_found(images, monkeypatch):
    monkeypatch.setattr(fit, "_LOSS_CHECK", 1)
    assert gpu.waits_of_an_epoch(images, CPU) == Counter({"reads a number": 2 + 2})  # two batches, and the epoch's end


def test_other_losses_and_waits_fail_the_check(monkeypatch):
    monkeypatch.setattr(gpu, "made_images", lambda _: None)
    monkeypatch.setattr(gpu, "waits_of_an_epoch", lambda *_: Counter({"reads a number": 9}))
    monkeypatch.setattr(gpu, "losses_beside_the_cpu", lambda *_: ([1.0, 1.002], [1.0, 1.0]))
    monkeypatch.setattr(gpu, "steps", lambda *_, **__: lambda: None)
    monkeypatch.setattr(gpu, "train_members", lambda *_: None)
    _, failed = gpu.report(CPU, gpu.REHEARSAL, None)
    waits, losses = failed
    assert waits == "The host waits within an epoch: {'reads a number': 9}."
    assert losses.startswith("Losses leave the CPU's by 2.0e-03")


def test_the_largest_stack_is_the_last_that_memory_holds(monkeypatch):
    def train(count, *_):
        if count > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu, "train_members", train)
    assert gpu.largest_stack(CPU, gpu.REHEARSAL) == "2; 4 do not fit"
