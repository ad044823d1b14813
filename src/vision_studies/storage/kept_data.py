"""A project's `data/` folder with the store that keeps it.

Work is done in the folder: memory-mapped images, locks and atomic renames want a file system. `data/.store/` remembers which
store a study or a data set is kept in, and what the store was last told of every portion, so that only what has changed is
hashed and sent. What could not be sent is found again by comparison, whatever has happened in between.
"""

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from filelock import FileLock

from vision_studies.errors import StorageError
from vision_studies.files import atomic_file, hash_file, write_json
from vision_studies.storage.layout import (
    contradict,
    has_result,
    is_kept,
    is_whole,
    kept_files,
    portion_of,
    portions_at,
    written_last,
)
from vision_studies.storage.store import DamagedError, FileEntry, Store

FOLDER = ".store"


class HashedFile(NamedTuple):
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
    files: Mapping[str, HashedFile]


logger = logging.getLogger(__name__)

_CONNECTIONS = 8
_PAUSE = 60.0  # seconds: a store that is down is not asked again by every run that ends


@dataclass(frozen=True)
class KeptData:
    """Places in a `data/` folder that one store keeps; can be sent to other processes and machines.

    What fetches, keeps, forgets or compares raises StorageError where the store cannot be reached or the disk is too small,
    but for the methods that end in `or_later`: they warn, and the end of the command, or the next one, catches up.

    Attributes:
        root: the `data/` folder, absolute.
        places: folders below it, such as 06_models/<study>.
        store: where they are kept.
        identity: of the folder; one of another machine, under the same path, has another or none.
    """

    root: Path
    places: tuple[str, ...]
    store: Store
    identity: str

    @classmethod
    def of(cls, root: Path, places: Sequence[str], store: Store) -> "KeptData":
        """Places of a `data/` folder of this machine; it remembers from now on where they are kept."""
        root = root.absolute()
        file = root / FOLDER / "identity"
        if not file.is_file():
            with atomic_file(file) as temporary:
                temporary.write_text(uuid4().hex, encoding="utf-8")
        kept_data = cls(root, tuple(places), store, _identity(root))
        kept_data.attach()
        return kept_data

    def is_here(self) -> bool:
        """Whether the folder can be seen from here: workers on other machines may have another under its path, or none."""
        return _identity(self.root) == self.identity

    def attach(self) -> None:
        """Remember, beside the data, where these places are kept."""
        described = {"url": self.store.url, "options": self.store.options, "places": list(self.places)}
        for folder in self.places:
            file = _attachment(self.root, folder)
            if not file.is_file() or json.loads(file.read_text(encoding="utf-8")) != described:
                write_json(file, described)

    def fetch(self, folder: Path) -> bool:
        """Bring the portion of a folder here where the store has a newer state of it; tell whether it has.

        Processes of this machine that ask at once wait for the first, and find its work done. What has a result here that
        the store was not told of stays as it is.

        Raises:
            DamagedError: the store does not hold what its index says.
        """
        return self._fetch(self._portion(folder), None)

    def forget(self, folder: Path) -> None:
        """Take a portion out of the store, as it is to be made anew."""
        portion = self._portion(folder)
        with self._lock(portion):
            self.store.remove_indexes(portion, self._indexes(portion))
            self._record_file(portion).unlink(missing_ok=True)

    def fetch_all(self, places: Sequence[str] | None = None) -> int:
        """Bring here what the store has of `places` (all, where None); return the number of portions that came.

        A portion that is damaged in the store is taken out of it with a warning, and made anew like any that is missing.
        """

        def fetch(portion: str) -> bool:
            try:
                return self._fetch(portion, indexes[portion])
            except DamagedError as error:
                logger.warning("%s Until then it is made anew where it is needed.", error)
                with self._or_later():
                    self.store.remove_indexes(portion, indexes[portion])
                return False

        indexes = self._all_indexes(self.places if places is None else places)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return sum(
                pool.map(fetch, [portion for portion, names in indexes.items() if self._is_older(portion, names)])
            )

    def keep_all(self, *, runs: bool = True) -> tuple[int, int]:
        """Bring into the store what it does not know yet; return the numbers of portions and of bytes.

        `runs`: with the folders of runs, which are kept when they end anyhow.
        """
        indexes = self._all_indexes(self.places)
        waiting = self._waiting(indexes, runs=runs)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            sent = list(pool.map(lambda portion: self._keep(portion, indexes.get(portion, [])), waiting))
        self._pause.unlink(missing_ok=True)
        return len(sent), sum(sent)

    def compare(self) -> tuple[list[str], list[str]]:
        """Portions that the store does not know as they are here, and those that are not here as they are in the store."""
        indexes = self._all_indexes(self.places)
        waiting = self._waiting(indexes)
        there = [portion for portion, names in indexes.items() if self._is_older(portion, names)]
        return waiting, [portion for portion in there if not (is_whole(portion) and portion in waiting)]

    def keep_or_later(self, folders: Sequence[Path]) -> None:
        """Bring portions that have a result into the store where they have changed here."""
        with self._or_later():
            for portion, names in self._asked_for(folders):
                self._keep(portion, names)

    def keep_all_or_later(self) -> None:
        """`keep_all` without runs."""
        with self._or_later():
            if not self._is_paused():
                self.keep_all(runs=False)

    def fetch_or_later(self, folders: Sequence[Path]) -> None:
        """`fetch` of several portions."""
        with self._or_later():
            for portion, names in self._asked_for(folders):
                self._fetch(portion, names)

    def _asked_for(self, folders: Sequence[Path]) -> list[tuple[str, list[str]]]:
        """Portions with their indexes, which are asked for together; none while a store that is down is left alone."""
        if not folders or self._is_paused():
            return []
        portions = [self._portion(folder) for folder in folders]
        indexes = self.store.newest_indexes(os.path.commonpath(portions))
        return [(portion, indexes.get(portion, [])) for portion in portions]

    @property
    def _pause(self) -> Path:
        return self.root / FOLDER / "paused"

    def _is_paused(self) -> bool:
        return self._pause.is_file() and time.time() - self._pause.stat().st_mtime < _PAUSE

    @contextmanager
    def _or_later(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            logger.warning(
                "%s The work goes on; what is not in the store yet follows at the end of the command.", error
            )
            self._pause.parent.mkdir(parents=True, exist_ok=True)
            self._pause.touch()

    def _portion(self, folder: Path) -> str:
        return portion_of(folder.absolute().relative_to(self.root))

    def _indexes(self, portion: str) -> list[str]:
        return self.store.newest_indexes(portion).get(portion, [])

    def _all_indexes(self, places: Sequence[str]) -> dict[str, list[str]]:
        return {portion: names for folder in places for portion, names in self.store.newest_indexes(folder).items()}

    def _waiting(self, indexes: dict[str, list[str]], *, runs: bool = True) -> list[str]:
        here = [portion for folder in self.places for portion in portions_at(self.root, folder, runs=runs)]
        return [portion for portion in here if not indexes.get(portion) or self._is_changed(portion)]

    def _is_changed(self, portion: str) -> bool:
        record = self._record(portion)
        return record.files != self._look(portion, record.files)

    def _record_file(self, portion: str) -> Path:
        return self.root / FOLDER / "records" / f"{portion}.json"

    def _record(self, portion: str) -> Record:
        """What was last agreed upon; nothing where there is no record, or that of another store."""
        try:
            content = json.loads(self._record_file(portion).read_text(encoding="utf-8"))
            if content["url"] == self.store.url:
                return Record(
                    content["index"], {name: HashedFile(*hashed) for name, hashed in content["files"].items()}
                )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # it can be made again by hashing
        return Record("", {})

    def _agree(self, portion: str, index: str, files: Mapping[str, HashedFile]) -> None:
        write_json(self._record_file(portion), {"url": self.store.url, "index": index, "files": dict(files)})

    def _look(self, portion: str, before: Mapping[str, HashedFile]) -> dict[str, HashedFile]:
        """The portion's files as they are; only those that have been written since `before` are hashed."""
        files = {}
        for name, path in kept_files(self.root, portion):
            with suppress(FileNotFoundError):  # another process tidies up
                status = path.stat()
                hashed = before.get(name)
                if hashed is None or hashed[1:] != (status.st_size, status.st_mtime_ns):
                    hashed = HashedFile(hash_file(path), status.st_size, status.st_mtime_ns)
                files[name] = hashed
        return files

    def _lock(self, portion: str) -> FileLock:
        """Held by the one process of this machine that brings the portion in or out."""
        folder = self.root / FOLDER / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except PermissionError as error:
            raise StorageError(
                f"{folder} cannot be made on {platform.node()}; workers on other machines work under the path of the "
                "project that sends them work: make it writable there."
            ) from error
        return FileLock(folder / f"{hashlib.sha256(portion.encode()).hexdigest()[:32]}.lock")

    def _is_older(self, portion: str, names: list[str]) -> bool:
        """Whether the store has another state than it had last, or something is missing here."""
        record = self._record(portion)
        is_current = names and names[0] == record.index
        return bool(names) and not (is_current and all((self.root / portion / name).is_file() for name in record.files))

    def _fetch(self, portion: str, names: list[str] | None) -> bool:
        """`fetch`; `names` of the portion's indexes are asked for where they are None."""
        with self._lock(portion):
            names = self._indexes(portion) if names is None else names
            if not self._is_older(portion, names):
                return False
            folder, record = self.root / portion, self._record(portion)
            here = self._look(portion, record.files)
            changed = {name for name, hashed in here.items() if record.files.get(name) != hashed}
            whole = is_whole(portion)
            if whole and changed and has_result(self.root, portion):
                return False
            index = self.store.read_index(portion, names)
            if index is None:
                return False
            same = {name for name, hashed in here.items() if hashed.entry == index.files.get(name)}
            stays = same if whole else same | changed
            missing = {name: entry for name, entry in index.files.items() if name not in stays}
            if whole:
                # Files of two states of a run must never be taken for one: what tells of the former goes before the new
                # comes.
                replaced = (here.keys() - index.files.keys()) | (here.keys() & missing.keys())
                for name in sorted(replaced, key=lambda name: not written_last(name)):
                    (folder / name).unlink(missing_ok=True)
            self.store.receive(folder, missing)
            # A file that was changed here is recorded as the store has it, so that it is found to be different.
            now = self._look(portion, here)
            self._agree(
                portion,
                index.name,
                {name: hashed for name, hashed in now.items() if index.files.get(name) == hashed.entry},
            )
            return bool(missing)

    def _keep(self, portion: str, names: list[str]) -> int:
        with self._lock(portion):
            record = self._record(portion)
            files = self._look(portion, record.files)
            if not has_result(self.root, portion) or (names and files == record.files):
                return 0  # else the store has this state, or a later one of another machine
            newest = self.store.read_index(portion, names)
            there = newest.files if newest else {}
            here = {name: hashed.entry for name, hashed in files.items()}
            # Tables and reports may come from several machines, and so may the stages of a run: what only the others have
            # stays. A run that was trained anew leaves nothing of the former one.
            alone = is_whole(portion) and contradict(here, there)
            wanted = here if alone else {**there, **here}
            stored = {entry.sha256 for entry in there.values()}
            new = {name: entry for name, entry in here.items() if entry.sha256 not in stored}
            sent = self.store.send(self.root / portion, new)
            name = newest.name if newest and there == wanted else self.store.write_index(portion, wanted, names)
            # Without the index's name the next command fetches what only the others have.
            self._agree(portion, name if wanted.keys() == here.keys() else "", files)
            return sent


def kept_with(folder: Path) -> KeptData | None:
    """Where `folder`, or what it lies in, is kept; None where no store keeps it."""
    path = folder.absolute()
    root = next((root for root in path.parents if (root / FOLDER / "attached").is_dir()), None)
    if root is not None:
        relative = path.relative_to(root)
        for file in (_attachment(root, part.as_posix()) for part in (relative, *relative.parents)):
            if file.is_file():
                content = json.loads(file.read_text(encoding="utf-8"))
                store = Store(content["url"], content["options"])
                return KeptData(root, tuple(content["places"]), store, _identity(root))
    return None


def fetched(path: Path) -> Path:
    """`path`, fetched from the store that keeps it where it is not here.

    Raises:
        StorageError: it is not here, and the store cannot be reached.
    """
    if not path.exists():
        kept_data = kept_with(path)
        if kept_data is not None and is_kept(path.absolute().relative_to(kept_data.root)):
            kept_data.fetch(path)
    return path


def detach(root: Path, places: Sequence[str]) -> None:
    """Forget that a store keeps these places; what is in it stays there."""
    for folder in places:
        _attachment(root, folder).unlink(missing_ok=True)


def _identity(root: Path) -> str:
    try:
        return (root / FOLDER / "identity").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _attachment(root: Path, folder: str) -> Path:
    return root / FOLDER / "attached" / f"{folder}.json"
