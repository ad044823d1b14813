"""A store on any file system that fsspec knows: content under its own hash, and indexes of what folders hold.

    objects/<two digits>/<SHA-256 of the content>
    index/<path of a folder below data/>/<number>-<hash of the index>.json

Nothing in a store is ever written over. An object is what its name says; an index names the content of every file of a
folder, and is written after the objects that it names. A folder that was half uploaded therefore has no index, or its former
one, and readers who come in the middle of an upload see the former state whole. The greatest number counts, so that nothing
depends on the clocks of machines.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from vision_studies.errors import MissingDependencyError, StorageError
from vision_studies.files import hash_file

_INDEX_FORMAT = 1
_HASH_DIGITS = 32  # of an index, in its name
_LOCAL = ("file", "local")


class DamagedError(StorageError):
    """What lies in a store is not what its index says."""


@dataclass(frozen=True)
class FileEntry:
    """A file as an index names it.

    Attributes:
        sha256: of its content.
        size: bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True)
class Index:
    """What a folder holds.

    Attributes:
        name: of the index's own object.
        files: path below the folder, with slashes -> content.
    """

    name: str
    files: Mapping[str, FileEntry]


@dataclass(frozen=True)
class Store:
    """Where a store lies; can be sent to other processes and machines, which open it with credentials of their own.

    Attributes:
        url: address that fsspec understands, such as s3://bucket/folder.
        options: of fsspec's file system; no secrets.
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def newest_indexes(self, prefix: str) -> dict[str, list[str]]:
        """Folders at or below `prefix` that the store has -> names of their indexes, the newest first.

        Raises:
            StorageError: the store cannot be reached.
        """
        root = f"{self._root}/index/"
        with self._told():
            self._require_local_root()
            try:
                found = self._files.find(f"{root}{prefix}")
            except FileNotFoundError:
                # Of a bucket, fsspec says with the same error that a folder in it or that the bucket itself is missing.
                if self._files.exists(self._root.split("/")[0]):
                    return {}
                raise
        indexes: dict[str, list[str]] = {}
        for path in sorted(found, reverse=True):
            folder, _, name = str(path).rpartition(root)[2].rpartition("/")
            if folder and _number(name) is not None:
                indexes.setdefault(folder, []).append(name)
        return indexes

    def read_index(self, folder: str, names: Sequence[str]) -> Index | None:
        """The first of `names` that is whole; None where none is.

        Raises:
            StorageError: the store cannot be reached, or an index names a file outside its folder.
        """
        for name in names:
            with self._told():
                try:
                    content = self._files.cat_file(f"{self._root}/index/{folder}/{name}")
                except FileNotFoundError:
                    continue  # a newer one has just taken its place
            if _index_name(_number(name) or 0, content) == name:
                return Index(name, _read_entries(content, f"{self.url}: {folder}"))
        return None

    def write_index(self, folder: str, files: Mapping[str, FileEntry], former: Sequence[str]) -> str:
        """Make `files`, whose contents the store has, what the store knows of `folder`; return the index's name.

        Raises:
            StorageError: the store cannot be reached.
        """
        described = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in sorted(files.items())}
        content = json.dumps({"format": _INDEX_FORMAT, "files": described}, sort_keys=True).encode()
        name = _index_name(1 + max((_number(name) or 0 for name in former), default=0), content)
        self._put({f"{self._root}/index/{folder}/{name}": content})
        self.remove_indexes(folder, former)
        return name

    def remove_indexes(self, folder: str, names: Sequence[str]) -> None:
        """Forget what the store knows of `folder`; the contents stay.

        Raises:
            StorageError: the store cannot be reached.
        """
        with self._told():
            for name in names:
                with _already_gone():
                    self._files.rm_file(f"{self._root}/index/{folder}/{name}")

    def write_contents(self, contents: Mapping[str, bytes]) -> None:
        """Keep small contents under their hashes, at once.

        Raises:
            StorageError: the store cannot be reached.
        """
        self._put({self._object(sha256): content for sha256, content in contents.items()})

    def write_file(self, sha256: str, path: Path) -> None:
        """Keep the content of a large file under its hash.

        Raises:
            StorageError: the store cannot be reached.
        """
        target = self._object(sha256)
        with self._told():
            self._make_folder(target)
            self._files.put_file(str(path), target)

    def read_contents(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """Small contents by their hashes, each checked.

        Raises:
            StorageError: the store cannot be reached.
            DamagedError: a content is missing, or not what its name says.
        """
        if not hashes:
            return {}
        wanted = {self._object(sha256): sha256 for sha256 in hashes}
        with self._told():
            found = self._files.cat([*wanted], on_error="return")
        contents = {}
        for path, sha256 in wanted.items():
            content = found.get(path, found.get(f"/{path}"))
            if isinstance(content, bytes) and hashlib.sha256(content).hexdigest() == sha256:
                contents[sha256] = content
                continue
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                with self._told():
                    raise content
            raise self._damaged(sha256)
        return contents

    def read_file(self, sha256: str, path: Path) -> None:
        """Write a large content to `path`, checked.

        Raises:
            StorageError: the store cannot be reached.
            DamagedError: the content is missing, or not what its name says.
        """
        with self._told():
            try:
                self._files.get_file(self._object(sha256), str(path))
            except FileNotFoundError as error:
                raise self._damaged(sha256) from error
        if hash_file(path) != sha256:
            raise self._damaged(sha256)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            # Other machines write into the store: a listing that is remembered would hide what they have brought.
            files, root = url_to_fs(self.url, use_listings_cache=False, **self.options)
        except ImportError as error:
            raise MissingDependencyError(
                f"storage.url is '{self.url}', but a library for this kind of store is not installed ({error}); "
                "run `pip install s3fs` for s3://, or install the one that is named."
            ) from error
        except Exception as error:
            raise StorageError(
                f"storage.url is '{self.url}', which fsspec cannot open ({_first_line(error)}); mend storage.url or "
                "storage.options."
            ) from error
        return files, root.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        # Connections stay where they were made.
        return {"url": self.url, "options": self.options}

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    @property
    def _has_folders(self) -> bool:
        """Whether a folder must be made before a file is put into it; buckets of objects have none."""
        return not getattr(self._files, "async_impl", False)

    def _object(self, sha256: str) -> str:
        return f"{self._root}/objects/{sha256[:2]}/{sha256}"

    def _make_folder(self, path: str) -> None:
        if self._has_folders:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _put(self, contents: Mapping[str, bytes]) -> None:
        with self._told():
            self._require_local_root()
            for path in contents:
                self._make_folder(path)
            if contents:
                self._files.pipe(dict(contents))

    def _require_local_root(self) -> None:
        # A file server that is not mounted leaves an empty folder behind: a store is never made where there was nothing.
        protocol = self._files.protocol
        if set(_LOCAL) & {*([protocol] if isinstance(protocol, str) else protocol)} and not Path(self._root).is_dir():
            raise StorageError(
                f"storage.url is '{self.url}', and there is no folder {self._root}; create it, mount its file server, or "
                "set storage.url=null to work with the data folder of this machine alone."
            )

    def _damaged(self, sha256: str) -> DamagedError:
        return DamagedError(
            f"{self.url} does not hold what it should: {self._object(sha256)} is missing or damaged; remove it there and "
            "run `kedro store push` where its file still is, or make the file anew."
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Any trouble with the store, of whatever library, as one sentence."""
        try:
            yield
        except (StorageError, MissingDependencyError):
            raise
        except Exception as error:  # every file system has errors of its own
            raise StorageError(
                f"The store {self.url} cannot be used ({_first_line(error)}); check storage.url, storage.options, the "
                "credentials in the environment and the network, or set storage.url=null to work without it."
            ) from error


