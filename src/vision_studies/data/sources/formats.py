"""What a file is, by its first bytes: its name may say something else, or nothing."""

from pathlib import Path

from PIL import Image

HEAD_BYTES = 256
"""As many first bytes of a file tell what it is."""

READ_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""What is read, in Pillow's words; pictures alone: Pillow would run other programs for some formats (EPS)."""

HEIC = "HEIC"
"""Read where pillow-heif is installed."""

IMAGE_SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in READ_FORMATS) | {
    ".heic",
    ".heif",
}
"""Names of files that are meant as images, whatever they hold."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    # Pictures that are not read, so that they can be named.
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"v/1\x01", "OpenEXR"),
    (b"gimp xcf", "GIMP"),
    (b"\0\0\x01\0", "ICO"),
    (b"SIMPLE  =", "FITS"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"IIRO", "camera raw"),
)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_TGA_KINDS = {1: 1, 9: 1, 2: 0, 3: 0, 10: 0, 11: 0}  # kind of picture -> whether it has a palette


def head_of(content: bytes | Path) -> bytes:
    """The first bytes of a file, or of what it would hold; none where it is no file or cannot be read."""
    if isinstance(content, bytes):
        return content[:HEAD_BYTES]
    if not content.is_file():  # a pipe, say, would be waited for without end
        return b""
    try:
        with content.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def sniff_format(head: bytes) -> str | None:
    """The format of an image by the first `HEAD_BYTES` of its file; None of everything that is no image.

    One of `READ_FORMATS`, `HEIC`, or the name of another format, which is not read.

    Examples:
        >>> from vision_studies.data.sources.formats import sniff_format
        >>> sniff_format(b"GIF89a..."), sniff_format(b"8BPS..."), sniff_format(b"name,label"), sniff_format(b"")
        ('GIF', 'Photoshop', None, None)
    """
    beginning = next((name for start, name in _BEGINNINGS if head.startswith(start)), None)
    if beginning is not None:
        return "camera raw" if beginning == "TIFF" and head[8:10] == b"CR" else beginning
    if head[4:8] == b"ftyp":
        return _boxed(head)
    return next((name for name, is_of in _OTHERS.items() if is_of(head)), None)


def is_meant_as_image(file: Path) -> bool:
    """Whether a file is an image by its content or, where it is damaged or empty, by its name."""
    return file.suffix.lower() in IMAGE_SUFFIXES or sniff_format(head_of(file)) is not None


def _boxed(head: bytes) -> str | None:
    """HEIC, AVIF and the like name the brands that they follow; films name others."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, size, 4))]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "AVIF"
    if any(brand in _HEIC_BRANDS for brand in brands):
        return HEIC
    return "camera raw" if brands[0] == b"crx " else None


def _is_tga(head: bytes) -> bool:
    """Its files have no beginning of their own; a header whose fields all make sense is taken for one."""
    if len(head) < 18 or _TGA_KINDS.get(head[2]) != head[1]:
        return False
    palette, depth, alpha = head[3:8], head[16], head[17]
    if head[1] == 0 and any(palette):
        return False
    if head[1] == 1 and palette[4] not in (15, 16, 24, 32):
        return False
    sized = any(head[12:14]) and any(head[14:16])
    return sized and depth in (8, 16, 24, 32) and alpha & 0b11000000 == 0 and alpha & 15 in (0, 1, 8)


def _is_ppm(head: bytes) -> bool:
    kind = len(head) > 6 and head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")
    return kind and head[2:3] in (b" ", b"\t", b"\r", b"\n") and head[3:4] in b"0123456789#\n"


_OTHERS = {
    "WEBP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "BMP": lambda head: head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS,
    "PPM": _is_ppm,
    "DICOM": lambda head: head[128:132] == b"DICM",
    "SVG": lambda head: b"<svg" in head,
    "TGA": _is_tga,
}
