"""What folders mean, on disk and packed; which files are images, and that none is lost without a word."""

import io
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tests.data.conftest import READING

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.checks.findings import KINDS, Severity
from vision_studies.data.sources import packed
from vision_studies.data.sources.read import list_source, read_source, source_identity
from vision_studies.data.sources.splitting_words import split_of
from vision_studies.errors import DataError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
LEFT_OUT = ("unknown_format", "loose_files", "beside_splits", "no_label")
"""Findings that name images which are not read."""


SPLITS = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0, "copies": "together", "long_tail": None}


def settings(source, **changes):
    values = {"source": str(source), "image_size": 8, "skip_corrupt": False, **READING, "splits": SPLITS}
    return DataPrepSettings(**(values | {"download_folder": "data", "ffcv": False} | changes))


def picture(number, kind="PNG"):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def pictures(*folders, count=12, suffix=".png", kind="PNG"):
    """Path -> content of so many images in each folder."""
    paths = [f"{folder}/{number}{suffix}" for folder in folders for number in range(count)]
    return {path: picture(zlib.crc32(path.encode()), kind) for path in paths}


PEOPLE = ("ann", "bob", "eve", "joe", "kim")


def put(files, folder):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def zipped(files, file):
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return file


def tarred(files, file):
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz", ".tar": "w"}[file.suffix]
    with tarfile.open(file, mode) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


PACKINGS = {
    "folder": put,
    "zip": lambda files, folder: zipped(files, folder.with_suffix(".zip")),
    "tar": lambda files, folder: tarred(files, folder.with_suffix(".tar")),
    "tar.gz": lambda files, folder: tarred(files, folder.with_suffix(".tar.gz")),
}


def said(source, **changes):
    """The listing, its items, and the names of all findings but those on how few images there are."""
    listing = list_source(str(source), settings(source, **changes))
    findings = {finding.name: finding for finding in listing.findings}
    return listing, [*listing.items()], findings.keys() - {"few_images", "class_missing_in_split"}, findings


