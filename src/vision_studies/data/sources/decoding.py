"""How one encoded image becomes pixels: the same way where images are prepared and where a trained model is used."""

import io
import logging
import re
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageFile, ImageOps, UnidentifiedImageError

from vision_studies.data.sources.formats import HEIC, READ_FORMATS, head_of, sniff_format
from vision_studies.errors import not_installed, one_line

Resize = Literal["squash", "letterbox", "crop"]
ExifState = Literal["none", "upright", "turned", "damaged"]
"""What the camera's note of how it was held says: nothing, upright, turned (and the image is turned back), or no one knows."""

MOST_PIXELS = 64_000_000
"""A larger picture is more likely a decompression bomb than a photograph. JPEG files are read at a part of their size."""

BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
"""Names that `data_prep.background` has beside #rrggbb -> red, green, blue."""

_LARGE_PIXELS = 8_000_000  # such pictures are decoded one by one: each takes several bytes a pixel
_SIXTEEN_BITS = (0, 65535)
_one_large = threading.Lock()
_EXIF_DAMAGE = (  # what Pillow raises on notes of cameras that are cut off or lie
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_DAMAGE = (UnidentifiedImageError, Image.DecompressionBombError, EOFError, NotImplementedError, *_EXIF_DAMAGE)
"""What Pillow's readers raise on files that are no image or half an image."""

_NOTES = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Where Pillow looks for the notes of a camera."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoding:
    """What is made of an encoded image.

    Attributes:
        image_size: height and width in pixels; None keeps those of the image.
        resize: squash scales both sides by themselves; letterbox scales the longer side and fills the rest with the
            background; crop scales the shorter side and cuts the middle out.
        background: what transparent images are laid over: white, black, grey or #rrggbb. None lets transparency be, as was
            done before there was this choice: what such an image shows is then what it hides, too.
        integers: which values of images with more than 8 bits become 0 and 255. None of a set that has none of them: such an
            image is then taken by itself, by the rule of a set; without a background, as was done before, by 16 bits.
        decimals: which values of images of decimal numbers do. None likewise; before, 0 and 255 or, in an image without any
            above 1, 1.
    """

    image_size: int | None = None
    resize: Resize = "crop"
    background: str | None = None
    integers: tuple[int, int] | None = None
    decimals: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any] | None) -> "Decoding":
        """From what was stored beside images or a model; from None, which is stored of nothing, how images were read before."""
        if value is None:
            return cls()
        ranges = {name: tuple(value[name]) for name in ("integers", "decimals") if value.get(name) is not None}
        return cls(**{**value, **ranges})


class CorruptImageError(Exception):
    """An image cannot be read; the message says why in a few words.

    Attributes:
        kind: empty, truncated, too_large, not_read (a format that is not), no_image, damaged, or no_file.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Opened(NamedTuple):
    """A loaded image.

    Attributes:
        image: the first picture of the file, as Pillow gives it; of colours with 16 bits, the upper 8.
        wide: whether it is one of these.
        content: of the file.
        size: width and height in the file, in pixels; those of the image may be a part of it.
    """

    image: ImageFile.ImageFile
    wide: bool
    content: bytes | Path
    size: tuple[int, int]


def decode_image(content: bytes | Path, decoding: Decoding) -> np.ndarray:
    """One image as uint8 [H, W, 1] (grey) or [H, W, 3] (anything else), upright, at the wanted size.

    Equal values become equal values, from image to image. Of several pictures in a file, the first is taken.

    Raises:
        CorruptImageError: it cannot be read.
    """
    with opened_image(content, decoding.image_size) as opened:
        turn, _ = orientation(opened.image)
        image = turned(compose(*to_8_bits(opened, decoding), decoding.background), turn)
        array = np.asarray(resized(image, decoding))
    return array[:, :, None] if array.ndim == 2 else array


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow from telling, between the lines, of what is told in a sentence of ours; for all threads of the process."""
    log = logging.getLogger("PIL")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def opened_image(
    content: bytes | Path, wanted: int | None = None, reduced_above: int | None = None
) -> Iterator[Opened]:
    """Open and load an image; large ones one after the other.

    Args:
        content: the file, or its bytes.
        wanted: height and width that it is brought to; a JPEG file of more pixels than `reduced_above` is read at a half, a
            quarter or an eighth of its size, which is not smaller.
        reduced_above: `MOST_PIXELS` without it.

    Raises:
        CorruptImageError: it cannot be read.
    """
    if isinstance(content, Path) and not content.is_file():
        raise CorruptImageError("no_file", "no file")  # but a pipe, say, which would be waited for without end
    if not (content if isinstance(content, bytes) else content.stat().st_size):
        raise CorruptImageError("empty", "empty file")
    with refused_damage(content):
        image = open_lazily(content)
    with image:
        size = image.size
        if (
            wanted is not None
            and image.format in ("JPEG", "MPO")
            and image.width * image.height > (reduced_above or MOST_PIXELS)
        ):
            image.draft(None, (wanted, wanted))
        if image.width * image.height > MOST_PIXELS:
            raise _too_large(f"{size[0]:,} x {size[1]:,} pixels")
        with _one_large if image.width * image.height > _LARGE_PIXELS else nullcontext():
            wide = _is_wide(image)
            with refused_damage(content):
                image.load()
            yield Opened(image, wide, content, size)


