"""Versions of what the catalog saves: the newest lies where it always has, all of them beside it.

Of `conclusions.json` the newest version is `conclusions.json`, so that whoever opens a result by its path opens the newest; and
every version that is kept is `.versions/conclusions.json/<version>/conclusions.json`, laid out as Kedro lays out versions.
"""

import filecmp
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from vision_studies.errors import DataError
from vision_studies.files import atomic_file, put_in_place, remove, temporary_folder

FOLDER = ".versions"

Files = Mapping[str, Path]
"""Name, as seen from the folder in which the files of a version lie together -> file."""


def newest_file(path: Path) -> Path | None:
    """Where the newest version of a file lies: at `path`; where an earlier release of the project saved it, in the last of the
    folders below `path`. None where there is none.
    """
    return path if path.is_file() else max(path.glob(f"*/{path.name}"), default=None)


@dataclass(frozen=True)
class Versions:
    """Versions of one file, or of files that are saved together.

    Attributes:
        root: folder in which the newest version lies.
        patterns: which of the files there belong to it.
        folder: in which every version has a folder.
        is_file: whether it is one file, which others may accompany, and not all files of a kind in a folder.
    """

    root: Path
    patterns: tuple[str, ...]
    folder: Path
    is_file: bool

    @classmethod
    def of_file(cls, path: Path, *beside: str) -> "Versions":
        """Versions of a file, with files of the names `beside` it that are saved with it."""
        return cls(path.parent, (path.name, *beside), path.parent / FOLDER / path.name, is_file=True)

    @classmethod
    def of_files(cls, folder: Path, suffix: str) -> "Versions":
        """Versions of all files in and below a folder that end in `suffix`: they are saved together."""
        return cls(folder, (f"**/*{suffix}",), folder.parent / FOLDER / f"{folder.name}{suffix}", is_file=False)

    def names(self) -> list[str]:
        """Versions, the newest first: they are called after the time when their command began."""
        return sorted((entry.name for entry in self.folder.glob("[!.]*/")), reverse=True)

    def newest(self) -> Path:
        """Where the newest version lies, or will: the file, or the folder."""
        path = self.root / self.patterns[0]
        return (newest_file(path) or path) if self.is_file else self.root

    def path(self, version: str) -> Path:
        """Where a version lies, or would: the file, or the folder."""
        return self.folder / version / self.patterns[0] if self.is_file else self.folder / version

    def find(self, version: str) -> Path:
        """Where a version lies. Raises DataError where it is gone."""
        names = self.names()
        if version not in names:
            there = f"there are {', '.join(names)}" if names else "there is none"
            raise DataError(
                f"There is no version '{version}' of {self.newest()}; {there} (`kedro versions list` shows all that are kept)."
            )
        return self.path(version)

    def is_newest(self, version: str) -> bool:
        """Whether a version is what lies where the newest does; of equal ones, all are."""
        return _alike(self._files(self.folder / version), self._files(self.root))

    def described(self, version: str) -> tuple[float, int]:
        """When a version was saved (seconds since 1970), and how many bytes its files have."""
        states = [file.stat() for file in self._files(self.folder / version).values()]
        return max((state.st_mtime for state in states), default=0.0), sum(state.st_size for state in states)

    @contextmanager
    def save(self, version: str | None) -> Iterator[Path]:
        """Yield an empty folder to write the files into; where the block ends without an error they are the newest version.

        It is kept as `version`, unless the newest is the same; without a name, it is not kept. What no version
        holds yet, be it from another machine or an earlier release, becomes one before it is replaced. Files that are not
        among the new ones go. Raises what `files.atomic_file` raises; until all is written, everything stays as it was.
        """
        with temporary_folder(self.folder.parents[1] / self.folder.name) as written:
            yield written
            with nullcontext() if version is None else self._lock():
                if version is not None:
                    self._keep(written, version)
                self._put(written if written.is_dir() else self.folder / str(version))

    def restore(self, version: str, name: str) -> None:
        """Make an earlier version the newest, kept under a new `name`. Raises DataError where it is gone."""
        self.find(version)
        with self.save(name) as folder:
            for file_name, file in self._files(self.folder / version).items():
                _copy(file, folder / file_name)
                (folder / file_name).touch()  # it is saved now

    def superfluous(self, keep: int) -> list[str]:
        """Versions but for the `keep` newest and that which is what lies where the newest does."""
        return [version for version in self.names()[keep:] if not self.is_newest(version)]

    def remove(self, versions: list[str]) -> None:
        """Delete versions."""
        with self._lock() if versions else nullcontext():
            for version in versions:
                remove(self.folder / version)

    def _files(self, folder: Path) -> dict[str, Path]:
        files = sorted({file for pattern in self.patterns for file in folder.glob(pattern) if file.is_file()})
        named = ((file.relative_to(folder), file) for file in files)
        return {str(name): file for name, file in named if not any(part.startswith(".") for part in name.parts)}

    def _lock(self) -> FileLock:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder.with_name(".lock"))

    def _keep(self, written: Path, version: str) -> None:
        """Make a version of what was written, unless it is what lies there, or was kept last."""
        path = self.root / self.patterns[0]
        if (
            self.is_file and path.is_dir() and not self.folder.exists()
        ):  # as earlier releases, and Kedro, lay out versions
            os.replace(path, self.folder)
        new, old, names = self._files(written), self._files(self.root), self.names()
        kept = self._files(self.folder / names[0]) if names else {}
        if _alike(new, old) or (names and _alike(new, kept)):
            return
        if old and not any(map(self.is_newest, names)):
            with temporary_folder(self.folder.parents[1] / self.folder.name) as folder:
                for name, file in old.items():
                    _copy(file, folder / name)
                put_in_place(folder, self.folder / _time(max(file.stat().st_mtime for file in old.values())))
        for name in new.keys() & kept.keys():
            if _same(new[name], kept[name]):
                new[name].unlink()
                _link(kept[name], new[name])
        put_in_place(written, self.folder / version)

    def _put(self, source: Path) -> None:
        """Copy files to where the newest version lies: what is changed there by hand changes no version."""
        new = self._files(source)
        for name, file in new.items():
            with atomic_file(self.root / name, keep_equal=True) as temporary:
                shutil.copy2(file, temporary)
        for name, file in self._files(self.root).items():
            if name not in new:
                file.unlink(missing_ok=True)
                with suppress(OSError):  # not empty
                    file.parent.rmdir()


def _alike(files: Files, others: Files) -> bool:
    return files.keys() == others.keys() and all(_same(files[name], others[name]) for name in files)


def _same(file: Path, other: Path) -> bool:
    filecmp.clear_cache()  # it goes by times, of which one file may have the same with two contents
    return filecmp.cmp(file, other, shallow=False)


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copy2(file, target)


def _time(seconds: float) -> str:
    """As Kedro names versions."""
    return f"{datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H.%M.%S.%f')[:-3]}Z"
