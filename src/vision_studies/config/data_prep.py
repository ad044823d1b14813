"""Parameters of the `data_prep` pipeline."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vision_studies.config.base import Settings
from vision_studies.files import hash_json

NAMED_SOURCES = ("digits", "cifar10", "cifar100", "mnist", "fashion_mnist")


class SplitSettings(Settings):
    """How images are divided; by class, and by nothing else but the seed."""

    validation_fraction: float = Field(gt=0, lt=1, description="share of the training images kept for validation")
    test_fraction: float = Field(
        gt=0, lt=1, description="share of all images kept for test; only where the source has no test split of its own"
    )
    seed: int = Field(ge=0, description="seed of both divisions")


class DataPrepSettings(Settings):
    """Where images come from and what is made of them."""

    source: str = Field(
        min_length=1,
        description="digits, cifar10, cifar100, mnist, fashion_mnist, or the path of a folder of images, parquet files "
        "or original archives",
    )
    image_size: int | None = Field(ge=1, le=1024, description="height and width in pixels; null keeps the source's own")
    skip_corrupt: bool = Field(description="leave out images that cannot be read, instead of stopping")
    splits: SplitSettings = Field(description="train, validation and test")
    download_folder: Path = Field(description="where downloaded archives are kept")
    ffcv: Literal["auto", True, False] = Field(description="write .beton files; auto: where FFCV is installed")

    @property
    def source_folder(self) -> Path | None:
        """The folder that `source` names, whichever way it is written; None where it is a named source."""
        return None if self.source in NAMED_SOURCES else Path(self.source).expanduser().resolve()

    def content(self) -> dict[str, Any]:
        """The settings that decide what the prepared images and splits are, as JSON values."""
        folder = self.source_folder
        return {
            "source": str(folder) if folder else self.source,
            "image_size": self.image_size,
            "skip_corrupt": self.skip_corrupt,
            "splits": self.splits.model_dump(mode="json"),
        }


def data_set_key(settings: DataPrepSettings) -> str:
    """Folder name of the prepared data: the source's name and a hash of what decides their content."""
    folder = settings.source_folder
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", folder.name if folder else settings.source).strip("._") or "images"
    return f"{name}-{hash_json(settings.content())[:8]}"
