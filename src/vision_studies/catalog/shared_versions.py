"""Data sets of a file or a folder, and versions of those that several processes save who share a study."""

import os
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from kedro.io import AbstractDataset, AbstractVersionedDataset, DatasetError, Version

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class SharedVersions:
    """Mixed into versioned datasets whose save is atomic.

    Two processes that begin in the same millisecond have one version: both may save it, for both save the same. And a
    process goes on with the version that it has saved itself, though another one may have saved a later one.
    """

    def _path_to_save(self: Any) -> Path:
        """Where to save; from now on also what is loaded, unless a version to load was asked for."""
        version = self.resolve_save_version()
        if version is None:
            return Path(self._filepath)
        self._cached_load_version = version
        return Path(self._get_versioned_path(version))


class VersionedPath(SharedVersions, AbstractVersionedDataset[Saved, Loaded]):
    """A file or folder with versions, whose reading and writing subclasses say."""

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Point at the file or the folder, or the folder of its versions; `version` is to be loaded or saved."""
        super().__init__(
            filepath=PurePosixPath(filepath), version=version, exists_function=os.path.exists, glob_function=_glob
        )
        self.metadata = metadata

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}


class PlainPath(AbstractDataset[Saved, Loaded]):
    """A file or folder without versions, whose reading and writing subclasses say."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Point at the file or the folder; `metadata` is for Kedro's plugins."""
        self._path = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


def _glob(pattern: str) -> list[str]:
    return [str(path) for path in Path("/").glob(pattern.lstrip("/"))]
