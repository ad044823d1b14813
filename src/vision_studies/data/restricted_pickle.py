"""Reading the numbers in a pickle without running anything that it may hide.

A pickle is a program: it names functions and has them called. Here every name is looked up in a short table, and what the
table holds are stand-ins of our own, which take numbers and nothing else, instead of the functions of numpy and torch that
bear these names. Python's own reader of pickles, and not the faster one in C, does the rest: a few bytes have that one fill
the memory with room for names (instruction LONG_BINPUT) or compute for ever in a place that Ctrl-C does not reach (keys of
nested tuples).
"""

import io
import math
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

_NUMBERS = re.compile(r"[biuf]\d{1,2}")  # names of dtypes: booleans, integers and floats, never objects


class RefusedError(Exception):
    """Why a pickle was not read on."""


class Function:
    """A function that a pickle may call but not alter: without `__setstate__`, its instruction BUILD could set attributes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:  # noqa: D102
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it alters a function")


class _Type:
    """Stands in for a numpy dtype of numbers."""

    __slots__ = ("value",)

    def __init__(self, name: object, *_: object) -> None:
        if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
            raise RefusedError(f"it holds an array of {shown(name)} and not of numbers")
        self.value = np.dtype(name)

    def __setstate__(self, state: object) -> None:
        # numpy's own takes any fields, even ones that point outside the array.
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, int(), int(), int()):
                self.value = self.value.newbyteorder(order)
            case _:
                raise RefusedError("it holds an array with fields")


class Array:
    """Stands in for an array or a tensor; `value` is None until its content has come."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value

    def __setstate__(self, state: object) -> None:
        match state:
            case (int(), tuple() as shape, _Type() as dtype, fortran, data):
                self.value = _view(data, dtype, shape, "F" if fortran else "C")
            case _:
                raise RefusedError("it holds an array in an unknown form")


def shown(value: object) -> str:
    """A value in an error: text as it is, of others the kind, for lists within lists may be longer than any memory."""
    return f"{value!r:.40}" if isinstance(value, str) else f"a {type(value).__name__}"


def _view(data: object, dtype: object, shape: object, order: object) -> np.ndarray:
    """An array on the bytes that were read, without a copy; Python 2 has written them as text."""
    if isinstance(data, str):
        data = data.encode("latin1")
    if not (
        isinstance(data, (bytes, bytearray))
        and isinstance(dtype, _Type)
        and isinstance(shape, tuple)
        and order in ("C", "F")
    ):
        raise RefusedError("it holds an array in an unknown form")
    return np.frombuffer(data, dtype.value).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: object, encoding: object) -> bytes:
    """Bytes as protocols below 3 write them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("it encodes text")
    return text.encode("latin1")


def _set(items: object = ()) -> set[object]:
    if not isinstance(items, list):
        raise RefusedError("it holds a set in an unknown form")
    _check_keys(items)
    return set(items)


def _reconstruct(kind: object, *_: object) -> Array:
    if kind is not _NDARRAY:
        raise RefusedError("it holds an array in an unknown form")
    return Array()


def _storage(content: object) -> Array:
    """Numbers of a tensor, 1-D. torch's own function would unpickle `content`, a pickle within the pickle, freely."""
    import torch

    if not isinstance(content, bytes):
        raise RefusedError("it holds a tensor in an unknown form")
    try:
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise RefusedError("it holds a tensor that asks for more than numbers, or a damaged one") from error
    if not isinstance(storage, torch.storage.TypedStorage):
        raise RefusedError("it holds a tensor in an unknown form")
    numbers = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)  # untyped() warns
    return Array((numbers.float() if numbers.dtype == torch.bfloat16 else numbers).numpy())


def _tensor(storage: object, offset: object, size: object, stride: object, *rest: object) -> Array:
    import torch

    if not (
        isinstance(storage, Array)
        and storage.value is not None
        and storage.value.ndim == 1
        and isinstance(offset, int)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and not any(rest[2:])  # conjugated or negated in the act of reading
    ):
        raise RefusedError("it holds a tensor in an unknown form")
    if math.prod(size) > storage.value.size:  # one number, repeated without end
        raise RefusedError("it holds a tensor that is larger than its numbers")
    return Array(torch.as_strided(torch.from_numpy(storage.value), size, stride, offset).numpy())


def _parameter(tensor: object, *_: object) -> Array:
    if not isinstance(tensor, Array):
        raise RefusedError("it holds a tensor in an unknown form")
    return tensor


def _no_array(*_: object) -> None:
    raise RefusedError("it holds an array in an unknown form")


