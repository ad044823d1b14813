"""Images and labels that do not come as folders: tables, Parquet files and archives."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tests.odd_inputs.case import Case, accept
from tests.odd_inputs.pictures import cut, picture, png
from tests.odd_inputs.trees import (
    CAT_AND_DOG,
    Tree,
    arrays,
    below,
    classes,
    columns,
    commas,
    first_number,
    hub,
    images,
    json_lines,
    others,
    rows,
    tarred,
    together,
    zipped,
)

from vision_studies.data.image_set import ImageSet

TABLE = "labels.csv"
PETS = classes(("cat", "dog"))
CONTENTS = [*PETS.values()]
NUMBERS = [0] * 12 + [1] * 12
GUESSED = ("guessed_columns",)


def table(content: bytes, tree: Tree = PETS, name: str = TABLE) -> Tree:
    """A table beside the images that it names."""
    return {name: content, **tree}


def renamed(name: str) -> Tree:
    """The first image of cats under another name."""
    return {(name if path == "cat/000.png" else path): content for path, content in PETS.items()}


def named(name: str) -> dict[str, Any]:
    """A case of a table with an unusual path, as arguments."""
    return {
        "lies": lambda: table(
            commas([row | {"label": row["image"].split("/")[0]} for row in rows(renamed(f"cat/{name}"))]),
            renamed(f"cat/{name}"),
        ),
        "findings": GUESSED,
        "source": TABLE,
    }


def groups_are(expected: list[str]) -> Callable[[ImageSet], None]:
    """Every image has its group."""

    def seen(image_set: ImageSet) -> None:
        assert image_set.items is not None
        assert image_set.items["group"].tolist() == expected

    return seen


def first_is_cat_zero(image_set: ImageSet) -> None:
    """The labels belong to the images: the first is the first cat."""
    start = first_number("cat")
    expected = np.asarray(picture(start).resize((16, 16), 1), float)
    places = np.abs(image_set.images.astype(float) - expected).mean(axis=(1, 2, 3))
    assert image_set.class_names[image_set.labels[int(places.argmin())]] in ("cat", "0", "1")
    assert image_set.labels[int(places.argmin())] == 0


SPLIT = [*["train"] * 5, *["validation"] * 2, *["test"] * 5] * 2
PEOPLE = [f"p{place % 6}" for place in range(24)]
LABEL_ONE = [row | {"label": 1 + (row["label"] == "dog")} for row in rows(PETS)]

TABLES = [
    Case("CSV of paths and labels", lambda: table(commas(rows(PETS))), GUESSED, source=TABLE, seen=first_is_cat_zero),
    Case(
        "CSV, columns named",
        lambda: table(
            commas([{"id": n, "where": row["image"], "what": row["label"]} for n, row in enumerate(rows(PETS))])
        ),
        source=TABLE,
        parameters={"columns": {"image": "where", "label": "what"}},
    ),
    Case(
        "CSV with a column of splits",
        lambda: table(commas(rows(PETS, split=lambda place, _: SPLIT[place]))),
        GUESSED,
        {"cat": (5, 2, 5), "dog": (5, 2, 5)},
        source=TABLE,
    ),
    Case(
        "CSV with a column of people",
        lambda: table(commas(rows(PETS, person=lambda place, _: PEOPLE[place]))),
        GUESSED,
        source=TABLE,
        parameters={"columns": {"group": "person"}},
        seen=groups_are(PEOPLE),
    ),
    Case(
        "CSV with people who stand in training and in test",
        lambda: table(commas(rows(PETS, split=lambda place, _: SPLIT[place], person=lambda place, _: PEOPLE[place]))),
        ("guessed_columns", "group_across_splits"),
        {"cat": (5, 2, 5), "dog": (5, 2, 5)},
        source=TABLE,
        parameters={"columns": {"group": "person"}},
    ),
    Case("CSV with semicolons", lambda: table(commas(rows(PETS), delimiter=";")), GUESSED, source=TABLE),
    Case("TSV", lambda: table(commas(rows(PETS), delimiter="\t"), name="labels.tsv"), GUESSED, source="labels.tsv"),
    Case(
        "CSV with a mark of its encoding at the beginning (BOM)",
        lambda: table(commas(rows(PETS), encoding="utf-8-sig")),
        GUESSED,
        source=TABLE,
    ),
    Case(
        "CSV in Latin-1",
        lambda: table(
            commas([row | {"label": row["label"].replace("cat", "chat été")} for row in rows(PETS)], encoding="latin-1")
        ),
        counts=None,
        source=TABLE,
        refused="UTF-8",
    ),
    Case("CSV, a comma in a path", **named("a,b.png")),
    Case("CSV, a number sign in a path", **named("#1.png")),
    Case("CSV, quotes in a path", **named('say "a" it\'s.png')),
    Case("CSV, spaces in a path", **named(" a  b .png")),
    Case(
        "CSV, accents in a path that the disk writes otherwise (NFC and NFD)",
        lambda: table(commas(rows(renamed("cat/caf\u00e9.png"))), renamed("cat/cafe\u0301.png")),
        GUESSED,
        source=TABLE,
    ),
    Case(
        "CSV, Windows' slashes in paths",
        lambda: table(commas([row | {"image": row["image"].replace("/", "\\")} for row in rows(PETS)])),
        GUESSED,
        source=TABLE,
    ),
    Case(
        "CSV in a folder of its own",
        lambda: together(
            {f"tables/{TABLE}": commas([row | {"image": f"../{row['image']}"} for row in rows(PETS)])}, PETS
        ),
        GUESSED,
        source=f"tables/{TABLE}",
    ),
    Case(
        "CSV, a file that is not there",
        lambda: table(commas([*rows(PETS), {"image": "cat/gone.png", "label": "cat"}])),
        ("guessed_columns", "unreadable"),
        source=TABLE,
        refused=r"gone\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "CSV, a row without a label",
        lambda: table(
            commas([*rows(PETS), {"image": "cat/odd.png", "label": ""}]), together(PETS, {"cat/odd.png": png(7)})
        ),
        ("guessed_columns", "no_label"),
        source=TABLE,
        refused=r"label",
        mend=accept("no_label"),
        named=1,
    ),
    Case(
        "CSV, labels that begin at 1",
        lambda: table(commas(LABEL_ONE)),
        ("guessed_columns", "labels_from_one"),
        {"1": 12, "2": 12},
        source=TABLE,
        seen=first_is_cat_zero,
    ),
    Case(
        "CSV, an image twice with two labels",
        lambda: table(commas([*rows(PETS), {"image": "cat/000.png", "label": "dog"}])),
        ("guessed_columns", "copies_with_two_labels", "copies"),
        {"cat": 12, "dog": 13},
        source=TABLE,
        refused="000",
        mend=accept("copies_with_two_labels"),
    ),
    Case(
        "CSV, a column that is not there",
        lambda: table(commas(rows(PETS))),
        counts=None,
        source=TABLE,
        parameters={"columns": {"label": "kind"}},
        refused="kind",
    ),
    Case(
        "CSV in which no column looks like paths",
        lambda: table(commas([{"a": 1, "b": 2}, {"a": 3, "b": 4}])),
        counts=None,
        source=TABLE,
        refused="columns",
    ),
    Case("CSV with a head alone", lambda: table(b"image,label\n"), counts=None, source=TABLE, refused=r"labels\.csv"),
    Case("CSV of no bytes", lambda: table(b""), counts=None, source=TABLE, refused=r"labels\.csv"),
    Case("JSON lines", lambda: table(json_lines(rows(PETS)), name="labels.jsonl"), GUESSED, source="labels.jsonl"),
    Case(
        "JSON lines, one of which is cut",
        lambda: table(json_lines(rows(PETS))[:-9], name="labels.jsonl"),
        counts=None,
        source="labels.jsonl",
        refused=r"labels\.jsonl",
    ),
    Case(
        "Parquet of paths and labels",
        lambda: table(columns(rows(PETS)), name="labels.parquet"),
        GUESSED,
        source="labels.parquet",
    ),
    Case(
        "Parquet of bytes and labels",
        lambda: {
            "pets.parquet": columns([{"photo": content, "kind": path.split("/")[0]} for path, content in PETS.items()])
        },
        GUESSED,
        source="pets.parquet",
    ),
    Case(
        "Parquet of bytes with people",
        lambda: {
            "pets.parquet": columns(
                [
                    {"image": content, "label": path.split("/")[0], "patient": PEOPLE[place]}
                    for place, (path, content) in enumerate(PETS.items())
                ]
            )
        },
        GUESSED,
        source="pets.parquet",
        parameters={"columns": {"group": "patient"}},
        seen=groups_are(PEOPLE),
    ),
]


def hub_file(image: str, label: str) -> Tree:
    """A training file of the hub, whose columns have these names."""
    return {"train-0.parquet": hub(CONTENTS, NUMBERS, image=image, label=label)}


HUB = [
    Case(
        "Hugging Face: image and label",
        lambda: {"data/train-00000-of-00001.parquet": hub(CONTENTS, NUMBERS)},
        seen=first_is_cat_zero,
    ),
    *(
        Case(
            f"Hugging Face: {image} and {label}",
            partial(hub_file, image, label),
            seen=first_is_cat_zero,
        )
        for image, label in (("img", "fine_label"), ("image", "labels"), ("img", "label"))
    ),
    Case(
        "Hugging Face: train, validation and test",
        lambda: {
            f"{split}-0.parquet": hub(
                [*images(f"{split}/cat", 6).values(), *images(f"{split}/dog", 6).values()], [0] * 6 + [1] * 6
            )
            for split in ("train", "validation", "test")
        },
        counts={"cat": (6, 6, 6), "dog": (6, 6, 6)},
    ),
    Case(
        "Hugging Face: files that number the classes otherwise",
        lambda: {
            "train-0.parquet": hub(CONTENTS, NUMBERS),
            "test-0.parquet": hub(
                [*images("a", 6).values(), *images("b", 6).values()], [0] * 6 + [1] * 6, ("dog", "cat")
            ),
        },
        ("class_order_differs",),
        {"cat": (-1, -1, 6), "dog": (-1, -1, 6)},
    ),
    Case(
        "Hugging Face: two configurations in a folder",
        lambda: {f"{name}/train-0.parquet": hub(CONTENTS, NUMBERS) for name in ("full", "small")},
        ("several_configurations", "copies"),
        refused="configuration",
        mend={"configuration": "small"},
    ),
    Case(
        "Hugging Face: labels that begin at 1",
        lambda: {"train-0.parquet": hub(CONTENTS, [number + 1 for number in NUMBERS], ())},
        ("labels_from_one",),
        {"1": 12, "2": 12},
    ),
    Case(
        "Hugging Face: labels that are names",
        lambda: {"train-0.parquet": hub(CONTENTS, [CAT_AND_DOG[number] for number in NUMBERS], ())},
    ),
    Case(
        "Hugging Face: a row without a label",
        lambda: {"train-0.parquet": hub([*CONTENTS, png(7)], [*NUMBERS, None])},
        ("no_label",),
        refused="label",
        mend=accept("no_label"),
        named=1,
    ),
    Case(
        "Hugging Face: a label beyond the names",
        lambda: {"train-0.parquet": hub([*CONTENTS, png(7)], [*NUMBERS, 5])},
        counts=None,
        refused="label",
    ),
    Case(
        "Hugging Face: a row without an image",
        lambda: {"train-0.parquet": hub([*CONTENTS, None], [*NUMBERS, 1])},
        ("unreadable",),
        refused=r"train-0\.parquet row 24",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "Hugging Face: a row of half an image",
        lambda: {"train-0.parquet": hub([*CONTENTS, cut(png(7))], [*NUMBERS, 1])},
        ("unreadable",),
        refused=r"train-0\.parquet row 24",
        mend={"skip_corrupt": True},
        named=1,
    ),
    Case(
        "Hugging Face: a file that is cut",
        lambda: {"train-0.parquet": cut(hub(CONTENTS, NUMBERS))},
        counts=None,
        refused=r"train-0\.parquet",
    ),
    Case(
        "Hugging Face: a test file alone",
        lambda: {"test-0.parquet": hub(CONTENTS, NUMBERS)},
        counts=None,
        refused="train",
    ),
]


def packed(name: str, content: bytes, *findings: str, **further: Any) -> Case:
    """An archive as the source."""
    what = further.pop("what", name.split(".", 1)[1])
    return Case(what, lambda: {name: content}, findings, **({"source": name} | further))


def of_arrays(**named: np.ndarray) -> bytes:
    """An npz file with images of cats and dogs under the names that the arguments have."""
    return arrays(**named)


STACK = np.stack([np.asarray(picture(number)) for number in range(24)])

ARCHIVES = [
    packed("pets.zip", zipped(PETS), what="zip archive of folders of classes", seen=first_is_cat_zero),
    packed(
        "pets.zip", zipped(below("pets", PETS)), "outer_folder", what="zip archive with a folder around the classes"
    ),
    packed(
        "pets.zip",
        zipped(together(below("train", PETS), below("test", others()))),
        "split_folders",
        what="zip archive with train/ and test/",
        counts={"cat": (-1, -1, 6), "dog": (-1, -1, 6)},
    ),
    packed(
        "pets.zip",
        zipped(together(PETS, images("__MACOSX/cat", make=lambda n: b"\0\5\x16\7" + bytes(n % 50)))),
        "system_files",
        what="zip archive that macOS has made",
    ),
    packed(
        "pets.zip",
        zipped(together(PETS, {"cat/half.png": cut(png(3))})),
        "unreadable",
        what="zip archive with half an image",
        refused=r"half\.png",
        mend={"skip_corrupt": True},
        named=1,
    ),
    packed(
        "pets.zip",
        zipped(together(PETS, {"../../out.png": png(3)})),
        what="zip archive with a path out of its folder",
        counts=None,
        refused=r"pets\.zip",
    ),
    packed("pets.zip", cut(zipped(PETS)), what="zip archive that is cut", counts=None, refused=r"pets\.zip"),
    packed(
        "pets.zip", b"PK\3\4 but no archive", what="no zip archive, but called so", counts=None, refused=r"pets\.zip"
    ),
    packed("pets.tar", tarred(PETS, ""), what="tar archive", seen=first_is_cat_zero),
    packed("pets.tar.gz", tarred(PETS), what="tar.gz archive", seen=first_is_cat_zero),
    packed(
        "pets.tgz", tarred(below("pets", PETS)), "outer_folder", what="tgz archive with a folder around the classes"
    ),
    packed("pets.tar.xz", tarred(PETS, "xz"), what="tar.xz archive", seen=first_is_cat_zero),
    packed(
        "pets.zip",
        zipped(together(PETS, {"old.zip": zipped(PETS)})),
        "archive_beside_images",
        what="zip archive with another one in it",
    ),
    packed(
        "pets.zip",
        zipped({path.replace("/", "\\"): content for path, content in PETS.items()}),
        what="zip archive with Windows' slashes",
    ),
    packed("pets.tar.gz", cut(tarred(PETS)), what="tar.gz archive that is cut", counts=None, refused=r"pets\.tar\.gz"),
    packed(
        "pets.npz",
        of_arrays(images=STACK[..., 0], labels=np.array(NUMBERS)),
        what="npz file of grey images",
        counts={"0": 12, "1": 12},
    ),
    packed(
        "pets.npz",
        of_arrays(images=STACK, labels=np.array([CAT_AND_DOG[number] for number in NUMBERS])),
        what="npz file of images and names of classes",
        counts=None,
        refused="whole number",
    ),
    packed(
        "pets.npz",
        of_arrays(images=STACK, labels=np.array(NUMBERS)),
        what="npz file of images and labels",
        counts={"0": 12, "1": 12},
    ),
    packed(
        "pets.npz",
        of_arrays(x_train=STACK[:14], y_train=np.arange(14) % 2, x_test=STACK[14:], y_test=np.arange(10) % 2),
        what="npz file with training and test",
        counts={"0": (-1, -1, 5), "1": (-1, -1, 5)},
    ),
    packed(
        "pets.npz",
        of_arrays(images=STACK, labels=np.array(NUMBERS) + 1),
        "labels_from_one",
        what="npz file, labels that begin at 1",
        counts={"1": 12, "2": 12},
    ),
    packed(
        "pets.npz",
        of_arrays(images=STACK, labels=np.array(NUMBERS)[:-1]),
        what="npz file with a label less than images",
        counts=None,
        refused=r"pets\.npz",
    ),
    packed("pets.npz", of_arrays(a=STACK), what="npz file without labels", counts=None, refused=r"pets\.npz"),
    packed(
        "pets.npz",
        of_arrays(images=STACK.astype(object), labels=np.array(NUMBERS)),
        what="npz file of objects",
        counts=None,
        refused=r"pets\.npz",
    ),
    packed(
        "pets.npz",
        cut(of_arrays(images=STACK, labels=np.array(NUMBERS))),
        what="npz file that is cut",
        counts=None,
        refused=r"pets\.npz",
    ),
]

SOURCES = [*TABLES, *HUB, *ARCHIVES]
