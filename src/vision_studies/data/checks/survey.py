"""One pass over all images of a source: what each of them is like, kept until its file changes."""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vision_studies.data.sources.decoding import quiet
from vision_studies.data.sources.image_facts import SEEN_FROM, THUMBNAIL, ImageFacts, survey_image
from vision_studies.data.sources.listing import Item, Listing
from vision_studies.data.sources.raw import RawImages
from vision_studies.errors import StorageError
from vision_studies.files import ARRAY_ERRORS, atomic_file, hash_json
from vision_studies.processors import processors
from vision_studies.project_folders import CHECKS, in_project

_TOGETHER = 64  # images that a thread looks at in one go
_AHEAD = 32  # of these, so that the encoded images of an archive are not all in memory
_CACHE_VERSION = 1  # raised when what is kept changes
_ARRAYS = ("thumbnail", "mean_colour")  # facts that are kept as arrays; the others are JSON
_COLOUR_PIXELS = 8  # to a side, that the mean colour of an image in memory is taken from
_AT_ONCE = 1024

Progress = Callable[[int, int], None]
"""Is told how many images of how many (0: not known) have been looked at."""


@dataclass(frozen=True)
class Survey:
    """What there is to know of all images of a source, in its order.

    Attributes:
        source: as it is named in messages.
        class_names: one name a label.
        names: of the images.
        labels: int64 [N].
        splits: object [N]: train, validation, test, or None where the source says nothing.
        published: whether the source is a published data set in its published layout.
        thumbnails: uint8 [N, 32, 32], grey; zeros of what cannot be read.
        mean_colours: float32 [N, 3], 0 to 255; of images in memory, of some pixels.
        contrasts: int64 [N], the largest difference of two values of a channel over the best background.
        pixel_keys: equal where pixels are; empty where an image cannot be read.
        file_keys: equal where files are; empty where there are none.
        sides: int64 [N, 2], width and height in pixels.
        facts: of each encoded image; none of arrays.
        paths: files, as far as images are such.
    """

    source: str
    class_names: tuple[str, ...]
    names: Sequence[str]
    labels: np.ndarray
    splits: np.ndarray
    published: bool
    thumbnails: np.ndarray
    mean_colours: np.ndarray
    contrasts: np.ndarray
    pixel_keys: Sequence[str]
    file_keys: Sequence[str]
    sides: np.ndarray
    facts: Sequence[ImageFacts] = ()
    paths: Sequence[Path | None] = ()

    @cached_property
    def readable(self) -> np.ndarray:
        """bool [N]."""
        return np.array([bool(key) for key in self.pixel_keys], bool)

    @cached_property
    def blank(self) -> np.ndarray:
        """Whether nothing can be seen in a readable image, over whatever background: bool [N]."""
        return self.readable & (self.contrasts < SEEN_FROM)


def survey_listing(listing: Listing, background: str, progress: Progress | None = None) -> Survey:
    """Look at every image of a listing once, in threads; what is known of files that have not changed is not looked at again.

    Args:
        listing: of a folder, a table, an archive or Parquet files.
        background: that transparent images are to be laid over.
        progress: is told how far it is.
    """
    backgrounds = tuple(dict.fromkeys(("white", "black", "grey", background)))
    cache = _Cache(listing.source, backgrounds)
    items: list[Item] = []
    facts: list[ImageFacts] = []
    for item, told in _looked_at(listing.items(), backgrounds, cache):
        items.append(item._replace(content=item.content if isinstance(item.content, Path) else b""))
        facts.append(told)
        if progress is not None and len(items) % _TOGETHER == 0:
            progress(len(items), listing.seen)
    cache.keep(
        [(item.content, told) for item, told in zip(items, facts, strict=True) if isinstance(item.content, Path)]
    )
    blank = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    return Survey(
        source=listing.source,
        class_names=listing.class_names,
        names=[item.name for item in items],
        labels=np.array([item.label for item in items], np.int64),
        splits=np.array([item.split for item in items], object),
        published=listing.published,
        thumbnails=np.stack([blank if told.thumbnail is None else told.thumbnail for told in facts])
        if facts
        else np.zeros((0, THUMBNAIL, THUMBNAIL), np.uint8),
        mean_colours=np.array([told.mean_colour for told in facts], np.float32).reshape(-1, 3),
        contrasts=np.array([max(told.contrast.values(), default=0) for told in facts], np.int64),
        pixel_keys=[told.pixel_hash for told in facts],
        file_keys=[told.content_hash for told in facts],
        sides=np.array([(told.width, told.height) for told in facts], np.int64).reshape(-1, 2),
        facts=facts,
        paths=[item.content if isinstance(item.content, Path) else None for item in items],
    )


