import re
from pathlib import Path

import numpy as np
import pytest

from vision_studies.data.class_splits import SPLITS, ClassSplits, read_class_splits, split_by_count, write_class_splits
from vision_studies.errors import DataError

COUNTS = np.array([101, 19, 100, 20, 500, 1, 60])


def write(folder: Path, few="3\n", medium="1\n", many="0\n2\n"):
    for name, text in zip(SPLITS, (few, medium, many), strict=True):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def told(folder: Path, classes: int = 4) -> str:
    with pytest.raises(DataError) as caught:
        read_class_splits(folder, classes)
    return str(caught.value).replace(str(folder), "here")


def test_thresholds_belong_to_the_medium_classes():
    splits = split_by_count(COUNTS, few_below=20, many_above=100)
    assert [getattr(splits, name).tolist() for name in SPLITS] == [[1, 5], [2, 3, 6], [0, 4]]
    assert splits.few.dtype == splits.medium.dtype == splits.many.dtype == np.int64
    assert splits.base.tolist() == [0, 2, 3, 4, 6]
    assert splits.num_classes == 7
    assert splits.names().tolist() == ["many", "few", "medium", "medium", "many", "few", "medium"]


@pytest.mark.parametrize(("few_below", "many_above"), [(2, 2), (2, 400), (60, 60), (500, 500), (101, 20)])
def test_every_class_has_one_split_whatever_the_thresholds(few_below, many_above):
    splits = split_by_count(COUNTS, few_below=few_below, many_above=many_above)
    for label, (count, name) in enumerate(zip(COUNTS, splits.names(), strict=True)):
        assert name == ("few" if count < few_below else "many" if count > many_above else "medium")
        assert [label in getattr(splits, split) for split in SPLITS].count(True) == 1


def test_counts_without_few_or_without_base_classes_are_one_sentence():
    with pytest.raises(DataError) as caught:
        split_by_count(COUNTS, few_below=1, many_above=100)
    assert str(caught.value) == (
        "No class has fewer than 1 training images (the smallest has 1), so that there is none to be helped; raise "
        "alphanet.splits.few_below, or make the tail longer with data_prep.splits.long_tail.factor."
    )
    with pytest.raises(DataError) as caught:
        split_by_count(COUNTS, few_below=501, many_above=600)
    assert str(caught.value) == (
        "Every class has fewer than 501 training images, so that there is none to help; lower alphanet.splits.few_below."
    )
    assert split_by_count(COUNTS, few_below=500, many_above=500).medium.tolist() == [4]


@pytest.mark.parametrize(
    "splits",
    [
        split_by_count(COUNTS, few_below=20, many_above=100),
        ClassSplits(np.array([2]), np.array([], dtype=np.int64), np.array([0, 1])),
        ClassSplits(np.array([0, 1, 3]), np.array([2]), np.array([], dtype=np.int64)),
    ],
    ids=["all", "no medium", "no many"],
)
def test_files_and_back(tmp_path, splits):
    folder = tmp_path / "new"
    write_class_splits(folder, splits)
    assert sorted(file.name for file in folder.iterdir()) == ["few.txt", "many.txt", "medium.txt"]
    found = read_class_splits(folder, splits.num_classes)
    for name in SPLITS:
        np.testing.assert_array_equal(getattr(found, name), getattr(splits, name))
        assert getattr(found, name).dtype == np.int64


def test_files_are_one_label_a_line_and_are_replaced(tmp_path):
    write(tmp_path, few="7\n")
    write_class_splits(tmp_path, split_by_count(COUNTS, few_below=20, many_above=100))
    assert [(tmp_path / f"{name}.txt").read_text() for name in SPLITS] == ["1\n5\n", "2\n3\n6\n", "0\n4\n"]


def test_labels_may_stand_in_any_order_among_blank_lines(tmp_path):
    write(tmp_path, few="\ufeff3\r\n\r\n", medium=" 1", many="\n2 \n0\n\n")
    splits = read_class_splits(tmp_path, 4)
    assert [getattr(splits, name).tolist() for name in SPLITS] == [[3], [1], [0, 2]]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"medium": "1\n3\n"}, "The split files in here name class 3 more than once; name every class once."),
        ({"many": "0\n2\n2\n"}, "The split files in here name class 2 more than once; name every class once."),
        (
            {"many": "0\n2\n4\n"},
            "The split files in here name class 4, but the data has the classes 0 to 3; remove it or use the files that belong "
            "to the data.",
        ),
        (
            {"few": "3\n-1\n"},
            "The split files in here name class -1, but the data has the classes 0 to 3; remove it or use the files that "
            "belong to the data.",
        ),
        ({"many": "2\n"}, "The split files in here leave out class 0; add it to one of them."),
        (
            {"few": "", "many": "0\n2\n3\n"},
            "here/few.txt names no class, so that there is none to be helped; name one at least.",
        ),
        (
            {"few": "0\n1\n2\n3\n", "medium": "\n", "many": ""},
            "The split files in here call every class few, so that there is none to help; name the classes with many images in "
            "medium.txt or many.txt instead.",
        ),
        (
            {"medium": "1\n\n cat \n"},
            "here/medium.txt has 'cat' in line 3, which is no label; write one whole number a line.",
        ),
        ({"many": "0\n2.0\n"}, "here/many.txt has '2.0' in line 2, which is no label; write one whole number a line."),
    ],
    ids=lambda value: re.sub(r"\W+", " ", str(value))[:40],
)
def test_a_mistake_in_the_files_is_one_sentence(tmp_path, texts, message):
    write(tmp_path, **texts)
    assert told(tmp_path) == message


def test_a_file_that_is_missing_or_no_text_is_one_sentence(tmp_path):
    write(tmp_path)
    (tmp_path / "many.txt").unlink()
    assert told(tmp_path) == (
        "here/many.txt cannot be read (No such file or directory); write the labels of its classes into it, one a line."
    )
    (tmp_path / "many.txt").write_bytes(b"\xff\xfe0\x00")
    assert told(tmp_path) == "here/many.txt is no text; write the labels of its classes into it, one a line."
