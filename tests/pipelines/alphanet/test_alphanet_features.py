import json
from dataclasses import replace

import numpy as np
import pytest

from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.work import features as module
from vision_studies.pipelines.alphanet.work.features import (
    FeatureGroup,
    class_means,
    has_feature_set,
    open_feature_set,
    write_feature_set,
)

NAMES = ("cat", "dog", "eel", "fox")


def make_splits(few, medium, many):
    return ClassSplits(*(np.array(labels, dtype=np.int64) for labels in (few, medium, many)))


def make_group(count=9, width=3, seed=0):
    features = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return FeatureGroup(features, np.arange(count) % len(NAMES))


def make_content(**changes):
    content = {
        "name": "pets",
        "class_names": NAMES,
        "splits": make_splits([3], [1, 2], [0]),
        "counts": np.array([4, 3, 2, 2]),
        "groups": {"train": make_group(), "validation": make_group(5, seed=1), "test": make_group(8, seed=2)},
    }
    return content | changes


def with_group(group, **changes):
    groups = make_content()["groups"]
    return {"groups": groups | {group: replace(groups[group], **changes)}}


def test_what_is_written_is_opened(tmp_path):
    assert not has_feature_set(tmp_path / "features")
    content = make_content()
    write_feature_set(tmp_path / "features", **content)
    assert has_feature_set(tmp_path / "features")
    opened = open_feature_set(tmp_path / "features")
    assert (opened.name, opened.class_names) == ("pets", NAMES)
    assert (opened.num_classes, opened.num_features) == (4, 3)
    for split in ("few", "medium", "many"):
        assert getattr(opened.splits, split).tolist() == getattr(content["splits"], split).tolist()
    assert opened.counts.tolist() == [4, 3, 2, 2]
    assert list(opened.groups) == ["train", "validation", "test"]
    for name, group in content["groups"].items():
        np.testing.assert_array_equal(opened.groups[name].features, group.features)
        np.testing.assert_array_equal(opened.groups[name].labels, group.labels)
        assert opened.groups[name].features.dtype == np.float32
        assert opened.groups[name].labels.dtype == np.int64


def test_there_may_be_no_validation(tmp_path):
    groups = make_content()["groups"]
    write_feature_set(tmp_path / "set", **make_content(groups={"train": groups["train"], "test": groups["test"]}))
    assert list(open_feature_set(tmp_path / "set").groups) == ["train", "test"]


def test_features_are_mapped_and_read_only(tmp_path):
    write_feature_set(tmp_path / "set", **make_content())
    features = open_feature_set(tmp_path / "set").groups["train"].features
    assert isinstance(features, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_are_stored_as_float32(tmp_path, dtype):
    given = np.asfortranarray(make_group().features.astype(dtype))
    write_feature_set(tmp_path / "set", **make_content(**with_group("train", features=given)))
    stored = open_feature_set(tmp_path / "set").groups["train"].features
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, given.astype(np.float32))


def test_a_new_set_takes_the_place_of_the_old(tmp_path):
    write_feature_set(tmp_path / "set", **make_content())
    write_feature_set(tmp_path / "set", **make_content(name="beasts"))
    assert open_feature_set(tmp_path / "set").name == "beasts"
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def fingerprint(folder, **changes):
    write_feature_set(folder, **make_content(**changes))
    return open_feature_set(folder).fingerprint


