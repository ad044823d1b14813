"""Original archives on disk: CIFAR's binary and Python versions (packed or unpacked) and MNIST's idx files."""

import gzip
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import numpy as np

from vision_studies.data.restricted_pickle import NUMPY, Array, RefusedError, load_restricted, plain_integers
from vision_studies.data.sources.raw import RawImages
from vision_studies.errors import DataError, one_line

Members = dict[str, Callable[[], bytes]]
"""File name without folders -> reads its content."""

_Part = tuple[np.ndarray, np.ndarray, bool]  # images, labels, and whether they are for test


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class _Layout(NamedTuple):
    """Files of a version of CIFAR: those with images, and that with the names of classes."""

    train: Sequence[str]
    test: str
    names: str
    label_bytes: int = 0  # of a record of the binary version; its last one is the label
    keys: tuple[str, str] = ("", "")  # of labels and of names in the Python version


_LAYOUTS = (
    _Layout([f"data_batch_{number}.bin" for number in range(1, 6)], "test_batch.bin", "batches.meta.txt", 1),
    _Layout(["train.bin"], "test.bin", "fine_label_names.txt", 2),
    _Layout(
        [f"data_batch_{number}" for number in range(1, 6)], "test_batch", "batches.meta", keys=("labels", "label_names")
    ),
    _Layout(["train"], "test", "meta", keys=("fine_labels", "fine_label_names")),
)
_CIFAR_FILES = {name for layout in _LAYOUTS for name in (*layout.train, layout.test, layout.names)}
_MOST_MEMBER_BYTES = 1 << 28  # CIFAR-100's training file has 153 MB
_MOST_UNPACKED_BYTES = 1 << 30  # of an archive or an idx file; CIFAR has 184 MB, and the largest file of EMNIST 547 MB
_MOST_MEMBERS = 1000
_CIFAR_PIXELS = 3 * 32 * 32


def read_archive(folder: Path) -> RawImages | None:
    """The archive in `folder`, which is packed, unpacked, or the packed archive itself; None where none is known.

    Raises:
        DataError: it is damaged.
    """
    first = _IDX_FILES["train"][0]
    if folder.is_dir() and any((folder / f"{first}{suffix}").exists() for suffix in ("", ".gz")):
        return read_idx(folder)
    return next(filter(None, (_read_cifar(archive) for archive in _candidates(folder))), None)


def read_idx(folder: Path, class_names: tuple[str, ...] | None = None) -> RawImages:
    """MNIST's layout: four idx files, gzipped or not.

    Raises:
        DataError: a file is missing, truncated or not an idx file.
    """
    parts: list[_Part] = []
    for split, (image_file, label_file) in _IDX_FILES.items():
        images = _read_idx_file(folder, image_file, dimensions=3)[:, :, :, None]
        labels = _read_idx_file(folder, label_file, dimensions=1).astype(np.int64)
        if len(images) != len(labels):
            raise DataError(
                f"{folder}: {image_file} has {len(images)} images but {label_file} {len(labels)} labels; fetch both again."
            )
        parts.append((images, labels, split == "test"))
        if images.shape[1:] != parts[0][0].shape[1:] or len(labels) == 0:
            raise DataError(
                f"{folder}: {image_file} has {len(labels)} images of {images.shape[1]} x {images.shape[2]} pixels, none or "
                "others than the training images; fetch it again."
            )
    classes = 1 + max(int(labels.max()) for _, labels, _ in parts)
    return _together(parts, class_names or tuple(map(str, range(classes))))


def read_cifar_archive(archive: Path) -> RawImages:
    """CIFAR-10 or CIFAR-100, from the packed archive, which is read without being unpacked.

    Raises:
        DataError: the archive is damaged or another one.
    """
    raw = _read_cifar(archive)
    if raw is None:
        raise DataError(f"{archive} is not an archive of CIFAR-10 or CIFAR-100; delete it and fetch it again.")
    return raw


def _together(parts: Sequence[_Part], class_names: tuple[str, ...]) -> RawImages:
    images, labels, is_test = zip(*parts, strict=True)
    return RawImages(
        np.concatenate(images), np.concatenate(labels), class_names, np.repeat(is_test, list(map(len, labels)))
    )


def _read_idx_file(folder: Path, name: str, *, dimensions: int) -> np.ndarray:
    plain, packed = folder / name, folder / f"{name}.gz"
    file = plain if plain.exists() else packed
    try:
        if file.exists() and not file.is_file():
            raise ValueError("it is no file")
        with plain.open("rb") if file is plain else gzip.open(packed) as opened:
            return _idx_content(opened, dimensions)
    except FileNotFoundError as error:
        raise DataError(f"{folder} lacks {name} (or {name}.gz); the idx layout has four files.") from error
    except PermissionError:
        raise
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{file} is damaged ({one_line(error)}); fetch it again.") from error


def _idx_content(opened: _Readable, dimensions: int) -> np.ndarray:
    """As many bytes as the header says, and no more: a few bytes of gzip may stand for any number."""
    header = opened.read(4 + 4 * dimensions)
    if struct.unpack_from(">HBB", header) != (0, 8, dimensions):
        raise ValueError(f"its first bytes are not those of an idx file of {dimensions}-dimensional bytes")
    shape = struct.unpack_from(f">{dimensions}I", header, 4)
    size = math.prod(shape)
    if size > _MOST_UNPACKED_BYTES:
        raise ValueError(f"it says to have {size:,} bytes, more than the {_MOST_UNPACKED_BYTES:,} that are read")
    content = opened.read(size)
    if len(content) < size or opened.read(1):  # gzip compares its checksum at the end
        raise ValueError("it has fewer or more bytes than it says")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _candidates(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder] if folder.name.endswith((".tar.gz", ".tgz")) else []
    packed = [file for file in sorted(folder.glob("*.tar.gz")) if file.is_file()]
    unpacked = [folder, *(entry for entry in sorted(folder.iterdir()) if entry.is_dir())]
    return packed + [entry for entry in unpacked if any((entry / layout.train[0]).exists() for layout in _LAYOUTS)]


