"""What there is to know of an encoded image, in one pass over its content, and how a whole set is then decoded."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vision_studies.data.sources.decoding import (
    CorruptImageError,
    Decoding,
    ExifState,
    Opened,
    compose,
    decimal_range,
    deep_values,
    open_lazily,
    opened_image,
    orientation,
    refused_damage,
    tiff_tag,
    to_8_bits,
    turned,
    whole_range,
)
from vision_studies.data.sources.formats import head_of, sniff_format

THUMBNAIL = 32
"""Height and width of a thumbnail."""

SEEN_FROM = 8
"""An image in which no channel has values that differ by so much is blank: nothing in it can be seen."""

_HASH_BYTES = 16
_READ_WHOLE = 1 << 26  # larger files are hashed piece by piece
_REDUCED_PIXELS = 2_000_000  # JPEG files with more pixels are looked at in half of their size, or less
_LOOKED_AT = 8 * THUMBNAIL  # pixels to a side, at least, that these are looked at with
_FRAMES_SEEN = 8


@dataclass(frozen=True)
class ImageFacts:
    """What an encoded image is like.

    Attributes:
        size_bytes: of the file.
        content_hash: of the file's bytes, hexadecimal; empty where there is no file.
        format: by its content, as `sniff_format` names it; None where it is no image.
        error: why it cannot be read, in a few words; None where it can. All below are at their defaults where it cannot.
        error_kind: empty, truncated, too_large, not_read, no_image, damaged, or no_file.
        mode: Pillow's name of its kind of pixels, such as L, RGB, RGBA, P, CMYK, I;16, F.
        width: in pixels, once it is upright.
        height: likewise.
        frames: pictures in the file.
        first_frame_blank: whether the first picture is blank and another one is not.
        exif: what the camera's note of how it was held says.
        alpha: whether any pixel is transparent.
        contrast: background -> largest difference between two values of a channel, 0 to 255, once the image is laid over
            it. Of an image without transparent pixels it is the same over all. Below `SEEN_FROM`, the image is blank.
        integers: lowest and highest value where whole numbers have more than 8 bits.
        bits: how many bits of these are in use, where the file says so.
        decimals: lowest and highest finite value where the pixels are decimal numbers.
        not_finite: how many of these are none or infinite.
        pixel_hash: of the upright pixels with their transparency, hexadecimal: equal in files of one picture, however it was
            stored without loss.
        thumbnail: uint8 [32, 32], grey, upright, whichever shape the image has; over white, or over black where that shows
            more.
        mean_colour: red, green and blue of it, 0 to 255.
    """

    size_bytes: int
    content_hash: str
    format: str | None
    error: str | None = None
    error_kind: str | None = None
    mode: str = ""
    width: int = 0
    height: int = 0
    frames: int = 1
    first_frame_blank: bool = False
    exif: ExifState = "none"
    alpha: bool = False
    contrast: Mapping[str, int] = field(default_factory=dict)
    integers: tuple[int, int] | None = None
    bits: int | None = None
    decimals: tuple[float, float] | None = None
    not_finite: int = 0
    pixel_hash: str = ""
    thumbnail: np.ndarray | None = None
    mean_colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


def survey_image(content: bytes | Path, backgrounds: Sequence[str] = ("white", "black", "grey")) -> ImageFacts:
    """Look at an image once; nothing is raised where it cannot be read.

    Where many are looked at, `decoding.quiet` around all of it keeps Pillow from warning of single ones.

    Args:
        content: the file, or its bytes.
        backgrounds: colours for which contrasts are wanted; white and black at least.
    """
    content, facts = _of_the_file(content)
    try:
        with opened_image(content, _LOOKED_AT, _REDUCED_PIXELS) as opened:
            return replace(facts, **_of_the_picture(opened, backgrounds))
    except CorruptImageError as error:
        return replace(facts, error=str(error), error_kind=error.kind)


def _of_the_file(content: bytes | Path) -> tuple[bytes | Path, ImageFacts]:
    """The content, read where it is small, and what the file's bytes tell."""
    found = sniff_format(head_of(content))
    if isinstance(content, Path):
        if not content.is_file():
            return content, ImageFacts(0, "", None)
        size = content.stat().st_size
        if size > _READ_WHOLE:
            with content.open("rb") as file:
                digest = hashlib.file_digest(file, _hasher).hexdigest()
            return content, ImageFacts(size, digest, found)
        content = content.read_bytes()
    return content, ImageFacts(len(content), _hash(content), found)


