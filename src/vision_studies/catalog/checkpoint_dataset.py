"""Checkpoints in the catalog."""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractVersionedDataset, DatasetError, Version
from kedro_datasets._typing import JSONPreview

from vision_studies.catalog.ffcv_files_dataset import _glob
from vision_studies.catalog.previews import no_json
from vision_studies.catalog.shared_versions import SharedVersions


class CheckpointDataset(SharedVersions, AbstractVersionedDataset[dict[str, Any], dict[str, Any]]):
    """A nested state of tensors and JSON values in one safetensors file; never a pickle."""

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Point at the file.

        Args:
            filepath: the file.
            version: version to load or save.
            metadata: for Kedro's plugins.
        """
        super().__init__(
            filepath=PurePosixPath(filepath), version=version, exists_function=os.path.exists, glob_function=_glob
        )
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Read the state.

        Raises:
            CheckpointError: the file is damaged.
        """
        from vision_studies.training.checkpoints import load_state

        return load_state(Path(self._get_load_path()))

    def save(self, data: dict[str, Any]) -> None:
        """Write the state, atomically."""
        from vision_studies.training.checkpoints import save_state

        save_state(self._own_save_path(), data)

    def preview(self) -> JSONPreview:
        """All of the state but its weights; of other tensors, their shapes."""
        if not self._exists():
            return no_json()
        state = {key: value for key, value in self.load().items() if key != "weights"}
        return JSONPreview(json.dumps(state, default=lambda tensor: f"tensor of shape {list(tensor.shape)}"))

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).is_file()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}
