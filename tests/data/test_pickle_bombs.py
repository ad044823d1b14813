"""Small pickles that would take all memory, or would never come to an end."""

import io
import struct
import time
import tracemalloc

import numpy as np
import pytest

from vision_studies.data.restricted_pickle import NUMPY, RefusedError, load_restricted, plain_integers

# Instructions: ( marks a beginning, t makes a tuple, l a list, q names what was made, h fetches it, N is None, . ends.
DEPTH = 60


def doubled(kind):
    """A tuple or list of the same twice, of the same twice, and so on."""
    level = b"".join(b"(h%ch%c%cq%c" % (number, number, kind, number + 1) for number in range(DEPTH))
    return b"(" + kind + b"q\x00" + level


BOMBS = {
    "room for names": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "room for bytes": b"\x80\x05\x96" + struct.pack("<Q", 1 << 36) + b"x.",
    "key of nested tuples": b"\x80\x02}" + doubled(b"t") + b"Ns.",
    "keys of nested tuples": b"\x80\x02}(" + doubled(b"t") + b"Nu.",
    "dictionary of nested tuples": b"\x80\x02(" + doubled(b"t") + b"Nd.",
    "set of nested tuples": b"\x80\x04\x8f(" + doubled(b"t") + b"\x90.",
    "frozen set of nested tuples": b"\x80\x04(" + doubled(b"t") + b"\x91.",
    "called set of nested tuples": b"\x80\x02cbuiltins\nset\n(" + b"(" + doubled(b"t") + b"lt" + b"R.",
    "array of a nested type": b"\x80\x02cnumpy\ndtype\n(" + doubled(b"l") + b"tR.",
    "object of a nested name": b"\x80\x02" + doubled(b"l") + b"Q.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_takes_no_more_than_it_holds(name):
    tracemalloc.start()
    started = time.monotonic()
    try:
        value = load_restricted(io.BytesIO(BOMBS[name]), NUMPY)
    except RefusedError as error:
        assert len(str(error)) < 200  # noqa: PT017
    else:
        assert name == "room for names"
        assert value is None
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 10_000_000
    assert time.monotonic() - started < 5


def test_lists_within_lists_are_no_labels():
    nested = load_restricted(io.BytesIO(b"\x80\x02" + doubled(b"l") + b"."), NUMPY)
    with pytest.raises(RefusedError, match="not one integer each"):
        plain_integers(nested)


@pytest.mark.parametrize("text", [b"\x03\x00\x00\x00", "\x03\x00\x00\x00"])
def test_arrays_of_python_2_are_read(text):
    # As protocol 2 of Python 2 has written CIFAR: bytes of an array as text.
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x04\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"U\x04\x01\x02\xfe\xff" if isinstance(text, str) else b"C\x04\x01\x02\xfe\xff")
        + b"tb."
    )
    array = load_restricted(io.BytesIO(content), NUMPY, encoding="latin1")
    np.testing.assert_array_equal(plain_integers(array), [1, 2, 254, 255])
