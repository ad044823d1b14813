"""Laws of readers: what was written comes back, and whatever else lies there is told in a sentence."""

import gzip
import io
import pickle
import shutil
import struct
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.test_sources import settings
from tests.properties.law_profiles import law

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.data.class_splits import SPLITS, ClassSplits, read_class_splits, write_class_splits
from vision_studies.data.image_set import ImageSet
from vision_studies.data.image_source import open_images
from vision_studies.data.restricted_pickle import NUMPY, Array, RefusedError, load_restricted
from vision_studies.data.sources.archives import read_idx
from vision_studies.data.sources.decoding import CorruptImageError, Decoding, decode_image
from vision_studies.data.sources.raw import RawImages, decode_all
from vision_studies.data.sources.read import list_source
from vision_studies.errors import CheckpointError, DataError, VisionStudiesError
from vision_studies.files import atomic_file
from vision_studies.pipelines.alphanet.work.original_format import read_registry
from vision_studies.training.checkpoints import load_state, save_state

_numbers = count()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes an empty folder for each example; they go with the module."""
    root = tmp_path_factory.mktemp("readers")
    yield lambda: root / str(next(_numbers))
    shutil.rmtree(root)


def told(function, *arguments):
    """What a reader gives, or None where it refuses in one sentence."""
    try:
        return function(*arguments)
    except VisionStudiesError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert str(error).rstrip().endswith((".", ")", "?"))  # noqa: PT017
        return None


@st.composite
def damaged(draw, content):
    """Bytes that differ from `content` by a cut, a change, or something put in."""
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    kind = draw(st.sampled_from(["cut", "change", "insert", "other"]))
    if kind == "cut":
        return content[:at]
    if kind == "other":
        return draw(st.binary(max_size=40))
    return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + (1 if kind == "change" else 0) :]


@law
@given(st.lists(st.sampled_from(SPLITS), min_size=2, max_size=20))
def test_class_splits_come_back(place, names):
    labels = {split: np.array([label for label, own in enumerate(names) if own == split], np.int64) for split in SPLITS}
    folder = place()
    write_class_splits(folder, ClassSplits(**labels))
    found = told(read_class_splits, folder, len(names))
    if "few" in names and set(names) != {"few"}:
        for split in SPLITS:
            np.testing.assert_array_equal(getattr(found, split), labels[split])
    else:
        assert found is None


@law
@given(st.lists(st.binary(max_size=12) | st.lists(st.integers(-1, 3).map(str)).map("\n".join), min_size=3, max_size=3))
def test_class_splits_hold_every_class_or_are_refused(place, contents):
    folder = place()
    folder.mkdir()
    for split, content in zip(SPLITS, contents, strict=True):
        (folder / f"{split}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = told(read_class_splits, folder, 3)
    if found is not None:
        assert sorted(np.concatenate([found.few, found.medium, found.many])) == [0, 1, 2]


def idx_files(images, labels):
    header = struct.pack(">HBBIII", 0, 8, 3, *images.shape)
    return header + images.tobytes(), struct.pack(">HBBI", 0, 8, 1, len(labels)) + labels.tobytes()


@law
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.data())
def test_idx_files_come_back_or_are_refused(place, number, height, width, packed, data):
    random = np.random.default_rng(number)
    images = random.integers(0, 256, (number, height, width), np.uint8)
    labels = (np.arange(number) % 3).astype(np.uint8)
    whole = [gzip.compress(content) if packed else content for content in idx_files(images, labels)]
    folder, suffix = place(), ".gz" if packed else ""
    folder.mkdir()
    names = [
        f"{split}-{kind}{suffix}" for split in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    for name, content in zip(names, whole * 2, strict=True):
        (folder / name).write_bytes(content)
    found = read_idx(folder)
    np.testing.assert_array_equal(found.images[found.is_test][..., 0], images)
    np.testing.assert_array_equal(found.labels[~found.is_test], labels)
    victim = data.draw(st.integers(0, 3))
    (folder / names[victim]).write_bytes(data.draw(damaged((whole * 2)[victim])))
    found = told(read_idx, folder)
    assert found is None or len(found.images) == len(found.labels) == len(found.is_test)


def encoded(seed):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)).save(content, "PNG")
    return content.getvalue()


def read_parquet(folder: Path) -> RawImages:
    found = list_source(str(folder), settings(folder))
    return decode_all(found.items(), found.class_names, decoding=Decoding(), skip_corrupt=False, source=found.source)


@law
@given(st.lists(st.integers(0, 2), max_size=5).map(lambda labels: [0, *labels]), st.data())
def test_parquet_files_come_back_or_are_refused(place, labels, data):
    folder = place()
    folder.mkdir()
    struct_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": encoded(seed), "path": None} for seed in range(len(labels))], struct_type)
    content = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": pa.array(labels, pa.int64())}), content)
    file = folder / "train.parquet"
    file.write_bytes(content.getvalue())
    found = read_parquet(folder)
    assert found.labels.tolist() == labels
    for seed, image in enumerate(found.images):
        np.testing.assert_array_equal(image, decode_image(encoded(seed), Decoding()))
    file.write_bytes(data.draw(damaged(content.getvalue())))
    told(read_parquet, folder)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@law
@given(st.integers(0, 5), st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"]), st.data())
def test_a_damaged_picture_is_a_picture_or_corrupt(seed, kind, data):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)).save(content, kind)
    try:
        size = data.draw(st.none() | st.integers(1, 12))
        image = decode_image(data.draw(damaged(content.getvalue())), Decoding(size))
    except CorruptImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] in (1, 3)


ARRAYS = st.builds(np.zeros, st.lists(st.integers(0, 3), max_size=4), st.sampled_from(["u1", "f4", "i8"]))


@law
@given(ARRAYS, st.data())
def test_an_array_of_images_is_one_or_is_refused(place, array, data):
    file = Path(f"{place()}.npy")
    np.save(file, array)
    found = told(open_images, file)
    fits = (
        array.dtype == np.uint8 and array.size and (array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3)))
    )
    assert (found is not None) == bool(fits)
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    told(open_images, file)
    file.unlink()


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@law
@given(PLAIN, st.integers(0, 5), st.data())
def test_a_pickle_of_plain_values_comes_back_or_is_refused(value, protocol, data):
    content = pickle.dumps(value, protocol)
    if protocol > 2:  # before, empty bytes are a call, and others text that is encoded
        assert load_restricted(io.BytesIO(content), NUMPY) == value
    array = pickle.dumps([value, np.arange(6, dtype="u2").reshape(2, 3)], protocol)
    for whole in (content, array):
        try:
            load_restricted(io.BytesIO(data.draw(damaged(whole))), NUMPY)
        except (RefusedError, MemoryError) as error:
            assert len(str(error)) < 300  # noqa: PT017
    found = load_restricted(io.BytesIO(array), NUMPY)
    assert isinstance(found[1], Array)
    np.testing.assert_array_equal(found[1].value, [[0, 1, 2], [3, 4, 5]])


STATES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@law
@given(STATES, st.data())
def test_a_checkpoint_comes_back_or_is_refused(place, state, data):
    file = place()
    save_state(file, state)
    assert load_state(file) == state
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    try:
        load_state(file)
    except CheckpointError as error:
        assert str(file) in str(error)  # noqa: PT017
    file.unlink()


@law
@given(st.integers(2, 4), st.data())
def test_an_image_set_comes_back_or_is_refused(place, number, data):
    images = np.random.default_rng(number).integers(0, 256, (number, 2, 2, 1), np.uint8)
    own = ImageSet.create("x", images, np.arange(number) % 2, ("a", "b"), np.zeros(number, bool), {"from": "here"})
    folder = place()
    own.save(folder)
    found = ImageSet.open(folder)
    assert (found.fingerprint, found.class_names, found.origin) == (own.fingerprint, own.class_names, own.origin)
    np.testing.assert_array_equal(found.images, images)
    victim = data.draw(st.sampled_from(sorted(file.name for file in folder.iterdir())))
    (folder / victim).write_bytes(data.draw(damaged((folder / victim).read_bytes())))
    told(ImageSet.open, folder)


ODD_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.lists(st.text(max_size=4), max_size=2)


@law
@given(
    st.dictionaries(
        st.sampled_from(["extends", "title", "question", "pipelines", "images", "studies", "x"]), ODD_VALUES
    )
)
def test_an_environment_is_read_or_told(place, content):
    folder = place()
    for name in ("base", "own"):
        (folder / name).mkdir(parents=True)
    (folder / "own/environment.yml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    options = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}
    loader = told(lambda: StudyConfigLoader(folder, env="own", **options))
    if loader is not None:
        assert "x" not in content
        assert loader.study == "own"


REGISTRY_KEYS = (
    "split_files_dir",
    "feature_files_dir",
    "classifier_file",
    "classifier_loader",
    "nn_files_dir",
    "baseline_eval_file",
    "label_names_file",
    "datagrps",
    "proper_name",
)
TOML_VALUES = (
    st.text(max_size=6) | st.integers(-(2**60), 2**60) | st.booleans() | st.lists(st.text(max_size=4), max_size=2)
)


@law
@given(st.dictionaries(st.sampled_from(REGISTRY_KEYS), TOML_VALUES | st.just("LinearClassifierLoader")), st.data())
def test_a_registry_of_data_sets_is_read_or_told(place, table, data):
    folder = place()
    folder.mkdir()
    file = folder / "datasets.toml"
    content = tomli_w.dumps({"own": table, "other": "text"}).encode()
    file.write_bytes(content)
    found = told(read_registry, file, "own")
    if found is not None:
        assert set(REGISTRY_KEYS[:6]) <= set(table)
    assert told(read_registry, file, "other") is None
    file.write_bytes(data.draw(damaged(content)))
    told(read_registry, file, "own")


@law
@given(st.binary(max_size=50), st.binary(max_size=50), st.booleans())
def test_a_file_is_the_old_one_or_the_new_one(place, old, new, fails):
    folder = place()
    folder.mkdir()
    file = folder / "x.bin"
    file.write_bytes(old)
    try:
        with atomic_file(file) as temporary:
            temporary.write_bytes(new[: len(new) // 2])
            assert file.read_bytes() == old
            if fails:
                raise DataError("stopped.")
            temporary.write_bytes(new)
    except DataError:
        assert fails
    assert file.read_bytes() == (old if fails else new)
    assert [entry.name for entry in folder.iterdir()] == ["x.bin"]
