"""Shifts by a few pixels."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class RandomCropSettings(AugmentationStep):
    """Shift each image by a few pixels."""

    name: Literal["random_crop"] = Field(description="pad, then cut out a window of the old size")
    padding: int = Field(ge=0, description="pixels that an image may be shifted by, to each side")
    mode: Literal["zero", "reflect"] = Field(description="what comes in at the edge")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.geometry import random_crop

        return drawn_anew(random_crop, **self.options())
