"""Mirror images."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class RandomFlipSettings(AugmentationStep):
    """Mirror images left to right."""

    name: Literal["random_flip"] = Field(description="mirror left to right")
    probability: float = Field(ge=0, le=1, description="chance of an image to be mirrored")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.geometry import random_flip

        return drawn_anew(random_flip, **self.options())
