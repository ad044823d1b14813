"""Files of torch.save from elsewhere: tensors of numbers, and nothing that runs or grows in reading."""

import zipfile
from pathlib import Path

import torch
from torch import Tensor


def load_torch_file(file: Path) -> object:
    """Read a file of `torch.save` that holds plain values and tensors; tensors come to the CPU.

    Raises:
        ValueError: the file is packed as torch never packs it: a few bytes may stand for any number of zeros.
        Exception: what torch raises where the file asks for more, is damaged or missing.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its content is compressed, which torch.save never does")
    return torch.load(file, map_location="cpu", weights_only=True)


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