_NDARRAY = Function(_no_array)  # a name that `_reconstruct` is given, never called
NUMPY: dict[tuple[str, str], Function] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "memmap"): _NDARRAY,  # pickled with its content, not with its file
    ("numpy", "dtype"): Function(_Type),
    ("_codecs", "encode"): Function(_encode),
}
"""Module and name, as pickles of arrays ask for them -> what they get."""
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    NUMPY[f"{_core}.multiarray", "_reconstruct"] = Function(_reconstruct)
    # A number of Python's, which has no state to be altered.
    NUMPY[f"{_core}.multiarray", "scalar"] = Function(lambda dtype, data: _view(data, dtype, (), "C").item())
    NUMPY[f"{_core}.numeric", "_frombuffer"] = Function(lambda *described: Array(_view(*described)))
for _builtins in ("__builtin__", "builtins"):  # protocols below 3 and from 3
    NUMPY[_builtins, "bytes"] = Function(lambda: b"")  # an array without rows in protocol 2; `bytes` takes a length
    NUMPY[_builtins, "set"] = Function(_set)
    NUMPY[_builtins, "frozenset"] = Function(lambda items=(): frozenset(_set(items)))

NUMPY_AND_TORCH = NUMPY | {
    ("collections", "OrderedDict"): Function(lambda: {}),  # hooks of a tensor, of which it has none
    ("torch.storage", "_load_from_bytes"): Function(_storage),
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(_parameter),
}
"""The same, and what pickles of tensors ask for."""


def _check_keys(keys: list[Any]) -> None:
    """Refuse tuples: the hash of a tuple of the same tuple twice, forty times over, takes years."""
    if any(isinstance(key, tuple) for key in keys):
        raise RefusedError("it names values by tuples")


_KEYS = {
    **dict.fromkeys((pickle.DICT, pickle.SETITEMS), slice(None, None, 2)),
    **dict.fromkeys((pickle.ADDITEMS, pickle.FROZENSET), slice(None)),
    pickle.SETITEM: slice(-2, -1),
}
"""Instruction -> where keys lie on the stack."""


def _with_plain_keys(instruction: bytes, keys: slice) -> Callable[[Any], None]:
    load = pickle._Unpickler.dispatch[instruction[0]]

    def load_checked(self: Any) -> None:
        _check_keys(self.stack[keys])
        load(self)

    return load_checked


def _load_bytearray(self: Any) -> None:
    """As it is written, but without room for as many bytes as the pickle says there are: the file may have fewer."""
    (length,) = np.frombuffer(self.read(8), "<u8").tolist()
    self.append(bytearray(self.read(length)))


class _WholeLines:
    """A file whose last line is as whole as the others: Python's reader would take half a name for a name."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self._readline = file.readline

    def readline(self) -> bytes:
        line = self._readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class _RestrictedUnpickler(pickle._Unpickler):
    """Looks every name up in a table and imports nothing."""

    dispatch = {  # noqa: RUF012 - as the class above has it
        **pickle._Unpickler.dispatch,
        **{instruction[0]: _with_plain_keys(instruction, keys) for instruction, keys in _KEYS.items()},
        pickle.BYTEARRAY8[0]: _load_bytearray,
    }

    def __init__(self, file: BinaryIO, names: Mapping[tuple[str, str], Function], encoding: str) -> None:
        super().__init__(_WholeLines(file), encoding=encoding)
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            asked_for = f"{module}.{name}".encode("unicode_escape").decode("ascii")  # no line breaks into the sentence
            raise RefusedError(f"it asks for {asked_for:.150}")
        return self._names[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise RefusedError(f"it asks for the object {shown(pid)} outside the file")


def load_restricted(file: BinaryIO, names: Mapping[tuple[str, str], Function], *, encoding: str = "ASCII") -> object:
    """Read a pickle of plain values and arrays of numbers.

    Args:
        file: opened for reading bytes.
        names: what the pickle may ask for, and what it gets; `NUMPY` or `NUMPY_AND_TORCH`.
        encoding: of text that Python 2 has written.

    Returns:
        What the pickle holds, with an `Array` for each array.

    Raises:
        RefusedError: the pickle asks for anything else, or is damaged.
        MemoryError: it does not fit.
    """
    try:
        return _RestrictedUnpickler(file, names, encoding).load()
    except (RefusedError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle may call anything in the table with anything
        raise RefusedError("it is damaged or no pickle") from error


def plain_integers(value: object) -> np.ndarray:
    """Integers [N] of a list, a tuple or an array, where an entry may be an array of one.

    Raises:
        RefusedError: it is something else, or an entry is.
    """
    if isinstance(value, Array) and value.value is not None:
        array = value.value
    elif isinstance(value, (list, tuple)):
        numbers = [item.value.item() if _is_one(item) else item for item in value]
        if any(type(number) is not int for number in numbers):  # numpy would unfold lists within lists without end
            raise RefusedError("they are not one integer each")
        array = np.asarray(numbers, dtype=None if numbers else np.int64)
    else:
        raise RefusedError("they are no list or array")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise RefusedError("they are not one integer each")
    return array.astype(np.int64)


def _is_one(item: Any) -> bool:
    return isinstance(item, Array) and item.value is not None and item.value.size == 1
