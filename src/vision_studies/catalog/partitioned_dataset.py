"""Partitions that may be none."""

from typing import Any

from kedro_datasets._typing import HTMLPreview
from kedro_datasets.partitions import PartitionedDataset as KedroPartitionedDataset

from vision_studies.catalog.previews import partitions_preview


class PartitionedDataset(KedroPartitionedDataset):
    """Kedro's partitions; a folder without any loads as an empty dictionary, as it was saved."""

    def __init__(self, *, missing_ok: bool = True, **options: Any) -> None:
        """Point at the folder; `missing_ok`: without a partition, load an empty dictionary instead of failing."""
        super().__init__(**options)
        self._missing_ok = missing_ok

    def load(self) -> dict[str, Any]:
        """Name -> function that loads the partition. Raises DatasetError where there is none, unless `missing_ok`."""
        return super().load() if self._list_partitions() or not self._missing_ok else {}

    def preview(self, number: int = 6) -> HTMLPreview:
        """The first partitions, and the names of the others."""
        markdown = self._filename_suffix == ".md"
        return partitions_preview(self.load() if self._exists() else {}, number, markdown=markdown)
