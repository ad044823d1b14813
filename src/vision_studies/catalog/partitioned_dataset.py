"""Partitions that may be none."""

from typing import Any

from kedro_datasets.partitions import PartitionedDataset as KedroPartitionedDataset


class PartitionedDataset(KedroPartitionedDataset):
    """Kedro's partitions; a folder without any loads as an empty dictionary, as it was saved."""

    def load(self) -> dict[str, Any]:
        """Name -> function that loads the partition."""
        return super().load() if self._list_partitions() else {}
