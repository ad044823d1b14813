"""Data sets in which many things are wrong at once: no traceback, and no image that is lost without a word.

Every image that was put there is used, or a finding names it or the folder that it lies in; or the preparation stops in a
sentence although all that may be gone on with was accepted.
"""

import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image
from tests.faults.damage import judged
from tests.faults.tally import LOST, Trial
from tests.odd_inputs import pictures
from tests.odd_inputs.examine import LEAVE_OUT, findings_of, prepared, settings
from tests.odd_inputs.pictures import SIZE, cut, heic, jpeg, picture, png, saved
from tests.odd_inputs.trees import Tree, columns, commas, json_lines, put, tarred, zipped

from vision_studies.data.checks.findings import KINDS, Severity

KIND = "odd data set"
COUNT = 200
FORMS = ("folder", "archive", "table")
_MOST_DAMAGES = 5


@dataclass
class Lot:
    """A data set while it is harmed.

    Attributes:
        images: path -> content of what is meant as an image, whole or not; each of them is used or named in the end.
        others: files that are no images.
        labels: path -> label, where it is not the folder.
    """

    images: Tree
    others: Tree = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def some(self, chance: random.Random, most: int = 4) -> list[str]:
        """A few images."""
        return chance.sample(sorted(self.images), min(chance.randint(1, most), len(self.images)))

    def move(self, path: str, to: str) -> None:
        """Another name for an image, unless there is one of that name."""
        if to not in self.images:
            self.images[to] = self.images.pop(path)


Harm = Callable[[Lot, random.Random], None]


def _contents(make: Callable[[int], bytes]) -> Harm:
    """Other content under the same names."""

    def harm(lot: Lot, chance: random.Random) -> None:
        for path in lot.some(chance):
            lot.images[path] = make(chance.randrange(10**6))

    return harm


def _names(change: Callable[[str], str]) -> Harm:
    """The same content under other names."""

    def harm(lot: Lot, chance: random.Random) -> None:
        for path in lot.some(chance):
            lot.move(path, change(path))

    return harm


def _folders(change: Callable[[str], str], whole: bool = False) -> Harm:
    """Other names of a class, or of all."""

    def harm(lot: Lot, chance: random.Random) -> None:
        chosen = (
            None
            if whole
            else chance.choice(sorted({path.rsplit("/", 1)[0] for path in lot.images if "/" in path} or {""}))
        )
        for path in sorted(lot.images):
            if "/" in path and (whole or path.rsplit("/", 1)[0] == chosen):
                lot.move(path, change(path))

    return harm


def _halves(lot: Lot, chance: random.Random) -> None:
    for path in lot.some(chance):
        lot.images[path] = cut(lot.images[path], chance.random())


def _changed_bytes(lot: Lot, chance: random.Random) -> None:
    for path in lot.some(chance):
        content = bytearray(lot.images[path])
        for _ in range(min(3, len(content))):
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        lot.images[path] = bytes(content)


def _copies(lot: Lot, chance: random.Random) -> None:
    for path in lot.some(chance):
        lot.images[f"{path.rpartition('.')[0]} (1).{path.rpartition('.')[2]}"] = lot.images[path]


def _copies_elsewhere(lot: Lot, chance: random.Random) -> None:
    folders = sorted({path.rpartition("/")[0] for path in lot.images})
    for path in lot.some(chance):
        lot.images[f"{chance.choice(folders)}/copy of {path.rpartition('/')[2]}".lstrip("/")] = lot.images[path]


def _class_of(count: int, make: Callable[[int], bytes], suffix: str) -> Harm:
    """Another class."""

    def harm(lot: Lot, chance: random.Random) -> None:
        first = chance.randrange(10**6)
        lot.images |= {f"eel/{number}.{suffix}": make(first + number) for number in range(count)}

    return harm


def _left_by_programs(lot: Lot, chance: random.Random) -> None:
    lot.others |= {"Thumbs.db": bytes(20), "__MACOSX/cat/._1.png": pictures.of_apple_double(1), ".DS_Store": b"x"}


def _texts(lot: Lot, chance: random.Random) -> None:
    lot.others |= {"README.txt": b"Pets", f"{chance.choice(('cat', 'dog'))}/notes.md": b"# Cats"}


def _archive_beside(lot: Lot, chance: random.Random) -> None:
    lot.others["all.zip"] = zipped(lot.images) if chance.random() < 0.5 else b"PK\3\4 half an archive"


def _blank(number: int) -> bytes:
    return saved(Image.new("RGB", (SIZE, SIZE), (number % 256, 90, 90)))


