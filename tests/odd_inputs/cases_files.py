"""Files that are left out where one looks at their names alone, that are no images, or only half of one."""

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.odd_inputs import pictures
from tests.odd_inputs.case import Case, accept
from tests.odd_inputs.pictures import cut, heic, jpeg, picture, png, saved
from tests.odd_inputs.trees import Tree, below, classes, images, together

SUFFIXES = {
    "avif": "AVIF",
    "bmp": "BMP",
    "gif": "GIF",
    "jpg": "JPEG",
    "jp2": "JPEG2000",
    "png": "PNG",
    "ppm": "PPM",
    "tga": "TGA",
    "tif": "TIFF",
    "webp": "WEBP",
}
"""Ending -> Pillow's name of the format."""

TWO = {"cat": 12, "dog": 12}


def every_format() -> Tree:
    """Two images of each format that is read in either class."""
    return together(
        *(
            images(name, 2, partial(picture_as, kind), name=f"{{number}}.{suffix}", first=2 * place)
            for name in TWO
            for place, (suffix, kind) in enumerate(SUFFIXES.items())
        )
    )


def picture_as(kind: str, number: int) -> bytes:
    """`picture` in a format."""
    return saved(picture(number), kind)


def linked(name: str, target: str) -> Callable[[Path], None]:
    """A link among the files."""

    def make(folder: Path) -> None:
        (folder / name).symlink_to(target)

    return make


def piped(folder: Path) -> None:
    """A pipe among the files, at which a reader would wait without end."""
    os.mkfifo(folder / "cat/pipe.png")


def locked(folder: Path) -> None:
    """A folder that must not be read."""
    (folder / "dog").chmod(0)


