"""Darker images."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, AugmentationStep


class ToyDarkenSettings(AugmentationStep):
    """Make each image darker, by a share of its own."""

    name: Literal["toy_darken"] = Field(description="multiply all pixels of an image by one random number")
    most: float = Field(ge=0, le=1, description="largest share of the brightness that is taken away")

    @override
    def build(self, fill: tuple[float, ...]) -> Augmentation:
        import torch

        from vision_studies.augmentation.draws import send

        def darken(images: torch.Tensor, generator: torch.Generator, _occasion: object) -> torch.Tensor:
            drawn = send(torch.rand(len(images), generator=generator), images)
            return (images * (1 - self.most * drawn).view(-1, 1, 1, 1)).to(images.dtype)

        return darken