def _number(name: str) -> int | None:
    digits, _, rest = name.partition("-")
    return int(digits) if digits.isdigit() and rest.endswith(".json") else None


def _index_name(number: int, content: bytes) -> str:
    return f"{number:08d}-{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.json"


def _read_entries(content: bytes, what: str) -> dict[str, FileEntry]:
    """Entries of an index; a store is shared, and what others wrote there is not trusted."""
    try:
        described = json.loads(content)
        if described["format"] != _INDEX_FORMAT:
            raise ValueError(f"format {described['format']!r}")
        files = {}
        for name, entry in described["files"].items():
            sha256, size = entry["sha256"], entry["size"]
            if not _is_safe(name) or len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
                raise ValueError(f"entry {name!r}")
            if type(size) is not int or size < 0:
                raise ValueError(f"size of {name!r}")
            files[name] = FileEntry(sha256, size)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{what} has an index there that is refused ({_first_line(error)}); nothing was fetched: remove the index, and "
            "find out who wrote it."
        ) from error
    return files


def _is_safe(name: str) -> bool:
    """Whether `name` is a plain path below a folder: nothing absolute, nothing that climbs, nothing hidden."""
    parts = PurePosixPath(name).parts
    plain = name == "/".join(parts) and not any(part.startswith(".") for part in parts)
    return bool(parts) and plain and not set("\\:\0") & set(name)


@contextmanager
def _already_gone() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
