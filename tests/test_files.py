import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from vision_studies import files
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.errors import StorageError
from vision_studies.files import (
    atomic_file,
    atomic_folder,
    full_disk_told,
    hash_file,
    hash_json,
    remove_leftovers,
    require_free_space,
    temporary_folder,
    write_json,
)


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


@pytest.fixture
def killed():
    """A number that no living process has."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path, killed):
    own, other = files._machine(), "0123abcd"
    kept = [f".a.json.{own}-{os.getpid()}-x.tmp", f".a.json.{other}-{killed}-x.tmp", ".lock", "a.tmp", ".a.json.old"]
    gone = [f".a.json.{own}-{killed}-x_1.tmp", f".b.pt2.{own}-{killed}-y.tmp.pt2", f".c.{other}-1-z.tmp"]
    for name in [*kept, *gone]:
        (tmp_path / "deep").mkdir(exist_ok=True)
        (tmp_path / "deep" / name).touch()
    os.utime(tmp_path / "deep" / gone[2], (0, 0))  # of another machine, and very old
    remove_leftovers(tmp_path, without=["deep"])
    assert len(list((tmp_path / "deep").iterdir())) == len(kept) + len(gone)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted(kept)


def test_a_folder_whose_replacement_was_killed_between_the_two_moves_comes_back(tmp_path, killed):
    path = tmp_path / "folder"
    aside = tmp_path / f".folder.{files._machine()}-{killed}-x.old"
    (aside / "folder").mkdir(parents=True)
    (aside / "folder/first").touch()
    remove_leftovers(tmp_path)
    assert [file.name for file in path.iterdir()] == ["first"]
    (aside / "folder/first").mkdir(parents=True)  # the new folder was in its place already
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_moved_into_place_leaves_the_older_one(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "first").touch()
    replace = os.replace

    def refuse(source, target):
        if str(source).endswith(".tmp"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(path):
        pass
    assert [file.name for file in path.iterdir()] == ["first"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_another_process_has_written_meanwhile_is_replaced(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    (path / "theirs").mkdir(parents=True)
    monkeypatch.setattr(files.Path, "exists", lambda _: False)
    with atomic_folder(path) as temporary:
        (temporary / "ours").touch()
    assert [file.name for file in path.iterdir()] == ["ours"]


def test_nobody_takes_a_temporary_file_for_a_result(tmp_path):
    with atomic_file(tmp_path / "training.json"):
        assert not list(tmp_path.glob("*.json"))


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


class Refusal(NamedTuple):
    """Who owns what cannot be written, who runs the command, and what is told."""

    owner: int
    user: int
    number: int
    told: str


REFUSALS = {
    "root's": Refusal(0, 54321, errno.EACCES, "belongs to the user root, perhaps since a command was run under sudo"),
    "run by somebody without a name": Refusal(
        0, 54321, errno.EACCES, "by 54321: give .* as in `sudo chown -R 54321 data`"
    ),
    "of somebody without a name": Refusal(
        54321, 0, errno.EPERM, "belongs to the user 54321, .* and this one is run by root"
    ),
    "one's own": Refusal(54321, 54321, errno.EACCES, "cannot be written: Permission denied; check the permissions of "),
    "on a disk that none can write": Refusal(0, 0, errno.EROFS, "Read-only file system; name another place"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("write", [atomic_file, atomic_folder, full_disk_told, temporary_folder])
def test_files_of_another_user_are_told_in_a_sentence(tmp_path, monkeypatch, refusal, write):
    def refuse(*_arguments, **_options):
        raise PermissionError(refusal.number, os.strerror(refusal.number), str(tmp_path / ".there.tmp"))

    def stat(path, **_options):
        return SimpleNamespace(st_uid=refusal.owner, st_mode=0o40755)

    monkeypatch.setattr(os, "geteuid", lambda: refusal.user)
    for name in ("mkstemp", "mkdtemp"):
        monkeypatch.setattr(files.tempfile, name, refuse)
    with pytest.raises(StorageError, match=refusal.told) as told, monkeypatch.context() as patched:
        patched.setattr(Path, "stat", stat)
        with write(tmp_path / "there"):
            refuse()
    assert str(told.value).startswith(f"{tmp_path / 'there'} cannot be written: ")
    assert "\n" not in str(told.value)


def test_a_command_that_may_not_read_a_file_says_so(tmp_path, capsys):
    def read():
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "private"))

    with pytest.raises(SystemExit):
        told_in_a_sentence(read)()
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {tmp_path / 'private'} cannot be read or written: Permission denied; ")
    assert len(error.splitlines()) == 1
