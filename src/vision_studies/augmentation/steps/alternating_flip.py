"""Mirror images in turn."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep


class AlternatingFlipSettings(AugmentationStep):
    """Mirror half of the images, and the other half in the next epoch (Jordan 2024)."""

    name: Literal["alternating_flip"] = Field(description="mirror left to right, every image in every other epoch")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.geometry import alternating_flip

        return lambda images, _, occasion: alternating_flip(images, *occasion)
