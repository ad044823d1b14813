"""Distortions of perspective."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class RandomPerspectiveSettings(AugmentationStep):
    """Distort some images as if they were seen from the side."""

    name: Literal["random_perspective"] = Field(description="move the corners inwards; what comes in from outside is 0")
    distortion_scale: float = Field(ge=0, le=1, description="longest move of a corner, as a share of half the image")
    probability: float = Field(ge=0, le=1, description="chance of an image to be distorted")
    interpolation: Literal["nearest", "bilinear"] = Field(description="how values between pixels are read")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.warping import random_perspective

        return drawn_anew(random_perspective, **self.options())
