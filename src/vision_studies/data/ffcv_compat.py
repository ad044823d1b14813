"""The way to FFCV: call `import_ffcv` before anything is imported from it.

FFCV sets the number of threads of torch to that of its own, when it is imported and whenever an epoch begins: with one loading
thread the whole process would train on one core from then on. Here its threads are its own affair.
"""

from importlib import import_module
from types import ModuleType, SimpleNamespace

import torch


def import_ffcv() -> ModuleType:
    """The package `ffcv`, which leaves torch's threads alone.

    Raises:
        ImportError: it is not installed.
    """
    threads = torch.get_num_threads()
    try:
        package = import_module("ffcv")
        compiler = import_module("ffcv.pipeline.compiler")
    finally:
        torch.set_num_threads(threads)
    # All that this module of FFCV uses torch for is to set its threads.
    compiler.ch = SimpleNamespace(set_num_threads=lambda _: None)  # type: ignore[attr-defined]
    return package
