import gzip
import hashlib
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.data.conftest import READING

from vision_studies import fetching
from vision_studies.config.data_prep import DataPrepSettings, data_set_key
from vision_studies.data.sources import downloads, raw
from vision_studies.data.sources.read import read_source, source_identity
from vision_studies.errors import DataError, StorageError

SHARED = Path(os.environ.get("VISION_STUDIES_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")


def settings(source, **changes):
    values = {
        "source": str(source),
        "image_size": None,
        "skip_corrupt": False,
        **READING,
        "splits": {
            "validation_fraction": 0.1,
            "test_fraction": 0.2,
            "seed": 0,
            "copies": "together",
            "long_tail": None,
        },
        "download_folder": "data/01_raw",
        "ffcv": False,
    }
    return DataPrepSettings(**(values | changes))


def picture(seed, size=(8, 8), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(seed, **kind):
    buffer = io.BytesIO()
    picture(seed, **kind).save(buffer, format="PNG")
    return buffer.getvalue()


def write_parquet(path, rows, names=("cat", "dog"), image="img", label="label"):
    table = pa.table(
        {image: [{"bytes": content, "path": None} for content, _ in rows], label: [value for _, value in rows]}
    )
    features = {label: {"names": list(names), "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if names else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


def write_folder(root, classes=("cat", "dog"), count=3, **kind):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(10 * number + index, **kind).save(root / name / f"{index}.png")


def test_digits_are_scaled_to_bytes_and_have_no_test_split():
    image_set = read_source(settings("digits"))
    assert image_set.images.shape == (1797, 8, 8, 1)
    assert (image_set.images.min(), image_set.images.max()) == (0, 255)
    assert not image_set.is_test.any()
    assert read_source(settings("digits", image_size=16)).images.shape == (1797, 16, 16, 1)


def test_parquet_shards_are_read_in_order_with_names_and_test_split(tmp_path):
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", [(png(0), 0), (png(1), 1)])
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", [(png(2), 1)])
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", [(png(3), 0)])
    image_set = read_source(settings(tmp_path))
    assert image_set.class_names == ("cat", "dog")
    assert image_set.labels.tolist() == [0, 1, 1, 0]
    assert image_set.is_test.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(image_set.images[2], np.asarray(picture(2)))


def test_parquet_in_the_hubs_converted_layout(tmp_path):
    write_parquet(tmp_path / "default/train/0000.parquet", [(png(0), 0), (png(1), 1)])
    write_parquet(tmp_path / "default/test/0000.parquet", [(png(2), 1)])
    write_parquet(tmp_path / "default/validation/0000.parquet", [(png(3), 1)])
    image_set = read_source(settings(tmp_path))
    assert image_set.labels.tolist() == [0, 1, 1, 1]
    assert image_set.items["split"].tolist() == ["train", "train", "validation", "test"]
    assert image_set.is_test.tolist() == [False, False, False, True]


def test_parquet_of_other_writers_takes_the_numbers(tmp_path):
    write_parquet(tmp_path / "train.parquet", [(png(0), 0), (png(1), 1)])
    table = pq.read_table(tmp_path / "train.parquet").replace_schema_metadata({b"huggingface": b'{"info": {}}'})
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_source(settings(tmp_path)).class_names == ("0", "1")


def test_parquet_without_names_takes_the_numbers(tmp_path):
    write_parquet(tmp_path / "train.parquet", [(png(0), 0), (png(1), 2)], names=(), image="image")
    assert read_source(settings(tmp_path)).class_names == ("0", "1", "2")


def test_grey_images_keep_one_channel_and_mixed_ones_get_three(tmp_path):
    write_folder(tmp_path / "grey", mode="L")
    assert read_source(settings(tmp_path / "grey")).images.shape == (6, 8, 8, 1)
    write_folder(tmp_path / "mixed")
    picture(0, mode="L").save(tmp_path / "mixed/cat/0.png")
    mixed = read_source(settings(tmp_path / "mixed"))
    assert mixed.images.shape == (6, 8, 8, 3)
    np.testing.assert_array_equal(mixed.images[0], np.repeat(np.asarray(picture(0, mode="L"))[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_images_of_any_mode_and_size_are_brought_to_one(tmp_path, mode):
    write_folder(tmp_path)
    suffix = "tiff" if mode in ("CMYK", "I;16") else "png"
    if mode == "I;16":
        Image.fromarray(np.arange(30 * 20, dtype=np.uint16).reshape(20, 30) * 100).save(tmp_path / "cat/odd.tiff")
    else:
        picture(0, size=(30, 20), mode=mode).save(tmp_path / f"cat/odd.{suffix}")
    assert read_source(settings(tmp_path, image_size=12)).images.shape == (7, 12, 12, 3)


def test_grey_of_16_bits_keeps_its_upper_8(tmp_path):
    write_folder(tmp_path, mode="L")
    for name, value in (("dark", 0x1234), ("light", 0xFEDC)):
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / f"cat/{name}.png")
    images = read_source(settings(tmp_path)).images
    assert images.shape == (8, 8, 8, 1)
    assert (images[3] == 0x12).all()  # in order of names: 0, 1, 2, dark, light
    assert (images[4] == 0xFE).all()


def test_large_images_are_scaled_smoothly_and_cut_in_the_middle(tmp_path):
    write_folder(tmp_path)
    stripes = np.zeros((64, 192), np.uint8)
    stripes[:, ::2] = 255  # finer than can be shown
    stripes[:, :48], stripes[:, -48:] = 0, 0  # what lies outside the middle
    Image.fromarray(stripes).save(tmp_path / "cat/0.png")
    image = read_source(settings(tmp_path, image_size=8, resize="crop")).images[0]
    assert image.min() > 110
    assert image.max() < 145


def test_images_are_in_memory_once(tmp_path):
    arrays = [np.full((2, 2, 1 + 2 * (value % 2)), value, np.uint8) for value in range(5)]
    stacked = raw._stack(arrays)
    assert arrays == []
    assert stacked.shape == (5, 2, 2, 3)
    assert [int(image.min()) for image in stacked] == [int(image.max()) for image in stacked] == list(range(5))


def test_a_class_may_be_called_train(tmp_path):
    write_folder(tmp_path, classes=("bus", "car", "train"))
    image_set = read_source(settings(tmp_path))
    assert image_set.class_names == ("bus", "car", "train")
    assert not image_set.is_test.any()


def test_a_validation_split_of_the_sources_own_is_read_as_such(tmp_path):
    for split in ("train", "val", "test"):
        write_folder(tmp_path / split)
    image_set = read_source(settings(tmp_path))
    assert image_set.items["split"].value_counts().to_dict() == {"train": 6, "validation": 6, "test": 6}
    assert image_set.is_test.sum() == 6


def test_the_test_split_may_lack_a_class(tmp_path):
    write_folder(tmp_path / "train", classes=("cat", "cow", "dog"))
    write_folder(tmp_path / "test", classes=("dog",), size=(7, 7))
    assert read_source(settings(tmp_path, image_size=6)).labels.tolist() == [0] * 3 + [1] * 3 + [2] * 6


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    write_folder(tmp_path / "pictures")
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "pictures" / name)
    (tmp_path / "pictures/dog/back").symlink_to(tmp_path / "set")
    asked = settings(tmp_path / "set", image_size=8, accept=["copies_with_two_labels", "cannot_be_split"])
    assert read_source(asked).class_names == ("cat", "dog")


def test_files_that_are_no_pictures_are_not_taken_for_corrupt_ones(tmp_path):
    write_folder(tmp_path)
    for name in ("notes.txt", "paper.pdf", "film.mpg", "drawing.eps", ".hidden.png"):
        (tmp_path / "cat" / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    assert len(read_source(settings(tmp_path)).labels) == 6


def test_no_program_is_run_for_a_picture(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "cat/0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(DataError, match=r"1 image cannot be read \(cat/0\.png\)"):
        read_source(settings(tmp_path))


def test_folders_may_bring_their_own_test_split(tmp_path):
    write_folder(tmp_path / "train", count=4)
    write_folder(tmp_path / "test", count=2)
    image_set = read_source(settings(tmp_path))
    assert image_set.is_test.sum() == 4
    assert image_set.labels.tolist() == [0] * 4 + [1] * 4 + [0, 0, 1, 1]


def test_photographs_are_turned_upright(tmp_path):
    write_folder(tmp_path, size=(8, 4))
    turned = picture(0, size=(8, 4)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "the top of the scene is at the right"
    turned.save(tmp_path / "cat/0.png", exif=exif)
    np.testing.assert_array_equal(read_source(settings(tmp_path)).images[0], np.asarray(picture(0, size=(8, 4))))


def test_corrupt_images_are_named_counted_and_left_out_on_demand(tmp_path):
    write_folder(tmp_path, count=9)
    for index in range(7):
        file = tmp_path / f"dog/{index}.png"
        file.write_bytes(file.read_bytes()[: 60 + index])
    with pytest.raises(DataError, match=r"7 images cannot be read \(dog/0\.png, .*, \.\.\.\).*skip_corrupt=true"):
        read_source(settings(tmp_path))
    image_set = read_source(settings(tmp_path, skip_corrupt=True))
    assert len(image_set.labels) == 11
    (finding,) = (finding for finding in image_set.check["findings"] if finding["name"] == "skipped")
    assert finding["message"].startswith("7 images cannot be read and are left out (dog/0.png, ")
    assert finding["files"] == [f"dog/{index}.png" for index in range(7)]


def test_a_decompression_bomb_counts_as_corrupt(tmp_path):
    write_folder(tmp_path)
    Image.new("1", (20000, 20000)).save(tmp_path / "cat/bomb.png")
    with pytest.raises(DataError, match=r"1 image cannot be read \(cat/bomb\.png\)"):
        read_source(settings(tmp_path, image_size=8))


def truncated_parquet(folder):
    write_parquet(folder / "train.parquet", [(png(0), 0), (png(1), 1)])
    content = (folder / "train.parquet").read_bytes()
    (folder / "train.parquet").write_bytes(content[: len(content) // 2])


def one_class(folder):
    write_folder(folder, classes=("cat",))


def empty_image(folder):
    write_folder(folder)
    (folder / "dog/1.png").write_bytes(b"")


def too_large(folder):
    write_folder(folder, count=1, size=(1025, 2))


def empty_parquet(folder):
    (folder / "train.parquet").write_bytes(b"")


def parquet_without_rows(folder):
    struct_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table({"img": pa.array([], struct_type), "label": pa.array([], pa.int64())}), folder / "train.parquet"
    )


def broken_metadata(folder):
    table = pa.table({"img": [{"bytes": png(0), "path": None}], "label": [0]})
    pq.write_table(table.replace_schema_metadata({b"huggingface": b"{broken"}), folder / "train.parquet")


def no_images(folder):
    (folder / "cat").mkdir(parents=True)
    (folder / "cat/notes.txt").write_text("no image")


def sizes_differ(folder):
    write_folder(folder)
    picture(0, size=(9, 8)).save(folder / "cat/0.png")


def label_out_of_range(folder):
    write_parquet(folder / "train.parquet", [(png(0), 0), (png(1), 7)])


def missing_label(folder):
    write_parquet(folder / "train.parquet", [(png(0), 0), (png(1), None), (png(2), 1)])


def wrong_columns(folder):
    pq.write_table(pa.table({"photo": ["a", "b"], "label": [0, 1]}), folder / "train.parquet")


def only_other_names(folder):
    write_parquet(folder / "validation.parquet", [(png(0), 0)])


def unknown_test_class(folder):
    write_folder(folder / "train")
    write_folder(folder / "test", classes=("cat", "cow"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (truncated_parquet, r"train\.parquet is not a whole parquet file"),
        (empty_parquet, r"train\.parquet is not a whole parquet file"),
        (parquet_without_rows, "holds no readable images"),
        (broken_metadata, r"train\.parquet: its metadata 'huggingface' is no JSON"),
        (empty_image, r"1 image cannot be read \(dog/1\.png\)"),
        (too_large, r"0\.png has 2 x 1025 pixels, more than 1024 to a side; set data_prep\.image_size"),
        (one_class, r"one class \('cat'\); two classes at least"),
        (no_images, "holds nothing that can be read"),
        (sizes_differ, r"images differ in size .* set data_prep\.image_size"),
        (label_out_of_range, r"labels from 0 to 7, but its 2 classes"),
        (missing_label, r"1 image without a label \(train\.parquet row 1\)"),
        (wrong_columns, r"None of the 2 files that .*train\.parquet names is there \('a'\)"),
        (only_other_names, r"none whose name begins with 'train'"),
        (unknown_test_class, r"has the class 'cow'"),
    ],
)
def test_bad_folders_are_one_sentence(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read_source(settings(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_parquet_file_damaged_inside_says_where(tmp_path):
    write_parquet(tmp_path / "train.parquet", [(png(seed), seed % 2) for seed in range(20)])
    content = bytearray((tmp_path / "train.parquet").read_bytes())
    content[4:40] = bytes(36)  # the head of the first page
    (tmp_path / "train.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.parquet is damaged after row 0"):
        read_source(settings(tmp_path))


@pytest.mark.parametrize("name", ["picture.jpg", "notes"])
def test_a_file_as_source_says_what_files_may_be(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(
        DataError, match=r"is no table .*no packed archive .*set data_prep\.source to one, or to the folder"
    ):
        read_source(settings(tmp_path / name))


@pytest.fixture
def unprivileged_folder():
    """A folder of a user whom permissions bind: not of root, as whom containers run tests."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name).resolve()
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("locked", ["set", "set/cow"])
@pytest.mark.parametrize("function", [read_source, source_identity])
def test_unreadable_folders_are_named_and_not_left_out(unprivileged_folder, locked, function):
    write_folder(unprivileged_folder / "set", classes=("cat", "cow", "dog"))
    place = unprivileged_folder / locked
    place.chmod(0)
    try:
        with pytest.raises(DataError, match=rf"{locked}[^ ]* cannot be read: Permission denied; check its permissions"):
            function(settings(unprivileged_folder / "set"))
    finally:
        place.chmod(0o700)


def test_a_missing_folder_names_what_else_there_is(tmp_path):
    with pytest.raises(DataError, match=r"does not exist; data_prep\.source must be .* digits, cifar10"):
        read_source(settings(tmp_path / "none"))


def cifar_records(count, label_bytes, seed):
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (count, label_bytes + 3072), dtype=np.uint8)
    records[:, :label_bytes] = np.arange(count)[:, None] % 10
    return records


def write_cifar_binary(folder):
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(cifar_records(4, 1, number).tobytes())
    (folder / "test_batch.bin").write_bytes(cifar_records(3, 1, 9).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(f"name{label}" for label in range(10)) + "\n\n")


@pytest.mark.parametrize("packed", [False, True])
def test_cifars_binary_archive_packed_or_not(tmp_path, packed):
    write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    source = tmp_path
    if packed:
        source = tmp_path / "packed"
        source.mkdir()
        with tarfile.open(source / "cifar-10-binary.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    image_set = read_source(settings(source))
    assert image_set.images.shape == (23, 32, 32, 3)
    assert image_set.is_test.sum() == 3
    first = cifar_records(4, 1, 1)[2, 1:].reshape(3, 32, 32).transpose(1, 2, 0)
    np.testing.assert_array_equal(image_set.images[2], first)
    assert image_set.class_names[3] == "name3"


def test_cifar_100_takes_the_fine_labels(tmp_path):
    records = cifar_records(6, 2, 0)
    records[:, 0], records[:, 1] = 9, np.arange(6)
    (tmp_path / "train.bin").write_bytes(records.tobytes())
    (tmp_path / "test.bin").write_bytes(records[:2].tobytes())
    (tmp_path / "fine_label_names.txt").write_text(" ".join("abcdef"))
    image_set = read_source(settings(tmp_path))
    assert image_set.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert image_set.class_names == tuple("abcdef")


def write_cifar_python(folder, hostile=None):
    for number in range(1, 6):
        content = {"data": cifar_records(4, 0, number), "labels": [0, 1, 0, 1]}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(content, protocol=2))
    (folder / "test_batch").write_bytes(pickle.dumps(hostile or content, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}, protocol=2))


def test_cifars_python_archive_is_read_without_running_anything(tmp_path):
    write_cifar_python(tmp_path)
    image_set = read_source(settings(tmp_path))
    assert image_set.images.shape == (24, 32, 32, 3)
    assert image_set.class_names == ("cat", "dog")


class Hostile:
    def __reduce__(self):
        import os

        return os.system, ("touch hostile-was-here",)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cifar_python(tmp_path, hostile=Hostile())
    with pytest.raises(
        DataError, match=r"'test_batch' is not a file of CIFAR's Python version \(it asks for .*system\)"
    ):
        read_source(settings(tmp_path))
    assert not (tmp_path / "hostile-was-here").exists()


def write_idx(folder, packed=False):
    random = np.random.default_rng(0)
    for prefix, count in (("train", 5), ("t10k", 3)):
        images = struct.pack(">HBBIII", 0, 8, 3, count, 6, 6) + random.bytes(count * 36)
        labels = struct.pack(">HBBI", 0, 8, 1, count) + bytes(range(count))
        for name, content in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_packed_or_not(tmp_path, packed):
    write_idx(tmp_path, packed)
    image_set = read_source(settings(tmp_path))
    assert image_set.images.shape == (8, 6, 6, 1)
    assert image_set.labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert image_set.is_test.sum() == 3


@pytest.mark.parametrize(
    "damage", [lambda content: content[:40], lambda content: b"", lambda content: b"\x01" + content[1:]]
)
def test_damaged_idx_files_are_named(tmp_path, damage):
    write_idx(tmp_path)
    file = tmp_path / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte is damaged"):
        read_source(settings(tmp_path))


def test_idx_files_that_do_not_belong_together(tmp_path):
    write_idx(tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, 2) + bytes(2))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte has 3 images but t10k-labels-idx1-ubyte 2 labels"):
        read_source(settings(tmp_path))
    labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, 3) + bytes(3))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 3, 5, 5) + bytes(75))
    with pytest.raises(DataError, match="3 images of 5 x 5 pixels, none or others than the training images"):
        read_source(settings(tmp_path))


def test_idx_files_without_images(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 0, 6, 6))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 0))
    with pytest.raises(DataError, match="train-images-idx3-ubyte has 0 images"):
        read_source(settings(tmp_path))


def flip_bytes(file, positions):
    content = bytearray(file.read_bytes())
    for position in positions:
        content[position] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_packed_files_are_compared_with_their_checksum(tmp_path, share):
    write_idx(tmp_path, packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    flip_bytes(file, [int(file.stat().st_size * share)])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        read_source(settings(tmp_path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_changed_pixel_in_a_packed_archive_is_noticed(tmp_path, share):
    write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "packed").mkdir()
    archive = tmp_path / "packed/cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    flip_bytes(archive, [int(archive.stat().st_size * share)])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is damaged .* fetch it again") as caught:
        read_source(settings(tmp_path / "packed"))
    assert "\n" not in str(caught.value)


def test_an_archive_of_something_else_is_left_alone(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    with tarfile.open(tmp_path / "backup.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "notes.txt", "../../notes.txt")
    assert read_source(settings(tmp_path)).class_names == ("cat", "dog")
    assert not (tmp_path.parent.parent / "notes.txt").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "a list, not a dictionary"),
        ({"labels": [0, 1]}, "'data'"),
        ({"data": 5, "labels": [0]}, "'data' is a single int"),
        ({"data": np.zeros((2, 9), np.uint8), "labels": [0, 1]}, "does not hold one label and 3072 bytes an image"),
        ({"data": np.zeros((2, 3072)), "labels": [0, 1]}, "does not hold one label and 3072 bytes an image"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "does not hold one label and 3072 bytes an image"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]}, "does not hold one label"),
    ],
)
def test_python_archives_of_another_shape_are_one_sentence(tmp_path, content, message):
    write_cifar_python(tmp_path, hostile=content)
    with pytest.raises(DataError, match=f"'test_batch' .*{message}"):
        read_source(settings(tmp_path))


def test_a_damaged_cifar_archive_is_named(tmp_path):
    write_cifar_binary(tmp_path / "bin")
    (tmp_path / "bin/data_batch_3.bin").write_bytes(b"short")
    with pytest.raises(DataError, match=r"data_batch_3\.bin has 5 bytes"):
        read_source(settings(tmp_path))
    (tmp_path / "bin/data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"lacks 'data_batch_3\.bin'"):
        read_source(settings(tmp_path))


def test_a_refused_network_names_the_address_and_the_alternatives(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_CIFAR_PAGE", "http://127.0.0.1:9/")
    with pytest.raises(
        DataError,
        match=r"'cifar10' could not be fetched \(http://127\.0\.0\.1:9/cifar-10-binary\.tar\.gz: .*parquet.*source=digits",
    ):
        read_source(settings("cifar10", download_folder=str(tmp_path)))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_every_published_set_says_what_else_there_is(tmp_path, monkeypatch, name):
    def refuse(address, file, *hashes, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(downloads, "fetch_file", refuse)
    monkeypatch.setattr(downloads, "_DEBIAN_FASHION_MNIST", tmp_path / "none")
    with pytest.raises(DataError, match=rf"'{name}' could not be fetched \(http.*: Network is unreachable") as caught:
        read_source(settings(name, download_folder=str(tmp_path)))
    assert ("dataset-fashion-mnist" in str(caught.value)) == (name == "fashion_mnist")
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_not_waited_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(downloads, "_CIFAR_PAGE", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        started = time.monotonic()
        with pytest.raises(DataError, match=r"'cifar10' could not be fetched .*timed out"):
            read_source(settings("cifar10", download_folder=str(tmp_path)))
    assert time.monotonic() - started < 20
    assert socket.getdefaulttimeout() is None


def test_a_full_disk_while_downloading_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching, "_copy", full)
    (tmp_path / "served").mkdir()
    (tmp_path / "served/cifar-10-binary.tar.gz").write_bytes(b"content")
    with served(tmp_path / "served", monkeypatch), pytest.raises(StorageError, match=r"The disk is full .*cifar-10"):
        read_source(settings("cifar10", download_folder=str(tmp_path)))
    assert not list((tmp_path / "cifar10").iterdir())


def test_debians_fashion_mnist_is_taken_where_it_is_installed(tmp_path, monkeypatch):
    write_idx(tmp_path, packed=True)
    monkeypatch.setattr(downloads, "_DEBIAN_FASHION_MNIST", tmp_path)
    image_set = read_source(settings("fashion_mnist", download_folder=str(tmp_path / "nothing")))
    assert image_set.images.shape == (8, 6, 6, 1)
    assert (image_set.class_names[0], image_set.class_names[9]) == ("T-shirt/top", "Ankle boot")


def test_an_archive_that_is_there_already_is_not_fetched(tmp_path, monkeypatch):
    write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    kept = tmp_path / "kept/cifar10/cifar-10-binary.tar.gz"
    kept.parent.mkdir(parents=True)
    with tarfile.open(kept, "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    md5 = hashlib.md5(kept.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(downloads._CIFAR, "cifar10", (kept.name, md5))
    monkeypatch.setattr(downloads, "_CIFAR_PAGE", "http://127.0.0.1:9/")
    assert read_source(settings("cifar10", download_folder=str(tmp_path / "kept"))).images.shape == (23, 32, 32, 3)


@contextmanager
def served(folder, monkeypatch):
    """What `folder` holds, in the place of CIFAR's page."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(downloads, "_CIFAR_PAGE", f"http://127.0.0.1:{server.server_port}/")
        yield
        server.shutdown()


def test_a_download_with_the_wrong_hash_is_refused(tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    (tmp_path / "served/cifar-10-binary.tar.gz").write_bytes(b"something else")
    refused = pytest.raises(DataError, match=r"'cifar10' could not be fetched .*corrupted")
    with served(tmp_path / "served", monkeypatch), refused:
        read_source(settings("cifar10", download_folder=str(tmp_path / "kept")))
    assert not list((tmp_path / "kept/cifar10").iterdir())


def test_the_identity_of_a_folder_follows_its_files(tmp_path):
    write_folder(tmp_path)
    before = source_identity(settings(tmp_path))
    assert source_identity(settings(tmp_path)) == before
    picture(99).save(tmp_path / "cat/new.png")
    assert source_identity(settings(tmp_path)) != before
    assert source_identity(settings(tmp_path, image_size=4)) != source_identity(settings(tmp_path))


def test_data_sets_of_other_content_have_other_keys(tmp_path):
    key = data_set_key(settings("digits"))
    assert key.startswith("digits-")
    others = [
        settings("digits", image_size=16),
        settings(
            "digits",
            splits={
                "validation_fraction": 0.1,
                "test_fraction": 0.2,
                "seed": 1,
                "copies": "together",
                "long_tail": None,
            },
        ),
        settings(tmp_path / "digits"),
    ]
    assert len({key, *(data_set_key(other) for other in others)}) == 4
    assert data_set_key(settings("digits", ffcv=True)) == key


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared development images are not on this machine")
@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_real_parquet_sets(name, shape):
    image_set = read_source(settings(SHARED / name))
    assert image_set.images.shape[1:] == shape
    assert image_set.is_test.sum() == 10_000
    assert len(image_set.class_names) == 10
