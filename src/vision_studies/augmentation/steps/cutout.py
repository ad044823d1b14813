"""Covered squares."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class CutoutSettings(AugmentationStep):
    """Cover a square of each image (DeVries and Taylor 2017)."""

    name: Literal["cutout"] = Field(description="cover a square with the mean colour")
    size: int = Field(ge=1, description="side of the square in pixels")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.erasing import cutout

        return drawn_anew(cutout, fill=fill, **self.options())
