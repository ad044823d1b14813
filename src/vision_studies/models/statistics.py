"""How large a network is, and how much it computes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Number of parameters of `model`.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.models.statistics import count_parameters
        >>> count_parameters(nn.Linear(10, 4))  # 10 * 4 weights and 4 biases
        44
    """
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulate operations of the convolutions and matrix products for one image.

    Args:
        model: a network; its mode is left as it was.
        image_shape: channels, height and width of an image.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.models.statistics import count_macs
        >>> count_macs(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10)), (3, 8, 8))
        1920
    """
    parameter = next(model.parameters())
    image = torch.zeros((1, *image_shape), device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    model.eval()
    try:
        # With gradients on and attention as plain matrix products, every operation is one that the counter knows.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(image)
    finally:
        model.train(was_training)
    return counter.get_total_flops() // 2


def network_size(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """`parameters`, and `macs` for one image: columns of the results table; see `count_parameters` and `count_macs`."""
    return {"parameters": count_parameters(model), "macs": count_macs(model, image_shape)}


def layer_rows(model: nn.Module) -> list[dict[str, Any]]:
    """A row for every layer with parameters of its own, in order: layer (its name), kind and parameters; in the end their sum.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.models.statistics import layer_rows
        >>> for row in layer_rows(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 2))):
        ...     print(*row.values(), sep=" | ")
        0 | Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1)) | 224
        2 | Linear(in_features=288, out_features=2, bias=True) | 578
        total |  | 802
    """
    rows = []
    for name, module in model.named_modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if own:
            kind = type(module).__name__ if any(module.children()) else str(module)
            rows.append({"layer": name, "kind": kind, "parameters": f"{own:,}"})
    return [*rows, {"layer": "total", "kind": "", "parameters": f"{count_parameters(model):,}"}]


@contextmanager
def without_values() -> Iterator[None]:
    """Networks that are built within have shapes and no values: all that counting needs, and no memory.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.models.statistics import network_size, without_values
        >>> with without_values():
        ...     network_size(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10)), (3, 8, 8))
        {'parameters': 1930, 'macs': 1920}
    """
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Random numbers for a tensor without values would come from torch's compiler, which takes seconds to import."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.normal_:
            return args[0]
        return func(*args, **(kwargs or {}))
