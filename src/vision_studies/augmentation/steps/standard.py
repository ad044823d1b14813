"""The steps that the project brings along, in the order of messages and of the reference."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep, drawn_anew

_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]


class RandomCropSettings(AugmentationStep):
    """Shift each image by a few pixels."""

    name: Literal["random_crop"] = Field(description="pad, then cut out a window of the old size")
    padding: int = Field(ge=0, description="pixels that an image may be shifted by, to each side")
    mode: Literal["zero", "reflect"] = Field(description="what comes in at the edge")
    build = drawn_anew("geometry")


class RandomFlipSettings(AugmentationStep):
    """Mirror images left to right."""

    name: Literal["random_flip"] = Field(description="mirror left to right")
    probability: float = Field(ge=0, le=1, description="chance of an image to be mirrored")
    build = drawn_anew("geometry")


class AlternatingFlipSettings(AugmentationStep):
    """Mirror half of the images, and the other half in the next epoch (Jordan 2024)."""

    name: Literal["alternating_flip"] = Field(description="mirror left to right, every image in every other epoch")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        from vision_studies.augmentation.geometry import alternating_flip

        return lambda images, _, occasion: alternating_flip(images, *occasion)


class RandomRotationSettings(AugmentationStep):
    """Rotate each image about its centre."""

    name: Literal["random_rotation"] = Field(description="rotate about the centre; corners become 0")
    degrees: float = Field(ge=0, le=180, description="largest angle, either way")
    interpolation: Literal["nearest", "bilinear"] = Field(description="how values between pixels are read")
    build = drawn_anew("warping")


class ColorJitterSettings(AugmentationStep):
    """Change the colours of each image, in an order of its own."""

    name: Literal["color_jitter"] = Field(description="change brightness, contrast, saturation and hue")
    brightness: float = Field(ge=0, description="factors from 1 - this to 1 + this")
    contrast: float = Field(ge=0, description="factors from 1 - this to 1 + this")
    saturation: float = Field(ge=0, description="factors from 1 - this to 1 + this")
    hue: float = Field(ge=0, le=0.5, description="turns from -this to this, as shares of the colour circle")
    build = drawn_anew("color")


class RandomPerspectiveSettings(AugmentationStep):
    """Distort some images as if they were seen from the side."""

    name: Literal["random_perspective"] = Field(description="move the corners inwards; what comes in from outside is 0")
    distortion_scale: float = Field(ge=0, le=1, description="longest move of a corner, as a share of half the image")
    probability: float = Field(ge=0, le=1, description="chance of an image to be distorted")
    interpolation: Literal["nearest", "bilinear"] = Field(description="how values between pixels are read")
    build = drawn_anew("warping")


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

    build = drawn_anew("rand_augment")


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

    build = drawn_anew("erasing")


class CutoutSettings(AugmentationStep):
    """Cover a square of each image (DeVries and Taylor 2017)."""

    name: Literal["cutout"] = Field(description="cover a square with the mean colour")
    size: int = Field(ge=1, description="side of the square in pixels")
    build = drawn_anew("erasing")
