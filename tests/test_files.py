import errno
import os
import shutil
import subprocess

import pytest

from vision_studies import files
from vision_studies.errors import StorageError
from vision_studies.files import atomic_file, atomic_folder, hash_file, hash_json, require_free_space, write_json


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with pytest.raises(RuntimeError, match="stopped"), atomic_file(path) as temporary:
        temporary.write_text("second")
        raise RuntimeError("stopped")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    path = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_folder(path) as temporary:
            (temporary / content).touch()
    assert [file.name for file in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_folder_leaves_the_older_one(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "first").touch()
    with pytest.raises(RuntimeError, match="stopped"), atomic_folder(path) as temporary:
        raise RuntimeError("stopped")
    assert [file.name for file in path.iterdir()] == ["first"]


def test_a_full_disk_gives_one_sentence_and_leaves_the_old_file(small_disk):
    path = small_disk / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(StorageError, match="disk is full while writing"), atomic_file(path) as temporary:
        temporary.write_bytes(bytes(2_000_000))
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_folder(small_disk):
    path = small_disk / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_bytes(b"old")
    with pytest.raises(StorageError, match="disk is full"), atomic_folder(path) as temporary:
        (temporary / "new").write_bytes(bytes(2_000_000))
    assert (path / "old").read_bytes() == b"old"


def test_a_read_only_disk_names_the_path(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(StorageError, match=r"file\.txt cannot be written"), atomic_file(tmp_path / "file.txt"):
        pass


def test_space_is_asked_for_before_a_long_write(tmp_path, monkeypatch):
    require_free_space(tmp_path / "not" / "there", 1000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(StorageError, match="needs 1 MB"):
        require_free_space(tmp_path, 10**6)


def test_json_is_hashed_by_content_and_written_readably(tmp_path):
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})
    write_json(tmp_path / "value.json", {"b": 1, "a": 2})
    assert (tmp_path / "value.json").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    write_json(tmp_path / "same.json", {"a": 2, "b": 1})
    assert hash_file(tmp_path / "value.json") == hash_file(tmp_path / "same.json")