FILES = [
    Case("two classes of PNG, with which nothing is wrong", classes),
    Case("every format that is read, in both classes", every_format, counts={"cat": 20, "dog": 20}),
    Case(
        "a class of HEIC alone",
        lambda: together(classes(), images("bird", make=heic, name="IMG_{number}.HEIC")),
        ("class_left_out", "unknown_format"),
        refused="bird",
        mend=accept("class_left_out"),
        named=12,
        only_where=lambda: not heif_is_read(),
    ),
    Case(
        "HEIC among JPEG of the same class",
        lambda: together(classes(), images("dog", 20, heic, name="IMG_{number}.heic")),
        ("unknown_format",),
        named=20,
        only_where=lambda: not heif_is_read(),
    ),
    Case(
        "HEIC that is called .jpg",
        lambda: together(classes(), images("dog", 3, heic, name="IMG_{number}.jpg")),
        ("unknown_format",),
        named=3,
        only_where=lambda: not heif_is_read(),
    ),
    Case(
        "a class of PNG without an ending",
        lambda: together(images("cat"), images("dog", name="{number:03d}")),
        ("no_suffix",),
    ),
    Case(
        "PNG without an ending among others",
        lambda: together(classes(), images("dog", 4, first=50, name="{number:03d}")),
        ("no_suffix",),
        {"cat": 12, "dog": 16},
    ),
    Case(
        "JPEG that is called .png",
        lambda: together(classes(), images("cat", 4, jpeg, first=50), images("dog", 4, jpeg, first=50)),
        ("wrong_suffix",),
        {"cat": 16, "dog": 16},
    ),
    Case(
        "JPEG that is called .JPG, .jpeg, .jfif",
        lambda: together(
            *(
                images(name, 4, jpeg, name=f"{{number}}.{suffix}")
                for name, suffixes in (("cat", ("JPG", "jpeg", "jfif")), ("dog", ("JPEG", "Jpg", "jpe")))
                for suffix in suffixes[:1]
            ),
            *(
                images(name, 4, jpeg, first=10 * place, name=f"{{number}}.{suffix}")
                for name in TWO
                for place, suffix in enumerate(("jpeg", "jfif"), 1)
            ),
        ),
    ),
    Case(
        "JPEG that is called .tmp",
        lambda: together(
            classes(),
            images("dog", 4, jpeg, first=50, name="{number}.jpg.tmp"),
            images("cat", 4, jpeg, first=50, name="{number}.jpg.tmp"),
        ),
        ("wrong_suffix",),
        {"cat": 16, "dog": 16},
    ),
    Case(
        "images beside the folders of classes",
        lambda: together(classes(), {f"loose{n}.png": png(n) for n in range(3)}),
        ("loose_files",),
        named=3,
    ),
    Case(
        "texts and weights beside images",
        lambda: together(
            classes(), {"README.md": b"# Pets\n", "cat/notes.txt": b"a tabby\n", "model.safetensors": bytes(80)}
        ),
        ("other_files",),
    ),
    Case(
        "what macOS, Windows and Jupyter leave",
        lambda: together(
            classes(),
            images("__MACOSX/cat", make=pictures.of_apple_double, name="._{number:03d}.png"),
            {
                "Thumbs.db": bytes(50),
                "cat/desktop.ini": b"x",
                ".DS_Store": bytes(50),
                "cat/._000.png": pictures.of_apple_double(0),
            },
            images(".ipynb_checkpoints", 4),
            images("cat/.ipynb_checkpoints", 4),
        ),
        ("system_files",),
    ),
    Case(
        "a file of no bytes",
        lambda: together(classes(), {"cat/empty.png": b""}),
        ("unreadable",),
        refused=r"empty\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a JPEG that is cut",
        lambda: together(classes(), {"cat/half.jpg": cut(jpeg(1))}),
        ("unreadable",),
        refused=r"half\.jpg",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a PNG that is cut, and is to be left out",
        lambda: together(classes(), {"cat/half.png": cut(png(1))}),
        ("skipped",),
        parameters={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a PNG that is cut",
        lambda: together(classes(), {"cat/half.png": cut(png(1))}),
        ("unreadable",),
        refused=r"half\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a TIFF and a WebP that are cut",
        lambda: together(
            classes(), {"cat/half.tif": cut(saved(picture(1), "TIFF")), "dog/half.webp": cut(saved(picture(1), "WEBP"))}
        ),
        ("unreadable",),
        refused=r"half\.",
        mend={"skip_corrupt": True},
        named=2,
    ),
    Case(
        "a text that is called .png",
        lambda: together(classes(), {"cat/text.png": b"no picture, but a text\n" * 9}),
        ("unreadable",),
        refused=r"text\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a page of the web that is called .jpg",
        lambda: together(classes(), {"dog/page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>"}),
        ("unreadable",),
        refused=r"page\.jpg",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a class of which no file can be read",
        lambda: together(classes(), {f"bird/{n}.png": cut(png(n)) for n in range(12)}),
        ("unreadable", "class_left_out"),
        refused="bird",
        mend={"skip_corrupt": True, **accept("class_left_out")},
        named=12,
    ),
    Case(
        "pictures of formats that are not read (SVG, PSD, camera's own)",
        lambda: together(
            classes(),
            {
                "cat/a.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
                "dog/b.psd": b"8BPS\0\1" + bytes(60),
                "dog/c.CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(60),
            },
        ),
        ("unknown_format",),
        named=3,
    ),
    Case("a link to the folder above", classes, then=linked("cat/again", "..")),
    Case(
        "a link to a file that is not there",
        classes,
        ("unreadable",),
        then=linked("cat/gone.png", "nowhere.png"),
        refused=r"gone\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a class that is a link to a folder elsewhere",
        lambda: together(images("set/cat"), images("elsewhere")),
        source="set",
        then=linked("set/dog", "../elsewhere"),
    ),
    Case(
        "a pipe that is called .png",
        classes,
        ("unreadable",),
        then=piped,
        refused=r"pipe\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "a folder that must not be read",
        classes,
        counts=None,
        then=locked,
        refused="permissions",
        only_where=lambda: os.geteuid() != 0,
    ),
    Case("an empty folder", lambda: {}, counts=None, refused="no folders with images|nothing that can be read"),
    Case("a folder that is not there", lambda: {}, counts=None, source="nowhere", refused="does not exist"),
    Case(
        "images and no folders of classes", lambda: {f"{n}.png": png(n) for n in range(6)}, counts=None, refused="class"
    ),
    Case("one class alone", lambda: images("cat"), counts=None, refused="one class"),
    Case(
        "a single image as the source", lambda: {"cat.png": png(1)}, counts=None, source="cat.png", refused=r"cat\.png"
    ),
    Case(
        "a text as the source",
        lambda: {"notes.txt": b"cats and dogs"},
        counts=None,
        source="notes.txt",
        refused=r"notes\.txt",
    ),
    *(
        Case(
            f"a path with {what}",
            partial(below, name, classes()),
            source=name,
        )
        for what, name in (
            ("a comma", "a,b"),
            ("an equals sign", "a=b"),
            ("a colon", "a:b"),
            ("a number sign", "a#b"),
            ("spaces", "a  b c"),
            ("brackets", "[a]{b}"),
            ("quotes", "a'b\"c"),
            ("accents, decomposed", "cafe\u0301"),
            ("a dash first", "-a"),
        )
    ),
]


def heif_is_read() -> bool:
    """Whether the library is there that reads HEIC."""
    return find_spec("pillow_heif") is not None
