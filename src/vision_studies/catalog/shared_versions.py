"""Versions of data sets that several processes save who share a study."""

from pathlib import Path
from typing import Any


class SharedVersions:
    """Mixed into versioned datasets whose save is atomic.

    Two processes that begin in the same millisecond have one version: both may save it, for both save the same. And a
    process goes on with the version that it has saved itself, though another one may have saved a later one.
    """

    def _own_save_path(self: Any) -> Path:
        """Where to save; from now on also what is loaded, unless a version to load was asked for."""
        version = self.resolve_save_version()
        if version is None:
            return Path(self._filepath)
        self._cached_load_version = version
        return Path(self._get_versioned_path(version))
