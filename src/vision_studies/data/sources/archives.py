"""Original archives on disk: CIFAR's binary and Python versions (packed or unpacked) and MNIST's idx files."""

import gzip
import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vision_studies.data.sources.raw import RawImages, one_line, resize_all
from vision_studies.errors import DataError

Members = dict[str, Callable[[], bytes]]
"""File name without folders -> reads its content."""

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CIFAR10_BINARY = ([f"data_batch_{number}.bin" for number in range(1, 6)], ["test_batch.bin"])
_CIFAR10_PYTHON = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"])
_CIFAR100 = {"train.bin", "test.bin", "fine_label_names.txt", "train", "test", "meta"}
_CIFAR_FILES = {*_CIFAR10_BINARY[0], *_CIFAR10_BINARY[1], *_CIFAR10_PYTHON[0], *_CIFAR10_PYTHON[1], *_CIFAR100}
_CIFAR_FILES |= {"batches.meta.txt", "batches.meta"}
_MOST_MEMBER_BYTES = 1 << 28  # CIFAR-100's training file has 153 MB
_CIFAR_PIXELS = 3 * 32 * 32


def archive_reader(folder: Path) -> Callable[[int | None], RawImages] | None:
    """A function that reads the archive in `folder`; None when there is no archive that is known.

    `folder` may hold the packed archive, its unpacked files, or be the packed archive itself.
    """
    if _has_idx(folder):
        return lambda image_size: read_idx(folder, image_size)
    for archive in _candidates(folder):
        reader = _cifar_reader(_members(archive), archive)
        if reader is not None:
            return lambda image_size: _resized(reader(), image_size)
    return None


def read_idx(folder: Path, image_size: int | None, class_names: tuple[str, ...] | None = None) -> RawImages:
    """MNIST's layout: four idx files, gzipped or not.

    Raises:
        DataError: a file is missing, truncated or not an idx file.
    """
    images, labels, is_test = [], [], []
    for split, (image_file, label_file) in _IDX_FILES.items():
        images.append(_read_idx_file(folder, image_file, dimensions=3)[:, :, :, None])
        labels.append(_read_idx_file(folder, label_file, dimensions=1).astype(np.int64))
        is_test.append(np.full(len(labels[-1]), split == "test"))
        if len(images[-1]) != len(labels[-1]):
            raise DataError(
                f"{folder}: {image_file} has {len(images[-1])} images but {label_file} {len(labels[-1])} labels; fetch both "
                "again."
            )
        if images[-1].shape[1:] != images[0].shape[1:] or len(labels[-1]) == 0:
            raise DataError(
                f"{folder}: {image_file} has {len(labels[-1])} images of {images[-1].shape[1]} x {images[-1].shape[2]} "
                "pixels, none or others than the training images; fetch it again."
            )
    every_label = np.concatenate(labels)
    names = class_names or tuple(str(label) for label in range(int(every_label.max()) + 1))
    return _resized(RawImages(np.concatenate(images), every_label, names, np.concatenate(is_test)), image_size)


def read_cifar_archive(archive: Path, image_size: int | None) -> RawImages:
    """CIFAR-10 or CIFAR-100, from the packed archive, which is read without being unpacked.

    Raises:
        DataError: the archive is damaged or another one.
    """
    reader = _cifar_reader(_members(archive), archive)
    if reader is None:
        raise DataError(f"{archive} is not an archive of CIFAR-10 or CIFAR-100; delete it and fetch it again.")
    return _resized(reader(), image_size)


def _resized(raw: RawImages, image_size: int | None) -> RawImages:
    return RawImages(resize_all(raw.images, image_size), raw.labels, raw.class_names, raw.is_test)


def _has_idx(folder: Path) -> bool:
    name = _IDX_FILES["train"][0]
    return folder.is_dir() and any((folder / f"{name}{suffix}").exists() for suffix in ("", ".gz"))


def _read_idx_file(folder: Path, name: str, *, dimensions: int) -> np.ndarray:
    plain, packed = folder / name, folder / f"{name}.gz"
    file = plain if plain.exists() else packed
    try:
        content = file.read_bytes() if file is plain else gzip.decompress(packed.read_bytes())
        if struct.unpack_from(">HBB", content) != (0, 8, dimensions):
            raise ValueError(f"its first bytes are not those of an idx file of {dimensions}-dimensional bytes")
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions, count=int(np.prod(shape))).reshape(shape)
    except FileNotFoundError as error:
        raise DataError(f"{folder} lacks {name} (or {name}.gz); the idx layout has four files.") from error
    except PermissionError:
        raise
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{file} is damaged ({one_line(error)}); fetch it again.") from error


def _candidates(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder] if folder.name.endswith((".tar.gz", ".tgz")) else []
    unpacked = [folder, *(entry for entry in sorted(folder.iterdir()) if entry.is_dir())]
    return [*sorted(folder.glob("*.tar.gz")), *(entry for entry in unpacked if _looks_like_cifar(entry))]


