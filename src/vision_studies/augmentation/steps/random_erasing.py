"""Covered boxes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew

_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]


class RandomErasingSettings(AugmentationStep):
    """Cover a box in some images (Zhong et al. 2020)."""

    name: Literal["random_erasing"] = Field(description="cover a box with the mean colour")
    probability: float = Field(ge=0, le=1, description="chance of an image to be covered")
    scale: tuple[_Share, _Share] = Field(description="smallest and largest area, as shares of the image's")
    ratio: tuple[_Positive, _Positive] = Field(description="smallest and largest height over width")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{name} goes from its smallest to its largest value, not from {low} to {high}")
        return self

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.erasing import random_erasing

        return drawn_anew(random_erasing, fill=fill, **self.options())
