"""Kedro dataset classes and the configuration loader."""

from vision_studies.catalog.checkpoint_dataset import CheckpointDataset
from vision_studies.catalog.ffcv_files_dataset import FfcvFilesDataset
from vision_studies.catalog.folder_dataset import FolderDataset
from vision_studies.catalog.image_set_dataset import ImageSetDataset
from vision_studies.catalog.partitioned_dataset import PartitionedDataset
from vision_studies.catalog.results_table_dataset import ResultsTableDataset

__all__ = [
    "CheckpointDataset",
    "FfcvFilesDataset",
    "FolderDataset",
    "ImageSetDataset",
    "PartitionedDataset",
    "ResultsTableDataset",
]