def _looks_like_cifar(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("data_batch_1.bin", "data_batch_1", "train.bin", "train"))


def _members(archive: Path) -> Members:
    if archive.is_dir():
        return {file.name: file.read_bytes for file in archive.iterdir() if file.is_file()}
    read: dict[str, bytes] = {}
    try:
        # As a stream: nothing is written to disk under names that the archive chooses, and nothing but CIFAR's files is kept.
        with gzip.open(archive) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as packed:
            for member in packed:
                name = PurePosixPath(member.name).name
                content = packed.extractfile(member) if member.isfile() and name in _CIFAR_FILES else None
                if content is not None:
                    read[name] = content.read(_MOST_MEMBER_BYTES)
            while unzipped.read(1 << 20):  # to the end, where gzip compares its checksum
                pass
    except PermissionError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{archive} is damaged ({one_line(error)}); fetch it again, or move it elsewhere if it is no archive of CIFAR."
        ) from error
    return {name: partial(bytes, content) for name, content in read.items()}


def _cifar_reader(members: Members, archive: Path) -> Callable[[], RawImages] | None:
    if "data_batch_1.bin" in members:
        return lambda: _read_binary(members, archive, *_CIFAR10_BINARY, "batches.meta.txt", label_bytes=1)
    if "train.bin" in members:
        return lambda: _read_binary(
            members, archive, ["train.bin"], ["test.bin"], "fine_label_names.txt", label_bytes=2
        )
    if "data_batch_1" in members:
        return lambda: _read_python(members, archive, *_CIFAR10_PYTHON, "batches.meta", ("labels", "label_names"))
    if "train" in members and "meta" in members:
        return lambda: _read_python(members, archive, ["train"], ["test"], "meta", ("fine_labels", "fine_label_names"))
    return None


def _read_binary(
    members: Members, archive: Path, train: list[str], test: list[str], names_file: str, *, label_bytes: int
) -> RawImages:
    """Records of label bytes (CIFAR-100: coarse, then fine) and 3,072 pixel bytes, channel after channel."""
    images, labels, is_test = [], [], []
    for name in [*train, *test]:
        content = np.frombuffer(_member(members, name, archive), np.uint8)
        record = label_bytes + _CIFAR_PIXELS
        if len(content) == 0 or len(content) % record:
            raise DataError(f"{archive}: {name} has {len(content)} bytes, no multiple of {record}; fetch it again.")
        records = content.reshape(-1, record)
        labels.append(records[:, label_bytes - 1].astype(np.int64))
        images.append(_pixels(records[:, label_bytes:]))
        is_test.append(np.full(len(records), name in test))
    class_names = tuple(_member(members, names_file, archive).decode(errors="replace").split())
    return RawImages(np.concatenate(images), np.concatenate(labels), class_names, np.concatenate(is_test))


def _read_python(
    members: Members, archive: Path, train: list[str], test: list[str], names_file: str, keys: tuple[str, str]
) -> RawImages:
    label_key, names_key = keys
    images, labels, is_test = [], [], []
    for name in [*train, *test]:
        content = _unpickle(_member(members, name, archive), archive, name, (label_key, "data"))
        label = np.asarray(content[label_key])
        pixels = content["data"]
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != np.uint8
            or label.dtype.kind not in "iu"
            or pixels.shape != (label.size, _CIFAR_PIXELS)
        ):
            raise DataError(
                f"{archive}: '{name}' does not hold one label and {_CIFAR_PIXELS} bytes an image; fetch it again."
            )
        images.append(_pixels(pixels))
        labels.append(label.astype(np.int64))
        is_test.append(np.full(len(label), name in test))
    names = _unpickle(_member(members, names_file, archive), archive, names_file, (names_key,))[names_key]
    class_names = tuple(str(name) for name in names)
    return RawImages(np.concatenate(images), np.concatenate(labels), class_names, np.concatenate(is_test))


def _member(members: Members, name: str, archive: Path) -> bytes:
    if name not in members:
        raise DataError(f"{archive} lacks '{name}'; it is not a whole archive, fetch it again.")
    return members[name]()


def _pixels(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


_BROKEN_PICKLE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    AttributeError,
    LookupError,
    TypeError,
    ImportError,
    OverflowError,
    MemoryError,  # a length that is damaged, too
)


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds numpy arrays and plain values. Any other name in the pickle, a call in disguise perhaps, is refused."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickle(content: bytes, archive: Path, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """A dictionary that has `keys`."""
    try:
        value = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__}, not a dictionary")
        for key in keys:
            if not np.ndim(value[key]):
                raise ValueError(f"'{key}' is a single {type(value[key]).__name__}")
    except _BROKEN_PICKLE as error:
        raise DataError(
            f"{archive}: '{name}' is not a file of CIFAR's Python version ({one_line(error)}); it was not read."
        ) from error
    return value
