"""Kedro dataset classes and the configuration loader."""

from vision_studies.catalog.datasets import (
    CheckpointDataset,
    FfcvFilesDataset,
    FolderDataset,
    ImageSetDataset,
    PartitionedDataset,
    ResultsTableDataset,
)

__all__ = [
    "CheckpointDataset",
    "FfcvFilesDataset",
    "FolderDataset",
    "ImageSetDataset",
    "PartitionedDataset",
    "ResultsTableDataset",
]
