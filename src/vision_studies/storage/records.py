"""What is remembered here of a store: what it was last told of every portion."""

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from vision_studies.errors import StorageError
from vision_studies.files import hash_file, write_json
from vision_studies.storage.layout import kept_files
from vision_studies.storage.store import FileEntry

FOLDER = ".store"


class SeenFile(NamedTuple):
    """A file as it was when its content was last hashed: SHA-256, bytes, and when it was last written."""

    sha256: str
    size: int
    mtime_ns: int

    @property
    def entry(self) -> FileEntry:
        """What it holds, without when it was written."""
        return FileEntry(self.sha256, self.size)


@dataclass(frozen=True)
class Record:
    """What a store and this machine agreed upon: the index's name, empty where there was none, and path -> file."""

    index: str
    files: Mapping[str, SeenFile]


NOTHING = Record("", {})


class Records:
    """The records of one store, in a project's `data/.store/`."""

    def __init__(self, root: Path, url: str) -> None:
        self._root, self._url = root, url

    def read(self, portion: str) -> Record:
        """The record of a portion; `NOTHING` where there is none, or where it is of another store."""
        try:
            content = json.loads(self._file(portion).read_text(encoding="utf-8"))
            if content["url"] != self._url:
                return NOTHING
            return Record(content["index"], {name: SeenFile(*seen) for name, seen in content["files"].items()})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return NOTHING  # it can be made again by hashing

    def write(self, portion: str, record: Record) -> None:
        """Remember what a store and this machine agree upon now."""
        write_json(self._file(portion), {"url": self._url, "index": record.index, "files": dict(record.files)})

    def remove(self, portion: str) -> None:
        """Forget a portion."""
        self._file(portion).unlink(missing_ok=True)

    def lock(self, portion: str) -> AbstractContextManager[Any]:
        """Held by the one process of this machine that brings the portion in or out."""
        folder = self._root / FOLDER / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except PermissionError as error:
            raise StorageError(
                f"{folder} cannot be made on {platform.node()}; workers on other machines work under the path of the "
                "project that sends them work: make it writable there."
            ) from error
        return FileLock(folder / f"{hashlib.sha256(portion.encode()).hexdigest()[:32]}.lock")

    def look(self, portion: str, record: Record) -> dict[str, SeenFile]:
        """The portion's files as they are; only those that have been written since `record` are hashed."""
        files = {}
        for name, path in kept_files(self._root, portion):
            try:
                status = path.stat()
                seen = record.files.get(name)
                if seen is None or seen[1:] != (status.st_size, status.st_mtime_ns):
                    seen = SeenFile(hash_file(path), status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                continue  # another process tidies up
            files[name] = seen
        return files

    def _file(self, portion: str) -> Path:
        return self._root / FOLDER / "records" / f"{portion}.json"