LAYOUTS = {
    # what lies there: parameters, findings, classes, images of each split, groups
    "classes": (pictures("cat", "dog"), {}, set(), ["cat", "dog"], {None: 24}),
    "splits": (
        pictures("Training/cat", "Training/dog") | pictures("VALID/cat", "VALID/dog", "eval/dog", count=4),
        {},
        {"split_folders"},
        ["cat", "dog"],
        {"train": 24, "validation": 8, "test": 4},
    ),
    "training and test alone": (
        pictures("train_set/cat", "train_set/dog", "test_set/cat"),
        {},
        {"split_folders"},
        ["cat", "dog"],
        {"train": 24, "test": 12},
    ),
    "two folders of training": (
        pictures("train/cat", "train/dog", "training2/dog", "training2/owl"),
        {},
        {"split_folders"},
        ["cat", "dog", "owl"],
        {"train": 48},
    ),
    "classes of vehicles": (pictures("train", "tram"), {}, set(), ["train", "tram"], {None: 24}),
    "classes of vehicles in folders": (
        pictures("train/steam", "train/electric", "bus/city"),
        {"layout": "class"},
        set(),
        ["bus", "train"],
        {None: 36},
    ),
    "splits in classes": (
        pictures("cat/train", "dog/train") | pictures("cat/test", "dog/test", count=3),
        {},
        {"split_folders"},
        ["cat", "dog"],
        {"train": 24, "test": 6},
    ),
    "a folder around": (pictures("data/pets/cat", "data/pets/dog"), {}, {"outer_folder"}, ["cat", "dog"], {None: 24}),
    "a folder around splits, one in each": (
        pictures("set/seg_train/seg_train/cat", "set/seg_train/seg_train/dog", "set/seg_test/seg_test/dog"),
        {},
        {"outer_folder", "split_folders"},
        ["cat", "dog"],
        {"train": 24, "test": 12},
    ),
    "other folders within classes": (
        pictures("cat/tabby", "cat/siamese/kittens", "dog/poodle", "dog"),
        {},
        set(),
        ["cat", "dog"],
        {None: 48},
    ),
    "one inner folder, called alike": (pictures("a/images", "b/images"), {}, set(), ["a", "b"], {None: 24}),
    "unpacked twice": (
        pictures("cat", "dog", "pets/cat", "pets/dog"),
        {},
        {"unpacked_twice"},
        ["cat", "dog", "pets"],
        {None: 48},
    ),
    "people": (
        pictures("ann/happy", "ann/sad", "bob/happy", "bob/sad"),
        {},
        {"nested_folders"},
        ["ann", "bob"],
        {None: 48},
    ),
    "people in splits": (
        pictures(*(f"train/{name}/{mood}" for name in PEOPLE for mood in ("happy", "sad"))),
        {"layout": "group/class"},
        {"outer_folder"},
        ["happy", "sad"],
        {None: 120},
    ),
    "people in train and test": (
        pictures("train/ann/happy", "train/bob/sad", "train/joe/happy", "train/kim/sad", "test/eve/sad"),
        {"layout": "group/class"},
        {"split_folders"},
        ["happy", "sad"],
        {"train": 48, "test": 12},
    ),
    "people of whom sessions": (
        pictures(*(f"{name}/{day}" for name in PEOPLE for day in ("monday/happy", "friday/sad"))),
        {"layout": "group/class"},
        set(),
        ["happy", "sad"],
        {None: 120},
    ),
    "people within classes": (
        pictures(*(f"{mood}/{name}" for name in PEOPLE for mood in ("happy", "sad"))),
        {"layout": "class/group"},
        set(),
        ["happy", "sad"],
        {None: 120},
    ),
    "beside": (
        pictures("train/cat", "train/dog", "test", "extra/cat"),
        {},
        {"split_folders", "beside_splits"},
        ["cat", "dog"],
        {"train": 24},
    ),
    "spelt otherwise": (
        pictures("train/caf\u00e9", "train/dog", "test/cafe\u0301", "test/Dog"),
        {},
        {"split_folders", "similar_class_names"},
        ["café", "dog"],
        {"train": 24, "test": 24},
    ),
    "similar": (pictures("Cat", "cat", "dog"), {}, {"similar_class_names"}, ["Cat", "cat", "dog"], {None: 36}),
    "litter": (
        pictures("cat", "dog", "__MACOSX/cat", ".ipynb_checkpoints", "cat/.ipynb_checkpoints")
        | {"Thumbs.db": b"x", "cat/desktop.ini": b"x", "dog/._1.png": b"\0\5\x16\7", ".git/HEAD": b"x"},
        {},
        {"system_files"},
        ["cat", "dog"],
        {None: 24},
    ),
    "of any ending": (
        pictures("cat", "dog", suffix="")
        | pictures("cat", suffix=".jpg.tmp", kind="JPEG")
        | pictures("dog", suffix=".jfif", kind="JPEG")
        | pictures("dog", suffix=".JPEG", kind="PNG"),
        {},
        {"no_suffix", "wrong_suffix"},
        ["cat", "dog"],
        {None: 60},
    ),
    "not read": (
        pictures("cat", "dog")
        | {f"cat/{n}.HEIC": HEIC for n in range(3)}
        | {"dog/a.psd": b"8BPS" + bytes(60), "dog/b.mp4": bytes(60), "loose.png": picture(1), "loose.heic": HEIC},
        {},
        {"unknown_format", "loose_files"},
        ["cat", "dog"],
        {None: 24},
    ),
    "a class not read": (
        pictures("cat", "dog") | {f"bird/IMG_{n}.jpg": HEIC for n in range(3)},
        {},
        {"unknown_format", "class_left_out"},
        ["cat", "dog"],
        {None: 24},
    ),
    "other files": (
        pictures("cat", "dog")
        | {"README": b"pets", "cat/1.txt": b"a tabby", "docs/a.pdf": b"%PDF", "cat/0.png.json": b"{}"},
        {},
        {"other_files"},
        ["cat", "dog"],
        {None: 24},
    ),
    "archives beside": (
        pictures("cat", "dog") | {"pets.zip": b"PK\3\4 broken", "images.tar.gz": b"\x1f\x8b\x08\0broken" * 20},
        {},
        {"archive_beside_images"},
        ["cat", "dog"],
        {None: 24},
    ),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_folders_mean_on_disk_and_packed(tmp_path, layout, packing):
    files, parameters, expected, classes, splits = LAYOUTS[layout]
    source = PACKINGS[packing](files, tmp_path / "set")
    before = sorted(tmp_path.rglob("*"))
    listing, items, names, findings = said(source, **parameters)
    assert names == expected
    assert [unicodedata.normalize("NFC", name) for name in listing.class_names] == classes
    assert Counter(item.split for item in items) == splits
    # As many images go in as come out or are named.
    pictures_in = [path for path in files if not path.startswith(("__MACOSX", ".")) and "/." not in path]
    others = {
        path for name in ("other_files", "archive_beside_images") if name in findings for path in findings[name].files
    }
    assert listing.seen == len(items) + sum(len(findings[name].files) for name in LEFT_OUT if name in findings)
    assert listing.seen == len({*pictures_in} - {*others, "Thumbs.db", "cat/desktop.ini"})
    assert len({item.name for item in items}) == len(items)
    assert {item.name for item in items} <= files.keys()
    for item in items:
        assert (item.content if isinstance(item.content, bytes) else item.content.read_bytes()) == files[item.name]
    assert sorted(tmp_path.rglob("*")) == before
    if not any(KINDS[name].severity == Severity.WRONG for name in expected):
        assert len(read_source(settings(source, **parameters)).labels) == len(items)


@pytest.mark.parametrize(
    ("layout", "groups"),
    [
        ("people in splits", dict.fromkeys(PEOPLE, 24)),
        ("people in train and test", dict.fromkeys(PEOPLE, 12)),
        ("people of whom sessions", dict.fromkeys(PEOPLE, 24)),
        ("people within classes", dict.fromkeys(PEOPLE, 24)),
        ("people", {None: 48}),
    ],
)
def test_folders_name_groups_where_it_is_said(tmp_path, layout, groups):
    files, parameters, *_ = LAYOUTS[layout]
    _, items, _, _ = said(put(files, tmp_path), **parameters)
    assert Counter(item.group for item in items) == groups


def test_what_is_wrong_stops_in_one_sentence_that_names_the_parameters(tmp_path):
    source = put(LAYOUTS["people"][0], tmp_path)
    with pytest.raises(DataError) as stopped:
        read_source(settings(source))
    assert "\n" not in str(stopped.value)
    assert "2 folders (ann, bob) hold folders of the same names (happy, sad)" in str(stopped.value)
    assert "group/class where happy is a class and ann a person or place" in str(stopped.value)
    assert "data_prep.accept=[nested_folders]" in str(stopped.value)
    accepted = read_source(settings(source, accept=("nested_folders",)))
    assert accepted.class_names == ("ann", "bob")


def test_a_packed_folder_gives_the_images_of_the_folder(tmp_path):
    files, *_ = LAYOUTS["splits"]
    whole = read_source(settings(put(files, tmp_path / "set")))
    for packing in ("zip", "tar.gz"):
        source = PACKINGS[packing](files, tmp_path / "packed")
        image_set = read_source(settings(source))
        order = image_set.items["name"].map({name: place for place, name in enumerate(whole.items["name"])}).to_numpy()
        np.testing.assert_array_equal(image_set.images, whole.images[order])
        np.testing.assert_array_equal(image_set.labels, whole.labels[order])
        before = source_identity(settings(source))
        with source.open("ab") as opened:
            opened.write(b"\0")
        assert source_identity(settings(source)) != before


def test_few_images_say_what_each_split_gets(tmp_path):
    files = pictures("cat", "dog", count=80) | pictures("owl", count=4)
    _, _, _, findings = said(put(files, tmp_path), splits=SPLITS | {"validation_fraction": 0.1})
    assert findings["few_images"].files == ("owl",)
    assert "'owl' has 3 to learn from, 0 to choose by and 1 to test" in findings["few_images"].message
    assert "moves the accuracy of 'owl' by 100 points" in findings["few_images"].message
    assert findings["class_missing_in_split"].message == (
        "1 class without an image for validation ('owl' with 4 in all)."
    )


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "'owl' has 1 image and training and test need one each at least"),
        (2, "'owl' has 2 images, of which 1 is left, and training and validation need one each at least"),
    ],
)
def test_a_class_that_cannot_be_divided_is_told_before_an_image_is_decoded(tmp_path, count, message):
    files = pictures("cat", "dog", count=20) | pictures("owl", count=count)
    _, _, names, findings = said(put(files, tmp_path))
    assert names == {"cannot_be_split"}
    assert message in findings["cannot_be_split"].message


