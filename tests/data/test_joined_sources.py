import struct
import weakref

import numpy as np
import pytest
from PIL import Image
from tests.data.conftest import READING

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.sources.read import join_sources, read_source, source_identity
from vision_studies.data.splits import make_splits
from vision_studies.errors import DataError
from vision_studies.pipelines.data_prep.nodes import prepare_image_set


def settings(source, **changes):
    values = {
        "source": [*map(str, source)] if isinstance(source, list) else str(source),
        "image_size": None,
        "skip_corrupt": False,
        **READING,
        "splits": {
            "validation_fraction": 0.2,
            "test_fraction": 0.2,
            "seed": 0,
            "copies": "together",
            "long_tail": None,
        },
        "download_folder": "data/01_raw",
        "ffcv": False,
    }
    return DataPrepSettings(**(values | changes))


def write_folder(root, classes, count=3, size=(8, 8), mode="L", seed=0):
    """One folder a class, of random pictures of (width, height)."""
    random = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name / f"{index}.png")


def write_idx(folder, classes, train=20, test=10, size=8, seed=0):
    """MNIST's layout, with a test split."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for prefix, count in (("train", train), ("t10k", test)):
        images = struct.pack(">HBBIII", 0, 8, 3, count, size, size) + random.bytes(count * size * size)
        labels = struct.pack(">HBBI", 0, 8, 1, count) + bytes(index % classes for index in range(count))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)


def image_set(name, count, classes=2, value=0, own_test=False):
    images = np.full((count, 4, 4, 1), value, np.uint8)
    is_test = np.arange(count) >= (count // 2 if own_test else count)
    return ImageSet.create(name, images, np.arange(count) % classes, tuple("abcdef"[:classes]), is_test, {})


def test_every_image_keeps_its_pixels_its_class_and_its_split(tmp_path):
    write_idx(tmp_path / "first", classes=3, seed=1)
    write_idx(tmp_path / "second", classes=2, train=6, test=4, seed=2)
    write_idx(tmp_path / "third", classes=4, train=8, test=4, seed=3)
    folders = [tmp_path / name for name in ("third", "first", "second")]
    joined = read_source(settings(folders))
    assert joined.name == "third + first + second"
    assert len(set(joined.class_names)) == 9
    start = 0
    for folder in folders:
        alone = read_source(settings(folder))
        stop = start + len(alone.labels)
        np.testing.assert_array_equal(joined.images[start:stop], alone.images)
        np.testing.assert_array_equal(joined.is_test[start:stop], alone.is_test)
        named = [joined.class_names[label] for label in joined.labels[start:stop]]
        assert named == [f"{folder.name}/{alone.class_names[label]}" for label in alone.labels]
        start = stop
    assert start == len(joined.labels) == len(joined.images)


def test_named_sources_and_folders_are_brought_to_one_size(tmp_path):
    write_folder(tmp_path / "letters", classes=("a", "b"), size=(9, 5))
    joined = read_source(settings(["digits", tmp_path / "letters"], image_size=6))
    assert joined.images.shape == (1803, 6, 6, 1)
    assert joined.class_names == (*(f"digits/{digit}" for digit in range(10)), "letters/a", "letters/b")
    assert joined.labels[-6:].tolist() == [10, 10, 10, 11, 11, 11]
    assert not joined.is_test.any()


def test_a_list_of_one_is_like_any_list():
    alone, listed = read_source(settings("digits")), read_source(settings(["digits"]))
    assert listed.class_names == tuple(f"digits/{name}" for name in alone.class_names)
    assert listed.name == alone.name == "digits"
    np.testing.assert_array_equal(listed.images, alone.images)
    np.testing.assert_array_equal(listed.labels, alone.labels)
    assert listed.fingerprint != alone.fingerprint


def test_classes_of_one_name_stay_apart(tmp_path):
    write_folder(tmp_path / "a/cats", classes=("tabby", "white"))
    write_folder(tmp_path / "b/dogs", classes=("brown", "white"))
    joined = read_source(settings([tmp_path / "a/cats", tmp_path / "b/dogs"]))
    assert joined.class_names == ("cats/tabby", "cats/white", "dogs/brown", "dogs/white")
    assert np.bincount(joined.labels).tolist() == [3, 3, 3, 3]


def test_carved_splits_hold_every_class_of_every_source(tmp_path):
    write_folder(tmp_path / "cats", classes=("tabby", "white"), count=10)
    write_folder(tmp_path / "dogs", classes=("brown", "white"), count=20)
    asked = settings([tmp_path / "cats", tmp_path / "dogs"])
    joined = read_source(asked)
    splits = make_splits(joined, asked.splits)
    assert np.bincount(joined.labels[splits.test]).tolist() == [2, 2, 4, 4]
    assert (np.bincount(joined.labels[splits.train], minlength=4) > 0).all()


def test_images_of_a_size_of_their_own_need_not_be_square(tmp_path):
    for name in ("cats", "dogs"):
        write_folder(tmp_path / name, classes=("brown", "white"), size=(9, 5), mode="RGB")
    assert read_source(settings([tmp_path / "cats", tmp_path / "dogs"])).images.shape == (12, 5, 9, 3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            {"size": (9, 5)},
            "'digits' has images of 8 x 8 pixels and 'other' of 5 x 9; set data_prep.image_size to bring them to one size, "
            "for example to 8.",
        ),
        (
            {"mode": "RGB", "size": (9, 5)},
            "'digits' has grey images of 8 x 8 pixels and 'other' colour ones of 5 x 9; grey and colour images cannot be "
            "joined, so name sources of one kind in data_prep.source.",
        ),
        ({"mode": "RGB"}, "'digits' has grey images of 8 x 8 pixels and 'other' colour ones of 8 x 8; grey and"),
    ],
    ids=["size", "size and channels", "channels"],
)
def test_sources_that_cannot_be_one_array_are_named_with_their_sizes(tmp_path, kind, message):
    write_folder(tmp_path / "other", classes=("a", "b"), **kind)
    with pytest.raises(DataError) as caught:
        read_source(settings(["digits", tmp_path / "other"]))
    assert str(caught.value).startswith(message)


def test_grey_and_colour_are_refused_at_any_size_and_the_third_source_is_looked_at_too(tmp_path):
    for name, mode in (("first", "L"), ("second", "L"), ("third", "RGB")):
        write_folder(tmp_path / name, classes=("a", "b"), mode=mode)
    with pytest.raises(DataError, match=r"'first' has grey images of 4 x 4 pixels and 'third' colour ones"):
        read_source(settings([tmp_path / name for name in ("first", "second", "third")], image_size=4))


@pytest.mark.parametrize("turned", [False, True])
def test_a_test_split_of_one_source_alone_is_refused(tmp_path, turned):
    write_idx(tmp_path / "idx", classes=2)
    sources = ["digits", tmp_path / "idx"]
    with pytest.raises(
        DataError, match=r"^'idx' has a test split of its own and 'digits' has none, .*data_prep\.source"
    ):
        read_source(settings(sources[::-1] if turned else sources))


def test_labels_outside_their_own_source_do_not_pass_for_those_of_another(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_folder(tmp_path / "plain", classes=("a", "b"))
    picture = {"bytes": (tmp_path / "plain/a/0.png").read_bytes(), "path": None}
    (tmp_path / "wrong").mkdir()
    for labels, told in (([0, 1, None], r"wrong: 1 image without a label"), ([0, 1, -2], "wrong has the label -2")):
        pq.write_table(pa.table({"img": [picture] * 3, "label": labels}), tmp_path / "wrong/train.parquet")
        with pytest.raises(DataError, match=told):
            read_source(settings([tmp_path / "plain", tmp_path / "wrong"]))


def test_a_missing_folder_is_named_as_for_one_source(tmp_path):
    with pytest.raises(DataError, match=r"none does not exist; data_prep\.source must be"):
        read_source(settings(["digits", tmp_path / "none"]))


def test_sources_are_let_go_of_one_by_one():
    class Watched(list):
        def pop(self):
            assert not [own for own in popped if own() is not None], "a source that was copied is still in memory"
            taken = super().pop()
            popped.append(weakref.ref(taken.images))
            return taken

    popped = []
    sources = Watched(image_set(name, count, value=count) for name, count in (("x", 3), ("y", 5), ("z", 4)))
    joined = join_sources(sources)
    assert sources == []
    assert len(popped) == 3
    assert joined.images[:, 0, 0, 0].tolist() == [3] * 3 + [5] * 5 + [4] * 4
    assert joined.labels.tolist() == [0, 1, 0, 2, 3, 2, 3, 2, 4, 5, 4, 5]
    assert joined.labels.dtype == np.int64


def test_the_identity_of_several_follows_the_files_of_each(tmp_path):
    for name in ("cats", "dogs"):
        write_folder(tmp_path / name, classes=("brown", "white"))
    asked = settings([tmp_path / "cats", "digits", tmp_path / "dogs"])
    seen = [source_identity(asked)]
    assert source_identity(asked) == seen[0]
    for name in ("cats", "dogs"):
        (tmp_path / name / "white/new.png").write_bytes((tmp_path / name / "white/0.png").read_bytes())
        seen.append(source_identity(asked))
    seen.append(source_identity(settings([tmp_path / "dogs", "digits", tmp_path / "cats"])))
    seen.append(source_identity(settings([tmp_path / "cats", tmp_path / "dogs"])))
    assert all(seen[i] != seen[j] for i in range(len(seen)) for j in range(i))


def test_files_that_move_from_one_source_to_another_are_noticed(tmp_path):
    for name in ("cats", "dogs"):
        write_folder(tmp_path / name, classes=("brown", "white"))
    asked = settings([tmp_path / "cats", tmp_path / "dogs"])
    before = source_identity(asked)
    (tmp_path / "cats").rename(tmp_path / "kept")
    (tmp_path / "dogs").rename(tmp_path / "cats")
    (tmp_path / "kept").rename(tmp_path / "dogs")
    assert source_identity(asked) != before


def test_the_identity_of_one_source_is_what_it_was(tmp_path):
    write_folder(tmp_path / "cats", classes=("brown", "white"), count=1)
    assert source_identity(settings("digits"))["settings"] == {
        "source": "digits",
        "image_size": None,
        "skip_corrupt": False,
    }
    assert set(source_identity(settings("digits"))) == {"settings", "reader_version"}
    assert set(source_identity(settings(tmp_path / "none"))) == {"settings", "reader_version"}
    identity = source_identity(settings(tmp_path / "cats"))
    assert set(identity) == {"settings", "reader_version", "files"}
    assert isinstance(identity["files"], str)


def test_a_stored_set_is_used_again_until_a_source_changes(tmp_path):
    for name in ("cats", "dogs"):
        write_folder(tmp_path / name, classes=("brown", "white"))
    asked = settings([tmp_path / "cats", tmp_path / "dogs"])
    prepare_image_set(asked, None).save(tmp_path / "stored")
    stored = ImageSet.open(tmp_path / "stored")
    assert prepare_image_set(asked, stored) is stored
    (tmp_path / "dogs/brown/0.png").unlink()
    again = prepare_image_set(asked, stored)
    assert len(again.labels) == len(stored.labels) - 1
