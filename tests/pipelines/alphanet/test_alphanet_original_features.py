import codecs
import contextlib
import copyreg
import functools
import io
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest
import torch
from tests.hostile_pickles import Call

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.work.original_format import load_features_pickle

FEATURES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
LABELS = [2, 0, 1, 1, 0, 300]


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "something was run"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "train.pkl"


def refuse(file, content, why=""):
    """The sentence with which a file is refused."""
    file.write_bytes(content)
    with pytest.raises(DataError) as refused:
        load_features_pickle(file)
    sentence = str(refused.value)
    assert str(file) in sentence
    assert "\n" not in sentence
    assert why in sentence
    return sentence


FORMS_OF_FEATURES = {
    "float32": FEATURES,
    "float16": FEATURES.astype(np.float16),
    "float64": FEATURES.astype(np.float64),
    "big endian": FEATURES.astype(">f4"),
    "by columns": np.asfortranarray(FEATURES),
    "every second": np.repeat(FEATURES, 2, axis=0)[::2],
    "read-only": np.frombuffer(FEATURES.tobytes(), np.float32).reshape(FEATURES.shape),
    "tensor": torch.tensor(FEATURES),
    "half tensor": torch.tensor(FEATURES).half(),
    "double tensor": torch.tensor(FEATURES).double(),
    "bfloat16 tensor": torch.tensor(FEATURES).bfloat16(),
    "tensor by columns": torch.tensor(FEATURES).T.contiguous().T,
    "part of a tensor": torch.tensor(np.pad(FEATURES, 2))[2:-2, 2:-2],
    "parameter": torch.nn.Parameter(torch.tensor(FEATURES)),
}
FORMS_OF_LABELS = {
    "list": list,
    "tuple": tuple,
    "int64": np.array,
    "uint16": lambda labels: np.array(labels, dtype=np.uint16),
    "tensor": torch.tensor,
    "int16 tensor": lambda labels: torch.tensor(labels, dtype=torch.int16),
    "list of scalars": lambda labels: list(np.array(labels)),
    "list of tensors": lambda labels: list(torch.tensor(labels)),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", FORMS_OF_FEATURES)
def test_features_of_every_form_are_read(file, form, protocol):
    feats = FORMS_OF_FEATURES[form]
    file.write_bytes(pickle.dumps({"feats": feats, "labels": LABELS, "idxs": list(range(6))}, protocol))
    features, labels = load_features_pickle(file)
    expected = feats.detach().float().numpy() if isinstance(feats, torch.Tensor) else feats.astype(np.float32)
    assert features.dtype == np.float32
    assert features.dtype.isnative
    np.testing.assert_array_equal(features, expected)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", FORMS_OF_LABELS)
def test_labels_of_every_form_are_read(file, form, protocol):
    file.write_bytes(pickle.dumps({"labels": FORMS_OF_LABELS[form](LABELS), "feats": FEATURES}, protocol))
    features, labels = load_features_pickle(file)
    np.testing.assert_array_equal(features, FEATURES)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS


@pytest.mark.parametrize("protocol", range(6))
def test_memory_mapped_features_are_read(file, tmp_path, protocol):
    np.save(tmp_path / "features.npy", FEATURES)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    file.write_bytes(pickle.dumps({"feats": mapped, "labels": LABELS}, protocol))
    features = load_features_pickle(file)[0]
    assert type(features) is np.ndarray
    np.testing.assert_array_equal(features, FEATURES)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_beside_them_are_ignored(file, protocol):
    beside = {"set": {1, 2}, "none": np.array([], dtype=int), "nested": [{"a": (1.5, None, True, b"x", "y")}]}
    file.write_bytes(pickle.dumps({"feats": FEATURES, "labels": LABELS, **beside}, protocol))
    assert load_features_pickle(file)[1].tolist() == LABELS


def test_names_of_numpy_1_are_known(file):
    content = pickle.dumps({"feats": FEATURES, "labels": list(np.array(LABELS))}, 2)
    assert b"numpy._core" in content
    file.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(load_features_pickle(file)[0], FEATURES)


def hostile_calls(marker):
    command = f"touch '{marker}'"
    return {
        "os.system": Call(os.system, command),
        "os.mkdir": Call(os.mkdir, str(marker)),
        "subprocess": Call(subprocess.call, ["touch", str(marker)]),
        "eval": Call(eval, f"__import__('os').mkdir({str(marker)!r})"),
        "exec": Call(exec, f"import os; os.mkdir({str(marker)!r})"),
        "open": Call(open, str(marker), "w"),
        "partial": Call(functools.partial(os.mkdir), str(marker)),
        "object array": np.array([Call(os.mkdir, str(marker))]),
        "tensor": Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.mkdir, str(marker)))),
        "torch's legacy form": Call(torch.storage._load_from_bytes, saved(Call(os.mkdir, str(marker)), zipped=False)),
        "torch's form": Call(torch.storage._load_from_bytes, saved(Call(os.mkdir, str(marker)), zipped=True)),
    }