def test_the_fingerprint_is_of_all_content(tmp_path, monkeypatch):
    train = make_group()
    last = train.features.copy()
    last[-1, -1] += 1e-3
    labels = train.labels.copy()
    labels[0], labels[1] = labels[1], labels[0]
    same = fingerprint(tmp_path)
    groups = make_content()["groups"]
    wide = {name: make_group(width=4) for name in groups}
    changed = [
        {"name": "pet"},
        {"class_names": ("cat", "dog", "eel", "fix")},
        {"splits": make_splits([2], [1, 3], [0])},
        {"splits": make_splits([3, 1], [2], [0])},  # the same labels in the same order, divided elsewhere
        {"splits": make_splits([3], [1], [2, 0])},
        {"counts": np.array([5, 3, 2, 2])},
        {"groups": {name: groups[name] for name in ("train", "test")}},
        {"groups": {"train": groups["train"], "validation": groups["test"], "test": groups["validation"]}},
        {"groups": wide},
        with_group("train", features=last),
        with_group("train", labels=labels),
        with_group("validation", labels=np.zeros(5, dtype=np.int64)),
    ]
    prints = [fingerprint(tmp_path, **changes) for changes in changed]
    assert len({same, *prints}) == len(changed) + 1
    assert fingerprint(tmp_path) == same
    assert fingerprint(tmp_path, **with_group("train", features=train.features.astype(np.float64))) == same
    assert fingerprint(tmp_path, **with_group("train", labels=train.labels.astype(np.int32))) == same
    monkeypatch.setattr(module, "_ROWS", 2)
    assert fingerprint(tmp_path) == same


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setattr(module, "_ROWS", 2)
    features = make_group(8, seed=2).features
    features[5, 1] = value
    with pytest.raises(DataError, match=r"The test features of 'pets' hold a number that is not finite \(image 5\)"):
        write_feature_set(tmp_path / "set", **make_content(**with_group("test", features=features)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": {"train": make_group()}}, "needs training and test features"),
        ({"groups": {"validation": make_group(), "test": make_group()}}, "needs training and test features"),
        ({"groups": {"train": make_group(), "test": make_group(), "val": make_group()}}, "'val'"),
        (
            with_group("test", features=make_group(8, width=2).features),
            r"test features .* \[8, 2\]; 3 numbers an image",
        ),
        (with_group("train", features=np.zeros(9)), r"train features .* \[9\]; a row an image"),
        (with_group("test", features=np.zeros((0, 3)), labels=np.zeros(0, dtype=int)), r"\[0, 3\].*one image at least"),
        (with_group("train", labels=np.arange(8) % 4), "train features of 'pets' are 9 but have 8 labels"),
        (with_group("test", labels=np.arange(8)), "test labels of 'pets' reach from 0 to 7, but there are 4 classes"),
        (with_group("test", labels=-np.arange(8) % 4 - 1), "test labels of 'pets' reach from -1 to 2"),
        (with_group("train", labels=np.arange(9) % 3), "'pets' has no training image of 'fox'"),
        ({"splits": make_splits([0], [1], [2])}, "'pets' has 4 classes, and its splits have 3"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        write_feature_set(tmp_path / "set", **make_content(**changes))
    assert not has_feature_set(tmp_path / "set")


def truncate(folder):
    file = folder / "test_features.npy"
    file.write_bytes(file.read_bytes()[:-4])


def lose_key(folder):
    described = json.loads((folder / "features.json").read_text())
    del described["splits"]["few"]
    (folder / "features.json").write_text(json.dumps(described))


def pickle_labels(folder):
    np.save(folder / "train_labels.npy", np.array([print] * 9, dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "features.json").unlink(),
        lambda folder: (folder / "features.json").write_text("{"),
        lambda folder: (folder / "features.json").write_text("[]"),
        lambda folder: (folder / "train_features.npy").unlink(),
        lambda folder: (folder / "train_labels.npy").write_bytes(b""),
        lambda folder: np.save(folder / "train_labels.npy", np.zeros(8, dtype=np.int64)),
        truncate,
        lose_key,
        pickle_labels,
    ],
)
def test_a_damaged_folder_is_told(tmp_path, damage):
    write_feature_set(tmp_path / "set", **make_content())
    damage(tmp_path / "set")
    with pytest.raises(DataError, match="are damaged .* delete the folder and run the study again"):
        open_feature_set(tmp_path / "set")


@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_means_of_classes(monkeypatch, rows):
    monkeypatch.setattr(module, "_ROWS", rows)
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 3, 5], size=200, p=[0.9, 0.05, 0.03, 0.02])  # 2, 4 and 6 have no image
    features = (1000 + generator.normal(size=(200, 5))).astype(np.float32)
    means = class_means(FeatureGroup(features, labels), 7)
    assert means.dtype == np.float32
    for label in range(7):
        own = features[labels == label].astype(np.float64)
        expected = own.sum(axis=0) / len(own) if len(own) else np.full(5, np.nan)
        np.testing.assert_array_equal(means[label], expected.astype(np.float32))


def test_means_do_not_lose_small_numbers_beside_large_ones():
    features = np.array([[2.0**25], [1.0], [1.0], [-(2.0**25)]], dtype=np.float32)
    assert class_means(FeatureGroup(features, np.zeros(4, dtype=np.int64)), 1).tolist() == [[0.5]]