def open_lazily(content: bytes | Path) -> ImageFile.ImageFile:
    """What Pillow makes of a file's beginning, with all that it raises."""
    try:
        return _opened_as(content, READ_FORMATS)
    except UnidentifiedImageError:
        if sniff_format(head_of(content)) != HEIC or not _heic_is_read():
            raise
    return _opened_as(content, ("HEIF",))


def _opened_as(content: bytes | Path, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=formats)


@cache
def _heic_is_read() -> bool:
    """Whether the library is installed, which is then made known to Pillow."""
    if not_installed(("pillow_heif",)):
        return False
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    return True


@contextmanager
def refused_damage(content: bytes | Path) -> Iterator[None]:
    """Tell why Pillow cannot read an image; around what Pillow does alone, or our own mistakes would be hidden."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"over {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from error
    except _DAMAGE as error:
        raise CorruptImageError(*_damage(error)) from error


def _too_large(size: str) -> CorruptImageError:
    return CorruptImageError("too_large", f"{size}, more than the {MOST_PIXELS:,} that are read")


def _unidentified(content: bytes | Path) -> CorruptImageError:
    found = sniff_format(head_of(content))
    if found is None:
        return CorruptImageError("no_image", "no image")
    if found in READ_FORMATS or (found == HEIC and _heic_is_read()):
        return CorruptImageError("damaged", f"damaged {found}")
    if found == HEIC:
        return CorruptImageError(
            "not_read", "HEIC, which is read once pillow-heif is installed: pip install pillow-heif"
        )
    return CorruptImageError("not_read", f"{found}, which is not read")


def _damage(error: Exception) -> tuple[str, str]:
    told = one_line(error)
    if re.search("truncated|Truncated|too short|EOF|unrecognized data stream|Not enough", told):
        return "truncated", f"cut off ({told})"
    return "damaged", f"damaged ({told})"


def _is_wide(image: ImageFile.ImageFile) -> bool:
    """Whether colours have 16 bits in the file, of which Pillow keeps the upper 8; known before the image is loaded."""
    return image.mode in ("RGB", "RGBA") and any(";16" in _raw_mode(tile) for tile in image.tile)


def _raw_mode(tile: Any) -> str:
    return tile.args if isinstance(tile.args, str) else str(tile.args[0]) if tile.args else ""


# --- Depth -----


def deep_values(opened: Opened) -> np.ndarray | None:
    """What an image of more than 8 bits holds; None of others.

    Returns:
        int64 or float64 [H, W] or [H, W, 3 or 4]; a fourth channel is alpha.
    """
    image = opened.image
    if opened.wide:
        return _wide_values(opened)
    if image.mode.startswith("I"):  # 16 bits; Pillow calls them 32 for some formats
        values = np.asarray(image)
        if image.mode == "I" and tiff_tag(image, 339) == 1 and tiff_tag(image, 258) == 32:
            values = values.view(np.uint32)
        return values.astype(np.int64)
    return np.asarray(image).astype(np.float64) if image.mode == "F" else None


def _wide_values(opened: Opened) -> np.ndarray:
    """Pillow keeps the upper byte of two; told that bytes stand in the other order, it keeps the lower one."""
    other = {"L": ";16B", "B": ";16L", "N": ";16B" if sys.byteorder == "little" else ";16L"}
    with refused_damage(opened.content), open_lazily(opened.content) as image:
        if any(_raw_mode(tile).startswith("LA") for tile in image.tile):  # it knows one order alone of these
            return _wide_grey(image)
        swapped = []
        for tile in image.tile:
            mode = re.sub(";16([LBN])", lambda found: other[found[1]], _raw_mode(tile))
            swapped.append(tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode))
        image.tile = swapped
        low = np.asarray(image).astype(np.int64)
    return (np.asarray(opened.image).astype(np.int64) << 8) | low


def _wide_grey(image: ImageFile.ImageFile) -> np.ndarray:
    """Grey and alpha of 16 bits as int64 [H, W, 4]: the four bytes of a pixel are read as if they were four colours."""
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    raw = np.asarray(image).astype(np.int64)
    grey, alpha = (raw[..., first] << 8 | raw[..., first + 1] for first in (0, 2))
    return np.stack([grey, grey, grey, alpha], axis=2)


def tiff_tag(image: Image.Image, tag: int) -> Any:
    """A tag's first value; None where there is none, or it is no TIFF file."""
    value: Any = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def whole_range(lowest: int, highest: int, bits: int | None = None) -> tuple[int, int]:
    """Which whole numbers become 0 and 255, where these are the lowest and the highest value that there are.

    From 0 to the largest value of as many `bits` as the files say, or else as the highest value needs (4095 of 12 bits, say): 8
    bits at least, unless no value is above 15. Where values lie below 0, from the power of two below all of them.
    """
    low = -(1 << (-lowest - 1).bit_length()) if lowest < 0 else 0
    if lowest >= 0 and highest < 16 and bits is None:
        return 0, max(1, highest)
    return low, (1 << max(8, highest.bit_length(), bits or 0)) - 1


