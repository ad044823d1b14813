"""FFCV's `.beton` files in the catalog."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import DatasetError
from kedro_datasets._typing import JSONPreview

from vision_studies.catalog.previews import NO_JSON
from vision_studies.catalog.shared_versions import VersionedPath
from vision_studies.files import atomic_folder

BetonSource = Path | Callable[[Path], None]
"""A finished file, or a function that writes one to the path it is given."""


class FfcvFilesDataset(VersionedPath[Mapping[str, BetonSource], dict[str, Path]]):
    """A versioned folder of `.beton` files. A file that an earlier version holds is linked, not written again."""

    def __init__(self, *, missing_ok: bool = False, **options: Any) -> None:
        """Point at the folder whose versions hold the files; `missing_ok`: without a version, load an empty mapping instead of
        failing.
        """
        super().__init__(**options)
        self._missing_ok = missing_ok

    def load(self) -> dict[str, Path]:
        """Name without suffix -> path of the file."""
        try:
            folder = Path(self._get_load_path())
        except DatasetError:
            if self._missing_ok:
                return {}
            raise
        return {file.stem: file for file in sorted(folder.glob("*.beton"))}

    def save(self, data: Mapping[str, BetonSource]) -> None:
        """Write or link the files into a new version; an empty mapping makes an empty version."""
        with atomic_folder(self._path_to_save()) as folder:
            for name, source in data.items():
                write = partial(_link, source) if isinstance(source, Path) else source
                write(folder / f"{name}.beton")

    def preview(self) -> JSONPreview:
        """Files and their sizes."""
        if not self._exists():
            return NO_JSON
        return JSONPreview(json.dumps({file.name: file.stat().st_size for file in self.load().values()}))

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"missing_ok": self._missing_ok}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
