"""Writing that never leaves half a file behind, and hashing of what was written."""

import errno
import filecmp
import hashlib
import json
import os
import pwd
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tokenize import TokenError
from typing import Any

from vision_studies.errors import StorageError

ARRAY_ERRORS = (OSError, ValueError, EOFError, OverflowError, TokenError)
"""What numpy raises where a `.npy` file is damaged; its header is parsed as Python."""

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-\w+\.(?P<kind>tmp|old)(\.\w+)?")
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_LEFT_AFTER = 24 * 3600.0  # seconds: whether a process of another machine lives cannot be seen from here


@contextmanager
def atomic_file(path: Path, *, suffix: str = "", keep_equal: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` when the block ends without an error.

    Its name ends in `.tmp`, so that nobody who looks for files of a kind takes it for one, and a `suffix` for writers that
    insist on one. Raises StorageError where the disk is full or the folder cannot be written; what `path` held before is left
    as it was.

    Args:
        keep_equal: leave a file that has this content already as it is, with its time.
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=f".tmp{suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if keep_equal and path.is_file() and filecmp.cmp(temporary, path, shallow=False):
                return
            _synchronise(temporary)
            os.chmod(temporary, 0o666 & ~_UMASK)  # some writers make the file anew, for its owner alone
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes the place of `path` when the block ends without an error.

    An older folder is moved aside first. Where a kill comes between the two moves, `remove_leftovers` brings it back. Raises
    StorageError as `atomic_file`.
    """
    with temporary_folder(path) as temporary:
        yield temporary
        put_in_place(temporary, path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is removed at the end, if it is still there. Raises StorageError as
    `atomic_file`.
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
        os.chmod(temporary, 0o777 & ~_UMASK)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Let a folder that lies on the same disk take the place of `path`, as `atomic_folder` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in temporary.rglob("*"):
        if file.is_file():
            _synchronise(file)
    _put_in_place(temporary, path)


def remove_leftovers(folder: Path, *, without: Collection[str] = ()) -> None:
    """Remove what processes that were killed while they wrote have left in `folder`, which need not exist, and below.

    A folder that was being replaced comes back. What a living process is writing is left alone; of processes on other
    machines, only what is older than a day is taken for left. Folders named in `without` are not looked into.
    """
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            match = _TEMPORARY.fullmatch(name)
            if match and _is_left(Path(parent, name), match["machine"], int(match["process"])):
                _tidy(Path(parent, name), Path(parent, match["name"]), match["kind"])
        folders[:] = [name for name in folders if not name.startswith(".") and name not in without]


def visible_files(folder: Path) -> Iterator[Path]:
    """Files in and below `folder`, in order, without those whose name, or a folder's on the way to them, begins with a dot."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a file; what is not there need not be removed."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """`value` as `write_json` writes it."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def now() -> str:
    """This moment in ISO 8601 and UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuse a long write that cannot fit. Raises StorageError where fewer than `needed_bytes` (plus a reserve of 5 %) are free
    on the disk of `folder`.
    """
    existing = next(candidate for candidate in (folder, *folder.absolute().parents) if candidate.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes * 1.05:
        raise StorageError(
            f"{folder} needs {needed_bytes / 1e6:,.0f} MB but its disk has {free / 1e6:,.0f} MB free; "
            "free some space or move the project's data folder to a larger disk."
        )


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Tell of a full disk, or of another user's files, in one sentence, a StorageError, whoever meets it while `path` is
    written.
    """
    try:
        yield
    except Exception as error:
        # safetensors tells of a full disk in an error of its own, which has no number.
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            raise StorageError(
                f"The disk is full while writing {path}; what was there before is untouched. "
                "Free some space and run the same command again."
            ) from error
        if number in _REFUSED and isinstance(error, OSError):
            raise access_refused(error, path) from error
        raise


def access_refused(error: OSError, path: Path | None = None) -> StorageError:
    """What to tell where the system lets nobody, or not this user, read or write a file.

    It is that of the error, or `path` if that was being written beside it.
    """
    refused = Path(error.filename) if isinstance(error.filename, str) else None
    beside = path is not None and (refused is None or refused.parent == path.parent)
    file = path if beside else refused
    why = os.strerror(error.errno or errno.EACCES)
    reason = f"{file} cannot be read or written: {why}" if path is None else f"{file} cannot be written: {why}"
    existing = next((there for there in (file, *file.absolute().parents) if _exists(there)), None) if file else None
    if error.errno == errno.EROFS or existing is None:
        return StorageError(f"{reason}; name another place, or work with the project where you may write.")
    owner, user = (_user_name(number) for number in (existing.stat().st_uid, os.geteuid()))
    if owner == user:
        return StorageError(f"{reason}; check the permissions of {existing}.")
    return StorageError(
        f"{reason}; {existing} belongs to the user {owner}, perhaps since a command was run under sudo, and this one is run by "
        f"{user}: give the project's data to one of the two, as in `sudo chown -R {user} data`."
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that may not be looked into
        return False


def _user_name(number: int) -> str:
    """Name of a user, or the number where there is none, as in a container."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        try:
            os.replace(temporary, path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was quicker
                raise
    replaced = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".old", dir=path.parent))
    os.replace(path, replaced / path.name)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(replaced / path.name, path)
        replaced.rmdir()
        raise
    shutil.rmtree(replaced)


def _tidy(left: Path, path: Path, kind: str) -> None:
    """Put a folder that was being replaced back to `path`, where nothing is there; remove anything else."""
    older = left / path.name
    if kind == "old" and older.exists() and not path.exists():
        os.replace(older, path)
    remove(left)


def _is_left(path: Path, machine: str, process: int) -> bool:
    """Whether the process that was writing `path` is gone."""
    try:
        if machine != _machine():
            return time.time() - path.stat().st_mtime > _LEFT_AFTER
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except (PermissionError, FileNotFoundError):
        pass
    return False


def _prefix(path: Path) -> str:
    return f".{path.name}.{_machine()}-{os.getpid()}-"


@cache
def _machine() -> str:
    """Eight characters that stand for this machine, or for the container, which numbers its processes anew."""
    numbering = Path("/proc/self/ns/pid")
    return hash_json([socket.gethostname(), str(numbering.readlink()) if numbering.is_symlink() else ""])[:8]


def _synchronise(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _read_umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


_UMASK = _read_umask()  # once: for the moment that reading takes, other threads would make files that all may write
