"""Parameters of the `class_means` pipeline."""

from pydantic import Field

from vision_studies.settings_base import Settings


class ClassMeansSettings(Settings):
    """Which means are taken."""

    seeds: tuple[int, ...] = Field(min_length=1, description="one classifier each: which images it sees")
    shares: tuple[float, ...] = Field(min_length=1, description="shares of the training images that are averaged")
