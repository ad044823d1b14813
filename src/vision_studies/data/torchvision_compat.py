"""Import this before torchvision.

torchvision's wheel registers implementations for the operators `nms` and `qnms`, whose schemas its compiled part
defines. Beside a CPU-only torch that part does not load, and the import fails with "operator torchvision::nms does not
exist". The two schemas are all that transforms, models and data sets need.
"""

import importlib.util
from pathlib import Path

import torch

_kept: list[torch.library.Library] = []  # a library that is collected takes its schemas with it


def _define_missing_operators() -> None:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    try:
        torch.ops.load_library(str(next(Path(spec.origin).parent.glob("_C*.so"))))
    except (OSError, StopIteration):
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)


_define_missing_operators()
