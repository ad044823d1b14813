"""Features in the original project's pickles, read without running anything that a pickle may hide.

A pickle is a program: it names functions and has them called. Here every name is looked up in one short table, and what
the table holds are stand-ins of our own, which take numbers and nothing else, instead of the functions of numpy and torch
that bear these names.
"""

import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from vision_studies.errors import DataError

_NUMBERS = re.compile(r"[biuf]\d{1,2}")  # names of dtypes: booleans, integers and floats, never objects


class _RefusedError(Exception):
    """Why a pickle was not read on."""


class _Function:
    """A function that a pickle may call but not alter: without this, its instruction BUILD could set attributes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("it alters a function")


class _Type:
    """Stands in for a numpy dtype of numbers."""

    __slots__ = ("value",)

    def __init__(self, name: object, *_: object) -> None:
        if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
            raise _RefusedError(f"it holds an array of {name!r:.40} and not of numbers")
        self.value = np.dtype(name)

    def __setstate__(self, state: object) -> None:
        # numpy's own takes any fields, even ones that point outside the array.
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, int(), int(), int()):
                self.value = self.value.newbyteorder(order)
            case _:
                raise _RefusedError("it holds an array with fields")


class _Array:
    """Stands in for an array or a tensor; `value` is None until its content has come."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value

    def __setstate__(self, state: object) -> None:
        match state:
            case (int(), tuple() as shape, _Type() as dtype, fortran, data):
                self.value = _view(data, dtype, shape, "F" if fortran else "C")
            case _:
                raise _RefusedError("it holds an array in an unknown form")


def _view(data: object, dtype: object, shape: object, order: object) -> np.ndarray:
    """An array on the bytes that were read, without a copy."""
    if not (
        isinstance(data, (bytes, bytearray))
        and isinstance(dtype, _Type)
        and isinstance(shape, tuple)
        and order in ("C", "F")
    ):
        raise _RefusedError("it holds an array in an unknown form")
    return np.frombuffer(data, dtype.value).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> _Array:
    return _Array(_view(data, dtype, shape, order))


def _scalar(dtype: object, data: object) -> int | float:
    """A numpy scalar as a number of Python's, which has no state to be altered."""
    return _view(data, dtype, (), "C").item()


def _encode(text: object, encoding: object) -> bytes:
    """Bytes as protocols below 3 write them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("it encodes text")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """What protocol 2 calls for an array without rows; `bytes` itself takes a length."""
    return b""


def _empty_hooks() -> dict[str, object]:
    """Hooks of a tensor, of which it has none."""
    return {}


def _storage(content: object) -> _Array:
    """Numbers of a tensor, 1-D. torch's own function would unpickle `content`, a pickle within the pickle, freely."""
    if not isinstance(content, bytes):
        raise _RefusedError("it holds a tensor in an unknown form")
    try:
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise _RefusedError("it holds a tensor that asks for more than numbers, or a damaged one") from error
    if not isinstance(storage, torch.storage.TypedStorage):
        raise _RefusedError("it holds a tensor in an unknown form")
    numbers = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)  # untyped() warns
    return _Array((numbers.float() if numbers.dtype == torch.bfloat16 else numbers).numpy())


def _tensor(storage: object, offset: object, size: object, stride: object, *rest: object) -> _Array:
    if not (
        isinstance(storage, _Array)
        and storage.value is not None
        and storage.value.ndim == 1
        and isinstance(offset, int)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and not any(rest[2:])  # conjugated or negated in the act of reading
    ):
        raise _RefusedError("it holds a tensor in an unknown form")
    if math.prod(size) > storage.value.size:  # one number, repeated without end
        raise _RefusedError("it holds a tensor that is larger than its numbers")
    return _Array(torch.as_strided(torch.from_numpy(storage.value), size, stride, offset).numpy())


def _reconstruct(kind: object, *_: object) -> _Array:
    if kind is not _NDARRAY:
        raise _RefusedError("it holds an array in an unknown form")
    return _Array()


def _parameter(tensor: object, *_: object) -> _Array:
    if not isinstance(tensor, _Array):
        raise _RefusedError("it holds a tensor in an unknown form")
    return tensor


