"""Files on their way between a folder and a store, small ones together, each checked by its hash."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from vision_studies.errors import StorageError
from vision_studies.files import atomic_file, hash_file, require_free_space
from vision_studies.storage.layout import written_last
from vision_studies.storage.store import FileEntry, Store

_SMALL = 8 << 20  # bytes: smaller files travel together
_AT_ONCE = 64 << 20  # bytes of small files in memory


def send(store: Store, folder: Path, files: Mapping[str, FileEntry]) -> int:
    """Bring the contents of `files` into the store; return their bytes.

    Raises:
        StorageError: the store cannot be reached, or a file is being written at the moment.
    """
    for batch in _batches(files):
        contents = {entry.sha256: (folder / name).read_bytes() for name, entry in batch.items()}
        for name, entry in batch.items():
            if len(contents[entry.sha256]) != entry.size or _hash(contents[entry.sha256]) != entry.sha256:
                raise _changing(folder / name)
        store.write_contents(contents)
    for name, entry in files.items():
        if entry.size > _SMALL:
            path = folder / name
            before = path.stat()
            store.write_file(entry.sha256, path)
            after = path.stat()
            # Files are replaced, not written over: another inode or time means that something else may have been sent.
            if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns) or hash_file(
                path
            ) != entry.sha256:
                raise _changing(path)
    return sum(entry.size for entry in files.values())


def receive(store: Store, folder: Path, files: Mapping[str, FileEntry]) -> None:
    """Write the contents of `files` below `folder`; those that tell that others are there come last.

    Raises:
        StorageError: the store cannot be reached, the disk is too small, or a path would leave the folder.
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
        part = {name: entry for name, entry in files.items() if written_last(name) == last}
        for name, entry in part.items():
            if entry.size > _SMALL:
                with atomic_file(folder / name) as temporary:
                    store.read_file(entry.sha256, temporary)
        for batch in _batches(part):
            contents = store.read_contents([*{entry.sha256 for entry in batch.values()}])
            for name, entry in batch.items():
                with atomic_file(folder / name) as temporary:
                    temporary.write_bytes(contents[entry.sha256])


def _batches(files: Mapping[str, FileEntry]) -> Iterator[dict[str, FileEntry]]:
    batch: dict[str, FileEntry] = {}
    size = 0
    for name, entry in files.items():
        if entry.size > _SMALL:
            continue
        if batch and size + entry.size > _AT_ONCE:
            yield batch
            batch, size = {}, 0
        batch[name] = entry
        size += entry.size
    if batch:
        yield batch


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _changing(path: Path) -> StorageError:
    return StorageError(f"{path} was written while it was sent to the store; the next command sends it again.")