def saved(value, *, zipped):
    content = io.BytesIO()
    torch.save(value, content, _use_new_zipfile_serialization=zipped)
    return content.getvalue()


HOSTILE = list(hostile_calls("x"))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", HOSTILE)
def test_no_hostile_pickle_is_run(file, marker, name, protocol):
    hostile = hostile_calls(marker)[name]
    for content in (
        {"feats": hostile, "labels": LABELS},
        {"feats": FEATURES, "labels": [hostile]},
        {"feats": FEATURES, "labels": LABELS, "idxs": hostile},
        hostile,
    ):
        refuse(file, pickle.dumps(content, protocol), "was not read, for it ")
        assert not marker.exists()


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # one of the calls opens a file, and nobody closes it
@pytest.mark.parametrize("name", HOSTILE)
def test_the_same_pickles_are_run_by_pickle_itself(marker, name):
    # The bait of the tests above, made here: it must bite, or refusing it would show nothing.
    with contextlib.suppress(pickle.UnpicklingError, RuntimeError):  # of torch, when it is too late
        pickle.loads(pickle.dumps(hostile_calls(marker)[name]))
    assert marker.exists()


@pytest.mark.parametrize(
    ("function", "asked_for"),
    [
        (os.system, "posix.system"),
        (eval, "builtins.eval"),
        (getattr, "builtins.getattr"),
        (functools.partial, "functools.partial"),
        (copyreg._reconstructor, "copyreg._reconstructor"),
        (np.load, "numpy.load"),
        (torch.load, "torch.serialization.load"),
        (torch._utils._rebuild_device_tensor_from_numpy, "torch._utils._rebuild_device_tensor_from_numpy"),
        (np.ma.MaskedArray, "numpy.ma.MaskedArray"),
    ],
)
def test_the_name_asked_for_is_told(file, function, asked_for):
    sentence = refuse(file, pickle.dumps(Call(function, 1), 4), f"asks for {asked_for};")
    assert "write it with pickle.dump" in sentence


@pytest.mark.parametrize("module", ["numpy", "torch.storage", "_codecs", "builtins"])
@pytest.mark.parametrize(
    "name", ["dtype.__class__", "os.system", "_load_from_bytes.__globals__", "encode.__self__", ""]
)
def test_nothing_is_reached_through_an_allowed_name(file, module, name):
    names = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    refuse(file, b"\x80\x04" + names + b"\x93.", "it asks for")


def test_a_name_cannot_break_the_sentence(file):
    sentence = refuse(file, b"\x80\x04\x8c\x02os\x8c\x06a\n\x1b[1m\x93.")
    assert r"asks for os.a\n\x1b[1m;" in sentence
    assert len(refuse(file, b"\x80\x04\x8c\x02osX" + struct.pack("<I", 5000) + b"x" * 5000 + b"\x93.")) < 600


def test_objects_outside_the_file_are_refused(file):
    class Persistent(pickle.Pickler):
        def persistent_id(self, value):
            return "storage" if isinstance(value, bytearray) else None

    for protocol in range(6):
        content = io.BytesIO()
        Persistent(content, protocol).dump({"feats": FEATURES, "labels": [[[bytearray(b"x")]]]})
        refuse(file, content.getvalue(), "it asks for the object 'storage' outside the file")


# Instructions of a pickle: c names a function, ( opens a tuple, t closes it, R calls, b (BUILD) alters, . ends.
def test_an_allowed_function_cannot_be_altered(file):
    for name in (b"c_codecs\nencode\n", b"cnumpy\ndtype\n", b"ctorch.storage\n_load_from_bytes\n", b"cbuiltins\nset\n"):
        state = b"(N}V__call__\nI1\nst"  # None and {"__call__": 1}: set as attributes where there is no __setstate__
        if name != b"cbuiltins\nset\n":
            refuse(file, name + state + b"b.", "it alters a function")
        refuse(file, name + b"}V_call\nI1\nsb.", "it alters a function")
    file.write_bytes(pickle.dumps({"feats": FEATURES, "labels": LABELS}, 2))
    np.testing.assert_array_equal(load_features_pickle(file)[0], FEATURES)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("O"),
        np.dtype([("a", "f4"), ("b", "O")]),
        np.dtype([("a", "f4")]),
        np.dtype("V8"),
        np.dtype("U4"),
        np.dtype("M8[s]"),
        np.dtype("c16"),
        np.dtype(("f4", (2,))),
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", range(6))
def test_only_arrays_of_numbers_are_read(file, dtype, protocol):
    refuse(file, pickle.dumps({"feats": FEATURES, "labels": LABELS, "more": dtype}, protocol), "it holds an array")


