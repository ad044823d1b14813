"""What every source gives, and how single encoded images become one array."""

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vision_studies.errors import DataError

logger = logging.getLogger(__name__)

_MOST_PIXELS = 64_000_000  # a larger picture is more likely a decompression bomb than a photograph
_NAMED_CORRUPT = 5


@dataclass(frozen=True)
class RawImages:
    """Images as read from a source.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int64 [N].
        class_names: one name a label.
        is_test: bool [N].
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    is_test: np.ndarray


@dataclass(frozen=True)
class Encoded:
    """One image file or the bytes of one, with what is known of it."""

    name: str
    content: bytes | Path
    label: int
    is_test: bool


class CorruptImageError(Exception):
    """An image cannot be read."""


def decode_all(
    encoded: Iterable[Encoded], class_names: tuple[str, ...], *, image_size: int | None, skip_corrupt: bool, source: str
) -> RawImages:
    """Decode images in parallel and bring them to one size.

    Raises:
        DataError: an image is corrupt and `skip_corrupt` is not set, sizes differ and `image_size` is not set, or
            nothing is left.
    """
    arrays: list[np.ndarray] = []
    labels: list[int] = []
    is_test: list[bool] = []
    corrupt: list[str] = []
    for item, array in _decode_in_parallel(encoded, image_size):
        if array is None:
            corrupt.append(item.name)
            continue
        arrays.append(array)
        labels.append(item.label)
        is_test.append(item.is_test)
    _report_corrupt(corrupt, source, skip_corrupt)
    if not arrays:
        raise DataError(f"{source} holds no readable images; check data_prep.source.")
    images = _stack(arrays, source)
    return RawImages(images, np.array(labels, np.int64), class_names, np.array(is_test, bool))


def decode_image(content: bytes | Path, image_size: int | None) -> np.ndarray:
    """One image as uint8 [H, W, 1] (grey) or [H, W, 3] (anything else), upright, at the wanted size.

    With `image_size`, the shorter side is scaled to it and the middle is cut out.

    Raises:
        CorruptImageError: it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise CorruptImageError(f"{opened.width} x {opened.height} pixels")
            upright = ImageOps.exif_transpose(opened)
            grey = upright.mode in ("1", "L")
            if not grey and upright.mode.startswith(("I", "F")):  # 16 bits and more: brought to 8
                values = np.asarray(upright, dtype=np.float64)
                span = max(float(values.max()) - float(values.min()), 1.0)
                upright, grey = Image.fromarray(((values - values.min()) / span * 255).astype(np.uint8)), True
            image = upright.convert("L" if grey else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptImageError(str(error)) from error
    if image_size is not None and image.size != (image_size, image_size):
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS)
    array = np.asarray(image)
    return array[:, :, None] if grey else array


def resize_all(images: np.ndarray, image_size: int | None) -> np.ndarray:
    """Bring uint8 [N, H, W, C] to [N, image_size, image_size, C]; null or the same size leaves them alone."""
    if image_size is None or images.shape[1:3] == (image_size, image_size):
        return images
    resized = np.empty((len(images), image_size, image_size, images.shape[3]), np.uint8)
    for index, image in enumerate(images):
        picture = Image.fromarray(image[:, :, 0] if images.shape[3] == 1 else image)
        fitted = np.asarray(ImageOps.fit(picture, (image_size, image_size), Image.Resampling.LANCZOS))
        resized[index] = fitted.reshape(image_size, image_size, -1)
    return resized


def _decode_in_parallel(
    encoded: Iterable[Encoded], image_size: int | None
) -> Iterator[tuple[Encoded, np.ndarray | None]]:
    """Threads suffice: the decoders let go of Python's lock. Chunks bound the number of encoded images in memory."""
    items = iter(encoded)
    decode: Callable[[Encoded], np.ndarray | None] = lambda item: _decode_or_none(item, image_size)  # noqa: E731
    with ThreadPoolExecutor() as pool:
        while chunk := list(islice(items, 2048)):
            yield from zip(chunk, pool.map(decode, chunk, chunksize=64), strict=True)


def _decode_or_none(item: Encoded, image_size: int | None) -> np.ndarray | None:
    try:
        return decode_image(item.content, image_size)
    except CorruptImageError:
        return None


def _report_corrupt(corrupt: list[str], source: str, skip: bool) -> None:
    if not corrupt:
        return
    named = ", ".join(corrupt[:_NAMED_CORRUPT]) + (", ..." if len(corrupt) > _NAMED_CORRUPT else "")
    count = f"{len(corrupt)} image" + ("s" if len(corrupt) > 1 else "")
    if not skip:
        raise DataError(
            f"{source}: {count} cannot be read ({named}); replace or delete them, or set data_prep.skip_corrupt=true to "
            "leave them out."
        )
    logger.warning("%s: %s cannot be read and left out (%s)", source, count, named)


def _stack(arrays: list[np.ndarray], source: str) -> np.ndarray:
    sizes = {array.shape[:2] for array in arrays}
    if len(sizes) > 1:
        (small, large) = (min(sizes), max(sizes))
        raise DataError(
            f"{source}: images differ in size ({small[0]} x {small[1]} to {large[0]} x {large[1]} pixels); set "
            "data_prep.image_size, for example to 32."
        )
    channels = max(array.shape[2] for array in arrays)
    images = np.empty((len(arrays), *arrays[0].shape[:2], channels), np.uint8)
    for index, array in enumerate(arrays):
        images[index] = array  # one channel spreads over three where images of both kinds meet
        arrays[index] = array[:0]  # lets go of the single image: the set is in memory once, not twice
    return images
