"""Operations for which the host would wait for a GPU, counted on any device."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
_ALWAYS = {
    _ATEN._local_scalar_dense: "reads a number",  # .item(), float(), bool(), int(), tolist() of one
    _ATEN.nonzero: "looks for what is not zero",
    _ATEN.masked_select: "selects by a mask",
    _ATEN._unique2: "looks for different values",
    _ATEN.unique_dim: "looks for different values",
    _ATEN.bincount: "counts values without saying how many there are",
    _ATEN.equal: "compares whole tensors",
}


class HostWaits(TorchDispatchMode):
    """While it is entered, counts what makes the host wait until a GPU has done all its work.

    What a GPU would wait for is told by the operation alone, so that a CPU finds nearly all of it; only copies between devices
    are found where there are two. `torch.cuda.set_sync_debug_mode` finds the same on a GPU, and names the line.

    Args:
        on_host: numbers that lie on the host wherever the networks are, as the step counts of optimisers do.

    Attributes:
        found: what was done -> how often.

    Examples:
        >>> import torch
        >>> from benchmarks.host_waits import HostWaits
        >>> values = torch.arange(6.0)
        >>> with HostWaits() as waits:
        ...     total = values.sum()
        ...     positive = values[values > 2]
        ...     number = float(total)
        >>> dict(waits.found)
        {'index by a mask': 1, 'reads a number': 1}
    """

    def __init__(self, on_host: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self._on_host = {number.data_ptr() for number in on_host}
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        operation = func.overloadpacket
        if operation in _ALWAYS and args[0].data_ptr() not in self._on_host:
            self.found[_ALWAYS[operation]] += 1
        elif operation in (_ATEN.index, _ATEN.index_put, _ATEN.index_put_) and _by_a_mask(operation, args):
            self.found["index by a mask"] += 1
        elif operation is _ATEN.repeat_interleave and func is _ATEN.repeat_interleave.Tensor:
            self.found["repeats by a tensor without saying how many there are"] += 1
        result = func(*args, **(kwargs or {}))
        if operation in (_ATEN._to_copy, _ATEN.copy_) and _leaves_the_device(args, result, kwargs or {}):
            self.found["copies to or from the host, and waits"] += 1
        return result


def _by_a_mask(operation: Any, args: tuple[Any, ...]) -> bool:
    masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
    # One number put where a mask is set is a fill, for which nothing has to be counted.
    return bool(masks) and not (operation is not _ATEN.index and args[2].numel() == 1)


def _leaves_the_device(args: tuple[Any, ...], result: torch.Tensor, kwargs: dict[str, Any]) -> bool:
    source = args[1] if len(args) > 1 and isinstance(args[1], torch.Tensor) else args[0]
    waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
    return bool(waits and source.device.type != result.device.type)
