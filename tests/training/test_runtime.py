import os
import platform
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from vision_studies.errors import ParameterError
from vision_studies.training.precision import has_fast_bfloat16, place_images, place_model, uses_bfloat16
from vision_studies.training.runtime import (
    derived_seed,
    deterministic,
    peak_memory_mb,
    seed_everything,
    select_device,
    tune_process,
)

CPU = torch.device("cpu")


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: S311 - the generator under test


def test_equal_seeds_give_equal_numbers():
    seed_everything(3)
    first = draw()
    assert first != draw()
    seed_everything(3)
    assert first == draw()


def test_derived_seeds_depend_on_every_part_and_its_place():
    seeds = {derived_seed(*parts) for parts in ((1, 2, 3), (1, 3, 2), (1, 2, 4), (1, 2), (0, 2, 3))}
    assert len(seeds) == 5
    assert derived_seed(1, 2, 3) in seeds
    torch.Generator().manual_seed(derived_seed(2**40, 1))  # whatever the parts, torch takes it


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_training_in_a_tuned_process_soon_needs_no_new_pages():
    # Steps of a network, because a single buffer may be refused its old place by a small neighbour that is still alive: it
    # depends on when the threads come to it, and costs one more stretch of the heap, some thousand pages, in any of the
    # first steps. Of many steps together that is little, where a process that hands its memory back pays in every one.
    script = """
import resource, sys, torch
from vision_studies.training.runtime import tune_process
if sys.argv[1] == "tuned":
    assert tune_process()
model = torch.nn.Sequential(*(torch.nn.Conv2d(16, 16, 1) for _ in range(3)))
images = torch.zeros(448, 16, 48, 48)  # 66 MB: more than an arena of a thread of its own can hold
for step in range(12):
    if step == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model(images).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {}
    for kind in ("tuned", "plain"):
        command = [sys.executable, "-c", script, kind]
        faults[kind] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert faults["plain"] > 8 * 5_000
    assert faults["tuned"] < 0.05 * faults["plain"]


def test_tuning_elsewhere_does_nothing(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert tune_process.__wrapped__() is False


def test_deterministic_switches_on_and_off(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "as set before")
    benchmark = torch.backends.cudnn.benchmark
    try:
        deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == "as set before"
        deterministic(False)
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.backends.cudnn.benchmark = benchmark


def test_devices_are_chosen_by_name():
    assert select_device("cpu") == CPU
    assert select_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("toaster", "cuda:99"):
        with pytest.raises(ParameterError, match=name):
            select_device(name)


def test_apples_gpu_is_taken_where_there_is_one_and_no_other(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert [select_device(name).type for name in ("auto", "mps", "cpu")] == ["mps", "mps", "cpu"]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert select_device("auto") == CPU
    with pytest.raises(ParameterError, match=r"execution.device=mps but torch finds no GPU of Apple's here"):
        select_device("mps")


def test_peak_memory_is_that_of_a_process_with_torch():
    assert 50 < peak_memory_mb(CPU) < 1e6


def test_precision_is_as_named_and_auto_asks_the_device(make_settings):
    assert uses_bfloat16(make_settings(precision="bf16"), CPU)
    assert not uses_bfloat16(make_settings(precision="fp32"), CPU)
    assert uses_bfloat16(make_settings(precision="auto"), CPU) == has_fast_bfloat16("cpu")
    assert not has_fast_bfloat16("mps")


def test_model_and_images_are_laid_out_as_set(make_settings, make_network):
    images = torch.randn(4, 3, 8, 8)
    for channels_last, order in ((True, torch.channels_last), (False, torch.contiguous_format)):
        settings = make_settings(channels_last=channels_last)
        assert place_images(images, settings, CPU).is_contiguous(memory_format=order)
        assert place_model(make_network(), settings, CPU)[3].weight.is_contiguous(memory_format=order)
    assert place_images(images.bfloat16(), make_settings(precision="fp32"), CPU).dtype == torch.float32
    assert place_images(images, make_settings(), CPU) is images
