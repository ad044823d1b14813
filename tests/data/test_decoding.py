"""Images of every kind become the pixels that a plainly written formula gives, and are told of as what they are."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.data.encoded_images import chunk, exif, heic, of, png16, saved, tiff

from vision_studies.data.checks.survey import survey_listing
from vision_studies.data.sources.decoding import CorruptImageError, Decoding, decode_image, quiet
from vision_studies.data.sources.formats import sniff_format
from vision_studies.data.sources.image_facts import (
    ImageFacts,
    best_background,
    decoding_of,
    joined_decoding,
    survey_image,
)
from vision_studies.data.sources.listing import Item, Listing

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
INDEX = RANDOM.integers(0, 4, (5, 7), dtype=np.uint8)
PALETTE = np.array([[9, 8, 7], [250, 3, 30], [0, 120, 200], [77, 77, 77]], np.uint8)
DEEP = RANDOM.integers(0, 4096, (5, 7, 4))
RGBA, LA = np.dstack([COLOUR, ALPHA]), np.dstack([GREY, ALPHA])
WHITE, BLACK, ODD = Decoding(background="white"), Decoding(background="black"), Decoding(background="#102030")
TWELVE = Decoding(background="white", integers=(0, 4095))


def over(colour, alpha, background):
    """As the formula of transparency says, rounded."""
    share = alpha.astype(float)[..., None] / 255
    colour = colour if colour.ndim == 3 else colour[..., None]
    return np.floor(colour * share + np.array(background) * (1 - share) + 0.5).astype(np.uint8)


def paletted(**options):
    image = of(INDEX, "P")
    image.putpalette(PALETTE.ravel().tolist())
    return saved(image, **options)


def from_cmyk(values):
    inks = values.astype(float)
    return 255 - np.clip(inks[..., :3] * (255 - inks[..., 3:]) / 255 + inks[..., 3:], 0, 255)


CMYK = RANDOM.integers(0, 256, (5, 7, 4), dtype=np.uint8)
EXACT = {
    # name: (file, decoding, expected uint8 [H, W, C])
    "grey": (saved(of(GREY)), WHITE, GREY[..., None]),
    "colour": (saved(of(COLOUR)), WHITE, COLOUR),
    "RGBA over white": (saved(of(RGBA, "RGBA")), WHITE, over(COLOUR, ALPHA, [255] * 3)),
    "RGBA over black": (saved(of(RGBA, "RGBA")), BLACK, over(COLOUR, ALPHA, [0] * 3)),
    "RGBA over a colour": (saved(of(RGBA, "RGBA")), ODD, over(COLOUR, ALPHA, [16, 32, 48])),
    "RGBA as before there were backgrounds": (saved(of(RGBA, "RGBA")), Decoding(), COLOUR),
    "RGBA in WebP": (saved(of(RGBA, "RGBA"), "WEBP", lossless=True, exact=True), BLACK, over(COLOUR, ALPHA, [0] * 3)),
    "RGBA in TIFF": (saved(of(RGBA, "RGBA"), "TIFF"), WHITE, over(COLOUR, ALPHA, [255] * 3)),
    "RGBA in TGA": (saved(of(RGBA, "RGBA"), "TGA"), WHITE, over(COLOUR, ALPHA, [255] * 3)),
    "LA stays grey": (saved(of(LA, "LA")), WHITE, over(GREY, ALPHA, [255])),
    "LA over a colour": (saved(of(LA, "LA")), ODD, over(np.dstack([GREY] * 3), ALPHA, [16, 32, 48])),
    "palette": (paletted(), WHITE, PALETTE[INDEX]),
    "palette, one colour unseen": (
        paletted(transparency=1),
        WHITE,
        over(PALETTE[INDEX], 255 * (INDEX != 1), [255] * 3),
    ),
    "palette, half seen": (
        paletted(transparency=bytes([0, 100, 200, 255])),
        BLACK,
        over(PALETTE[INDEX], np.array([0, 100, 200, 255])[INDEX], [0] * 3),
    ),
    "GIF, one colour unseen": (
        saved(Image.open(io.BytesIO(paletted())), "GIF", transparency=2),
        WHITE,
        over(PALETTE[INDEX], 255 * (INDEX != 2), [255] * 3),
    ),
    "grey, one value unseen": (
        saved(of(GREY), transparency=int(GREY[0, 0])),
        WHITE,
        over(GREY, 255 * (GREY[0, 0] != GREY), [255]),
    ),
    "colour, one colour unseen": (
        saved(of(COLOUR), transparency=tuple(COLOUR[1, 1].tolist())),
        BLACK,
        over(COLOUR, 255 * (COLOUR[1, 1] != COLOUR).any(axis=2), [0] * 3),
    ),
    "one bit": (
        saved(of(GREY).point(lambda value: 255 * (value > 99)).convert("1")),
        WHITE,
        255 * (GREY[..., None] > 99),
    ),
    "one bit, black unseen": (
        saved(of(GREY).point(lambda value: 255 * (value > 99)).convert("1"), transparency=0),
        Decoding(background="grey"),
        np.where(GREY[..., None] > 99, 255, 128),
    ),
    "CMYK": (saved(of(CMYK, "CMYK"), "TIFF"), WHITE, np.rint(from_cmyk(CMYK))),
    "YCbCr": (
        saved(of(COLOUR, "YCbCr"), "TIFF"),
        WHITE,
        np.asarray(of(COLOUR, "YCbCr").convert("RGB")),
    ),
    # More than 8 bits: as many upper ones are kept as 8 of those in use.
    "16 bits": (saved(of(DEEP[..., 0].astype(np.uint16) * 16)), WHITE, DEEP[..., :1] >> 4),
    "12 of 16 bits": (saved(of(DEEP[..., 0].astype(np.uint16))), TWELVE, DEEP[..., :1] >> 4),
    "12 of 16 bits, TIFF": (saved(of(DEEP[..., 0].astype(np.uint16)), "TIFF"), TWELVE, DEEP[..., :1] >> 4),
    "12 of 16 bits, other byte order": (
        tiff(DEEP[..., :1].astype(np.uint16), order=">"),
        TWELVE,
        DEEP[..., :1] >> 4,
    ),
    "12 of 16 bits by itself": (saved(of(np.array([[0, 4095]], np.uint16))), WHITE, np.array([[[0], [255]]])),
    "12 of 16 bits as before there were ranges": (
        saved(of(np.array([[0, 4095]], np.uint16))),
        Decoding(),
        np.array([[[0], [15]]]),
    ),
    "decimal by itself": (saved(of(np.array([[0, 4095]], np.float32)), "TIFF"), WHITE, np.array([[[0], [255]]])),
    "beyond the range": (saved(of(np.full((5, 7), 5000, np.uint16))), TWELVE, np.full((5, 7, 1), 255)),
    "16 bits, one value unseen": (
        saved(of(DEEP[..., 0].astype(np.uint16)), transparency=int(DEEP[2, 3, 0])),
        TWELVE,
        np.where(DEEP[..., :1] == DEEP[2, 3, 0], 255, DEEP[..., :1] >> 4),
    ),
    "16 bits, white is 0": (
        tiff(DEEP[..., :1].astype(np.uint16), photometric=0),
        TWELVE,
        255 - (DEEP[..., :1] >> 4),
    ),
    "32 bits, below 0": (
        tiff((DEEP[..., :1] - 1024).astype(np.int32), bits=32, sample_format=2),
        Decoding(integers=(-1024, 4095)),
        DEEP[..., :1] * 256 // 5120,
    ),
    "32 bits without a sign": (
        tiff((DEEP[..., :1] << 20).astype(np.uint32), bits=32),
        Decoding(integers=(0, 2**32 - 1)),
        DEEP[..., :1] >> 4,
    ),
    "colour of 16 bits": (png16(DEEP[..., :3] << 4), WHITE, DEEP[..., :3] >> 4),
    "colour of 12 of 16 bits": (png16(DEEP[..., :3]), TWELVE, DEEP[..., :3] >> 4),
    "colour of 12 of 16 bits, TIFF": (tiff(DEEP[..., :3].astype(np.uint16)), TWELVE, DEEP[..., :3] >> 4),
    "colour of 12 of 16 bits, TIFF, other byte order": (
        tiff(DEEP[..., :3].astype(np.uint16), order=">"),
        TWELVE,
        DEEP[..., :3] >> 4,
    ),
    "colour and alpha of 16 bits": (
        png16(np.dstack([DEEP[..., :3], ALPHA.astype(int) << 8])),
        TWELVE,
        over(DEEP[..., :3] >> 4, ALPHA, [255] * 3),
    ),
    "grey and alpha of 16 bits": (
        png16(np.dstack([DEEP[..., 0], ALPHA.astype(int) << 8])),
        TWELVE,
        over(np.dstack([DEEP[..., 0] >> 4] * 3), ALPHA, [255] * 3),
    ),
    "colour of 16 bits, one unseen": (
        png16(DEEP[..., :3], chunk(b"tRNS", DEEP[0, 0, :3].astype(">u2").tobytes())),
        Decoding(background="black", integers=(0, 65535)),
        np.where((DEEP[..., :3] == DEEP[0, 0, :3]).all(axis=2, keepdims=True), 0, DEEP[..., :3] >> 8),
    ),
    # Decimal numbers.
    "0 to 1": (saved(of((GREY / 255).astype(np.float32)), "TIFF"), Decoding(decimals=(0, 1)), GREY[..., None]),
    "0 to 1, no range known": (saved(of((GREY / 255).astype(np.float32)), "TIFF"), WHITE, GREY[..., None]),
    "0 to 255": (saved(of(GREY.astype(np.float32)), "TIFF"), Decoding(decimals=(0, 255)), GREY[..., None]),
    "0 to 4080": (
        saved(of(DEEP[..., 0].astype(np.float32)), "TIFF"),
        Decoding(decimals=(0, 4095)),
        np.rint(DEEP[..., :1] * (255 / 4095)),
    ),
    "below 0": (
        saved(of((GREY / 127.5 - 1).astype(np.float32)), "TIFF"),
        Decoding(decimals=(-1, 1)),
        GREY[..., None],
    ),
    "no number and beyond": (
        saved(of(np.array([[np.nan, np.inf, -np.inf, 0.2]], np.float32)), "TIFF"),
        Decoding(decimals=(0, 1)),
        np.array([[[0], [255], [0], [51]]]),
    ),
    "the first of several": (
        saved(of(COLOUR), "TIFF", save_all=True, append_images=[of(255 - COLOUR)]),
        WHITE,
        COLOUR,
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_pixels_are_what_the_formula_says(case):
    content, decoding, expected = EXACT[case]
    found = decode_image(content, decoding)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def lab(colour):
    return ImageCms.profileToProfile(
        colour, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )


SMOOTH = np.broadcast_to(np.array([200, 60, 120], np.uint8), (16, 16, 3))
NEAR = {
    "CMYK in JPEG": (saved(of(SMOOTH).convert("CMYK"), "JPEG", quality=95), 4),
    "LAB": (saved(lab(of(SMOOTH)), "TIFF"), 4),
    "YCbCr in a JPEG in TIFF": (saved(of(SMOOTH).convert("YCbCr"), "TIFF", compression="jpeg"), 4),
    "AVIF": (saved(of(SMOOTH), "AVIF", quality=95), 6),
    "JPEG 2000": (saved(of(SMOOTH), "JPEG2000"), 2),
}


@pytest.mark.parametrize("case", NEAR)
def test_colours_come_out_right(case):
    content, tolerance = NEAR[case]
    assert np.abs(decode_image(content, WHITE).astype(int) - SMOOTH).max() <= tolerance


# --- How the camera was held ----------------------------------------------------------------------------------------

HALF = np.zeros((8, 16, 3), np.uint8)
HALF[:4, :8] = 255  # bright at the upper left; grey below it
HALF[4:, :8] = 99
TURNS = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud}
TURNS |= {5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1)}
TURNS |= {8: np.rot90}


def held(number):
    return (0x112, 3, 1, struct.pack("<HH", number, 0))


@pytest.mark.parametrize("number", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_an_image_is_turned_upright(number, kind):
    note = Image.Exif()
    note[0x112] = number
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(of(HALF), kind, exif=note, **options)
    np.testing.assert_array_equal(decode_image(content, WHITE), TURNS[number](HALF))
    facts = survey_image(content)
    assert (facts.height, facts.width) == TURNS[number](HALF).shape[:2]


DAMAGED = {
    # name: (block, how it has to be turned, what is said of it)
    "cut off": (exif(held(6))[:20], 1, "damaged"),
    "cut off in the directory": (exif(held(6), held(6), held(6))[:30], 6, "turned"),
    "a text": (exif((0x112, 2, 2, b"6\0\0\0")), 1, "damaged"),
    "a fraction over 0": (exif((0x112, 5, 1, struct.pack("<I", 26)), after=struct.pack("<II", 6, 0)), 1, "damaged"),
    "bytes": (exif((0x112, 7, 4, b"\x06\0\0\0")), 1, "damaged"),
    "no number": (exif((0x112, 11, 1, struct.pack("<f", float("nan")))), 1, "damaged"),
    "99": (exif(held(99)), 1, "damaged"),
    "0, of cameras that do not know": (exif(held(0)), 1, "upright"),
    "two numbers": (exif((0x112, 3, 2, struct.pack("<HH", 6, 3))), 6, "turned"),
    "resolution over 0": (
        exif(held(6), (0x11A, 5, 1, struct.pack("<I", 38)), after=struct.pack("<II", 72, 0)),
        6,
        "turned",
    ),
    "unknown kind": (exif(held(6), (0x10F, 99, 5, b"abcd")), 6, "turned"),
    "a text in a number": (
        exif(held(6), (0x100, 2, 4, b"abc\0"), (0x8769, 4, 1, struct.pack("<I", 9999))),
        6,
        "turned",
    ),
    "a directory in itself": (exif(held(6), (0x8769, 4, 1, struct.pack("<I", 8))), 6, "turned"),
    "a directory that is a text": (exif(held(6), (0x8769, 2, 4, b"abc\0")), 6, "turned"),
    "a place that is a text": (exif(held(6), (0x8825, 2, 4, b"abc\0")), 6, "turned"),
    "a long text of nothing": (exif(held(6), (0x9003, 2, 1000, struct.pack("<I", 5000))), 6, "turned"),
    "the maker's notes": (exif(held(6), (0x927C, 7, 5, b"\x26\0\0\0"), after=b"Nik"), 6, "turned"),
    "nothing but the word": (b"Exif\0\0", 1, "damaged"),
    "no byte order": (b"Exif\0\0XX*\0\x08\0\0\0", 1, "damaged"),
    "a directory far away": (b"Exif\0\0II*\0" + struct.pack("<I", 60000), 1, "damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_notes_of_a_camera_are_no_traceback(case):
    block, turn, state = DAMAGED[case]
    content = saved(of(HALF), "JPEG", quality=95, exif=block)
    with quiet():
        facts, found = survey_image(content), decode_image(content, WHITE)
    assert facts.exif == state
    assert np.abs(found.astype(int) - TURNS[turn](HALF)).mean() < 10


def test_any_notes_of_a_camera_are_survived():
    random = np.random.default_rng(1)
    whole = exif(held(6), (0x8769, 4, 1, struct.pack("<I", 38)), (0x8825, 4, 1, struct.pack("<I", 8)), after=bytes(40))
    plain = {kind: decode_image(saved(of(HALF), kind), WHITE).shape for kind in ("JPEG", "PNG", "WEBP")}
    with quiet():
        for round_ in range(300):
            block = bytearray(whole)
            for _ in range(random.integers(1, 5)):
                block[random.integers(6, len(block))] = random.integers(256)
            kind = ("JPEG", "PNG", "WEBP")[round_ % 3]
            content = saved(of(HALF), kind, exif=bytes(block))
            assert sorted(decode_image(content, WHITE).shape) == sorted(plain[kind])
            assert survey_image(content).error is None


# --- What cannot be read --------------------------------------------------------------------------------------------


def harmed(content, random):
    """A few bytes changed, a few taken out, or the end cut off."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 6)):
        place = int(random.integers(len(changed)))
        match random.integers(5):
            case 0 | 1:
                changed[place] = random.integers(256)
            case 2 | 3:
                del changed[place : place + int(random.integers(1, 9))]
            case 4:
                del changed[max(place, len(changed) // 2) :]
        if not changed:
            break
    return bytes(changed)


def why_not(content):
    """Why an image cannot be decoded; None where it can."""
    try:
        decode_image(content, TWELVE)
    except CorruptImageError as error:
        return str(error)
    return None


def test_any_damage_is_survived_or_has_a_reason():
    random = np.random.default_rng(3)
    files = [content for content, *_ in [*EXACT.values(), *NEAR.values(), *FACTS.values()]]
    contents = [harmed(files[random.integers(len(files))], random) for _ in range(400)]
    with quiet():
        reasons = [why_not(content) for content in contents]
        assert [survey_image(content).error for content in contents] == reasons
    assert 20 < reasons.count(None) < 200


NOISE = of(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))
REFUSED = {
    "empty": (b"", None, "empty", "empty file"),
    "text": (b"name,label\na.png,cat\n", None, "no_image", "no image"),
    "HEIC": (heic(), "HEIC", "not_read", "HEIC, which is read once pillow-heif is installed"),
    "Photoshop": (b"8BPS\0\1" + bytes(60), "Photoshop", "not_read", "Photoshop, which is not read"),
    "half a JPEG": (saved(NOISE, "JPEG")[:2500], "JPEG", "truncated", "cut off"),
    "half a PNG": (saved(NOISE)[:6000], "PNG", "truncated", "cut off"),
    "half a GIF": (saved(NOISE.convert("P"), "GIF")[:2000], "GIF", "truncated", "cut off"),
    "half a BMP": (saved(NOISE, "BMP")[:6000], "BMP", "truncated", "cut off"),
    "half a TIFF": (saved(NOISE, "TIFF")[:6000], "TIFF", "truncated", "cut off"),
    "half a WebP": (saved(NOISE, "WEBP")[:2000], "WEBP", None, ""),
    "the head of a PNG": (b"\x89PNG\r\n\x1a\n" + b"garbage" * 30, "PNG", "truncated", "cut off"),
    "the head of a GIF": (b"GIF89a", "GIF", "damaged", "damaged GIF"),
}


@pytest.fixture
def without_heif(monkeypatch):
    monkeypatch.setattr("vision_studies.data.sources.decoding._heic_is_read", lambda: False)


@pytest.mark.usefixtures("without_heif")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_has_one_reason(case):
    content, form, kind, message = REFUSED[case]
    facts = survey_image(content)
    assert facts.format == form
    with pytest.raises(CorruptImageError) as refused:
        decode_image(content, WHITE)
    assert (facts.error, facts.error_kind) == (str(refused.value), refused.value.kind)
    assert facts.error.startswith(message)
    assert kind in (None, facts.error_kind)


def test_a_very_large_jpeg_is_read_at_a_part_of_its_size_and_a_png_is_not(monkeypatch):
    content = saved(Image.fromarray(np.tile(np.arange(0, 240, 2, dtype=np.uint8), (160, 1))), "JPEG", quality=95)
    whole = decode_image(content, Decoding(16))
    monkeypatch.setattr("vision_studies.data.sources.decoding.MOST_PIXELS", 10_000)
    part = decode_image(content, Decoding(16))
    assert part.shape == whole.shape == (16, 16, 1)
    assert np.abs(part.astype(int) - whole).max() < 12
    with pytest.raises(CorruptImageError, match="160 x 120 pixels, more than the 10,000 that are read"):
        decode_image(saved(Image.new("L", (160, 120))), Decoding(16))
    with pytest.raises(CorruptImageError, match="more than the 10,000"):
        decode_image(content, Decoding())


# --- Formats --------------------------------------------------------------------------------------------------------

SNIFFED = {
    "JPEG": saved(of(COLOUR), "JPEG"),
    "PNG": saved(of(COLOUR)),
    "GIF": saved(of(GREY), "GIF"),
    "BMP": saved(of(COLOUR), "BMP"),
    "TIFF": saved(of(COLOUR), "TIFF"),
    "WEBP": saved(of(COLOUR), "WEBP"),
    "AVIF": saved(of(COLOUR), "AVIF"),
    "JPEG2000": saved(of(COLOUR), "JPEG2000"),
    "PPM": saved(of(COLOUR), "PPM"),
    "TGA": saved(of(COLOUR), "TGA"),
    "HEIC": heic(),
    "camera raw": b"II*\0\x10\0\0\0CR\2\0" + bytes(50),
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(9),
    "DICOM": bytes(128) + b"DICM" + bytes(20),
    "SVG": b'<?xml version="1.0"?>\n<svg width="9" height="9"/>',
}
NO_IMAGE = {
    "nothing": b"",
    "CSV": b"path,label\n",
    "text that begins with BM": b"BMW,3\nAudi,4\nand so on and on\n",
    "text that begins with P1": b"P1 a list of points\n",
    "Thumbs.db": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(60),
    "what macOS leaves": b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(40),
    "a film": b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(60),
    "idx images": struct.pack(">HBBIII", 0, 8, 3, 10, 28, 28) + bytes(99),
    "idx labels": struct.pack(">HBBI", 0, 8, 1, 10) + bytes(99),
    "zip": b"PK\3\4" + bytes(60),
    "gzip": b"\x1f\x8b\x08\0" + bytes(60),
    "npy": b"\x93NUMPY\1\0v\0" + bytes(60),
    "Parquet": b"PAR1" + bytes(60),
    "zeros": bytes(256),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0",
}


def test_the_content_tells_the_format():
    assert {name: sniff_format(content[:256]) for name, content in SNIFFED.items()} == {name: name for name in SNIFFED}
    assert {name: sniff_format(content[:256]) for name, content in NO_IMAGE.items()} == dict.fromkeys(NO_IMAGE)


def test_bytes_by_chance_are_rarely_an_image():
    random = np.random.default_rng(2)
    found = [sniff_format(random.integers(0, 256, 256, dtype=np.uint8).tobytes()) for _ in range(3000)]
    assert found.count(None) >= 2998


def test_photographs_of_telephones_are_read_where_the_library_is_installed():
    """The set-up leaves it out for the licences of what it brings."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="an extra of its own")
    content = io.BytesIO()
    pillow_heif.from_pillow(of(SMOOTH)).save(content, quality=95)
    facts = survey_image(content.getvalue())
    assert (facts.format, facts.error, facts.width) == ("HEIC", None, 16)
    assert np.abs(decode_image(content.getvalue(), WHITE).astype(int) - SMOOTH).max() <= 4
    assert survey_image(content.getvalue()[:60]).error_kind == "damaged"


# --- Size -----------------------------------------------------------------------------------------------------------

WIDE = np.repeat(np.array([[0] * 4 + [255] * 4], np.uint8), 4, axis=0)


@pytest.mark.parametrize(
    ("resize", "background", "expected"),
    [
        ("crop", "white", np.repeat([[0, 0, 255, 255]], 4, axis=0)),
        ("squash", "white", None),
        ("letterbox", "white", [[255] * 4, None, None, [255] * 4]),
        ("letterbox", "black", [[0] * 4, None, None, [0] * 4]),
    ],
)
def test_an_image_that_is_not_square_becomes_so(resize, background, expected):
    found = decode_image(saved(of(WIDE)), Decoding(4, resize, background))
    assert found.shape == (4, 4, 1)
    shown = [0] * 2 + [255] * 2 if resize == "crop" else None
    for row in range(4):
        if expected is not None and expected[row] is not None:
            assert found[row, :, 0].tolist() == list(expected[row])
        elif shown is None:  # both halves are there, with a soft edge
            assert found[row, 0, 0] < 20
            assert found[row, 3, 0] > 235


@pytest.mark.parametrize(("side", "wanted"), [(48, 32), (33, 7), (8, 20), (100, 64), (31, 1)])
def test_what_is_square_becomes_the_same_in_every_way(side, wanted):
    content = saved(of(RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8)))
    found = [decode_image(content, Decoding(wanted, resize, "white")) for resize in ("crop", "squash", "letterbox")]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_letterbox_over_a_colour_makes_grey_images_coloured():
    found = decode_image(saved(of(WIDE)), Decoding(4, "letterbox", "#ff0000"))
    assert found.shape == (4, 4, 3)
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[1, 0, 0] == found[1, 0, 1]


# --- What there is to know of one -----------------------------------------------------------------------------------


def animated(*frames, kind="GIF"):
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


FACTS = {
    # name: (file, what is known of it)
    "plain": (
        saved(of(COLOUR)),
        {"mode": "RGB", "width": 7, "height": 5, "frames": 1, "alpha": False, "format": "PNG"},
    ),
    "alpha that is not used": (saved(of(np.dstack([COLOUR, np.full_like(ALPHA, 255)]), "RGBA")), {"alpha": False}),
    "alpha": (saved(of(RGBA, "RGBA")), {"alpha": True, "mode": "RGBA"}),
    "a shape in the alpha channel alone": (
        saved(of(np.dstack([np.zeros_like(COLOUR), ALPHA]), "RGBA")),
        {"alpha": True, "contrast": {"white": int(np.ptp(ALPHA)), "black": 0, "grey": (int(np.ptp(ALPHA)) + 1) // 2}},
    ),
    "white on nothing": (
        saved(of(np.dstack([np.full_like(COLOUR, 255), 255 * (ALPHA > 99)]).astype(np.uint8), "RGBA")),
        {"contrast": {"white": 0, "black": 255, "grey": 127}},
    ),
    "blank": (saved(Image.new("RGB", (9, 9), (3, 4, 5))), {"contrast": dict.fromkeys(("white", "black", "grey"), 0)}),
    "12 of 16 bits": (
        saved(of(np.array([[5, 4000]], np.uint16))),
        {"integers": (5, 4000), "bits": None, "mode": "I;16"},
    ),
    "says 12 bits": (
        png16(np.array([[[5], [900]]]), chunk(b"sBIT", b"\x0c")),
        {"integers": (5, 900), "bits": 12},
    ),
    "says its largest value": (
        tiff(np.array([[[5], [900]]], np.uint16), extra=[(281, 1023)]),
        {"integers": (5, 900), "bits": 10},
    ),
    "12 bits packed": (
        tiff(np.zeros((1, 2, 1)), bits=12, packed=bytes([0x38, 0x40, 0x05])),
        {"integers": (5, 0x384), "bits": 12},
    ),
    "colour of 16 bits": (png16(np.array([[[5, 6, 7], [1, 2, 3000]]])), {"integers": (1, 3000), "mode": "RGB"}),
    "decimal": (
        saved(of(np.array([[-0.5, 0.25, np.nan]], np.float32)), "TIFF"),
        {"decimals": (-0.5, 0.25), "not_finite": 1, "mode": "F"},
    ),
    "several pages": (saved(of(COLOUR), "TIFF", save_all=True, append_images=[of(COLOUR)] * 3), {"frames": 4}),
    "black before it begins": (
        animated(Image.new("L", (7, 5)), of(GREY), of(GREY[::-1])),
        {"frames": 3, "first_frame_blank": True},
    ),
    "WebP of two": (animated(of(COLOUR), of(255 - COLOUR), kind="WEBP"), {"frames": 2, "first_frame_blank": False}),
    "PNG of two": (animated(of(COLOUR), of(255 - COLOUR), kind="PNG"), {"frames": 2}),
    "CMYK": (saved(of(COLOUR).convert("CMYK"), "JPEG"), {"mode": "CMYK", "format": "JPEG"}),
    "held sideways": (saved(of(COLOUR), "JPEG", exif=exif(held(6))), {"exif": "turned", "width": 5, "height": 7}),
    "held upright": (saved(of(COLOUR), "JPEG", exif=exif(held(1))), {"exif": "upright"}),
    "no notes": (saved(of(COLOUR), "JPEG"), {"exif": "none"}),
}


@pytest.mark.parametrize("case", FACTS)
def test_what_is_known_of_an_image(case, tmp_path):
    content, expected = FACTS[case]
    (tmp_path / "file").write_bytes(content)
    facts = survey_image(content)
    assert facts.error is None
    assert {name: getattr(facts, name) for name in expected} == expected
    assert facts.size_bytes == len(content)
    assert facts.thumbnail.shape == (32, 32)
    assert facts.thumbnail.dtype == np.uint8
    from_file = survey_image(tmp_path / "file")
    np.testing.assert_array_equal(from_file.thumbnail, facts.thumbnail)
    assert (from_file.content_hash, from_file.pixel_hash) == (facts.content_hash, facts.pixel_hash)


def test_equal_pixels_have_equal_hashes_and_others_have_not():
    same = [saved(of(COLOUR), kind) for kind in ("PNG", "BMP", "TIFF", "PPM", "TGA")]
    turned = of(np.rot90(COLOUR))
    note = Image.Exif()
    note[0x112] = 6
    same.append(saved(turned, exif=note))
    facts = [survey_image(content) for content in same]
    assert len({fact.pixel_hash for fact in facts}) == 1
    assert len({fact.content_hash for fact in facts}) == len(facts)
    changed = COLOUR.copy()
    changed[0, 0, 0] ^= 1
    others = [saved(of(changed)), saved(turned), saved(of(RGBA, "RGBA")), saved(of(COLOUR).convert("L"))]
    hashes = [survey_image(content).pixel_hash for content in others]
    assert len({facts[0].pixel_hash, *hashes}) == 1 + len(others)


def test_large_photographs_are_looked_at_in_part_and_keep_their_size(monkeypatch):
    content = saved(of(np.tile(np.arange(200, dtype=np.uint8), (900, 5))), "JPEG", quality=95)
    whole = survey_image(content)
    monkeypatch.setattr("vision_studies.data.sources.image_facts._REDUCED_PIXELS", 1000)
    monkeypatch.setattr("vision_studies.data.sources.image_facts._LOOKED_AT", 100)
    part = survey_image(content)
    assert (part.width, part.height) == (whole.width, whole.height) == (1000, 900)
    assert np.abs(part.thumbnail.astype(int) - whole.thumbnail).max() < 16
    assert part.pixel_hash != whole.pixel_hash


def test_many_are_looked_at_in_their_order():
    contents = [saved(Image.new("L", (size, 1))) for size in range(1, 200)] + [b"no image"]
    items = [Item(str(place), content, 0) for place, content in enumerate(contents)]
    survey = survey_listing(Listing("", ("a",), lambda: iter(items)), "#102030")
    assert [facts.width for facts in survey.facts] == [*range(1, 200), 0]
    assert {*survey.facts[0].contrast} == {"white", "black", "grey", "#102030"}
    assert survey.facts[-1].error_kind == "no_image"


# --- How a whole set is decoded -------------------------------------------------------------------------------------


def deep(low, high, bits=None):
    return ImageFacts(0, "", "PNG", integers=(low, high), bits=bits)


def decimal(low, high):
    return ImageFacts(0, "", "TIFF", decimals=(low, high))


RANGES = {
    "8 bits": ([ImageFacts(0, "", "PNG")], None, None),
    "16 bits": ([deep(0, 40_000)], (0, 65535), None),
    "12 bits, by the largest of all": ([deep(0, 900), deep(7, 4000)], (0, 4095), None),
    "8 bits in 16": ([deep(0, 200)], (0, 255), None),
    "a few values": ([deep(0, 3)], (0, 3), None),
    "one value": ([deep(0, 0)], (0, 1), None),
    "said by all": ([deep(0, 300, 12), deep(0, 900, 10)], (0, 4095), None),
    "said by some": ([deep(0, 300, 12), deep(0, 900)], (0, 1023), None),
    "more than is said": ([deep(0, 5000, 12)], (0, 8191), None),
    "below 0": ([deep(-1000, 3000)], (-1024, 4095), None),
    "0 to 1": ([decimal(0, 0.9)], None, (0.0, 1.0)),
    "little above 0": ([decimal(0, 0.01), decimal(0, 0.02)], None, (0.0, 0.02)),
    "0 to 2": ([decimal(0, 2)], None, (0.0, 2.0)),
    "0 to 255": ([decimal(0, 251.5)], None, (0.0, 255.0)),
    "0 to 4080": ([decimal(0, 4080)], None, (0.0, 4095.0)),
    "from -1 to 1": ([decimal(-0.2, 0.9)], None, (-1.0, 1.0)),
    "further below 0": ([decimal(-7.5, 2), decimal(0, 3)], None, (-7.5, 3.0)),
    "all below 0": ([decimal(-7.5, -2)], None, (-7.5, 0.0)),
    "nothing but 0": ([decimal(0, 0)], None, (0.0, 1.0)),
    "both": ([deep(0, 4000), decimal(0, 1)], (0, 4095), (0.0, 1.0)),
    "unread ones do not count": ([deep(0, 4000), ImageFacts(0, "", None, error="no image")], (0, 4095), None),
}


@pytest.mark.parametrize("case", RANGES)
def test_the_range_of_a_set(case):
    facts, whole, decimals = RANGES[case]
    found = decoding_of(facts, WHITE)
    assert (found.integers, found.decimals, found.background) == (whole, decimals, "white")


def seen(**contrast):
    return ImageFacts(0, "", "PNG", alpha=True, contrast=contrast)


@pytest.mark.parametrize(
    ("facts", "wanted", "best"),
    [
        ([], "white", "white"),
        ([seen(white=200, black=0, grey=100)], "white", "white"),
        ([seen(white=0, black=255, grey=127)] * 3 + [seen(white=200, black=200, grey=200)], "white", "black"),
        ([seen(white=0, black=255, grey=127), seen(white=255, black=0, grey=128)], "white", "grey"),
        ([seen(white=0, black=0, grey=0)], "white", "white"),
        ([ImageFacts(0, "", "PNG", contrast={"white": 0, "black": 0, "grey": 0})], "white", "white"),
    ],
)
def test_the_background_shows_what_there_is(facts, wanted, best):
    assert best_background(facts, wanted) == best


def test_equal_values_stay_equal_from_image_to_image():
    dark, light = (saved(of(np.array([[100, highest]], np.uint16))) for highest in (200, 4000))
    decoding = decoding_of([survey_image(dark), survey_image(light)], WHITE)
    assert decode_image(dark, decoding)[0, 0] == decode_image(light, decoding)[0, 0] == 100 >> 4


def test_sets_of_several_sources_take_the_wider_range():
    twelve, ten = Decoding(8, "squash", "white", (0, 4095)), Decoding(8, "squash", "white", (-512, 1023), (0, 1))
    assert joined_decoding([twelve, ten]) == Decoding(8, "squash", "white", (-512, 4095), (0, 1))
    assert joined_decoding([]) is None


def test_a_decoding_comes_back_from_json():
    decoding = Decoding(8, "letterbox", "#102030", (0, 4095), (0.0, 1.0))
    assert Decoding.from_json(decoding.to_json()) == decoding
    assert Decoding.from_json(None) == Decoding()
