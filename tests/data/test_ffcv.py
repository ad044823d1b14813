from importlib.util import find_spec

import numpy as np
import pytest
from tests.data.conftest import make_image_set

from vision_studies.data.ffcv import check_beton, write_beton
from vision_studies.errors import DataError, StorageError

pytestmark = pytest.mark.skipif(
    find_spec("ffcv") is None, reason="FFCV is not installed (its system packages were missing at set-up)"
)


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def written(request, tmp_path):
    path = tmp_path / "set.beton"
    write_beton(make_image_set(channels=request.param), np.arange(60), path)
    return path


def change(path, start, content):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def layout(path):
    from ffcv.types import FieldDescType, HeaderType

    header = np.fromfile(path, HeaderType, count=1)[0]
    return {
        "fields": HeaderType.itemsize,
        "metadata": HeaderType.itemsize + 3 * FieldDescType.itemsize,
        "table": int(header["alloc_table_ptr"]),
    }


@pytest.mark.slow
def test_a_small_set_makes_a_small_file(written):
    assert check_beton(written) == 60
    assert written.stat().st_size < 5_000_000
    assert [file.name for file in written.parent.iterdir()] == ["set.beton"]


def test_large_images_fit_on_a_page(tmp_path):
    large = make_image_set(count=4, classes=2, size=900)  # 2.4 MB an image, more than FFCV's smallest page
    write_beton(large, np.arange(4), tmp_path / "set.beton")
    assert check_beton(tmp_path / "set.beton") == 4


def test_what_is_written_on_no_terminal_is_nothing(tmp_path, capfd, image_set):
    write_beton(image_set, np.arange(60), tmp_path / "set.beton")
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_one_sentence_and_the_earlier_file_stays(written, monkeypatch):
    import ffcv.writer

    original, before = ffcv.writer.handle_sample, written.read_bytes()

    def full_after_30(sample, position, *rest):
        if position == 30:
            raise OSError(28, "No space left on device")
        original(sample, position, *rest)

    monkeypatch.setattr(ffcv.writer, "handle_sample", full_after_30)
    with pytest.raises(StorageError, match="disk is full"):
        write_beton(make_image_set(seed=1), np.arange(60), written)
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir()] == ["set.beton"]


@pytest.mark.parametrize("entry", [0, 59])
@pytest.mark.parametrize("column", [0, 8, 16], ids=["sample", "pointer", "size"])
def test_a_damaged_table_is_one_sentence_and_no_crash(written, entry, column):
    change(written, layout(written)["table"] + 24 * entry + column, b"\xff\xff\xff")
    with pytest.raises(DataError, match=r"set\.beton is damaged \(its tables disagree\); delete its folder"):
        check_beton(written)


@pytest.mark.parametrize("start", [0, 1, 2], ids=["type", "name", "name's second letter"])
@pytest.mark.parametrize("field", [0, 1, 2])
def test_damaged_field_descriptions_are_one_sentence(written, field, start):
    change(written, layout(written)["fields"] + 1041 * field + start, b"\x09")
    with pytest.raises(DataError, match="is damaged"):
        check_beton(written)


def test_a_damaged_pointer_to_an_image_is_one_sentence(written):
    metadata = layout(written)["metadata"]
    first_row = written.read_bytes()[metadata : metadata + 16]
    pointer = np.fromfile(written, "<u8", count=2, offset=layout(written)["table"])[1]
    change(written, metadata + first_row.index(int(pointer).to_bytes(8, "little")), b"\x01\x02")
    with pytest.raises(DataError, match="its tables disagree"):
        check_beton(written)


def test_bytes_after_the_end_do_not_belong_there(written):
    with written.open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="its header does not fit its size"):
        check_beton(written)
