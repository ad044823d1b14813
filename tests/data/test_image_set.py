import os
import pickle

import joblib
import numpy as np
import pytest
from tests.data.conftest import make_image_set

from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError, StorageError


def test_a_saved_set_opens_memory_mapped_and_equal(tmp_path, image_set):
    image_set.save(tmp_path / "set")
    opened = ImageSet.open(tmp_path / "set")
    assert isinstance(opened.images, np.memmap)
    np.testing.assert_array_equal(opened.images, image_set.images)
    np.testing.assert_array_equal(opened.labels, image_set.labels)
    assert (opened.fingerprint, opened.class_names, opened.origin) == (
        image_set.fingerprint,
        image_set.class_names,
        image_set.origin,
    )


def test_the_fingerprint_follows_the_content(image_set):
    assert make_image_set().fingerprint == image_set.fingerprint
    changed = image_set.images.copy()
    changed[-1, -1, -1, -1] ^= 1
    other = ImageSet.create("random", changed, image_set.labels, image_set.class_names, image_set.is_test, {})
    names = ImageSet.create("random", image_set.images, image_set.labels, ("a", "b", "c"), image_set.is_test, {})
    assert len({image_set.fingerprint, other.fingerprint, names.fingerprint}) == 3


def test_another_process_is_sent_the_folder_and_not_the_images(tmp_path):
    large = make_image_set(count=2000, size=16)
    large.save(tmp_path / "set")
    opened = ImageSet.open(tmp_path / "set")
    assert len(pickle.dumps(opened)) < 1000

    def look(received):
        return received.fingerprint, isinstance(received.images, np.memmap), os.getpid()

    ((fingerprint, mapped, process),) = joblib.Parallel(n_jobs=2, backend="loky")([joblib.delayed(look)(opened)])
    assert (fingerprint, mapped) == (large.fingerprint, True)
    assert process != os.getpid()


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "is_test.npy", "image_set.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_every_damage_is_one_sentence(tmp_path, image_set, name, damage):
    folder = tmp_path / "set"
    image_set.save(folder)
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(DataError, match=r"is damaged .* delete the folder"):
        ImageSet.open(folder)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"name": "x", "shape": [60, 6, 6, 3], "class_names": 5}'])
def test_a_description_of_something_else_is_one_sentence(tmp_path, image_set, text):
    image_set.save(tmp_path / "set")
    (tmp_path / "set/image_set.json").write_text(text)
    with pytest.raises(DataError, match="is damaged"):
        ImageSet.open(tmp_path / "set")


def test_a_set_is_replaced_whole_or_not_at_all(tmp_path, image_set, monkeypatch):
    image_set.save(tmp_path / "set")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StorageError, match="disk is full"):
        make_image_set(seed=1).save(tmp_path / "set")
    assert ImageSet.open(tmp_path / "set").fingerprint == image_set.fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((0, 6, 6, 3), np.uint8)}, "has no images"),
        ({"images": np.zeros((60, 6, 6), np.uint8)}, "must hold uint8 images"),
        ({"images": np.zeros((60, 6, 6, 3), np.float32)}, "must hold uint8 images"),
        ({"labels": np.zeros(59, int)}, "60 images but 59 labels"),
        ({"class_names": ("one",)}, "has 1 class"),
        ({"labels": np.full(60, 3)}, r"labels from 3 to 3, but its 3 classes allow 0 to 2"),
        ({"labels": np.full(60, -1)}, "labels from -1"),
    ],
)
def test_impossible_sets_are_refused(image_set, changes, message):
    values = {
        "images": image_set.images,
        "labels": image_set.labels,
        "class_names": image_set.class_names,
        "is_test": image_set.is_test,
    }
    with pytest.raises(DataError, match=message):
        ImageSet.create("random", origin={}, **(values | changes))
