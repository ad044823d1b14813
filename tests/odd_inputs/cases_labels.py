"""Labels, copies, and what else tells classes apart."""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance
from tests.odd_inputs.case import Case, accept
from tests.odd_inputs.pictures import jpeg, picture, png, saved
from tests.odd_inputs.trees import Tree, below, classes, first_number, images, others, together

SCRIPTS = ("圆形", "дом", "قطة", "😀🎉", "café", "日本語")
SIGNS = ("a,b", "#1", "x=y", "-dash", "it's", 'say "a"', "a.b", "50%", "a:b", "new york")

Change = Callable[[Image.Image], bytes]


def few(count: int, of_test: int | None = None) -> Callable[[], Tree]:
    """Two classes of the usual size and one of a few images; with `test/`, which has some of each."""
    three = together(classes(), images("owl", count))
    if of_test is None:
        return lambda: three
    return lambda: together(below("train", three), below("test", together(others(), images("owl", of_test, first=100))))


def again(tree_class: str, change: Change, name: str, *, into: str = "", count: int = 4) -> Tree:
    """The first pictures of a class once more, changed, under another name or in another class."""
    start = first_number(tree_class)
    return {f"{into or tree_class}/{name}{number}.jpg": change(big(start + number)) for number in range(count)}


def big(number: int) -> Image.Image:
    """As a photograph is: large enough that a copy can be changed and still be known."""
    return picture(number, (96, 96))


def photograph(number: int) -> bytes:
    """`big` as a JPEG."""
    return saved(big(number), "JPEG", quality=92)


def originals() -> Tree:
    """Two classes of photographs."""
    return classes(make=photograph, name="{number:03d}.jpg")


def with_copies(change: Change) -> Tree:
    """Photographs with some of them once more, changed."""
    return together(originals(), again("cat", change, "copy"), again("dog", change, "copy"))


CHANGES: dict[str, Change] = {
    "saved anew": lambda image: saved(image, "JPEG", quality=55),
    "resized": lambda image: saved(image.resize((60, 60), Image.Resampling.LANCZOS), "JPEG", quality=90),
    "brightened": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.12), "JPEG", quality=90),
    "cropped": lambda image: saved(image.crop((2, 2, 94, 94)), "JPEG", quality=90),
    "saved in another format": lambda image: saved(image.convert("RGB"), "WEBP", quality=60),
}
"""What people do to a picture that is one all the same."""


def coloured(number: int, tone: int) -> bytes:
    """A picture whose mean colour tells its class."""
    pixels = np.asarray(picture(number), np.float64) * 0.4
    pixels[..., 0] += tone
    return saved(Image.fromarray(pixels.astype(np.uint8)))


