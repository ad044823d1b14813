"""Tables, Parquet files and arrays: which columns are taken, which labels, and that no row is lost without a word."""

import csv
import io
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.test_layouts import picture, pictures, put, settings

from vision_studies.data.sources.read import list_source, read_source, source_identity
from vision_studies.data.splits import make_splits
from vision_studies.errors import DataError

FILES = pictures("cat", "dog")
PATHS = [*FILES]
LABELS = [path.split("/")[0] for path in PATHS]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ENOUGH = {"validation_fraction": 0.25, "test_fraction": 0.25, "seed": 0, "copies": "together", "long_tail": None}


def columns(image="image", label="label", **more):
    return {image: PATHS, label: LABELS} | more


def as_rows(table):
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def commas(table, delimiter=","):
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, [*table], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(as_rows(table))
    return buffer.getvalue().encode()


def json_lines(table):
    return "".join(json.dumps(row) + "\n" for row in as_rows(table)).encode()


def parquet(table, names=None, label="label"):
    buffer = io.BytesIO()
    written = pa.table(table)
    if names:
        features = {label: {"names": list(names), "_type": "ClassLabel"}}
        written = written.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(written, buffer)
    return buffer.getvalue()


def hub(count=12, labels=(0, 1), names=("cat", "dog"), image="image", label="label", **more):
    """A file of the hub with so many images of each label."""
    contents = [
        {"bytes": picture(1000 + 100 * value + number), "path": None} for value in labels for number in range(count)
    ]
    own = {image: pa.array(contents, STRUCT), label: [value for value in labels for _ in range(count)]}
    return parquet(own | more, names, label)


