"""Pictures that are read wrongly by those who look at red, green and blue bytes alone."""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image
from tests.odd_inputs import pictures
from tests.odd_inputs.case import BOTH, Case, accept
from tests.odd_inputs.pictures import ORIENTATIONS, SIZE, cut, drawn, glyph, picture, saved
from tests.odd_inputs.trees import Tree, classes, first_number, images, together

from vision_studies.data.image_set import ImageSet

CAT = first_number("cat")


def shapes_are_seen(image_set: ImageSet) -> None:
    """Every image has dark and light parts, and no two are alike."""
    assert (np.ptp(image_set.images.reshape(len(image_set.images), -1), axis=1) > 100).all()
    assert len(np.unique(image_set.images.reshape(len(image_set.images), -1), axis=0)) == len(image_set.images)


def dark_on_light(image_set: ImageSet) -> None:
    """As shapes in the alpha channel of black pictures are to be seen over white."""
    shapes_are_seen(image_set)
    for image, number in zip(image_set.images[:12], range(CAT, CAT + 12), strict=True):
        expected = 255 - np.asarray(glyph(number).resize((16, 16), Image.Resampling.LANCZOS), float)
        assert np.abs(image.mean(axis=2) - expected).mean() < 12


def all_values_are_used(image_set: ImageSet) -> None:
    """Neither black nor white, and most greys that there are: a range that ends at a power of two may be half empty."""
    assert image_set.images.min() < 30
    assert image_set.images.max() > 120
    assert len(np.unique(image_set.images)) > 100


def colours_are_kept(image_set: ImageSet) -> None:
    """As the pictures are, but for rounding."""
    for image, number in zip(image_set.images[:12], range(CAT, CAT + 12), strict=True):
        expected = np.asarray(picture(number).resize((16, 16), Image.Resampling.LANCZOS), float)
        assert np.abs(image - expected).mean() < 12


def held(value: int, number: int) -> bytes:
    """A photograph that was taken with a turned camera, and looks like `picture` once it is upright."""
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(value, value)
    return saved(ORIENTATIONS[back](picture(number)), "JPEG", quality=95, exif=pictures.orientation(value))


def with_notes(notes: bytes) -> Tree:
    """Photographs, one of them with these notes."""
    further = images("cat", 1, lambda number: pictures.camera_jpeg(number, notes), name="odd.jpg", first=500)
    return classes(name="{number:03d}.jpg", make=pictures.jpeg) | further


def odd_one_lies(change: Callable[[Image.Image], Image.Image], image_set: ImageSet) -> None:
    """The image with odd notes is as it should be, and so are the others."""
    colours_are_kept(image_set)
    expected = np.asarray(change(picture(CAT + 500)).resize((16, 16), Image.Resampling.LANCZOS), float)
    assert np.abs(image_set.images[12] - expected).mean() < 12


def photographs(number: int) -> bytes:
    """A colourful picture whose corner is transparent."""
    image = picture(number).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 8, 8))
    return saved(image)