BROKEN = {
    "cut.zip": lambda file: zipped(pictures("cat", "dog"), file),
    "cut.tar": lambda file: tarred(pictures("cat", "dog"), file),
    "cut.tar.gz": lambda file: tarred(pictures("cat", "dog"), file),
    "cut.tar.xz": lambda file: tarred(pictures("cat", "dog"), file),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_one_sentence(tmp_path, name):
    file = BROKEN[name](tmp_path / name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{name} is damaged or no archive that can be read") as stopped:
        read_source(settings(file))
    assert "\n" not in str(stopped.value)


def test_garbage_within_a_tar_archive_is_noticed(tmp_path):
    file = tarred(pictures("cat", "dog"), tmp_path / "pets.tar")
    content = bytearray(file.read_bytes())
    start = content.index(b"dog/0.png")
    content[start : start + 512] = b"\x07" * 512
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.tar is damaged .*is no header of a file"):
        read_source(settings(file))


def test_one_damaged_member_of_a_zip_archive_is_one_damaged_image(tmp_path):
    files = pictures("cat", "dog")
    file = zipped(files, tmp_path / "pets.zip")
    content = bytearray(file.read_bytes())
    start = content.index(files["cat/0.png"]) + 40
    content[start : start + 8] = bytes(8)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"1 image cannot be read \(cat/0\.png\)"):
        read_source(settings(file))
    assert len(read_source(settings(file, skip_corrupt=True)).labels) == 23


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("path", ["../../out.png", "/etc/out.png", "cat/../../out.png"])
def test_a_path_that_leads_out_of_an_archive_is_refused(tmp_path, pack, path):
    file = pack(pictures("cat", "dog") | {path: picture(1)}, tmp_path / f"pets.{'zip' if pack is zipped else 'tar'}")
    with pytest.raises(DataError, match=r"which leads out of it; pack its folder anew"):
        read_source(settings(file))


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz", "bomb.tar.xz"])
def test_an_archive_that_unpacks_without_end_is_given_up(tmp_path, monkeypatch, name):
    monkeypatch.setattr(packed, "_MOST_UNPACKED_BYTES", 100_000)
    monkeypatch.setattr(packed, "_MOST_UNPACKED_TIMES", 2)
    files = pictures("cat", "dog") | {f"cat/zeros{n}.png": bytes(200_000) for n in range(4)}
    file = tmp_path / name
    if name.endswith("zip"):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
    else:
        tarred(files, file)
    with pytest.raises(DataError, match=r"it unpacks to more than [\d,]+ bytes"):
        read_source(settings(file))


def test_links_devices_and_passwords_in_archives_are_no_content(tmp_path):
    file = tmp_path / "pets.tar"
    with tarfile.open(file, "w") as archive:
        for path, content in pictures("cat", "dog").items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"cat/link{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    with pytest.raises(DataError, match=r"4 images cannot be read"):
        read_source(settings(file))
    locked = zipped(pictures("cat", "dog"), tmp_path / "locked.zip")
    content = bytearray(locked.read_bytes())
    for start in range(len(content) - 10):
        if content[start : start + 4] in (b"PK\1\2", b"PK\3\4"):
            content[start + (8 if content[start + 2] == 1 else 6)] |= 1  # "it needs a password"
    locked.write_bytes(content)
    with pytest.raises(DataError, match=r"locked\.zip is damaged or no archive that can be read .*password"):
        read_source(settings(locked))


def test_images_without_classes_point_to_the_table_beside_them(tmp_path):
    source = put({"1.png": picture(1), "2.png": picture(2), "labels.csv": b"image,label\n1.png,cat\n"}, tmp_path)
    with pytest.raises(DataError, match=r"no folders with images.*where labels\.csv says what they show, name it"):
        read_source(settings(source))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            (name, "train")
            for name in ("train", "TRAIN", "training", "train_images", "trainset", "train2017", "images train")
        ),
        *((name, "validation") for name in ("val", "valid", "Validation", "dev", "val_set")),
        *((name, "test") for name in ("test", "Testing", "eval", "test-data")),
        *(
            (name, None)
            for name in ("trains", "strain", "steam train", "testudo", "value", "trainer", "images", "contest")
        ),
        ("train_test", None),
    ],
)
def test_words_of_splits(name, split):
    assert split_of(name) == split
