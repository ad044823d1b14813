"""Parameters of one run of one network."""

from typing import Literal

from pydantic import Field

from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.models import ModelSettings
from vision_studies.config.training import TrainingSettings
from vision_studies.settings_base import Settings


class EvaluationSettings(Settings):
    """How the selected weights of a run are scored, once, on the test split."""

    batch_size: int = Field(ge=1, description="images scored at a time")
    views: tuple[int, ...] = Field(
        min_length=1,
        description="numbers of test-time views to average, each reported; 1 is the plain image and always included",
    )
    padding: int = Field(ge=0, description="pixels that a test-time crop may shift by, to each side")
    seed: int = Field(ge=0, description="seed of the test-time crops")


class RunSettings(Settings):
    """All that decides the numbers of one run, besides its seed and its data."""

    model: ModelSettings = Field(description="network and its options")
    loader: Literal["device", "ffcv"] = Field(
        description="device: all images in the memory of the device; ffcv: read from memory-mapped .beton files"
    )
    augmentation: AugmentationSettings = Field(description="what is done to training images, in order")
    training: TrainingSettings = Field(description="optimiser, schedule and length of training")
    evaluation: EvaluationSettings = Field(description="how the test split is scored")
