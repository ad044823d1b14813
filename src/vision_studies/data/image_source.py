"""Images from a folder or an array, batch by batch: decoded in threads while the batch before is computed with.

A folder may be sorted by class, and is then matched with the classes that a network knows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vision_studies.augmentation.luma import LUMA
from vision_studies.data.sources.decoding import CorruptImageError, Decoding, decode_image
from vision_studies.data.sources.formats import is_meant_as_image
from vision_studies.data.sources.image_folder import class_files, image_files
from vision_studies.data.sources.raw import refused_permissions, resize_all
from vision_studies.errors import DataError, guess, one_line
from vision_studies.files import ARRAY_ERRORS
from vision_studies.processors import processors

_TOGETHER = 32  # images that a thread decodes in one go
_BATCHES_AHEAD = 2

Decoded = list[np.ndarray | str]
"""uint8 [H, W, C] of each image, or why there is none."""


class DecodedBatch(NamedTuple):
    """Images of one size.

    Attributes:
        positions: int64 [B], places in the source.
        images: uint8 [B, H, W, C]; B is 0 in a last batch that brings corrupt files alone.
        corrupt: place -> why the image cannot be read, of those met since the batch before.
    """

    positions: np.ndarray
    images: np.ndarray
    corrupt: dict[int, str]


@dataclass(frozen=True)
class ImageSource:
    """Images that have been found and not read yet.

    Attributes:
        names: file names relative to the folder, or positions in the array.
        content: the files, or the bytes of them, or uint8 [N, H, W, C], memory-mapped.
    """

    names: Sequence[str] | Sequence[int]
    content: Sequence[Path | bytes] | np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, batch_size: int, *, decoding: Decoding, channels: int) -> Iterator[DecodedBatch]:
        """All images, in their order; what cannot be read is left out and named.

        No more than a few batches are in memory at a time.

        Args:
            batch_size: images a batch; the last may have fewer.
            decoding: how files become pixels, all of one size; arrays are resized by it.
            channels: 1 or 3; colour is turned into brightness, grey is repeated.
        """

        def decode(positions: range) -> Decoded:
            if isinstance(self.content, np.ndarray):
                resized = resize_all(np.asarray(self.content[positions.start : positions.stop]), decoding)
                return list(_with_channels(resized, channels))
            return [_decoded(self.content[position], decoding, channels) for position in positions]

        everything = range(len(self))
        chunks = (everything[start : start + _TOGETHER] for start in everything[::_TOGETHER])
        ahead = -(-_BATCHES_AHEAD * batch_size // _TOGETHER)
        readable: list[tuple[int, np.ndarray]] = []
        corrupt: dict[int, str] = {}
        for positions, images in _decoded_ahead(decode, chunks, ahead):
            decoded = list(zip(positions, images, strict=True))
            corrupt |= {position: reason for position, reason in decoded if isinstance(reason, str)}
            readable += [(position, image) for position, image in decoded if isinstance(image, np.ndarray)]
            while len(readable) >= batch_size:
                yield _batch(readable[:batch_size], corrupt)
                readable, corrupt = readable[batch_size:], {}
        if readable or corrupt:
            yield _batch(readable, corrupt)


def open_images(source: Path) -> ImageSource:
    """Find images without reading them.

    Args:
        source: a folder with image files at any depth, one image file, or a `.npy` file with uint8 [N, H, W, C] or [N, H, W].

    Raises:
        DataError: there is nothing to read, or the array is not of this kind.
    """
    if source.is_dir():
        with refused_permissions():
            files = image_files(source)
        if not files:
            raise DataError(f"{source} holds no image files; name a folder with pictures (PNG, JPEG and the like).")
        return ImageSource([str(file.relative_to(source)) for file in files], files)
    if not source.exists():
        raise DataError(f"{source} does not exist; name a folder of images, an image, or a .npy file.")
    if is_meant_as_image(source):
        return ImageSource([source.name], [source])
    try:
        images = np.load(source, mmap_mode="r", allow_pickle=False)
    except ARRAY_ERRORS as error:
        raise DataError(
            f"{source} is no image, and no array that can be read ({one_line(error)}); name a folder of images, an image, or "
            "a file that numpy.save has written."
        ) from error
    if not isinstance(images, np.ndarray):
        images.close()
        raise DataError(f"{source} holds several arrays; save the images alone with numpy.save.")
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"{source} must hold uint8 images [N, H, W, 1 or 3], not {images.dtype} {list(images.shape)}; convert it first."
        )
    return ImageSource(range(len(images)), images)


def _decoded(file: Path | bytes, decoding: Decoding, channels: int) -> np.ndarray | str:
    """uint8 [image_size, image_size, channels], or why there is none."""
    try:
        return _with_channels(decode_image(file, decoding)[None], channels)[0]
    except CorruptImageError as error:
        return str(error)


def _decoded_ahead(
    decode: Callable[[range], Decoded], chunks: Iterable[range], ahead: int
) -> Iterator[tuple[range, Decoded]]:
    """`decode` of all chunks in their order, in threads, `ahead` of them before they are asked for."""
    pool = ThreadPoolExecutor(processors())
    submitted = ((chunk, pool.submit(decode, chunk)) for chunk in chunks)
    try:
        waiting = deque(islice(submitted, ahead))
        while waiting:
            chunk, decoded = waiting.popleft()
            waiting.extend(islice(submitted, 1))
            yield chunk, decoded.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batch(readable: list[tuple[int, np.ndarray]], corrupt: dict[int, str]) -> DecodedBatch:
    images = np.stack([image for _, image in readable]) if readable else np.empty((0, 1, 1, 1), np.uint8)
    return DecodedBatch(np.array([position for position, _ in readable], np.int64), images, corrupt)


def _with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    if images.shape[3] == channels:
        return images
    if channels == 1:
        return np.rint(images @ np.array(LUMA)).astype(np.uint8)[..., None]
    return np.repeat(images, channels, axis=3)


def open_labelled(folder: Path, class_names: Sequence[str]) -> tuple[ImageSource, np.ndarray]:
    """Find `<folder>/<class>/*` without reading the images.

    Args:
        folder: has a folder for each class, or for some of them.
        class_names: what the network tells apart, in its order.

    Returns:
        The images, and their labels int64 [N]: places in `class_names`.

    Raises:
        DataError: there are no such folders with images, or one of them is no class of the network.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name one with images as {folder.name}/<class>/<image>.")
    with refused_permissions():
        files = class_files(folder)
    if not files:
        raise DataError(f"{folder} has no folders with images; it must hold them as {folder.name}/<class>/<image>.")
    unknown = [name for name in files if name not in class_names]
    if unknown:
        raise DataError(_unknown_class(folder, unknown, class_names))
    labelled = [(file, label) for label, name in enumerate(class_names) if name in files for file in files[name]]
    names = [str(file.relative_to(folder)) for file, _ in labelled]
    return ImageSource(names, [file for file, _ in labelled]), np.array([label for _, label in labelled], np.int64)


def _unknown_class(folder: Path, unknown: list[str], class_names: Sequence[str]) -> str:
    divided = next((name for name in ("test", "train") if name in unknown), None)
    if divided and any((folder / divided / name).is_dir() for name in class_names):
        return f"{folder} is divided into splits; name the one to score on, for example {folder / divided}."
    others = f" (and {len(unknown) - 1} more that it does not know)" if len(unknown) > 1 else ""
    allowed = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    return (
        f"{folder} has the folder '{unknown[0]}'{others}, which is no class of the model."
        f"{guess(unknown[0], class_names)} Its classes are {allowed}; rename the folder, or move it out."
    )
