"""Plain convolutional networks."""

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count, built_by, no_blocks


class ConvNetSettings(Architecture):
    """A plain convolutional network that can be cut after any convolution."""

    presets: ClassVar = {
        # 191,050 parameters on images of 28 pixels with one channel
        "convnet": {
            "channels": (64,) * 6,
            "kernel_size": 3,
            "activation": "relu",
            "downsampling": "average_pool",
            "every": 2,
            "stride": 2,
            "hidden": None,
            "head": "flatten",
        }
    }
    named_by: ClassVar = "name"
    images_at_first: ClassVar = 0
    logit_scale: ClassVar = 1.0
    build = built_by("convnet:ConvNet")
    freezable_blocks = no_blocks

    name: Literal["convnet"] = Field(description="preset that gives every option not named here")
    channels: tuple[Count, ...] = Field(min_length=1, description="of each convolution")
    kernel_size: Count = Field(description="of every convolution, in pixels")
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "tanh", "sigmoid"] = Field(
        description="after every convolution, and between two dense layers"
    )
    downsampling: Literal["average_pool", "max_pool", "strided_convolution"] | None = Field(
        description="what makes maps smaller; null for nothing"
    )
    every: Count = Field(description="convolutions from one downsampling to the next")
    stride: Count = Field(description="of the downsampling")
    hidden: Count | None = Field(description="units of the first of two dense layers; null for a single dense layer")
    head: Literal["flatten", "global_average"] = Field(
        description="what the dense layer sees: every pixel of the last maps, or their means"
    )

    @property
    def depth(self) -> int:
        """Number of convolutions."""
        return len(self.channels)

    @override
    def widened(self, width: int) -> None:
        return None
