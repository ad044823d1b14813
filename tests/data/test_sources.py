import gzip
import io
import json
import pickle
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vision_studies.config.data_prep import DataPrepSettings, data_set_key
from vision_studies.data.sources import downloads
from vision_studies.data.sources.read import read_source, source_identity
from vision_studies.errors import DataError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def settings(source, **changes):
    values = {
        "source": str(source),
        "image_size": None,
        "skip_corrupt": False,
        "splits": {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0},
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


def test_corrupt_images_are_named_counted_and_left_out_on_demand(tmp_path, caplog):
    write_folder(tmp_path, count=9)
    for index in range(7):
        file = tmp_path / f"dog/{index}.png"
        file.write_bytes(file.read_bytes()[: 60 + index])
    with pytest.raises(DataError, match=r"7 images cannot be read \(dog/0\.png, .*, \.\.\.\).*skip_corrupt=true"):
        read_source(settings(tmp_path))
    image_set = read_source(settings(tmp_path, skip_corrupt=True))
    assert len(image_set.labels) == 11
    assert "7 images cannot be read and left out" in caplog.text


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
    write_parquet(folder / "train.parquet", [(png(0), 0)], image="photo")


def only_other_names(folder):
    write_parquet(folder / "validation.parquet", [(png(0), 0)])


def unknown_test_class(folder):
    write_folder(folder / "train")
    write_folder(folder / "test", classes=("cat", "cow"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (truncated_parquet, r"train\.parquet is not a whole parquet file"),
        (one_class, r"one class \('cat'\); two classes at least"),
        (no_images, "holds nothing that can be read"),
        (sizes_differ, r"images differ in size .* set data_prep\.image_size"),
        (label_out_of_range, r"labels from 0 to 7, but its 2 classes"),
        (missing_label, r"labels from -1 to 1"),
        (wrong_columns, r"none of the columns img, image, but photo, label"),
        (only_other_names, r"holds nothing that can be read"),
        (unknown_test_class, r"has the class 'cow'"),
    ],
)
def test_bad_folders_are_one_sentence(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(DataError, match=message):
        read_source(settings(tmp_path))


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


def test_a_download_with_the_wrong_hash_is_refused(tmp_path, monkeypatch):
    served = tmp_path / "served"
    served.mkdir()
    (served / "cifar-10-binary.tar.gz").write_bytes(b"something else")
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(downloads, "_CIFAR_PAGE", f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(DataError, match=r"'cifar10' could not be fetched .*(corrupted|not found)"):
            read_source(settings("cifar10", download_folder=str(tmp_path / "kept")))
        server.shutdown()


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
        settings("digits", splits={"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 1}),
        settings(tmp_path / "digits"),
    ]
    assert len({key, *(data_set_key(other) for other in others)}) == 4
    assert data_set_key(settings("digits", ffcv=True)) == key


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared development images are not on this machine")
@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_real_parquet_sets(name, shape):
    image_set = read_source(settings(SHARED / name))
    assert image_set.images.shape[1:] == shape
    assert image_set.is_test.sum() == 10_000
    assert len(image_set.class_names) == 10