def decimal_range(lowest: float, highest: float) -> tuple[float, float]:
    """Which decimal numbers become 0 and 255, where these are the lowest and the highest value that there are.

    From 0 to 1, to 255, or to the largest value of as many bits as it takes, where values make use of a sixteenth of that, and
    otherwise to the highest value. From -1 to 1 where there are values below 0 and all lie between, and otherwise from the
    lowest value to the highest.
    """
    if lowest < 0:
        return (-1.0, 1.0) if lowest >= -1 and highest <= 1 else (lowest, max(highest, 0.0))
    top = next((top for top in (1.0, 255.0) if highest <= top), 2.0 ** np.ceil(np.log2(highest + 1)) - 1)
    return 0.0, float(top if highest >= top / 16 else highest or 1.0)


def scaled(values: np.ndarray, decoding: Decoding) -> np.ndarray:
    """Values of any depth as uint8 of the same shape.

    Of whole numbers, as many upper bits are kept as 8 of those that the range has; decimal numbers are rounded. What lies
    outside the range becomes 0 or 255, and what is no number 0.
    """
    if np.issubdtype(values.dtype, np.integer):
        lowest, highest = _whole_range_of(values, decoding)
        count = highest - lowest + 1
        shifted = np.clip(values, lowest, highest) - lowest
        return (shifted * 256 // count if count >= 256 else np.rint(shifted * (255 / max(1, count - 1)))).astype(
            np.uint8
        )
    low, high = _decimal_range_of(values, decoding)
    shifted = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high) - low
    return np.rint(shifted * (255 / (high - low or 1))).astype(np.uint8)


def _whole_range_of(values: np.ndarray, decoding: Decoding) -> tuple[int, int]:
    if decoding.integers is None and decoding.background is not None:
        return whole_range(int(values.min()), int(values.max()))
    return decoding.integers or _SIXTEEN_BITS


def _decimal_range_of(values: np.ndarray, decoding: Decoding) -> tuple[float, float]:
    if decoding.decimals is not None:
        return decoding.decimals
    finite = values[np.isfinite(values)]
    if decoding.background is None or not finite.size:
        return 0.0, (1.0 if finite.size and finite.max() <= 1 else 255.0)
    return decimal_range(float(finite.min()), float(finite.max()))


# --- Colour and transparency -----


def to_8_bits(opened: Opened, decoding: Decoding) -> tuple[Image.Image, Image.Image | None]:
    """Colour in mode L or RGB, and how much of each pixel is seen in mode L; None where all of all pixels is."""
    image, key = opened.image, opened.image.info.get("transparency")
    shallow = (
        opened.wide and key is None and decoding.integers in (None, (0, 65535))
    )  # Pillow's upper 8 bits are wanted
    values = None if shallow else deep_values(opened)
    if values is None:
        with refused_damage(opened.content):
            return _shallow(image)
    alpha = None
    if values.ndim == 3 and values.shape[2] == 4:
        alpha = (values[..., 3] >> 8).astype(np.uint8)
        values = values[..., :3]
    elif isinstance(key, int | tuple) and np.issubdtype(values.dtype, np.integer):
        unseen = (values == np.array(key)).reshape(*values.shape[:2], -1).all(axis=2)
        alpha = np.where(unseen, 0, 255).astype(np.uint8)
    colour = scaled(values, decoding)
    if tiff_tag(image, 262) == 0:  # white is 0, as some scanners and X-ray machines have it
        colour = 255 - colour
    return Image.fromarray(colour), None if alpha is None else Image.fromarray(alpha)


