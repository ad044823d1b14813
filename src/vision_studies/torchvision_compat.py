"""The way to torchvision: `torchvision_module("torchvision.datasets")`.

torchvision's wheel registers implementations for the operators `nms` and `qnms`, whose schemas its compiled part
defines. Beside a CPU-only torch that part does not load, and the import fails with "operator torchvision::nms does not
exist". The two schemas are all that transforms, models and data sets need.
"""

import contextlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_libraries: list[Any] = []  # a library that is collected takes its schemas with it


def torchvision_module(name: str) -> ModuleType:
    """Import a module of torchvision, whether or not its compiled part fits the installed torch."""
    _define_missing_operators()
    return importlib.import_module(name)


@cache
def _define_missing_operators() -> None:
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        with contextlib.suppress(OSError):  # it wants the CUDA libraries that a CPU-only torch does not bring
            torch.ops.load_library(str(compiled))
    missing = [operator for operator in ("nms", "qnms") if not hasattr(torch.ops.torchvision, operator)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in missing:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
