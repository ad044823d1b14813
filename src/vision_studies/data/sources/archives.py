"""Original archives on disk: CIFAR's binary and Python versions (packed or unpacked) and MNIST's idx files."""

import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vision_studies.data.sources.raw import RawImages, resize_all
from vision_studies.errors import DataError

Members = dict[str, Callable[[], bytes]]
"""File name without folders -> reads its content."""

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CIFAR10_BINARY = ([f"data_batch_{number}.bin" for number in range(1, 6)], ["test_batch.bin"])
_CIFAR10_PYTHON = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"])
_CIFAR_PIXELS = 3 * 32 * 32


def archive_reader(folder: Path) -> Callable[[int | None], RawImages] | None:
    """A function that reads the archive in `folder`; None when there is no archive that is known.

    `folder` may hold the packed archive, its unpacked files, or be the packed archive itself.
    """
    if _has_idx(folder):
        return lambda image_size: read_idx(folder, image_size)
    for archive in _candidates(folder):
        members = _members(archive)
        if members is not None and (reader := _cifar_reader(members, archive)) is not None:
            return lambda image_size: _resized(reader(), image_size)
    return None


def read_idx(folder: Path, image_size: int | None, class_names: tuple[str, ...] | None = None) -> RawImages:
    """MNIST's layout: four idx files, gzipped or not.

    Raises:
        DataError: a file is missing, truncated or not an idx file.
    """
    images, labels, is_test = [], [], []
    for split, (image_file, label_file) in _IDX_FILES.items():
        images.append(_read_idx_file(folder, image_file)[:, :, :, None])
        labels.append(_read_idx_file(folder, label_file).astype(np.int64))
        is_test.append(np.full(len(labels[-1]), split == "test"))
    every_label = np.concatenate(labels)
    names = class_names or tuple(str(label) for label in range(int(every_label.max()) + 1))
    return _resized(RawImages(np.concatenate(images), every_label, names, np.concatenate(is_test)), image_size)


def read_cifar_archive(archive: Path, image_size: int | None) -> RawImages:
    """CIFAR-10 or CIFAR-100, from the packed archive, which is read without being unpacked.

    Raises:
        DataError: the archive is damaged or another one.
    """
    members = _members(archive)
    reader = _cifar_reader(members, archive) if members is not None else None
    if reader is None:
        raise DataError(f"{archive} is not an archive of CIFAR-10 or CIFAR-100; delete it and fetch it again.")
    return _resized(reader(), image_size)


def _resized(raw: RawImages, image_size: int | None) -> RawImages:
    return RawImages(resize_all(raw.images, image_size), raw.labels, raw.class_names, raw.is_test)


def _has_idx(folder: Path) -> bool:
    name = _IDX_FILES["train"][0]
    return folder.is_dir() and any((folder / f"{name}{suffix}").exists() for suffix in ("", ".gz"))


def _read_idx_file(folder: Path, name: str) -> np.ndarray:
    plain, packed = folder / name, folder / f"{name}.gz"
    file = plain if plain.exists() else packed
    try:
        content = file.read_bytes() if file is plain else gzip.decompress(packed.read_bytes())
        zero, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        if zero != 0 or kind != 8:
            raise ValueError("its first bytes are not those of an idx file of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions, count=int(np.prod(shape))).reshape(shape)
    except FileNotFoundError as error:
        raise DataError(f"{folder} lacks {name} (or {name}.gz); the idx layout has four files.") from error
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise DataError(f"{file} is damaged ({error}); fetch it again.") from error


def _candidates(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    unpacked = [folder, *(entry for entry in sorted(folder.iterdir()) if entry.is_dir())]
    return [*sorted(folder.glob("*.tar.gz")), *(entry for entry in unpacked if _looks_like_cifar(entry))]


def _looks_like_cifar(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("data_batch_1.bin", "data_batch_1", "train.bin", "train"))


def _members(archive: Path) -> Members | None:
    if archive.is_dir():
        return {file.name: file.read_bytes for file in archive.iterdir() if file.is_file()}
    try:
        with tarfile.open(archive) as packed:
            # Read at once: files inside are never written to disk under names that the archive chooses.
            wanted = [member for member in packed.getmembers() if member.isfile() and member.size < 2**28]
            contents = {PurePosixPath(member.name).name: packed.extractfile(member) for member in wanted}
            read = {name: stream.read() for name, stream in contents.items() if stream is not None}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}); delete it and fetch it again.") from error
    return {name: io.BytesIO(content).getvalue for name, content in read.items()}


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
    class_names = tuple(_member(members, names_file, archive).decode().split())
    return RawImages(np.concatenate(images), np.concatenate(labels), class_names, np.concatenate(is_test))


def _read_python(
    members: Members, archive: Path, train: list[str], test: list[str], names_file: str, keys: tuple[str, str]
) -> RawImages:
    label_key, names_key = keys
    images, labels, is_test = [], [], []
    for name in [*train, *test]:
        content = _unpickle(_member(members, name, archive), archive, name)
        images.append(_pixels(np.asarray(content["data"], np.uint8)))
        labels.append(np.asarray(content[label_key], np.int64))
        is_test.append(np.full(len(labels[-1]), name in test))
    class_names = tuple(_unpickle(_member(members, names_file, archive), archive, names_file)[names_key])
    return RawImages(np.concatenate(images), np.concatenate(labels), class_names, np.concatenate(is_test))


def _member(members: Members, name: str, archive: Path) -> bytes:
    if name not in members:
        raise DataError(f"{archive} lacks '{name}'; it is not a whole archive, fetch it again.")
    return members[name]()


def _pixels(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


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


def _unpickle(content: bytes, archive: Path, name: str) -> Any:
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise DataError(
            f"{archive}: '{name}' is not a file of CIFAR's Python version ({error}); it was not read."
        ) from error