def _hasher(content: bytes = b"") -> Any:
    return hashlib.blake2b(content, digest_size=_HASH_BYTES)


def _hash(*parts: bytes) -> str:
    digest = _hasher()
    for part in parts:
        digest.update(part)
    return str(digest.hexdigest())


def _of_the_picture(opened: Opened, backgrounds: Sequence[str]) -> dict[str, Any]:
    turn, exif = orientation(opened.image)
    values = deep_values(opened)
    depth = _depth(opened, values)
    colour, alpha = to_8_bits(opened, decoding_of([ImageFacts(0, "", None, **depth)], Decoding()))
    colour = turned(colour, turn)
    alpha = None if alpha is None or alpha.getextrema()[0] == 255 else turned(alpha, turn)
    over = {
        background: compose(colour, alpha, background) for background in (backgrounds if alpha else backgrounds[:1])
    }
    contrast = {background: _contrast(image) for background, image in over.items()}
    shown = over[max(contrast, key=lambda background: contrast[background])]
    small = shown.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    width, height = opened.size if turn < 5 else opened.size[::-1]
    mode, pixel_hash = opened.image.mode, _pixel_hash(colour, alpha, values, turn)
    frames = _frames(opened)  # last: Pillow looks for them in the file, and what it has read may not be there any more
    contrast = {background: contrast.get(background, contrast[backgrounds[0]]) for background in backgrounds}
    return {
        **depth,
        "mode": mode,
        "width": width,
        "height": height,
        "frames": frames,
        "first_frame_blank": frames > 1 and max(contrast.values()) < SEEN_FROM and _shows_later(opened, frames),
        "exif": exif,
        "alpha": alpha is not None,
        "contrast": contrast,
        "pixel_hash": pixel_hash,
        "thumbnail": np.asarray(small.convert("L")),
        "mean_colour": tuple(np.asarray(small.convert("RGB")).reshape(-1, 3).mean(axis=0).tolist()),
    }


def _contrast(image: Image.Image) -> int:
    extrema = image.getextrema()
    ranges = [extrema] if image.mode == "L" else extrema
    return max(int(highest - lowest) for lowest, highest in ranges)  # type: ignore[misc, operator]


def _pixel_hash(colour: Image.Image, alpha: Image.Image | None, values: np.ndarray | None, turn: int) -> str:
    if values is not None:
        return _hash(f"{values.shape} {values.dtype} {turn}".encode(), np.ascontiguousarray(values).tobytes())
    return _hash(f"{colour.mode} {colour.size}".encode(), colour.tobytes(), b"" if alpha is None else alpha.tobytes())


def _depth(opened: Opened, values: np.ndarray | None) -> dict[str, Any]:
    """Range of an image of more than 8 bits, as fields of `ImageFacts`."""
    if values is None:
        return {}
    if values.ndim == 3:
        values = values[..., :3]
    if np.issubdtype(values.dtype, np.integer):
        return {"integers": (int(values.min()), int(values.max())), "bits": _bits_said(opened)}
    finite = values[np.isfinite(values)]
    told = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return {"decimals": told, "not_finite": int(values.size - finite.size)}


def _bits_said(opened: Opened) -> int | None:
    """How many bits a file says are in use; None where it says nothing but that there is room for 16."""
    image = opened.image
    if image.format in ("PPM", "JPEG2000"):
        return 16  # Pillow has brought them there, by what the file says
    if image.format == "TIFF":
        highest, depth = tiff_tag(image, 281), tiff_tag(image, 258)
        if isinstance(highest, int) and 255 < highest < 65535:
            return highest.bit_length()
        return depth if isinstance(depth, int) and 8 < depth < 16 else None
    if image.format == "PNG":
        return _png_bits(opened.content)
    return None


