"""What every source gives, and how single encoded images become one array."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from vision_studies.data.checks.findings import Finding
from vision_studies.data.sources.decoding import CorruptImageError, Decoding, decode_image, quiet, resized
from vision_studies.data.sources.listing import Item, SplitName
from vision_studies.errors import DataError
from vision_studies.processors import processors

logger = logging.getLogger(__name__)

_MOST_SIDE = 1024  # without image_size; the largest image_size that the parameters allow
_NAMED_CORRUPT = 5
_TOGETHER = 32  # images that a thread decodes in one go: handing over each by itself takes longer than a small image


class RawImages(NamedTuple):
    """Images as read from a source.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int64 [N].
        class_names: one name a label.
        is_test: bool [N].
        items: see `ImageSet`; None where the source says nothing of single images.
        decoding: see `ImageSet`; None where no image was decoded.
        findings: what is to be said of arrays that were read as they are.
        published: whether it is a published data set, whose splits are left as they are; see `Listing`.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    is_test: np.ndarray
    items: pd.DataFrame | None = None
    decoding: Decoding | None = None
    findings: tuple[Finding, ...] = ()
    published: bool = True


def decode_all(
    encoded: Iterable[Item], class_names: tuple[str, ...], *, decoding: Decoding, skip_corrupt: bool, source: str
) -> RawImages:
    """Decode images in parallel and bring them to one size.

    Raises:
        DataError: an image is corrupt and `skip_corrupt` is not set, sizes differ and `image_size` is not set, or
            nothing is left.
    """
    arrays: list[np.ndarray] = []
    read: list[Item] = []
    corrupt: list[str] = []
    for item, array in _decode_in_parallel(encoded, decoding):
        if array is None:
            corrupt.append(item.name)
            continue
        if decoding.image_size is None:
            _check_size(array, arrays[0] if arrays else array, item.name, source)
        arrays.append(array)
        read.append(item._replace(content=b""))
    if corrupt:
        _report_corrupt(corrupt, source, skip_corrupt)
    if not arrays:
        raise DataError(f"{source} holds no readable images; check data_prep.source.")
    labels = np.array([item.label for item in read], np.int64)
    is_test = np.array([item.split == "test" for item in read], bool)
    return RawImages(_stack(arrays), labels, class_names, is_test, items_table(read), decoding)


def items_table(items: Sequence[Item]) -> pd.DataFrame:
    """What is known of images, as `ImageSet.items` has it, of no copies."""
    known = known_items([item.name for item in items], [item.split for item in items]).assign(
        group=pd.Series([item.group for item in items], dtype=object)
    )
    extra = dict.fromkeys(column for item in items for column in item.extra)
    columns = {column: pd.Series([item.extra.get(column) for item in items], dtype=object) for column in extra}
    return pd.concat([known, pd.DataFrame(columns, index=known.index)], axis=1)


def known_items(names: Sequence[str], splits: Sequence[SplitName | None]) -> pd.DataFrame:
    """A row an image, of no group and of no copies."""
    known = {
        "name": pd.array(names, "str"),
        "split": pd.Series(splits, dtype=object),
        "group": None,
        "copies": np.int64(-1),
    }
    return pd.DataFrame(known, index=range(len(names)))


def resize_all(images: np.ndarray, decoding: Decoding) -> np.ndarray:
    """Bring uint8 [N, H, W, C] to the wanted size, if there is one; letterbox over a colour makes grey images coloured."""
    size = decoding.image_size
    if size is None or images.shape[1:3] == (size, size) or not len(images):
        return images
    resized_images: np.ndarray | None = None
    for index, image in enumerate(images):
        picture = np.asarray(resized(Image.fromarray(image[:, :, 0] if images.shape[3] == 1 else image), decoding))
        if resized_images is None:
            resized_images = np.empty((len(images), size, size, 1 if picture.ndim == 2 else 3), np.uint8)
        resized_images[index] = picture.reshape(resized_images.shape[1:])
    assert resized_images is not None  # noqa: S101 - there are images
    return resized_images


def _decode_in_parallel(encoded: Iterable[Item], decoding: Decoding) -> Iterator[tuple[Item, np.ndarray | None]]:
    """Threads suffice: the decoders let go of Python's lock. Chunks bound the number of encoded images in memory."""

    def decode(item: Item) -> np.ndarray | None:
        with suppress(CorruptImageError):
            return decode_image(item.content, decoding)
        return None

    def decode_some(some: Sequence[Item]) -> list[np.ndarray | None]:
        return [decode(item) for item in some]

    items = iter(encoded)
    with quiet(), ThreadPoolExecutor(processors()) as pool:
        while chunk := list(islice(items, 2048)):
            parts = [chunk[start : start + _TOGETHER] for start in range(0, len(chunk), _TOGETHER)]
            for part, arrays in zip(parts, pool.map(decode_some, parts), strict=True):
                yield from zip(part, arrays, strict=True)


def _report_corrupt(corrupt: list[str], source: str, skip: bool) -> None:
    named = ", ".join(corrupt[:_NAMED_CORRUPT]) + (", ..." if len(corrupt) > _NAMED_CORRUPT else "")
    count = f"{len(corrupt)} image" + ("s" if len(corrupt) > 1 else "")
    if not skip:
        raise DataError(
            f"{source}: {count} cannot be read ({named}); replace or delete them, or set data_prep.skip_corrupt=true to "
            "leave them out."
        )
    logger.warning("%s: %s cannot be read and left out (%s)", source, count, named)


def _check_size(array: np.ndarray, first: np.ndarray, name: str, source: str) -> None:
    """Refuse, at the first one, images that only make sense resized: they might all fit in no memory as they are."""
    (height, width), (first_height, first_width) = array.shape[:2], first.shape[:2]
    if (height, width) != (first_height, first_width):
        raise DataError(
            f"{source}: images differ in size ({name} has {height} x {width} pixels, the first one {first_height} x "
            f"{first_width}); set data_prep.image_size, for example to 32."
        )
    if max(height, width) > _MOST_SIDE:
        raise DataError(
            f"{source}: {name} has {height} x {width} pixels, more than {_MOST_SIDE} to a side; set data_prep.image_size, "
            "for example to 64."
        )


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    """One array of all; the list is emptied, so that the images are in memory once and not twice."""
    channels = max(array.shape[2] for array in arrays)
    images = np.empty((len(arrays), *arrays[0].shape[:2], channels), np.uint8)
    for index in reversed(range(len(arrays))):
        images[index] = arrays.pop()  # one channel spreads over three where images of both kinds meet
    return images


def files_below(folder: Path, suffix: str = "") -> list[Path]:
    """All files below a folder whose names end so, sorted, links followed, hidden ones left out.

    Raises:
        PermissionError: a folder cannot be read; leaving it out would leave out a class without a word.
    """
    files: list[Path] = []
    for directory, folders, names in folders_below(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [directory / name for name in names if name.endswith(suffix) and not name.startswith(".")]
    return sorted(files)


def folders_below(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """A folder and each below it, once, links followed, with the names of its folders and its files.

    Names of folders that are taken out of the list are not gone into.

    Raises:
        PermissionError: a folder cannot be read.
    """
    visited: set[Path] = set()
    for root, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        directory = Path(root)
        if directory.resolve() in visited:  # a link to a folder above
            folders.clear()
            continue
        visited.add(directory.resolve())
        yield directory, folders, names


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def refused_permissions() -> Iterator[None]:
    """Tell of what must not be read in one sentence.

    Raises:
        DataError: a permission is missing.
    """
    try:
        yield
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}; check its permissions.") from error
