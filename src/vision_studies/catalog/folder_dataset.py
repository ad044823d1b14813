"""A working folder as a node's input."""

import json
from pathlib import Path
from typing import NoReturn

from kedro.io import DatasetError
from kedro_datasets._typing import JSONPreview

from vision_studies.catalog.previews import NO_JSON
from vision_studies.catalog.shared_versions import PlainPath


class FolderDataset(PlainPath[NoReturn, Path]):
    """Path of a folder in which a node works, or which it searches; created when it is loaded.

    Long work writes here as it goes (checkpoints, finished runs), so that nothing is lost when it is stopped.
    """

    def load(self) -> Path:
        """The folder, created where it is not there yet."""
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def save(self, data: NoReturn) -> NoReturn:  # noqa: ARG002
        """Refuse with a DatasetError: what lies in a working folder is written by the node that works in it."""
        raise DatasetError(f"{self._path} is a working folder: nodes write into it themselves.")

    def preview(self, number: int = 20) -> JSONPreview:
        """How many folders and files lie there, and the names of the first ones."""
        if not self._exists():
            return NO_JSON
        entries = sorted(entry for entry in self._path.iterdir() if not entry.name.startswith("."))
        folders = sum(entry.is_dir() for entry in entries)
        names = [entry.name for entry in entries[:number]]
        return JSONPreview(json.dumps({"folders": folders, "files": len(entries) - folders, "first": names}))