DAMAGES: dict[str, Harm] = {
    "files cut": _halves,
    "bytes changed": _changed_bytes,
    "files of no bytes": _contents(lambda number: b""),
    "texts": _contents(lambda number: f"no picture {number}".encode()),
    "HEIC": _contents(heic),
    "transparent": _contents(lambda number: saved(pictures.drawn(0, number))),
    "white and transparent": _contents(lambda number: saved(pictures.drawn(255, number))),
    "palettes": _contents(pictures.palette_glyph),
    "16 bits": _contents(lambda number: pictures.deep(number, 4095)),
    "decimal numbers": _contents(lambda number: pictures.decimal(number, -1, 900, hole=True)),
    "printing colours": _contents(lambda number: saved(picture(number).convert("CMYK"), "JPEG")),
    "animations": _contents(lambda number: pictures.frames(number, "GIF")),
    "damaged EXIF": _contents(
        lambda number: pictures.camera_jpeg(number, [*pictures.ODD_NOTES.values()][number % len(pictures.ODD_NOTES)])
    ),
    "turned cameras": _contents(lambda number: pictures.camera_jpeg(number, pictures.orientation(1 + number % 8))),
    "blank": _contents(_blank),
    "tiny": _contents(lambda number: saved(picture(number, (1 + number % 3, 1)))),
    "another size": _contents(lambda number: saved(picture(number, (20 + number % 50, 30)))),
    "JPEG": _contents(jpeg),
    "no ending": _names(lambda path: path.rpartition(".")[0] or path),
    "wrong endings": _names(lambda path: f"{path.rpartition('.')[0]}.bmp"),
    "unknown endings": _names(lambda path: f"{path}.part"),
    "endings in capitals": _names(lambda path: f"{path.rpartition('.')[0]}.PNG"),
    "commas, quotes and number signs": _names(
        lambda path: f"{path.rpartition('/')[0]}/#a, \"b\" 'c' = {path.rpartition('/')[2]}".lstrip("/")
    ),
    "accents": _names(lambda path: f"{path.rpartition('/')[0]}/cafe\u0301 {path.rpartition('/')[2]}".lstrip("/")),
    "copies": _copies,
    "copies elsewhere": _copies_elsewhere,
    "a class of one image": _class_of(1, png, "png"),
    "a class of HEIC": _class_of(4, heic, "heic"),
    "a class of blank images": _class_of(8, _blank, "png"),
    "a class of halves": _class_of(4, lambda number: cut(png(number)), "png"),
    "what programs leave": _left_by_programs,
    "texts beside": _texts,
}
"""What may be wrong, wherever images lie -> does it."""

OF_FOLDERS: dict[str, Harm] = {
    "loose images": _names(lambda path: path.rpartition("/")[2]),
    "deeper images": _names(lambda path: f"{path.rpartition('/')[0]}/deeper/{path.rpartition('/')[2]}".lstrip("/")),
    "a class in capitals": _folders(str.upper),
    "a class with a space": _folders(lambda path: path.replace("/", " /", 1)),
    "hidden images": _names(lambda path: f"{path.rpartition('/')[0]}/.{path.rpartition('/')[2]}".lstrip("/")),
    "a folder around": _folders(lambda path: f"pets/{path}", whole=True),
    "a class twice, deeper": _folders(lambda path: f"pets/{path}"),
    "an archive beside": _archive_beside,
}
"""What may be wrong with folders, packed or not."""


def _rows_without_label(lot: Lot, chance: random.Random) -> None:
    lot.labels |= dict.fromkeys(lot.some(chance), "")


def _wrong_labels(lot: Lot, chance: random.Random) -> None:
    lot.labels |= dict.fromkeys(lot.some(chance), chance.choice(("cat", "dog", "Dog", "owl")))


def _without_file(lot: Lot, chance: random.Random) -> None:
    for path in lot.some(chance):
        lot.images[path] = _GONE  # the row stays, and names what is not there


_GONE = b"gone"

OF_TABLES: dict[str, Harm] = {
    "rows without a label": _rows_without_label,
    "labels of another class": _wrong_labels,
    "rows without a file": _without_file,
}
"""What may be wrong with a table."""