WRITERS = {
    "pets.csv": commas,
    "pets.tsv": lambda table: commas(table, "\t"),
    "pets.jsonl": json_lines,
    "pets.parquet": parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_tables_of_every_kind_give_the_same_images(tmp_path, name):
    people = [f"p{place // 3}" for place in range(24)]
    splits = ["Train", "train", "", "VAL", "test", "test"] * 4
    table = columns(split=splits, patient=people, age=[str(place) for place in range(24)])
    put(FILES | {name: WRITERS[name](table)}, tmp_path)
    listing = list_source(str(tmp_path / name), settings(tmp_path / name))
    items = [*listing.items()]
    assert listing.class_names == ("cat", "dog")
    assert [item.name for item in items] == PATHS
    assert [listing.class_names[item.label] for item in items] == LABELS
    assert [item.group for item in items] == people
    assert [item.split for item in items] == ["train", "train", None, "validation", "test", "test"] * 4
    assert [item.extra["age"] for item in items] == table["age"]
    assert listing.seen == 24
    image_set = read_source(settings(tmp_path / name))
    assert image_set.items["age"].tolist() == table["age"]
    assert image_set.items["copies"].tolist() == [-1] * 24
    divided = make_splits(image_set, settings(tmp_path / name).splits)
    assert (len(divided.train), len(divided.validation), len(divided.test)) == (12, 4, 8)
    findings = {finding.name: finding.message for finding in listing.findings}
    assert "'image' as image, 'label' as label, 'split' as split, 'patient' as group" in findings["guessed_columns"]
    assert "group_across_splits" in findings


GUESSED = [
    (columns(), {}, ("image", "label", None, None)),
    (columns("File Name", "Class"), {}, ("File Name", "Class", None, None)),
    (columns("where", "what"), {}, ("where", "what", None, None)),
    (columns("where", "what"), {"image": "where", "label": "what"}, ()),
    (columns(id=[str(n) for n in range(24)]), {}, ("image", "label", None, None)),
    (columns(subset=["train", "test"] * 12), {}, ("image", "label", "subset", None)),
    (columns(fold=["1", "2"] * 12), {}, ("image", "label", None, None)),
    (columns(place=["a", "b", "c"] * 8), {"group": "place"}, ("image", "label", None)),
    (columns(coarse_label=["pet"] * 24), {}, ("image", "label", None, None)),
    ({"image": PATHS, "coarse_label": LABELS}, {}, ("image", "coarse_label", None, None)),
    ({"image": PATHS, "coarse_label": ["pet"] * 24, "fine_label": LABELS}, {}, ("image", "fine_label", None, None)),
]


@pytest.mark.parametrize(("table", "asked", "taken"), GUESSED)
def test_columns_are_recognised_and_announced(tmp_path, table, asked, taken):
    put(FILES | {"t.csv": commas(table)}, tmp_path)
    named = {"image": None, "label": None, "split": None, "group": None} | asked
    listing = list_source(str(tmp_path / "t.csv"), settings(tmp_path / "t.csv", columns=named, splits=ENOUGH))
    told = "".join(finding.message for finding in listing.findings if finding.name == "guessed_columns")
    roles = ("image", "label", "split", "group")
    expected = ", ".join(f"'{name}' as {role}" for name, role in zip(taken, roles, strict=False) if name)
    assert told == (f"Columns were taken as they are called: {expected}." if taken else "")
    assert len([*listing.items()]) == 24


REFUSED = {
    "two images": (commas(columns(path=PATHS)), {}, r"what is the image could be any of 'image', 'path'; name it with"),
    "two labels": (
        commas(columns(category=LABELS)),
        {},
        r"what is the label could be any of 'label', 'category'; name it",
    ),
    "two groups": (
        commas(columns(site=LABELS, patient=LABELS)),
        {},
        r"what is the group could be any of 'site', 'patient'",
    ),
    "no image": (commas({"a": ["1", "2"], "b": ["x", "x"]}), {}, r"what is the image is none of its columns, 'a', 'b'"),
    "no label": (
        commas({"image": PATHS, "age": [str(n) for n in range(24)]}),
        {},
        r"what is the label is none of its col",
    ),
    "not there": (
        commas(columns()),
        {"label": "lable"},
        r"no column 'lable', which .*columns\.label names\. Did you mean 'label'",
    ),
    "a word": (
        commas(columns(part=["train", "spare"] * 12)),
        {"split": "part"},
        r"has 'spare' in its column 'part', which is",
    ),
    "addresses": (
        commas({"image": ["https://example.org/1.png", "b.png"], "label": ["a", "b"]}),
        {},
        r"names addresses such as 'https://example\.org/1\.png'; fetch the images",
    ),
    "all missing": (
        commas({"image": ["x/1.png", "x/2.png"], "label": ["a", "b"]}),
        {},
        r"None of the 2 files that .*t\.csv names is there \('x/1\.png'\); paths are relative to the folder",
    ),
    "latin": ("image,label\nä.png,a\n".encode("latin-1"), {}, r"t\.csv is no text in UTF-8"),
    "ragged": (
        b"image,label\ncat/0.png,cat,dog\n",
        {},
        r"3 values in line 2 for 2 columns; put values with a ',' in quot",
    ),
    "quotes": (b'image,label\n"cat/0.png,cat\n', {}, r"t\.csv is no table that can be read"),
    "twice": (b"image,label,label\na,b,c\n", {}, r"has the column 'label' more than once"),
    "no rows": (b"image,label\n", {}, r"t\.csv has no rows"),
    "nothing": (b"", {}, r"t\.csv has no rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_cannot_be_read_are_one_sentence(tmp_path, case):
    content, asked, message = REFUSED[case]
    put(FILES | {"t.csv": content}, tmp_path)
    named = {"image": None, "label": None, "split": None, "group": None} | asked
    with pytest.raises(DataError, match=message) as refused:
        read_source(settings(tmp_path / "t.csv", columns=named))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "line", ["[1, 2]", '{"image": "cat/0.png", "label": "cat"', "plain words"], ids=["list", "cut", "words"]
)
def test_a_line_that_is_no_object_is_named(tmp_path, line):
    put(FILES | {"t.jsonl": json_lines(columns()) + line.encode()}, tmp_path)
    with pytest.raises(DataError, match=r"t\.jsonl has (no JSON|a list) in line 25"):
        read_source(settings(tmp_path / "t.jsonl"))


@pytest.mark.parametrize(
    ("lies", "written"),
    [
        *(
            (name, name)
            for name in ("a,b.png", "#1.png", 'say "a" it\'s.png', " a  b .png", "x=y.png", "é.png", "50%.png")
        ),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("folder/1.png", "folder\\1.png"),
        ("../outside/1.png", "../outside/1.png"),
    ],
)
def test_paths_with_signs_that_mean_something_elsewhere(tmp_path, lies, written):
    put(FILES | {lies: picture(77)}, tmp_path / "set")
    table = {"image": [*PATHS, written], "label": [*LABELS, "cat"]}
    put({"t.csv": commas(table)}, tmp_path / "set")
    listing = list_source(str(tmp_path / "set/t.csv"), settings(tmp_path / "set/t.csv"))
    *_, last = listing.items()
    assert last.name == written
    assert last.content.read_bytes() == picture(77)


def test_files_that_are_not_there_are_named_and_images_without_a_label_too(tmp_path):
    table = {"image": [*PATHS, "cat/gone.png", "dog/1.png"], "label": [*LABELS, "cat", " "]}
    put(FILES | {"t.csv": commas(table)}, tmp_path)
    with pytest.raises(DataError, match=r"1 image without a label \(dog/1\.png \(row 25\)\).*accept=\[no_label\]"):
        read_source(settings(tmp_path / "t.csv"))
    accepted = settings(tmp_path / "t.csv", accept=("no_label",))
    listing = list_source(accepted.source, accepted)
    assert listing.seen == 26 == len([*listing.items()]) + 1
    with pytest.raises(DataError, match=r"1 image cannot be read \(cat/gone\.png\)"):
        read_source(accepted)
    assert len(read_source(accepted.model_copy(update={"skip_corrupt": True})).labels) == 24


@pytest.mark.parametrize(
    ("labels", "names", "from_one"),
    [
        (["0", "1"], ("0", "1"), False),
        (["1", "2"], ("1", "2"), True),
        (["10", "9"], ("9", "10"), False),
        (["b", "a"], ("a", "b"), False),
        (["1", "a"], ("1", "a"), False),
    ],
)
@pytest.mark.parametrize("write", [commas, json_lines])
def test_labels_of_numbers_and_names(tmp_path, labels, names, from_one, write):
    file = "t.csv" if write is commas else "t.jsonl"
    put(FILES | {file: write(columns() | {"label": [labels[place % 2] for place in range(24)]})}, tmp_path)
    listing = list_source(str(tmp_path / file), settings(tmp_path / file))
    assert listing.class_names == names
    assert [names[item.label] for item in listing.items()] == [labels[place % 2] for place in range(24)]
    assert ("labels_from_one" in {finding.name for finding in listing.findings}) == from_one


def test_the_identity_of_a_table_follows_its_images(tmp_path):
    put(FILES | {"t.csv": commas(columns())}, tmp_path)
    before = source_identity(settings(tmp_path / "t.csv"))
    put({"cat/0.png": picture(5) + b"more"}, tmp_path)
    assert source_identity(settings(tmp_path / "t.csv")) != before


HUBS = {
    # files: parameters, findings, class names, images of each split and class
    "train alone": ({"train-0.parquet": hub()}, {}, set(), {(None, "cat"): 12, (None, "dog"): 12}),
    "three splits": (
        {f"data/{name}-0.parquet": hub(4) for name in ("train", "validation", "test")},
        {},
        set(),
        {(split, name): 4 for split in ("train", "validation", "test") for name in ("cat", "dog")},
    ),
    "val": (
        {f"{name}.parquet": hub(6) for name in ("train", "val")},
        {},
        set(),
        {(split, name): 6 for split in ("train", "validation") for name in ("cat", "dog")},
    ),
    "labels": ({"train.parquet": hub(image="img", label="labels")}, {}, set(), {(None, "cat"): 12, (None, "dog"): 12}),
    "coarse and fine": (
        {"train.parquet": hub(label="fine_label", coarse_label=[0] * 24)},
        {},
        set(),
        {(None, "cat"): 12, (None, "dog"): 12},
    ),
    "coarse alone": ({"train.parquet": hub(label="coarse_label")}, {}, set(), {(None, "cat"): 12, (None, "dog"): 12}),
    "another order": (
        {"train.parquet": hub(), "test.parquet": hub(4, names=("dog", "cat"))},
        {},
        {"class_order_differs"},
        {("train", "cat"): 12, ("train", "dog"): 12, ("test", "cat"): 4, ("test", "dog"): 4},
    ),
    "from one": (
        {"train.parquet": hub(labels=(1, 2), names=None)},
        {},
        {"labels_from_one"},
        {(None, "1"): 12, (None, "2"): 12},
    ),
    "names": (
        {"train.parquet": parquet({"image": [*FILES.values()], "label": LABELS})},
        {},
        set(),
        {(None, "cat"): 12, (None, "dog"): 12},
    ),
    "paths": (
        {"train.parquet": parquet({"image": PATHS, "label": LABELS})} | FILES,
        {},
        set(),
        {(None, "cat"): 12, (None, "dog"): 12},
    ),
    "one configuration chosen": (
        {f"{name}/train-0.parquet": hub(number) for name, number in (("full", 12), ("small", 8))},
        {"configuration": "small"},
        set(),
        {(None, "cat"): 8, (None, "dog"): 8},
    ),
    "two configurations": (
        {f"{name}/train/0000.parquet": hub(number) for name, number in (("full", 12), ("small", 8))},
        {},
        {"several_configurations"},
        {(None, "cat"): 20, (None, "dog"): 20},
    ),
    "called after no split": ({"pets.parquet": hub()}, {}, set(), {(None, "cat"): 12, (None, "dog"): 12}),
    "another file beside": (
        {"train.parquet": hub(), "unsupervised.parquet": hub()},
        {},
        {"beside_splits"},
        {(None, "cat"): 12, (None, "dog"): 12},
    ),
    "no labels for test": (
        {"train.parquet": hub(), "test.parquet": hub(3, labels=(-1,))},
        {},
        {"no_label"},
        {("train", "cat"): 12, ("train", "dog"): 12},
    ),
}


@pytest.mark.parametrize("case", HUBS)
def test_parquet_files_of_the_hub(tmp_path, case):
    files, parameters, expected, counts = HUBS[case]
    source = put(files, tmp_path / "set")
    listing = list_source(str(source), settings(source, splits=ENOUGH, **parameters))
    items = [*listing.items()]
    assert {finding.name for finding in listing.findings} - {"few_images", "class_missing_in_split"} == expected
    assert Counter((item.split, listing.class_names[item.label]) for item in items) == counts
    named = sum(len(finding.files) for finding in listing.findings if finding.name == "no_label")
    assert listing.seen == len(items) + named
    assert listing.published == any("test" in name for name in files)
    assert len({item.name for item in items}) == len(items)


@pytest.mark.parametrize(
    ("files", "parameters", "message"),
    [
        (HUBS["two configurations"][0], {}, r"Set data_prep\.configuration to one of them, for example to full"),
        (HUBS["two configurations"][0], {"configuration": "smal"}, r"no configuration 'smal'.*Did you mean 'small'\?"),
        ({"test.parquet": hub()}, {}, r"none whose name begins with 'train'"),
        (
            {"train.parquet": hub(), "test.parquet": hub(names=("dog", "cow"))},
            {},
            r"has the class 'cow', which .*train",
        ),
        ({"train.parquet": parquet({"image": PATHS, "label": [0.5] * 24}), **FILES}, {}, r"0\.5 in its column 'label'"),
        ({"train.parquet": hub(labels=(-3, 0), names=None)}, {}, r"has the label -3; number the classes from 0"),
    ],
)
def test_parquet_files_that_cannot_be_read_are_one_sentence(tmp_path, files, parameters, message):
    source = put(files, tmp_path / "set")
    with pytest.raises(DataError, match=message) as refused:
        read_source(settings(source, **parameters))
    assert "\n" not in str(refused.value)


STACK = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
NUMBERS = np.arange(24) % 2


def saved(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def one(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


ARRAYS = {
    "whole": ({"a.npz": saved(images=STACK, labels=NUMBERS)}, ("0", "1"), {}),
    "grey": ({"a.npz": saved(x=STACK[..., 0], y=NUMBERS[:, None])}, ("0", "1"), {}),
    "channels first": ({"a.npz": saved(images=STACK.transpose(0, 3, 1, 2), labels=NUMBERS)}, ("0", "1"), {}),
    "int64": ({"a.npz": saved(images=STACK.astype(np.int64), labels=NUMBERS)}, ("0", "1"), {}),
    "from one": ({"a.npz": saved(images=STACK, labels=NUMBERS + 1)}, ("1", "2"), {}),
    "npy": ({"a.npy": one(STACK), "a_labels.npy": one(NUMBERS)}, ("0", "1"), {}),
    "parts": (
        {"a.npz": saved(x_train=STACK[:16], y_train=NUMBERS[:16], x_test=STACK[16:], y_test=NUMBERS[16:])},
        ("0", "1"),
        {"test": 8},
    ),
    "three parts": (
        {
            "a.npz": saved(
                train_images=STACK[:12], train_labels=NUMBERS[:12], val_images=STACK[12:16], val_labels=NUMBERS[12:16],
                test_images=STACK[16:], test_labels=NUMBERS[16:],
            )
        },
        ("0", "1"),
        {"validation": 4, "test": 8},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_of_images_and_labels(tmp_path, case):
    files, names, splits = ARRAYS[case]
    source = put(files, tmp_path) / next(iter(files))
    image_set = read_source(settings(source, image_size=None))
    np.testing.assert_array_equal(image_set.images, STACK[..., :1] if case == "grey" else STACK)
    assert image_set.labels.tolist() == NUMBERS.tolist()
    assert image_set.class_names == names
    divided = make_splits(image_set, settings(source).splits)
    for split, count in splits.items():
        assert len(getattr(divided, split)) == count
    found = list_source(str(source), settings(source))
    assert [finding.name for finding in found.findings] == [
        *(["labels_from_one"] if case == "from one" else []),
        "few_images",
    ]


def test_copies_in_arrays_are_told_and_stand_on_one_side(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), np.uint8)
    images[1::2] = images[::2]
    labels = np.arange(60) // 2 % 2
    source = put({"a.npz": saved(images=images, labels=labels)}, tmp_path) / "a.npz"
    image_set = read_source(settings(source, image_size=None))
    assert "copies" in [finding["name"] for finding in image_set.check["findings"]]
    divided = make_splits(image_set, settings(source).splits)
    sides = [{place // 2 for place in part.tolist()} for part in (divided.train, divided.validation, divided.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 30
    put({"b.npz": saved(images=images, labels=np.arange(60) % 2)}, tmp_path)
    with pytest.raises(DataError, match="60 images of the same 30 pictures stand in two classes"):
        read_source(settings(tmp_path / "b.npz"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.npz": saved(a=STACK)}, r"a\.npz has the arrays a; it must have images and labels, or x_train"),
        ({"a.npz": saved(images=STACK, labels=NUMBERS[:-1])}, r"has 24 images but int64 labels \[23\]"),
        ({"a.npz": saved(images=STACK / 255, labels=NUMBERS)}, r"whole numbers from 0 to 255 \(uint8\), not float64"),
        ({"a.npz": saved(images=STACK.astype(int) * 9, labels=NUMBERS)}, r"whole numbers from 0 to 255"),
        ({"a.npz": saved(images=STACK[0, 0], labels=NUMBERS)}, r"must hold images as \[N, H, W\].*not \[8, 3\]"),
        ({"a.npz": saved(images=STACK, labels=NUMBERS - 4)}, r"has the label -4; number the classes from 0"),
        ({"a.npz": saved(images=STACK.astype(object), labels=NUMBERS)}, r"a\.npz cannot be read as arrays of numbers"),
        ({"a.npz": saved(images=STACK, labels=NUMBERS)[:-300]}, r"a\.npz cannot be read as arrays of numbers"),
        ({"a.npy": one(STACK)}, r"has no labels beside it; save them as a_labels\.npy or"),
        ({"a.npy": b"no array", "a_labels.npy": one(NUMBERS)}, r"a\.npy cannot be read as arrays"),
    ],
)
def test_arrays_that_cannot_be_read_are_one_sentence(tmp_path, files, message):
    source = put(files, tmp_path) / next(iter(files))
    with pytest.raises(DataError, match=message) as refused:
        read_source(settings(source))
    assert "\n" not in str(refused.value)
