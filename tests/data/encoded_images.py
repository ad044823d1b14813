"""Encoded images of kinds that Pillow does not write, and a short word for those that it does."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def saved(image, kind="PNG", **options):
    """The bytes of a file."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def of(array, mode=None):
    """Pillow's image of an array, whose bytes are taken for `mode` where that is said."""
    if mode is None:
        return Image.fromarray(array)
    return Image.frombytes(mode, array.shape[1::-1], np.ascontiguousarray(array).tobytes())


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png16(values, *extra):
    """A PNG file of 16 bits: grey, grey and alpha, colour, or colour and alpha; every second row is written as differences."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b""
    for number, row in enumerate(values.astype(">u2")):
        raw = np.frombuffer(row.tobytes(), np.uint8)
        if number % 2:
            raw = raw - np.concatenate([np.zeros(2 * channels, np.uint8), raw[: -2 * channels]])
        rows += bytes([number % 2]) + raw.tobytes()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values, *, order="<", bits=16, sample_format=1, photometric=None, packed=None, extra=()):
    """A TIFF file without compression, of whole or decimal numbers; `extra` are (tag, value) of 16 bits."""
    height, width, channels = values.shape
    pixels = packed or values.astype(values.dtype.newbyteorder(order)).tobytes()
    photometric = (2 if channels >= 3 else 1) if photometric is None else photometric
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: channels, 278: height}
    tags |= {279: len(pixels), 339: sample_format, **dict(extra)}
    start = 8 + 2 + 12 * len(tags) + 4
    lists = b""
    entries = b""
    for tag, value in sorted(tags.items()):
        if tag in (258, 339) and channels > 2:
            entries += struct.pack(order + "HHII", tag, 3, channels, start + len(lists))
            lists += struct.pack(f"{order}{channels}H", *[value] * channels)
        elif tag in (273, 279):
            entries += struct.pack(order + "HHII", tag, 4, 1, value)
        else:
            entries += struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
    place = entries.index(struct.pack(order + "HHI", 273, 4, 1)) + 8
    entries = entries[:place] + struct.pack(order + "I", start + len(lists)) + entries[place + 4 :]
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(tags)) + entries + bytes(4) + lists + pixels


def exif(*entries, order="<", after=b""):
    """A block of notes of a camera; an entry is (tag, kind, count, four bytes)."""
    packed = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + struct.pack(order + "H", len(entries)) + packed + bytes(4) + after


def heic(brand=b"heic"):
    """The beginning of a file as telephones write it; there is no picture in it."""
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(400)
