"""Parameters of one run of one network."""

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.losses import LossSettings, SamplerName
from vision_studies.config.models import ModelSettings
from vision_studies.config.training import TrainingSettings
from vision_studies.settings_base import Settings, without_defaults


class EvaluationSettings(Settings):
    """How the selected weights of a run are scored, once, on the test split."""

    batch_size: int = Field(ge=1, description="images scored at a time")
    views: tuple[int, ...] = Field(
        min_length=1,
        description="numbers of test-time views to average, each reported; 1 is the plain image and always included",
    )
    padding: int = Field(ge=0, description="pixels that a test-time crop may shift by, to each side")
    seed: int = Field(ge=0, description="seed of the test-time crops")


OfRun = Literal["run"] | NonNegativeInt


class RandomnessSettings(Settings):
    """What the seed of a run decides; what has a number of its own is the same in all runs.

    Of the spread of results each source then shows its part (Bouthillier et al. 2021, "Accounting for variance in machine
    learning benchmarks").
    """

    split: Literal["prepared", "run"] | NonNegativeInt = Field(
        default="prepared",
        description="prepared: validation images as data_prep has divided them; run or a number: training and validation "
        "images are divided anew by this seed, and the test images stay",
    )
    weights: OfRun = Field(default="run", description="seed of the initial weights")
    order: OfRun = Field(default="run", description="seed of the order of training images")
    augmentation: OfRun = Field(default="run", description="seed of what is done to training images")
    training: OfRun = Field(default="run", description="seed of dropout, stochastic depth and mixing of images")

    def seed_of(self, source: Literal["weights", "order", "augmentation", "training"], run: int) -> int:
        """Seed of one source in a run with the seed `run`."""
        value = getattr(self, source)
        return run if value == "run" else int(value)

    def split_seed(self, run: int) -> int | None:
        """Seed that divides training and validation images anew; None where they stay as they are prepared."""
        if self.split == "prepared":
            return None
        return run if self.split == "run" else self.split


class RunSettings(Settings):
    """All that decides the numbers of one run, besides its seed and its data."""

    model: ModelSettings = Field(description="network and its options")
    loader: Literal["device", "ffcv"] = Field(
        description="device: all images in the memory of the device; ffcv: read from memory-mapped .beton files"
    )
    augmentation: AugmentationSettings = Field(description="what is done to training images, in order")
    training: TrainingSettings = Field(description="optimiser, schedule and length of training")
    evaluation: EvaluationSettings = Field(description="how the test split is scored")
    randomness: RandomnessSettings = Field(default=RandomnessSettings(), description="what the seed of a run decides")
    loss: LossSettings | None = Field(
        default=None, description="a loss for classes of uneven size; null: cross-entropy of every image alike"
    )
    sampler: SamplerName = Field(
        default="instance",
        description="images of an epoch. instance: every image once; square_root: classes by the root of their size; "
        "class_aware: classes alike; progressive: from the first to the last epoch from instance to class_aware",
    )

    @model_validator(mode="after")
    def _files_hold_the_split(self) -> "RunSettings":
        if self.loader == "ffcv" and self.randomness.split != "prepared":
            raise ValueError(
                "randomness.split must be prepared where loader is ffcv: its files hold the prepared splits"
            )
        return self

    @model_validator(mode="after")
    def _draws_are_of_the_device(self) -> "RunSettings":
        if self.loader == "ffcv" and self.sampler != "instance":
            raise ValueError(
                f"sampler={self.sampler} draws from images in memory; set loader: device, or sampler: instance"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_smoothed_once(self) -> "RunSettings":
        if self.loss is not None and self.loss.name in ("focal", "over_smoothed") and self.training.label_smoothing:
            raise ValueError(
                f"loss={self.loss.name} takes labels as they are or smooths them itself; set training.label_smoothing: 0"
            )
        return self

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(self, write(self), "randomness", "loss", "sampler")
