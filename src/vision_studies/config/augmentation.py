"""What is done to training images; parameters of `data.augmentation`."""

from typing import Annotated, Literal

from pydantic import Field

from vision_studies.config.base import Settings


class RandomCropSettings(Settings):
    """Shift each image by a few pixels."""

    name: Literal["random_crop"] = Field(description="pad, then cut out a window of the old size")
    padding: int = Field(ge=0, description="pixels that an image may be shifted by, to each side")
    mode: Literal["zero", "reflect"] = Field(description="what comes in at the edge")


class RandomFlipSettings(Settings):
    """Mirror images left to right."""

    name: Literal["random_flip"] = Field(description="mirror left to right")
    probability: float = Field(ge=0, le=1, description="chance of an image to be mirrored")


class CutoutSettings(Settings):
    """Cover a square of each image (DeVries and Taylor 2017)."""

    name: Literal["cutout"] = Field(description="cover a square with the mean colour")
    size: int = Field(ge=1, description="side of the square in pixels")


Step = Annotated[RandomCropSettings | RandomFlipSettings | CutoutSettings, Field(discriminator="name")]


class AugmentationSettings(Settings):
    """Steps of augmentation, in the order in which they are done."""

    steps: tuple[Step, ...] = Field(description="done one after the other; none leaves the images alone")