def survey_arrays(raw: RawImages, source: str) -> Survey:
    """The same of images that are in memory, all at once.

    Args:
        raw: images of one size.
        source: as it is named in messages.
    """
    import hashlib

    images = raw.images
    count, height, width, channels = images.shape
    thumbnails = np.empty((count, THUMBNAIL, THUMBNAIL), np.uint8)
    colours = np.empty((count, 3), np.float32)
    contrasts = np.empty(count, np.int64)
    rows, columns = _scaling(height), _scaling(width)
    across, down = max(1, width // _COLOUR_PIXELS), max(1, height // _COLOUR_PIXELS)
    for start in range(0, count, _AT_ONCE):
        some = np.ascontiguousarray(images[start : start + _AT_ONCE])
        stop = start + len(some)
        colours[start:stop] = some[:, ::down, ::across].reshape(len(some), -1, channels).mean(axis=1)
        grey = (some[..., 0] if channels == 1 else _lightness(some)).astype(np.float32)
        thumbnails[start:stop] = np.rint(rows @ grey @ columns.T).clip(0, 255)
        contrasts[start:stop] = grey.max(axis=(1, 2)) - grey.min(axis=(1, 2))
    for place in np.flatnonzero(contrasts < SEEN_FROM):  # which colours of one lightness may still tell apart
        contrasts[place] = np.ptp(images[place].reshape(-1, channels).astype(np.int64), axis=0).max()
    keys = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest() for image in images]
    known = raw.items
    return Survey(
        source=source,
        class_names=raw.class_names,
        names=[f"image {place}" for place in range(count)] if known is None else known["name"].tolist(),
        labels=raw.labels,
        splits=np.where(raw.is_test, "test", "train").astype(object)
        if raw.is_test.any()
        else np.full(count, None, object),
        published=raw.published,
        thumbnails=thumbnails,
        mean_colours=colours,
        contrasts=contrasts,
        pixel_keys=keys,
        file_keys=[""] * count,
        sides=np.full((count, 2), (width, height), np.int64),
    )


def _lightness(images: np.ndarray) -> np.ndarray:
    """Of uint8 [N, H, W, 3], in whole numbers: 0 to 255."""
    red, green, blue = (images[..., channel].astype(np.uint16) for channel in range(3))
    return (77 * red + 150 * green + 29 * blue) >> 8


def _scaling(size: int) -> np.ndarray:
    """Map of `size` pixels to those of a thumbnail: means where there are more, values between where there are fewer."""
    if size >= THUMBNAIL:
        edges = np.linspace(0, size, THUMBNAIL + 1)
        low, high = np.arange(size)[None], np.arange(1, size + 1)[None]
        overlap = np.minimum(high, edges[1:, None]) - np.maximum(low, edges[:-1, None])
        weights = np.maximum(0, overlap)
    else:
        places = np.clip((np.arange(THUMBNAIL) + 0.5) * size / THUMBNAIL - 0.5, 0, size - 1)
        weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _looked_at(
    items: Iterable[Item], backgrounds: tuple[str, ...], cache: "_Cache"
) -> Iterator[tuple[Item, ImageFacts]]:
    def look(chunk: list[Item]) -> list[ImageFacts]:
        return [cache.known(item.content) or survey_image(item.content, backgrounds) for item in chunk]

    remaining = iter(items)
    with quiet(), ThreadPoolExecutor(processors()) as pool:
        while chunks := [chunk for _ in range(_AHEAD) if (chunk := list(islice(remaining, _TOGETHER)))]:
            for chunk, facts in zip(chunks, pool.map(look, chunks), strict=True):
                yield from zip(chunk, facts, strict=True)


# --- What is kept ------------------------------------------------------------------------------------------------------------


class _Cache:
    """Facts of files by path, size and time of their last change, in a file of the project; none where there is no project."""

    def __init__(self, source: str, backgrounds: tuple[str, ...]) -> None:
        name = hash_json([_CACHE_VERSION, source, backgrounds, [field.name for field in fields(ImageFacts)]])[:16]
        self._file = in_project(CHECKS) / f"{name}.npz"
        self._known = self._read()
        self._changed = False

    def known(self, content: bytes | Path) -> ImageFacts | None:
        """What is known of a file; None where it has changed, or has not been looked at."""
        if not isinstance(content, Path):
            return None
        facts = self._known.get(_state(content))
        self._changed |= facts is None
        return facts

    def keep(self, looked_at: Sequence[tuple[Path, ImageFacts]]) -> None:
        """Keep what is known now, of these files alone."""
        if not self._changed or not self._file.parent.parent.parent.is_dir():
            return
        kept = [fact.name for fact in fields(ImageFacts) if fact.name not in _ARRAYS]
        told = [{name: getattr(facts, name) for name in kept} for _, facts in looked_at]
        blank = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
        arrays = {
            "states": np.array([_state(path) for path, _ in looked_at], str),
            "facts": np.frombuffer(json.dumps(told).encode(), np.uint8),
            "thumbnail": np.stack([blank if facts.thumbnail is None else facts.thumbnail for _, facts in looked_at]),
            "mean_colour": np.array([facts.mean_colour for _, facts in looked_at], np.float64),
        }
        try:
            with atomic_file(self._file, suffix=".npz") as temporary:
                np.savez(temporary, **arrays, allow_pickle=False)
        except StorageError:
            return  # it is looked at again the next time

    def _read(self) -> dict[str, ImageFacts]:
        if not self._file.is_file():
            return {}
        try:
            with self._file.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                states, thumbnails, colours = (kept[name] for name in ("states", "thumbnail", "mean_colour"))
                told = json.loads(kept["facts"].tobytes())
            return {
                str(state): _facts(facts, thumbnail, colour)
                for state, facts, thumbnail, colour in zip(states, told, thumbnails, colours, strict=True)
            }
        except (*ARRAY_ERRORS, KeyError, TypeError, zipfile.BadZipFile):
            return {}  # damaged: it is made again


def _state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{path} {state.st_size} {state.st_mtime_ns}"


def _facts(told: dict[str, Any], thumbnail: np.ndarray, colour: np.ndarray) -> ImageFacts:
    ranges = {name: tuple(told[name]) for name in ("integers", "decimals") if told.get(name) is not None}
    seen = None if told["error"] is not None else thumbnail
    red, green, blue = map(float, colour)
    return ImageFacts(**{**told, **ranges}, thumbnail=seen, mean_colour=(red, green, blue))
