"""The nine-layer residual network."""

from typing import ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count, built_by, no_blocks


class ResNet9Settings(Architecture):
    """The nine-layer residual network of fast CIFAR training."""

    presets: ClassVar = {"resnet9": {"width": 64}}  # 2,274,880 parameters for three channels and ten classes
    named_by: ClassVar = "name"
    images_at_first: ClassVar = 0
    logit_scale: ClassVar = 0.2
    build = built_by("resnet9:ResNet9")
    freezable_blocks = no_blocks

    name: Literal["resnet9"] = Field(description="the network")
    width: Count = Field(description="channels after the first convolution; later ones have two and four times as many")

    @override
    def widened(self, width: int) -> Self:
        return self.model_copy(update={"width": width})