def odd_sets(folder: Path, canary: Path, numbers: Iterable[int] = range(COUNT)) -> Iterator[Trial]:
    """Harm a data set in several ways at once, and prepare it.

    Args:
        folder: one to work in, emptied for each.
        canary: a path where nothing is.
        numbers: which combinations; each number is always the same.
    """
    for number in numbers:
        shutil.rmtree(folder, ignore_errors=True)
        form = FORMS[number % len(FORMS)]
        chance = random.Random(f"{KIND} {number}")  # noqa: S311 - drawn anew alike, not secret
        lot, names = _harmed(form, chance)
        source, images = _put(lot, form, folder, chance)
        lost: list[str] = []

        def read(source: Path = source, images: set[str] = images, lost: list[str] = lost) -> list[str]:
            lost += _lost(source, images)
            return lost

        trial = judged(KIND, form, f"{number}: {', '.join(names)}", read, expected=[], guarded=True, canary=canary)
        yield replace(trial, told=f"lost without a word: {lost}") if lost and trial.outcome == LOST else trial


def _harmed(form: str, chance: random.Random) -> tuple[Lot, list[str]]:
    """A data set, and what was done to it."""
    first = chance.randrange(10**6)
    classes = ("cat", "dog", "owl")[: chance.choice((2, 3))]
    count = chance.randint(8, 14)
    lot = Lot(
        {
            f"{name}/{number:02d}.png": png(first + 100 * place + number)
            for place, name in enumerate(classes)
            for number in range(count)
        }
    )
    if form != "table" and chance.random() < 0.3:
        spelling = chance.choice(
            (("train", "test"), ("Train", "Validation"), ("training", "testing"), ("TRAIN", "val"))
        )
        lot.images = {
            f"{spelling[place % 4 == 0]}/{path}": content for place, (path, content) in enumerate(lot.images.items())
        }
    possible = DAMAGES | (OF_TABLES if form == "table" else OF_FOLDERS)
    names = chance.sample(sorted(possible), chance.randint(1, _MOST_DAMAGES))
    for name in names:
        possible[name](lot, chance)
    return lot, names


def _put(lot: Lot, form: str, folder: Path, chance: random.Random) -> tuple[Path, set[str]]:
    """The source, and the names of all images in it."""
    if form == "folder":
        return put(lot.images | lot.others, folder / "pets"), {*lot.images}
    if form == "archive":
        suffix, pack = chance.choice(
            (("zip", zipped), ("tar", lambda tree: tarred(tree, "")), ("tar.gz", tarred), ("tgz", tarred))
        )
        put({f"pets.{suffix}": pack(lot.images | lot.others)}, folder)
        return folder / f"pets.{suffix}", {*lot.images}
    table = [{"image": path, "label": lot.labels.get(path, path.split("/")[0])} for path in lot.images]
    chance.shuffle(table)
    if chance.random() < 0.25:  # images and labels in one file
        contents = [{"image": lot.images[row["image"]], "label": row["label"]} for row in table]
        put({"pets.parquet": columns(contents)}, folder)
        return folder / "pets.parquet", {f"pets.parquet row {number}" for number in range(len(table))}
    suffix, write = chance.choice((("csv", commas), ("jsonl", json_lines), ("parquet", columns)))
    put({path: content for path, content in lot.images.items() if content != _GONE} | lot.others, folder / "pets")
    put({f"labels.{suffix}": write(table)}, folder / "pets")
    return folder / f"pets/labels.{suffix}", {*lot.images}


_ACCEPTED = {
    "accept": tuple(name for name, kind in KINDS.items() if kind.severity == Severity.WRONG),
    "skip_corrupt": True,
}
_NO_IMAGES = {"class_left_out", "other_files", "system_files"}
"""Further findings that name what is not used: folders, classes, and what may be meant as an image and is none."""


def _lost(source: Path, images: set[str]) -> list[str]:
    """Images that are neither used nor named as left out, or both; and names that were used and nobody put there."""
    chosen = settings(source, **_ACCEPTED)
    left_out = {
        file.rstrip("/") for one in findings_of(chosen) if one.name in LEAVE_OUT | _NO_IMAGES for file in one.files
    }
    image_set, _ = prepared(chosen)
    assert image_set.items is not None
    used = image_set.items["name"].map(_of_row)
    assert used.is_unique
    return sorted({path for path in images if (path in {*used}) == _is_named(path, left_out)} | ({*used} - images))


def _of_row(name: str) -> str:
    """The image that a row of a table names."""
    return name.rpartition(" (row ")[0] or name


def _is_named(path: str, named: set[str]) -> bool:
    """Whether a finding names an image, a row with it, or a folder that it lies in."""
    rows = {_of_row(name) for name in named}
    return path in rows or any(str(parent) in named for parent in Path(path).parents if parent != Path())
