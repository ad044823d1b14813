"""Writing that never leaves half a file behind, and hashing of what was written."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vision_studies.errors import StorageError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` when the block ends without an error.

    Raises:
        StorageError: the disk is full or the folder cannot be written; what `path` held before is left as it was.
    """
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.chmod(temporary, 0o666 & ~_umask())  # some writers make the file anew, for its owner alone
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes the place of `path` when the block ends without an error.

    Raises:
        StorageError: as `atomic_file`.
    """
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        os.chmod(temporary, 0o777 & ~_umask())
        try:
            yield temporary
            if path.exists():
                replaced = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
                os.replace(path, replaced / path.name)
                os.replace(temporary, path)
                shutil.rmtree(replaced)
            else:
                os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuse a long write that cannot fit.

    Raises:
        StorageError: fewer than `needed_bytes` (plus a reserve of 5 %) are free on the disk of `folder`.
    """
    existing = next(candidate for candidate in (folder, *folder.absolute().parents) if candidate.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes * 1.05:
        raise StorageError(
            f"{folder} needs {needed_bytes / 1e6:,.0f} MB but its disk has {free / 1e6:,.0f} MB free; "
            "free some space or move the project's data folder to a larger disk."
        )


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
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
        if number in (errno.EACCES, errno.EROFS):
            raise StorageError(
                f"{path} cannot be written: {os.strerror(number)}; check the folder's permissions."
            ) from error
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
