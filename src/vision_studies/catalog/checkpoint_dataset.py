"""Checkpoints in the catalog."""

import json
from pathlib import Path
from typing import Any

from kedro_datasets._typing import JSONPreview

from vision_studies.catalog.previews import NO_JSON
from vision_studies.catalog.shared_versions import VersionedPath


class CheckpointDataset(VersionedPath[dict[str, Any], dict[str, Any]]):
    """A nested state of tensors and JSON values in one safetensors file; never a pickle."""

    def load(self) -> dict[str, Any]:
        """Read the state. Raises CheckpointError where the file is damaged."""
        from vision_studies.training.checkpoints import load_state

        return load_state(Path(self._get_load_path()))

    def save(self, data: dict[str, Any]) -> None:
        """Write the state, atomically."""
        from vision_studies.training.checkpoints import save_state

        save_state(self._path_to_save(), data)

    def preview(self) -> JSONPreview:
        """All of the state but its weights; of other tensors, their shapes."""
        if not self._exists():
            return NO_JSON
        state = {key: value for key, value in self.load().items() if key != "weights"}
        return JSONPreview(json.dumps(state, default=lambda tensor: f"tensor of shape {list(tensor.shape)}"))