LABELS = [
    Case("a class of 1 image", few(1), ("cannot_be_split",), None, refused="owl"),
    Case("a class of 2 images", few(2), ("cannot_be_split",), None, refused="owl"),
    Case("a class of 1 image beside test/", few(1, 2), ("cannot_be_split", "split_folders"), None, refused="owl"),
    Case("a class of 3 images", few(3), ("few_images", "class_missing_in_split"), {"cat": 12, "dog": 12, "owl": 3}),
    *(
        Case(
            f"a class of {count} images beside test/",
            few(count, 2),
            ("few_images", "split_folders", "class_missing_in_split"),
            {"cat": (-1, -1, 6), "dog": (-1, -1, 6), "owl": (-1, -1, 2)},
        )
        for count in (2, 3)
    ),
    *(
        Case(
            f"classes whose names differ in {what} alone",
            partial(classes, (*names, "owl")),
            ("similar_class_names",),
            dict.fromkeys((*names, "owl"), 12),
            refused="name",
            mend=accept("similar_class_names"),
        )
        for what, names in (
            ("case", ("Cat", "cat")),
            ("accents and how they are written (NFC and NFD)", ("caf\u00e9", "cafe\u0301")),
            ("spaces", ("cat", "cat ")),
        )
    ),
    Case("class names of many scripts", lambda: classes(SCRIPTS), counts=dict.fromkeys(SCRIPTS, 12)),
    Case("class names with commas, quotes and other signs", lambda: classes(SIGNS), counts=dict.fromkeys(SIGNS, 12)),
    Case(
        "a class name that would rewrite the terminal",
        lambda: classes(("cat", "\x1b[2Jdog")),
        counts=None,
        refused="cannot be shown",
    ),
    Case("a class name of a space", lambda: classes(("cat", " ")), counts=None, refused="empty"),
    # --- Copies ---
    Case(
        "files that were copied",
        lambda: together(
            classes(), {f"cat/{n:03d} (1).png": content for n, content in enumerate(list(images("cat").values())[:6])}
        ),
        ("copies",),
        {"cat": 18, "dog": 12},
    ),
    Case(
        "equal pictures in other files",
        lambda: together(
            classes(),
            images("cat", 4, lambda n: saved(picture(n), "BMP"), name="{number:03d}.bmp"),
            images("dog", 4, lambda n: saved(picture(n), "BMP"), name="{number:03d}.bmp"),
        ),
        ("copies",),
        {"cat": 16, "dog": 16},
    ),
    Case(
        "copies that are divided like other images",
        lambda: together(
            classes(), {f"cat/{n:03d} (1).png": content for n, content in enumerate(list(images("cat").values())[:6])}
        ),
        ("copies",),
        {"cat": 18, "dog": 12},
        parameters={"splits": {"copies": "apart"}},
    ),
    *(
        Case(
            f"pictures beside themselves, {how}",
            partial(with_copies, change),
            ("near_copies",) + (("wrong_suffix",) if "format" in how else ()),
            {"cat": 16, "dog": 16},
        )
        for how, change in CHANGES.items()
    ),
    Case(
        "a picture in two classes",
        lambda: together(classes(), {"dog/odd.png": images("cat")["cat/003.png"]}),
        ("copies_with_two_labels", "copies"),
        {"cat": 12, "dog": 13},
        refused="003",
        mend=accept("copies_with_two_labels"),
    ),
    Case(
        "a picture in two classes, saved anew",
        lambda: together(originals(), again("cat", CHANGES["saved anew"], "odd", into="dog", count=1)),
        ("copies_disagree", "near_copies"),
        {"cat": 12, "dog": 13},
    ),
    Case(
        "pictures of train/ in test/",
        lambda: together(
            below("train", classes()),
            below("test", others()),
            {
                f"test/cat/copy{n}.png": content
                for n, content in enumerate(list(below("train", images("cat")).values())[:3])
            },
        ),
        ("split_folders", "copies_across_splits", "copies"),
        {"cat": (-1, -1, 9), "dog": (-1, -1, 6)},
        untrained=3,
    ),
    # --- Shortcuts ---
    Case(
        "classes of another size",
        lambda: together(
            images("cat", 20, lambda n: saved(picture(n, (24, 24)))),
            images("dog", 20, lambda n: saved(picture(n, (40, 40)))),
        ),
        ("shortcut",),
        {"cat": 20, "dog": 20},
    ),
    Case(
        "classes of another shape",
        lambda: together(
            images("cat", 20, lambda n: saved(picture(n, (24, 32)))),
            images("dog", 20, lambda n: saved(picture(n, (32, 24)))),
        ),
        ("shortcut",),
        {"cat": 20, "dog": 20},
    ),
    Case(
        "classes of another format",
        lambda: together(images("cat", 20, png), images("dog", 20, jpeg, name="{number:03d}.jpg")),
        ("shortcut",),
        {"cat": 20, "dog": 20},
    ),
    Case(
        "classes that were numbered one after the other",
        lambda: together(images("cat", 20), images("dog", 20, first=20)),
        ("shortcut",),
        {"cat": 20, "dog": 20},
    ),
    Case(
        "classes of another colour",
        lambda: together(images("cat", 20, lambda n: coloured(n, 10)), images("dog", 20, lambda n: coloured(n, 140))),
        ("shortcut",),
        {"cat": 20, "dog": 20},
    ),
]
