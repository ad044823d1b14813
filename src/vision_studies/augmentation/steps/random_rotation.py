"""Rotations."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class RandomRotationSettings(AugmentationStep):
    """Rotate each image about its centre."""

    name: Literal["random_rotation"] = Field(description="rotate about the centre; corners become 0")
    degrees: float = Field(ge=0, le=180, description="largest angle, either way")
    interpolation: Literal["nearest", "bilinear"] = Field(description="how values between pixels are read")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.warping import random_rotation

        return drawn_anew(random_rotation, **self.options())