PIXELS = [
    Case(
        "PNG, shapes in the alpha channel alone, black",
        lambda: classes(make=lambda n: saved(drawn(0, n))),
        ("transparent",),
        seen=dark_on_light,
    ),
    Case(
        "PNG, shapes in the alpha channel alone, white",
        lambda: classes(make=lambda n: saved(drawn(255, n))),
        ("background_chosen",),
        seen=shapes_are_seen,
    ),
    Case(
        "PNG with a palette, shapes in its transparent colour alone",
        lambda: classes(make=pictures.palette_glyph),
        ("transparent",),
        seen=shapes_are_seen,
    ),
    Case(
        "grey PNG, shapes in the alpha channel alone, black",
        lambda: classes(make=lambda n: pictures.grey_glyph(0, n)),
        ("transparent",),
        seen=shapes_are_seen,
    ),
    Case(
        "grey PNG, shapes in the alpha channel alone, white",
        lambda: classes(make=lambda n: pictures.grey_glyph(255, n)),
        ("background_chosen",),
        seen=shapes_are_seen,
    ),
    Case(
        "WebP, shapes in the alpha channel alone",
        lambda: classes(make=lambda n: saved(drawn(0, n), "WEBP", lossless=True, exact=True), name="{number:03d}.webp"),
        ("transparent",),
        seen=shapes_are_seen,
    ),
    Case(
        "photographs with a transparent corner",
        lambda: classes(make=photographs),
        ("transparent",),
        seen=lambda found: np.testing.assert_array_less(240, found.images[:, :3, :3].min()),
    ),
    Case(
        "photographs with a transparent corner, over red",
        lambda: classes(make=photographs),
        ("transparent",),
        parameters={"background": "#ff0000"},
        seen=lambda found: np.testing.assert_allclose(found.images[:, 0, 0], [[255, 0, 0]] * 24, atol=12),
    ),
    Case(
        "PNG with an alpha channel that is opaque everywhere",
        lambda: classes(make=lambda n: saved(picture(n).convert("RGBA"))),
        seen=colours_are_kept,
    ),
    Case(
        "blank images among others",
        lambda: together(
            classes(), {f"cat/blank{n}.png": saved(Image.new("RGB", (SIZE, SIZE), (n, 90, 200))) for n in (30, 160)}
        ),
        ("blank",),
        {"cat": 14, "dog": 12},
    ),
    Case(
        "a class of blank images",
        lambda: together(
            images("cat"),
            images("dog"),
            images(
                "fog", make=lambda n: saved(Image.new("RGB", (SIZE, SIZE), (n * 7 % 256, n * 13 % 256, n * 31 % 256)))
            ),
        ),
        ("class_blank",),
        {"cat": 12, "dog": 12, "fog": 12},
        refused="fog",
        mend=accept("class_blank"),
    ),
    Case(
        "PNG of 16 bits with values of 12",
        lambda: classes(make=lambda n: pictures.deep(n, 4095)),
        ("deep_grey",),
        seen=all_values_are_used,
    ),
    Case(
        "PNG of 16 bits",
        lambda: classes(make=lambda n: pictures.deep(n, 65535)),
        ("deep_grey",),
        seen=all_values_are_used,
    ),
    Case(
        "TIFF of 32-bit integers",
        lambda: classes(make=pictures.whole_numbers, name="{number:03d}.tif"),
        ("deep_grey",),
        seen=all_values_are_used,
    ),
    Case(
        "TIFF of decimal numbers, 0 to 1",
        lambda: classes(make=lambda n: pictures.decimal(n, 0, 1), name="{number:03d}.tif"),
        ("float_values",),
        seen=all_values_are_used,
    ),
    Case(
        "TIFF of decimal numbers, 0 to 4,080",
        lambda: classes(make=lambda n: pictures.decimal(n, 0, 4080), name="{number:03d}.tif"),
        ("float_values",),
        seen=all_values_are_used,
    ),
    Case(
        "TIFF of decimal numbers below 0",
        lambda: classes(make=lambda n: pictures.decimal(n, -1000, -10), name="{number:03d}.tif"),
        ("float_values",),
        seen=all_values_are_used,
    ),
    Case(
        "TIFF of decimal numbers with holes (NaN)",
        lambda: classes(make=lambda n: pictures.decimal(n, 0, 300, hole=True), name="{number:03d}.tif"),
        ("float_values",),
        seen=all_values_are_used,
    ),
    Case(
        "PNG of 16 bits beside PNG of 8",
        lambda: together(
            *(
                images(name, 6, make=lambda n: saved(Image.fromarray(pictures.grey(n))))
                | images(name, 6, make=lambda n: pictures.deep(n, 4095), first=6)
                for name in BOTH
            )
        ),
        ("deep_grey", "mixed_depth"),
        seen=all_values_are_used,
    ),
    Case("PNG of one bit", lambda: classes(make=lambda n: saved(glyph(n).convert("1"))), seen=shapes_are_seen),
    Case("PNG with a palette", lambda: classes(make=lambda n: saved(picture(n).quantize(64))), seen=colours_are_kept),
    Case(
        "JPEG in printing colours",
        lambda: classes(make=lambda n: saved(picture(n).convert("CMYK"), "JPEG", quality=95), name="{number:03d}.jpg"),
        ("cmyk",),
        seen=colours_are_kept,
    ),
    Case(
        "animated GIF",
        lambda: classes(make=lambda n: pictures.frames(n, "GIF"), name="{number:03d}.gif"),
        ("several_frames",),
        seen=shapes_are_seen,
    ),
    Case(
        "animated GIF, black at first, among others",
        lambda: together(
            classes(),
            images(
                "cat",
                2,
                make=lambda n: pictures.frames(n, "GIF", first=Image.new("RGB", (SIZE, SIZE))),
                name="{number:03d}.gif",
            ),
        ),
        ("several_frames", "blank"),
        {"cat": 14, "dog": 12},
    ),
    Case(
        "TIFF of four pages",
        lambda: classes(make=lambda n: pictures.frames(n, "TIFF"), name="{number:03d}.tif"),
        ("several_frames",),
        seen=colours_are_kept,
    ),
    *(
        Case(
            f"JPEG of a turned camera (orientation {value})",
            partial(classes, make=partial(held, value), name="{number:03d}.jpg"),
            ("turned",),
            seen=colours_are_kept,
        )
        for value in (3, 5, 6, 8)
    ),
    *(
        Case(
            f"JPEG, EXIF with {damage}",
            partial(with_notes, notes),
            ("turned",),
            {"cat": 13, "dog": 12},
            seen=partial(odd_one_lies, ORIENTATIONS[6]),
        )
        for damage, notes in pictures.TURNED_ALL_THE_SAME.items()
    ),
    *(
        Case(
            f"JPEG, EXIF with {damage}",
            partial(with_notes, notes),
            ("damaged_exif",),
            {"cat": 13, "dog": 12},
            seen=partial(odd_one_lies, lambda image: image),
        )
        for damage, notes in pictures.DAMAGED_NOTES.items()
    ),
    Case(
        "every damage to EXIF in one folder, and a file that is cut",
        lambda: together(
            classes(name="{number:03d}.jpg", make=pictures.jpeg),
            {
                f"dog/odd{place}.jpg": pictures.camera_jpeg(900 + place, notes)
                for place, notes in enumerate(pictures.ODD_NOTES.values())
            },
            {"dog/half.jpg": cut(pictures.camera_jpeg(999, pictures.orientation(6)), 0.6)},
        ),
        ("damaged_exif", "turned", "unreadable"),
        {"cat": 12, "dog": 12 + len(pictures.ODD_NOTES)},
        refused=r"half\.jpg",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "very small images among others",
        lambda: together(classes(), {f"cat/dot{n}.png": saved(picture(n, (2, 2))) for n in (1, 2)}),
        ("very_small",),
        {"cat": 14, "dog": 12},
    ),
    Case(
        "very large images among others",
        lambda: together(
            classes(make=pictures.jpeg, name="{number:03d}.jpg"),
            {f"cat/large{n}.jpg": saved(picture(n, (5000, 3800)), "JPEG", quality=30) for n in (1,)},
        ),
        ("very_large",),
        {"cat": 13, "dog": 12},
    ),
    Case(
        "images of which no pixel is seen (a decompression bomb)",
        lambda: together(classes(), {"cat/bomb.png": saved(Image.new("1", (9000, 9000)))}),
        ("unreadable",),
        refused=r"bomb\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
]