def test_a_dtype_that_points_outside_its_array_is_refused(file):
    class Dtype:
        def __reduce__(self):
            fields = {"a": (np.dtype("f4"), 1 << 40)}
            return np.dtype, ("f4", False, True), (3, "<", None, ("a",), fields, 4, 4, 0)

    refuse(file, pickle.dumps(Dtype()), "it holds an array with fields")


def test_only_latin1_is_encoded(file):
    for encoding in ("rot13", "utf-8", "idna"):
        refuse(file, pickle.dumps(Call(codecs.encode, "x", encoding), 2), "it encodes text")
    refuse(file, pickle.dumps(Call(codecs.encode, b"x", "zlib"), 2), "it encodes text")


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((6, 5), (4, 1), 0),
        ((6, 4), (4, 1), 1),
        ((6, 4), (5, 1), 0),
        ((6, 4), (4, 1), -1),
        ((6, 4), (-4, 1), 23),
        ((1 << 40, 1 << 40), (0, 0), 0),
        ((-6, -4), (4, 1), 0),
        (("6", 4), (4, 1), 0),
        ((6, 4), (4,), 0),
        ([6, 4], [4, 1], 0),
    ],
)
def test_a_tensor_cannot_reach_outside_its_numbers(file, size, stride, offset):
    storage = torch.tensor(FEATURES)._typed_storage()
    tensor = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})
    refuse(file, pickle.dumps({"feats": tensor, "labels": LABELS}))


def test_a_tensor_that_would_be_altered_in_reading_is_refused(file):
    arguments = (torch.tensor(FEATURES)._typed_storage(), 0, (6, 4), (4, 1), False, {}, {"neg": True})
    refuse(file, pickle.dumps({"feats": Call(torch._utils._rebuild_tensor_v2, *arguments), "labels": LABELS}))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_a_truncated_file_is_refused(file, kind, protocol):
    content = pickle.dumps({"feats": kind(FEATURES), "labels": LABELS}, protocol)
    for end in (*range(0, len(content), max(1, len(content) // 60)), len(content) - 1):
        refuse(file, content[:end], "it is damaged or no pickle")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"feats,labels\n1,2\n",
        b"\xff\xd8\xff\xe0",
        b"\x80\x05\x82\x01.",
        saved({"feats": torch.tensor(FEATURES), "labels": LABELS}, zipped=True),
    ],
    ids=["empty", "text", "picture", "registered extension", "torch.save"],
)
def test_what_is_no_pickle_is_refused(file, content):
    refuse(file, content, "it is damaged or no pickle")


def test_a_length_that_no_memory_holds_is_refused(file):
    refuse(file, b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62), "does not fit into memory")
    refuse(file, pickle.dumps(Call(bytes, 1 << 50), 2), "it is damaged")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([FEATURES, LABELS], "it holds no dictionary with 'feats' and 'labels'"),
        ({"feats": FEATURES}, "it holds no dictionary with 'feats' and 'labels'"),
        ({"feats": FEATURES[0], "labels": LABELS}, "its 'feats' are no array of floats with a row an image"),
        ({"feats": FEATURES.astype(int), "labels": LABELS}, "its 'feats' are no array of floats"),
        ({"feats": FEATURES.tolist(), "labels": LABELS}, "its 'feats' are no array of floats"),
        ({"feats": None, "labels": LABELS}, "its 'feats' are no array of floats"),
        ({"feats": FEATURES, "labels": LABELS[1:]}, "it holds 6 features and 5 labels"),
        ({"feats": FEATURES, "labels": [1.0] * 6}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": [True] * 6}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": ["1"] * 6}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": [[1]] * 6}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": [[1], 2, 3, 4, 5, 6]}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": [1 << 80] * 6}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": [np.zeros(2, dtype=int)] * 6}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": np.eye(6, dtype=int)}, "its 'labels' are not one integer an image"),
        ({"feats": FEATURES, "labels": "123456"}, "its 'labels' are no list or array"),
        ({"feats": FEATURES, "labels": dict.fromkeys(range(6))}, "its 'labels' are no list or array"),
    ],
)
def test_other_contents_are_named(file, content, why):
    refuse(file, pickle.dumps(content), why)


def test_a_missing_file_is_named(file):
    with pytest.raises(DataError, match="train.pkl cannot be read"):
        load_features_pickle(file)
