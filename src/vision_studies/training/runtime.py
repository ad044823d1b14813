"""The process that trains: its allocator, seeds, devices and memory."""

import ctypes
import os
import platform
import random
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from vision_studies.errors import ParameterError
from vision_studies.processors import processors

# Options of glibc's mallopt, by their numbers in malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_THRESHOLD = 2**31 - 1
_LARGEST_MMAP_THRESHOLD_OF_OLD_GLIBC = 2**25

_CLAIMING = threading.Lock()
_CLAIMED: list[tuple[int, FileLock]] = []  # the GPU of this process, once it has one


@cache
def tune_process() -> bool:
    """Compute with as many threads as the process has processors, and keep the memory of freed tensors.

    Memory is kept in this process instead of being handed back to the kernel after every use.

    Activations of a CPU training step are large; by default glibc maps and unmaps each of them, and the page faults take
    up to half of a step's time. Three things keep the memory: thresholds that are never reached; one arena for all threads,
    as the backward pass has a thread of its own, whose arena holds no block above 64 MB; and huge pages (asked for in the
    package's `__init__`), whose coarse alignment lets a freed block serve the next request of its size, where torch's
    alignment of 64 bytes leaves it a few bytes short. Does nothing where the C library is not glibc.

    Returns:
        Whether the allocator was changed.
    """
    # One that has a number of threads has been told it, be it by the pool of processes that it belongs to.
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > processors():
        torch.set_num_threads(processors())
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    thresholds = (_LARGEST_THRESHOLD, _LARGEST_MMAP_THRESHOLD_OF_OLD_GLIBC)
    mapped = any(mallopt(_M_MMAP_THRESHOLD, threshold) for threshold in thresholds)
    trimmed = mallopt(_M_TRIM_THRESHOLD, _LARGEST_THRESHOLD)
    joined = mallopt(_M_ARENA_MAX, 1)
    return bool(mapped and trimmed and joined)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def derived_seed(*parts: int) -> int:
    """A seed that depends on all `parts` and on nothing else, so that no draw depends on how many were made before."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def deterministic(flag: bool) -> None:
    """Let torch use only (or, with False, any) algorithms that give the same numbers every time.

    On a CPU they do anyway; on a GPU training becomes slower.
    """
    if flag:
        # cuBLAS reads it when it starts; without it, its products may differ from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(flag)
    torch.backends.cudnn.benchmark = not flag


def select_device(name: str) -> torch.device:
    """The device called `name`: "cpu", "cuda", "cuda:1", "mps" ..., or "auto" for a GPU where there is one.

    Of several GPUs, "cuda" and "auto" mean one that this process has for itself as long as it lives; where there are more
    processes than GPUs, each GPU gets its share of them. Only GPUs in CUDA_VISIBLE_DEVICES count.

    Raises:
        ParameterError: torch finds no such device.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return _claimed_gpu()
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ParameterError(f"execution.device={name} is no device; choose auto, cpu, cuda or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ParameterError(
            f"execution.device={name} but torch finds {torch.cuda.device_count()} GPUs here; choose auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ParameterError(f"execution.device={name} but torch finds no GPU of Apple's here; choose auto or cpu.")
    return device


def _claimed_gpu() -> torch.device:
    number = torch.cuda.device_count()
    if number == 1:
        return torch.device("cuda")
    with _CLAIMING:
        if not _CLAIMED:
            # By its own name: which GPU is the first differs from process to process with CUDA_VISIBLE_DEVICES.
            names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(number)]
            _CLAIMED.append(_claim(names))
            torch.cuda.set_device(_CLAIMED[0][0])
    return torch.device("cuda", _CLAIMED[0][0])


def _claim(names: Sequence[str]) -> tuple[int, FileLock]:
    """The first of `names` with the fewest processes on this machine, and the lock that says so while it is held."""
    folder = Path(tempfile.gettempdir()) / f"vision_studies-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for slot in count():
        for index, name in enumerate(names):
            lock = FileLock(folder / f"{name}-{slot}.lock", blocking=False, thread_local=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            return index, lock
    raise AssertionError("count() has no end")


def peak_memory_mb(device: torch.device) -> float:
    """Most memory in use at once so far, in millions of bytes: on the GPU by tensors, else by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if device.type == "mps":  # what the driver has given, for torch keeps no peak there
        return torch.mps.driver_allocated_memory() / 1e6
    try:
        import resource
    except ImportError:  # Windows has no such module; what is in use now is the best known there
        import psutil

        return psutil.Process().memory_info().rss / 1e6
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised `error` because a device's memory was full."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
