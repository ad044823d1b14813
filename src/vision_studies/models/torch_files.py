"""Files of torch.save from elsewhere: tensors of numbers, and nothing that runs or grows in reading."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class StandIn:
    """Stands for a class, a function or an object of code that is not run; `name` is its own, `state` what was stored of it."""

    name = ""

    def __init__(self, *_: object, **__: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def load_torch_file(file: Path) -> object:
    """Read a file of `torch.save` that holds plain values and tensors; tensors come to the CPU.

    Raises:
        ValueError: the file is packed as torch never packs it: a few bytes may stand for any number of zeros.
        Exception: what torch raises where the file asks for more, is damaged or missing.
    """
    _refuse_compressed(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def load_without_code(file: Path) -> Any:
    """The same of a file that holds classes and objects besides: each of them comes as a `StandIn`, and nothing is run.

    Raises: as `load_torch_file`.
    """
    _refuse_compressed(file)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    stand_ins: list[Any] = [(type("StandIn", (StandIn,), {"name": name}), name) for name in names]
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(file, map_location="cpu", weights_only=True)


def _refuse_compressed(file: Path) -> None:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its content is compressed, which torch.save never does")


def is_plain_tensor(value: object) -> bool:
    """Whether `value` is a dense tensor with a number in the file for each of its own.

    A tensor of one number that says it is repeated a billion times fits in a small file and in no memory.
    """
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex() or value.is_nested)
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