def _shallow(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.mode == "LAB":
        image = _from_lab()(image)
    if image.mode == "CMYK" or not image.has_transparency_data:
        wanted = "L" if image.mode in ("1", "L") else "RGB"
        return image if image.mode == wanted else image.convert(wanted), None
    grey = image.mode in ("1", "L", "LA", "La")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    image = image.convert("LA" if grey else "RGBA")
    return image.convert("L" if grey else "RGB"), image.getchannel("A")


@cache
def _from_lab() -> Callable[[Image.Image], Image.Image]:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(*profiles, "LAB", "RGB")
    return lambda image: ImageCms.applyTransform(image, transform) or image


def colour_of(background: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour as `data_prep.background` names it."""
    return BACKGROUNDS.get(background) or ImageColor.getcolor(background, "RGB")  # type: ignore[return-value]


def compose(colour: Image.Image, alpha: Image.Image | None, background: str | None) -> Image.Image:
    """Lay an image, in mode L or RGB, over a colour; grey stays grey where the colour is."""
    if alpha is None or background is None:
        return colour
    return Image.composite(*_alike(colour, background), alpha)


def _alike(image: Image.Image, background: str) -> tuple[Image.Image, Image.Image]:
    """An image and one of its size and mode in a colour."""
    red, green, blue = colour_of(background)
    if image.mode == "L" and red == green == blue:
        return image, Image.new("L", image.size, red)
    return image.convert("RGB"), Image.new("RGB", image.size, (red, green, blue))


# --- How the camera was held -----


def orientation(image: Image.Image) -> tuple[int, ExifState]:
    """Which way an image has to be turned, as EXIF numbers it from 1 to 8, and what its notes are like.

    Notes that are damaged elsewhere may still tell it; those that do not leave the image as it lies.
    """
    block = image.info.get("exif")
    if not any(name in image.info for name in _NOTES) and image.format != "TIFF":
        return 1, "none"
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except _EXIF_DAMAGE:
        value = _orientation_in(block) if isinstance(block, bytes) else "unknown"
    if value is None:
        return 1, "damaged" if isinstance(block, bytes) and not _has_entries(block) else "none"
    if not isinstance(value, int) or not 0 <= value <= 8:
        return 1, "damaged"
    return max(value, 1), "upright" if value <= 1 else "turned"


def _entries(block: bytes) -> tuple[str, bytes, int] | None:
    """Byte order, content after the word Exif, and place of the first directory; None where there is none."""
    content = block.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        return None
    start = struct.unpack(order + "I", content[4:8])[0]
    return (order, content, start) if start + 2 <= len(content) else None


def _has_entries(block: bytes) -> bool:
    """Whether a block of notes has a directory that is whole."""
    found = _entries(block)
    if found is None:
        return False
    order, content, start = found
    return start + 2 + 12 * struct.unpack(order + "H", content[start : start + 2])[0] <= len(content)


def _orientation_in(block: bytes) -> int | str | None:
    """The entry of the orientation alone, whatever the others are like; "unknown" where it cannot be found."""
    found = _entries(block)
    if found is None:
        return "unknown"
    order, content, start = found
    for place in range(start + 2, len(content) - 11, 12)[: struct.unpack(order + "H", content[start : start + 2])[0]]:
        tag, kind, count, value = struct.unpack(order + "HHIH", content[place : place + 10])
        if tag == ExifTags.Base.Orientation:
            return value if (kind, count) == (3, 1) else "unknown"
    return "unknown"


def turned(image: Image.Image, turn: int) -> Image.Image:
    """An image with the top up, by what `orientation` says."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


# --- Size -----


def resized(image: Image.Image, decoding: Decoding) -> Image.Image:
    """An image in mode L or RGB at the wanted size; letterbox over a colour makes a grey one coloured."""
    size = (decoding.image_size or 0, decoding.image_size or 0)
    if decoding.image_size is None or image.size == size:
        return image
    if decoding.resize == "squash":
        return image.resize(size, Image.Resampling.LANCZOS)
    if decoding.resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    inner = ImageOps.contain(image, size, Image.Resampling.LANCZOS)
    inner, _ = _alike(inner, decoding.background or "black")
    _, canvas = _alike(Image.new(inner.mode, size), decoding.background or "black")
    canvas.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return canvas