def _png_bits(content: bytes | Path) -> int | None:
    """The largest number of significant bits of colour, where a PNG file says it."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"sBIT" and length <= 4:
                said = file.read(length)
                return max(said[: 3 if length >= 3 else 1], default=0) or None
            file.seek(length + 4, io.SEEK_CUR)
    return None


def _frames(opened: Opened) -> int:
    """Pictures in a file; the second one of a photograph (its depth, or how bright it is) is none."""
    if opened.image.format == "MPO":
        return 1
    frames = 1
    with suppress(CorruptImageError), refused_damage(opened.content):  # damaged behind the first one, which was read
        frames += bool(getattr(opened.image, "is_animated", False))
        frames = int(getattr(opened.image, "n_frames", 1))
    return frames


def _shows_later(opened: Opened, frames: int) -> bool:
    """Whether one of a few later pictures, evenly chosen, is not blank."""
    with suppress(CorruptImageError), refused_damage(opened.content), open_lazily(opened.content) as image:
        for frame in np.unique(np.linspace(1, frames - 1, _FRAMES_SEEN).astype(int)):
            image.seek(int(frame))
            values = np.asarray(image.convert("RGB") if image.mode[0] not in "IF" else image)
            if np.ptp(values.reshape(-1, values.shape[2] if values.ndim == 3 else 1), axis=0).max() >= SEEN_FROM:
                return True
    return False


# --- Of all images -----


def decoding_of(facts: Iterable[ImageFacts], wanted: Decoding) -> Decoding:
    """How all images of a set are decoded, so that equal values of two files become equal values.

    See `whole_range` and `decimal_range`.

    Args:
        facts: of all images.
        wanted: image_size, resize and background; the background is left as it is.
    """
    known = [image for image in facts if image.error is None]
    whole = [image.integers for image in known if image.integers is not None]
    decimal = [image.decimals for image in known if image.decimals is not None]
    said = [image.bits for image in known if image.integers is not None]
    bits = max(bits for bits in said if bits is not None) if said and None not in said else None
    return replace(
        wanted,
        integers=whole_range(min(low for low, _ in whole), max(high for _, high in whole), bits) if whole else None,
        decimals=decimal_range(min(low for low, _ in decimal), max(high for _, high in decimal)) if decimal else None,
    )


def best_background(facts: Iterable[ImageFacts], wanted: str) -> str:
    """The background that images are laid over: the wanted one, or another one where too many would be blank over it.

    Args:
        facts: of all images, with contrasts over the wanted background, white, black and grey.
        wanted: a colour.

    Returns:
        `wanted` where no transparent image is blank over it that is not over another one; otherwise that of these colours
        over which fewest images are blank, and of several the one with the largest contrast in the middle.
    """
    transparent = [image.contrast for image in facts if image.error is None and image.alpha]
    lost = [contrast for contrast in transparent if contrast[wanted] < SEEN_FROM <= max(contrast.values())]
    if not lost:
        return wanted

    def seen(background: str) -> tuple[int, float]:
        values = [contrast[background] for contrast in transparent]
        return sum(value >= SEEN_FROM for value in values), float(np.median(values))

    return max((wanted, "white", "black", "grey"), key=seen)


def joined_decoding(decodings: Sequence[Decoding]) -> Decoding | None:
    """One for images of several sources that were decoded by one setting each: ranges that hold all of theirs."""
    if not decodings:
        return None
    whole = [decoding.integers for decoding in decodings if decoding.integers is not None]
    decimal = [decoding.decimals for decoding in decodings if decoding.decimals is not None]
    return replace(
        decodings[0],
        integers=(min(low for low, _ in whole), max(high for _, high in whole)) if whole else None,
        decimals=(min(low for low, _ in decimal), max(high for _, high in decimal)) if decimal else None,
    )
