"""Changes of colour."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class ColorJitterSettings(AugmentationStep):
    """Change the colours of each image, in an order of its own."""

    name: Literal["color_jitter"] = Field(description="change brightness, contrast, saturation and hue")
    brightness: float = Field(ge=0, description="factors from 1 - this to 1 + this")
    contrast: float = Field(ge=0, description="factors from 1 - this to 1 + this")
    saturation: float = Field(ge=0, description="factors from 1 - this to 1 + this")
    hue: float = Field(ge=0, le=0.5, description="turns from -this to this, as shares of the colour circle")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.color import color_jitter

        return drawn_anew(color_jitter, **self.options())
