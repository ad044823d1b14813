"""RandAugment."""

from typing import Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew


class RandAugmentSettings(AugmentationStep):
    """A few of fourteen operations on each image (Cubuk et al. 2020)."""

    name: Literal["rand_augment"] = Field(description="random operations of one strength")
    num_ops: int = Field(ge=1, description="operations an image")
    magnitude: int = Field(ge=0, description="strength of the operations; below num_magnitude_bins")
    num_magnitude_bins: int = Field(
        ge=2, description="number of strengths: torchvision has 31, which makes 9 mild; with 10 the strongest is 9"
    )

    @model_validator(mode="after")
    def _magnitude_is_one_of_them(self) -> Self:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(
                f"magnitude ({self.magnitude}) must be below num_magnitude_bins ({self.num_magnitude_bins})"
            )
        return self

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.rand_augment import rand_augment

        return drawn_anew(rand_augment, **self.options())
