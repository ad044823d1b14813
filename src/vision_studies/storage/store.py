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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from vision_studies.errors import MissingDependencyError, StorageError, first_line
from vision_studies.files import atomic_file, full_disk_told, hash_file, require_free_space
from vision_studies.storage.layout import written_last

_INDEX_FORMAT = 1
_HASH_DIGITS = 32  # of an index, in its name
_SMALL = 8 << 20  # bytes: smaller files travel together ...
_TOGETHER = 16  # ... so many at once


class DamagedError(StorageError):
    """What lies in a store is not what its index says."""


class FileEntry(NamedTuple):
    """A file as an index names it: the SHA-256 of its content, and its bytes."""

    sha256: str
    size: int


class Index(NamedTuple):
    """What a folder holds: name of the index's own object, and path below the folder, with slashes -> content."""

    name: str
    files: Mapping[str, FileEntry]


@dataclass(frozen=True)
class Store:
    """Where a store lies; can be sent to other processes and machines, which open it with credentials of their own.

    Every method raises StorageError where the store cannot be reached.

    Attributes:
        url: address that fsspec understands, such as s3://bucket/folder.
        options: of fsspec's file system; no secrets.
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def newest_indexes(self, prefix: str) -> dict[str, list[str]]:
        """Folders at or below `prefix` that the store has -> names of their indexes, the newest first."""
        with self._one_sentence():
            self._require_local_root()
            try:
                paths = self._files.find(self._index(prefix))
            except FileNotFoundError:
                # Of a bucket, fsspec says with the same error that a folder in it or that the bucket itself is missing.
                if self._files.exists(self._root.split("/")[0]):
                    return {}
                raise
        indexes: dict[str, list[str]] = {}
        for path in sorted(paths, reverse=True):
            below = str(path).lstrip("/").partition(self._index("").lstrip("/"))[2]
            folder, _, name = below.rpartition("/")
            if folder and _number(name) is not None:
                indexes.setdefault(folder, []).append(name)
        return indexes

    def read_index(self, folder: str, names: Sequence[str]) -> Index | None:
        """The first of `names` that is whole; None where none is.

        Raises:
            StorageError: also where an index names a file outside its folder.
        """
        for name in names:
            with self._one_sentence():
                try:
                    content = self._files.cat_file(self._index(folder, name))
                except FileNotFoundError:
                    continue  # a newer one has just taken its place
            if _index_name(_number(name) or 0, content) == name:
                return Index(name, _read_entries(content, f"{self.url}: {folder}"))
        return None

    def write_index(self, folder: str, files: Mapping[str, FileEntry], former: Sequence[str]) -> str:
        """Make `files`, whose contents the store has, what the store knows of `folder`; return the index's name."""
        described = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in sorted(files.items())}
        content = json.dumps({"format": _INDEX_FORMAT, "files": described}, sort_keys=True).encode()
        name = _index_name(1 + max((_number(name) or 0 for name in former), default=0), content)
        self._pipe({self._index(folder, name): content})
        self.remove_indexes(folder, former)
        return name

    def remove_indexes(self, folder: str, names: Sequence[str]) -> None:
        """Forget what the store knows of `folder`; the contents stay."""
        with self._one_sentence():
            for name in names:
                with suppress(FileNotFoundError):
                    self._files.rm_file(self._index(folder, name))

    def write_contents(self, contents: Mapping[str, bytes]) -> None:
        """Keep small contents under their hashes, at once."""
        self._pipe({self._object(sha256): content for sha256, content in contents.items()})

    def send(self, folder: Path, files: Mapping[str, FileEntry]) -> int:
        """Bring the contents of `files`, which lie below `folder`, into the store; return their bytes.

        Raises:
            StorageError: also where a file is being written at the moment.
        """
        for group in _groups(files):
            contents = {}
            for name in group:
                path, target = folder / name, self._object(files[name].sha256)
                if files[name].size > _SMALL:
                    with self._one_sentence():
                        self._make_folders([target])
                        self._files.put_file(str(path), target)
                    sha256 = hash_file(path)
                else:
                    content = path.read_bytes()
                    sha256 = hashlib.sha256(content).hexdigest()
                    contents[sha256] = content
                if sha256 != files[name].sha256:
                    raise StorageError(
                        f"{path} was written while it was sent to the store; the next command sends it again."
                    )
            self.write_contents(contents)
        return sum(entry.size for entry in files.values())

    def receive(self, folder: Path, files: Mapping[str, FileEntry]) -> None:
        """Write the contents of `files` below `folder`; those that tell that others are there come last.

        Raises:
            StorageError: also where the disk is too small, or a path would leave the folder.
            DamagedError: a content is missing in the store, or is not what the index says.
        """
        for name in files:
            # What an index names is a plain path, but a link in the folder could still lead it elsewhere.
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise StorageError(
                    f"{folder / name} leads out of {folder}; remove the link in it, and run the command again."
                )
        require_free_space(folder, sum(entry.size for entry in files.values()))
        for last in (False, True):
            for group in _groups({name: entry for name, entry in files.items() if written_last(name) == last}):
                with ExitStack() as stack:
                    temporary = {name: stack.enter_context(atomic_file(folder / name)) for name in group}
                    self._get({temporary[name]: files[name].sha256 for name in group}, folder)

    def _get(self, wanted: Mapping[Path, str], folder: Path) -> None:
        objects = [self._object(sha256) for sha256 in wanted.values()]
        with self._one_sentence(), full_disk_told(folder):
            try:
                self._files.get(objects, [str(path) for path in wanted])
            except FileNotFoundError as error:
                missing = [path for path in objects if not self._files.exists(path)]
                raise self._damaged((missing or objects)[0]) from error
        for path, sha256 in wanted.items():
            if hash_file(path) != sha256:
                raise self._damaged(self._object(sha256))

    def _pipe(self, contents: Mapping[str, bytes]) -> None:
        with self._one_sentence():
            self._require_local_root()
            self._make_folders(contents)
            if contents:
                self._files.pipe(dict(contents))

    def _make_folders(self, paths: Sequence[str] | Mapping[str, Any]) -> None:
        """Folders for files that are about to come; buckets of objects have none."""
        if not getattr(self._files, "async_impl", False):
            for path in paths:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the store's root in it."""
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
                f"storage.url is '{self.url}', which fsspec cannot open ({first_line(error)}); mend storage.url or "
                "storage.options."
            ) from error
        return files, root.rstrip("/")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _index(self, *below: str) -> str:
        return "/".join((self._root, "index", *below))

    def _object(self, sha256: str) -> str:
        return f"{self._root}/objects/{sha256[:2]}/{sha256}"

    def __getstate__(self) -> dict[str, Any]:
        # Connections stay where they were made.
        return {"url": self.url, "options": self.options}

    def _require_local_root(self) -> None:
        # A file server that is not mounted leaves an empty folder behind: a store is never made where there was nothing.
        if getattr(self._files, "local_file", False) and not Path(self._root).is_dir():
            raise StorageError(
                f"storage.url is '{self.url}', and there is no folder {self._root}; create it, mount its file server, or "
                "set storage.url=null to work with the data folder of this machine alone."
            )

    def _damaged(self, path: str) -> DamagedError:
        return DamagedError(
            f"{self.url} does not hold what it should: {path} is missing or damaged; remove it there and "
            "run `kedro store push` where its file still is, or make the file anew."
        )

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        """Any trouble with the store, of whatever library, as one sentence."""
        try:
            yield
        except (StorageError, MissingDependencyError):
            raise
        except Exception as error:  # every file system has errors of its own
            raise StorageError(
                f"The store {self.url} cannot be used ({first_line(error)}); check storage.url, storage.options, the "
                "credentials in the environment and the network, or set storage.url=null to work without it."
            ) from error


def _groups(files: Mapping[str, FileEntry]) -> Iterator[list[str]]:
    """Names of files that travel at once: small ones together, every large one by itself."""
    small = [name for name, entry in files.items() if entry.size <= _SMALL]
    yield from (small[start : start + _TOGETHER] for start in range(0, len(small), _TOGETHER))
    yield from ([name] for name, entry in files.items() if entry.size > _SMALL)


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
            f"{what} has an index there that is refused ({first_line(error)}); nothing was fetched: remove the index, and "
            "find out who wrote it."
        ) from error
    return files


def _is_safe(name: str) -> bool:
    """Whether `name` is a plain path below a folder: nothing absolute, nothing that climbs, nothing hidden."""
    parts = PurePosixPath(name).parts
    plain = name == "/".join(parts) and not any(part.startswith(".") for part in parts)
    return bool(parts) and plain and not set("\\:\0") & set(name)
