"""Small pictures as they lie on people's disks, made from a number: whole and harmed, and as bytes of many formats."""

import io
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

SIZE = 24
"""Pixels to a side."""


def picture(number: int, size: tuple[int, int] = (SIZE, SIZE)) -> Image.Image:
    """A colourful one of soft spots; those of two numbers have nothing in common, and none tells more than another."""
    spots = np.random.default_rng(number).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def grey(number: int) -> np.ndarray:
    """uint8 [SIZE, SIZE], with all values from 0 to 255."""
    values = np.asarray(picture(number).convert("L"), np.float64)
    return np.rint((values - values.min()) * (255 / (values.max() - values.min()))).astype(np.uint8)


def glyph(number: int) -> Image.Image:
    """A black and white shape, as a mask (mode L)."""
    return Image.fromarray(np.where(grey(number) > 127, 255, 0).astype(np.uint8))


def drawn(colour: int, number: int) -> Image.Image:
    """A shape in one grey value, with everything around it transparent and of the same value."""
    even = Image.new("L", (SIZE, SIZE), colour)
    return Image.merge("RGBA", (even, even, even, glyph(number)))


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The file that an image makes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def png(number: int) -> bytes:
    """`picture` as a PNG file."""
    return saved(picture(number))


@cache
def jpeg(number: int, quality: int = 92) -> bytes:
    """`picture` as a JPEG file."""
    return saved(picture(number), "JPEG", quality=quality)


def palette_glyph(number: int) -> bytes:
    """A shape that is told from its surroundings by a transparent entry of a black palette alone."""
    image = Image.fromarray(np.asarray(glyph(number)) // 255)
    image.putpalette([0, 0, 0] * 256)
    return saved(image, transparency=0)


def grey_glyph(colour: int, number: int) -> bytes:
    """A shape in the alpha channel of a grey picture."""
    return saved(Image.merge("LA", (Image.new("L", (SIZE, SIZE), colour), glyph(number))))


def deep(number: int, highest: int) -> bytes:
    """A PNG of 16 bits whose values go up to `highest`."""
    return saved(Image.fromarray((grey(number) * (highest / 255)).astype(np.uint16)))


def whole_numbers(number: int) -> bytes:
    """A TIFF of 32-bit integers up to 100,000."""
    return saved(Image.fromarray((grey(number) * (100_000 / 255)).astype(np.int32)), "TIFF")


def decimal(number: int, lowest: float, highest: float, *, hole: bool = False) -> bytes:
    """A TIFF of decimal numbers between two, with one pixel that is no number where it has a `hole`."""
    values = (lowest + grey(number) * ((highest - lowest) / 255)).astype(np.float32)
    if hole:
        values[0, 0] = np.nan
    return saved(Image.fromarray(values), "TIFF")


def frames(number: int, kind: str, *, first: Image.Image | None = None) -> bytes:
    """A file of four pictures, the first of which may be another one."""
    pages = [first or picture(number), *(picture(number + 1_000_000 * place) for place in (1, 2, 3))]
    if kind == "GIF":
        pages = [page.convert("L") for page in pages]  # a palette of colours would have to be found for each
    return saved(pages[0], kind, save_all=True, append_images=pages[1:])


def heic(number: int) -> bytes:
    """What a telephone's picture begins with, and nothing in it: for those who cannot read such files."""
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300) + struct.pack("<I", number)


def cut(content: bytes, share: float = 0.5) -> bytes:
    """The beginning of a file."""
    return content[: int(len(content) * share)]


def of_apple_double(number: int) -> bytes:
    """What macOS lays beside a file, with the same ending."""
    return b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(40) + struct.pack("<I", number)


# --- Notes of the camera -----------------------------------------------------------------------------------------------------


def _notes(*entries: bytes, further: bytes = b"") -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + further


def _note(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value


def _turned(value: int) -> bytes:
    return _note(0x112, 3, 1, struct.pack("<HH", value, 0))


ORIENTATIONS: dict[int, Callable[[Image.Image], Image.Image]] = {
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_90),
}
"""What the note says -> what makes it upright."""


def camera_jpeg(number: int, notes: bytes) -> bytes:
    """A photograph with notes of the camera."""
    return saved(picture(number), "JPEG", quality=92, exif=notes)


def orientation(value: int) -> bytes:
    """Notes that say how the camera was held."""
    return _notes(_turned(value))


TURNED_ALL_THE_SAME: dict[str, bytes] = {
    "a text as width, and a pointer past the end": _notes(
        _turned(6), _note(0x100, 2, 4, b"abc\0"), _note(0x8769, 4, 1, struct.pack("<I", 9999))
    ),
    "two orientations, the first of which counts": _notes(_note(0x112, 3, 2, struct.pack("<HH", 6, 3))),
    "a resolution over 0": _notes(
        _turned(6), _note(0x11A, 5, 1, struct.pack("<I", 38)), further=struct.pack("<II", 72, 0)
    ),
    "an unknown type": _notes(_turned(6), _note(0x10F, 99, 5, b"abcd")),
    "a directory that holds itself": _notes(_turned(6), _note(0x8769, 4, 1, struct.pack("<I", 8))),
    "a text as pointer": _notes(_turned(6), _note(0x8769, 2, 4, b"abc\0")),
    "a text as place": _notes(_turned(6), _note(0x8825, 2, 4, b"abc\0")),
    "more text than the file has": _notes(_turned(6), _note(0x9003, 2, 1000, struct.pack("<I", 5000))),
    "notes of the maker that are cut": _notes(_turned(6), _note(0x927C, 7, 5, b"\x26\0\0\0"), further=b"Nik"),
}
"""What may be wrong with notes of a camera that tell all the same how it was held (orientation 6) -> such notes."""

DAMAGED_NOTES: dict[str, bytes] = {
    "a cut in the first entry": b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 12) + _turned(6)[:10],
    "an orientation as a text": _notes(_note(0x112, 2, 2, b"6\0\0\0")),
    "an orientation as a fraction over 0": _notes(
        _note(0x112, 5, 1, struct.pack("<I", 26)), further=struct.pack("<II", 6, 0)
    ),
    "an orientation as bytes": _notes(_note(0x112, 7, 4, b"\x06\0\0\0")),
    "an orientation that is no number": _notes(_note(0x112, 11, 1, struct.pack("<f", float("nan")))),
    "an orientation of 99": _notes(_turned(99)),
    "only a head": b"Exif\0\0",
    "an unknown byte order": b"Exif\0\0XX*\0\x08\0\0\0",
    "a directory far outside": b"Exif\0\0II*\0" + struct.pack("<I", 60000),
}
"""What may be wrong with notes of a camera, so that it is not known how it was held -> such notes."""

ODD_NOTES = TURNED_ALL_THE_SAME | DAMAGED_NOTES
