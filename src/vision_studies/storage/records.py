"""What is remembered here of a store: which data it keeps, and what it was last told of every portion."""

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from vision_studies.errors import StorageError
from vision_studies.files import hash_file, write_json
from vision_studies.storage.layout import kept_files
from vision_studies.storage.store import FileEntry

FOLDER = ".store"


@dataclass(frozen=True)
class SeenFile:
    """A file as it was when its content was last hashed.

    Attributes:
        entry: hash and size.
        mtime_ns: when it was last written.
    """

    entry: FileEntry
    mtime_ns: int


@dataclass(frozen=True)
class Record:
    """What a store and this machine agreed upon.

    Attributes:
        index: name of the store's index at that time; empty where there was none.
        files: path below the portion -> file.
    """

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
            files = {name: SeenFile(FileEntry(*entry[:2]), entry[2]) for name, entry in content["files"].items()}
            return Record(content["index"], files)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return NOTHING  # it can be made again by hashing

    def write(self, portion: str, record: Record) -> None:
        """Remember what a store and this machine agree upon now."""
        files = {name: [seen.entry.sha256, seen.entry.size, seen.mtime_ns] for name, seen in record.files.items()}
        write_json(self._file(portion), {"url": self._url, "index": record.index, "files": files})

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
        found = {}
        for name, path in kept_files(self._root, portion):
            try:
                status = path.stat()
                known = record.files.get(name)
                if known is None or (known.entry.size, known.mtime_ns) != (status.st_size, status.st_mtime_ns):
                    known = SeenFile(FileEntry(hash_file(path), status.st_size), status.st_mtime_ns)
            except FileNotFoundError:
                continue  # another process tidies up
            found[name] = known
        return found

    def _file(self, portion: str) -> Path:
        return self._root / FOLDER / "records" / f"{portion}.json"


def contents(files: Mapping[str, SeenFile]) -> dict[str, FileEntry]:
    """What the files hold, without when they were written."""
    return {name: seen.entry for name, seen in files.items()}
