"""Pictures that somebody made to do harm: sizes that are lies, halves, and files of other kinds under their names."""

import io
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tests.data.test_sources import png, write_folder
from tests.faults.hostile_archives import Write


def _png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(bytes(1000))
    return start + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def _whole(mode: str, size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format=kind)
    return buffer.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "400 million pixels of one bit": lambda: _whole("1", (20000, 20000), "PNG"),
    "10^9 pixels declared (GIF)": lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6) + b",",
    "10^18 pixels declared (PNG)": lambda: _png_of_size(2**30, 2**30),
    "no pixels declared (PNG)": lambda: _png_of_size(0, 0),
    "half a PNG": lambda: png(1)[: len(png(1)) // 2],
    "half a JPEG": lambda: _whole("RGB", (64, 64), "JPEG")[:300],
    "the head of a JPEG alone": lambda: _whole("RGB", (64, 64), "JPEG")[:20],
    "a text": lambda: b"this is no picture",
    "SVG with a script": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
    "PDF": lambda: b"%PDF-1.7\n1 0 obj <</Type/Catalog>> endobj",
    "a program": lambda: b"\x7fELF" + bytes(200),
    "a pickle": lambda: pickle.dumps([1]),
    "XBM with another program's code": lambda: b"#define x_width 8\n#define x_height 99999999\nstatic char x[] = {",
    "FLI": lambda: struct.pack("<IHHHHHHI", 128, 0xAF12, 9999, 65535, 65535, 8, 3, 0) + bytes(108),
}


def picture(content: Callable[[], bytes]) -> Write:
    """A folder of images with one that should not be there."""

    def write(folder: Path, _: Path) -> None:
        write_folder(folder / "source")
        (folder / "source/cat/1.png").write_bytes(content())

    return write