def _members(archive: Path) -> Members:
    if archive.is_dir():
        return {file.name: partial(_file_content, file) for file in archive.iterdir() if file.is_file()}
    read: dict[str, bytes] = {}
    try:
        # As a stream: nothing is written to disk under names that the archive chooses, and nothing but CIFAR's files is kept.
        with gzip.open(archive) as unzipped:
            limited: Any = _Limited(unzipped)
            with tarfile.open(fileobj=limited, mode="r|") as packed:
                for number, member in enumerate(packed):
                    name = PurePosixPath(member.name).name
                    if number >= _MOST_MEMBERS:
                        raise _TooLargeError(f"it has more than {_MOST_MEMBERS} members")
                    # A sparse member is as long as it says, whatever the archive holds of it.
                    wanted = member.isfile() and not member.issparse() and name in _CIFAR_FILES
                    content = packed.extractfile(member) if wanted else None
                    if content is not None:
                        if member.size > _MOST_MEMBER_BYTES:
                            raise _TooLargeError(f"its '{name}' has {member.size:,} bytes")
                        read[name] = content.read()
            while limited.read(1 << 20):  # to the end, where gzip compares its checksum
                pass
    except PermissionError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        if isinstance(error, _TooLargeError) and not read:
            return {}  # a large archive of something else
        raise DataError(
            f"{archive} is damaged ({one_line(error)}); fetch it again, or move it elsewhere if it is no archive of CIFAR."
        ) from error
    return {name: partial(bytes, content) for name, content in read.items()}


class _TooLargeError(ValueError):
    """An archive unpacks to more than CIFAR has."""


class _Limited:
    """A stream that ends with an error where more comes out of it than any archive that is read here holds."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._left = _MOST_UNPACKED_BYTES

    def read(self, size: int) -> bytes:
        content = self._stream.read(min(size, 1 << 20))
        self._left -= len(content)
        if self._left < 0:
            raise _TooLargeError(f"it unpacks to more than {_MOST_UNPACKED_BYTES:,} bytes")
        return content


def _file_content(file: Path) -> bytes:
    if file.stat().st_size > _MOST_MEMBER_BYTES:
        raise DataError(f"{file} has {file.stat().st_size:,} bytes, more than any file of CIFAR; fetch it again.")
    return file.read_bytes()


def _read_cifar(archive: Path) -> RawImages | None:
    members = _members(archive)
    # CIFAR-100's files of the Python version have names that mean little by themselves.
    present = (
        layout
        for layout in _LAYOUTS
        if layout.train[0] in members and (layout.train[0] != "train" or layout.names in members)
    )
    layout = next(present, None)
    if layout is None:
        return None
    read_part = _binary_part if layout.label_bytes else _python_part
    parts = [
        (*read_part(_member(members, name, archive), archive, name, layout), name == layout.test)
        for name in (*layout.train, layout.test)
    ]
    return _together(parts, _class_names(_member(members, layout.names, archive), archive, layout))


def _binary_part(content: bytes, archive: Path, name: str, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Records of label bytes (CIFAR-100: coarse, then fine) and 3,072 pixel bytes, channel after channel."""
    record = layout.label_bytes + _CIFAR_PIXELS
    if len(content) == 0 or len(content) % record:
        raise DataError(f"{archive}: {name} has {len(content)} bytes, no multiple of {record}; fetch it again.")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return _pixels(records[:, layout.label_bytes :]), records[:, layout.label_bytes - 1].astype(np.int64)


def _python_part(content: bytes, archive: Path, name: str, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    label_key, labels = layout.keys[0], None
    values = _unpickle(content, archive, name, (label_key, "data"))
    pixels = values["data"].value if isinstance(values["data"], Array) else None
    with suppress(RefusedError):
        labels = plain_integers(values[label_key])
    if labels is None or pixels is None or pixels.dtype != np.uint8 or pixels.shape != (labels.size, _CIFAR_PIXELS):
        raise DataError(
            f"{archive}: '{name}' does not hold one label and {_CIFAR_PIXELS} bytes an image; fetch it again."
        )
    return _pixels(pixels), labels


def _class_names(content: bytes, archive: Path, layout: _Layout) -> tuple[str, ...]:
    if layout.label_bytes:
        return tuple(content.decode(errors="replace").split())
    key = layout.keys[1]
    names = _unpickle(content, archive, layout.names, (key,))[key]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{archive}: '{layout.names}' does not hold a name for each class; fetch it again.")
    return tuple(names)


def _member(members: Members, name: str, archive: Path) -> bytes:
    if name not in members:
        raise DataError(f"{archive} lacks '{name}'; it is not a whole archive, fetch it again.")
    return members[name]()


def _pixels(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _unpickle(content: bytes, archive: Path, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """A dictionary that has `keys`."""
    try:
        value = load_restricted(io.BytesIO(content), NUMPY, encoding="latin1")
        if not isinstance(value, dict):
            raise RefusedError(f"a {type(value).__name__}, not a dictionary")
        for key in keys:
            if key not in value:
                raise RefusedError(f"it lacks '{key}'")
            if not isinstance(value[key], (list, tuple, Array)):
                raise RefusedError(f"'{key}' is a single {type(value[key]).__name__}")
    except (RefusedError, MemoryError) as error:  # a length that is damaged takes more memory than there is
        raise DataError(
            f"{archive}: '{name}' is not a file of CIFAR's Python version ({one_line(error)}); it was not read."
        ) from error
    return value