def _no_array(*_: object) -> None:
    raise _RefusedError("it holds an array in an unknown form")


_NDARRAY = _Function(_no_array)  # a name that `_reconstruct` is given, never called
_ALLOWED: dict[tuple[str, str], _Function] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "memmap"): _NDARRAY,  # pickled with its content, not with its file
    ("numpy", "dtype"): _Function(_Type),
    ("_codecs", "encode"): _Function(_encode),
    ("collections", "OrderedDict"): _Function(_empty_hooks),
    ("torch.storage", "_load_from_bytes"): _Function(_storage),
    ("torch._utils", "_rebuild_tensor"): _Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_parameter),
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Function(_reconstruct)
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _Function(_scalar)
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _Function(_from_buffer)
for _builtins in ("__builtin__", "builtins"):  # protocols below 3 and from 3
    _ALLOWED[_builtins, "bytes"] = _Function(_empty_bytes)
    _ALLOWED[_builtins, "set"] = _Function(set)
    _ALLOWED[_builtins, "frozenset"] = _Function(frozenset)


class _RestrictedUnpickler(pickle.Unpickler):
    """Looks every name up in `_ALLOWED` and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            asked_for = f"{module}.{name}".encode("unicode_escape").decode("ascii")  # no line breaks into the sentence
            raise _RefusedError(f"it asks for {asked_for:.150}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise _RefusedError(f"it asks for the object {pid!r:.40} outside the file")


def load_features_pickle(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read features and labels from a pickled dictionary, and run nothing else that the pickle asks for.

    The dictionary has "feats", an array or a tensor of floats, and "labels", a list, a tuple, an array or a tensor of
    integers; its other keys are ignored. All protocols are read. Source: feature files of github.com/jayanthkoushik/alphanet.

    Args:
        path: a file of `pickle.dump`.

    Returns:
        Features, float32 [N, d], and labels, int64 [N]; they may be read-only.

    Raises:
        DataError: the file is missing, damaged or not of that form, or asks for anything beyond numbers.
    """
    try:
        with path.open("rb") as file:
            content = _unpickle(file)
        if not isinstance(content, dict) or "feats" not in content or "labels" not in content:
            raise _RefusedError("it holds no dictionary with 'feats' and 'labels'")
        features, labels = _features(content.pop("feats")), _labels(content.pop("labels"))
        if len(features) != len(labels):
            raise _RefusedError(f"it holds {len(features)} features and {len(labels)} labels")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); it holds the features of images.") from error
    except MemoryError as error:
        raise DataError(
            f"{path} does not fit into memory, or is damaged; fetch it again or divide it into parts."
        ) from error
    except _RefusedError as error:
        raise DataError(
            f"{path} was not read, for {error}; write it with pickle.dump as a dictionary of 'feats', an array of floats "
            "with a row an image, and 'labels', a list of integers."
        ) from error
    return features, labels


def _unpickle(file: BinaryIO) -> object:
    try:
        return _RestrictedUnpickler(file).load()
    except (_RefusedError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle may call anything in the table with anything
        raise _RefusedError("it is damaged or no pickle") from error


def _features(value: object) -> np.ndarray:
    if not isinstance(value, _Array) or value.value is None or value.value.ndim != 2 or value.value.dtype.kind != "f":
        raise _RefusedError("its 'feats' are no array of floats with a row an image")
    with np.errstate(over="ignore"):  # infinite numbers are refused when features are stored, with their image
        return np.ascontiguousarray(value.value, dtype=np.float32)


def _labels(value: object) -> np.ndarray:
    if isinstance(value, (list, tuple)):
        try:
            array = np.asarray([_integer(item) for item in value])
        except (ValueError, TypeError) as error:
            raise _RefusedError("its 'labels' are not one integer an image") from error
    elif isinstance(value, _Array) and value.value is not None:
        array = value.value
    else:
        raise _RefusedError("its 'labels' are no list or array")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise _RefusedError("its 'labels' are not one integer an image")
    return array.astype(np.int64)


def _integer(item: object) -> object:
    """A label out of an array of one; others are left for numpy to judge."""
    return item.value.item() if isinstance(item, _Array) and item.value is not None else item
