"""Networks and their options.

A configuration names a preset and, where it wants, changes some of the preset's options; the settings are complete after
validation, so that a stored configuration says all there is to know about its network.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vision_studies.config.base import Settings

RESNET_SMALL: dict[str, Any] = {
    "stem_width": 32,
    "widths": (32, 64, 128, 256),
    "blocks": (2, 2, 2, 2),
    "strides": (1, 2, 2, 2),
    "squeeze_reduction": 16,
    "stochastic_depth": 0.0,
    "zero_init_residual": False,
    "dropout": 0.3,
}
RESNET18: dict[str, Any] = {
    **RESNET_SMALL,
    "stem_width": 64,
    "widths": (64, 128, 256, 512),
    "squeeze_reduction": None,
    "dropout": 0.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    # Parameter counts are for three channels and ten classes. 2,819,370; with squeeze_reduction: null 2,797,610.
    "resnet_small": RESNET_SMALL,
    # "Similar to the enhanced ResNet, about 2.9 M": its widths with larger squeeze layers reach 2,884,650.
    "hybrid_resnet": {**RESNET_SMALL, "squeeze_reduction": 4, "stochastic_depth": 0.2, "zero_init_residual": True},
    # The size that the published code has, which is not the size that its description has: 5,214,794.
    "hybrid_resnet_published": {
        **RESNET_SMALL,
        "stem_width": 64,
        "widths": (64, 128, 256, 256),
        "strides": (1, 2, 2, 1),
        "squeeze_reduction": 8,
        "stochastic_depth": 0.2,
        "zero_init_residual": True,
    },
    # He et al. 2016 with the stem for small images (3 x 3, no pooling): 11,173,962 and 21,282,122.
    "resnet18": RESNET18,
    "resnet34": {**RESNET18, "blocks": (3, 4, 6, 3)},
    # 2,274,880
    "resnet9": {"width": 64},
    # 1,530,168, of which 1,528,856 learn
    "speedrun_net": {"widths": (64, 192, 256), "norm_momentum": 0.6},
    "torchvision": {"network": "resnet18", "stem": "imagenet", "resize": None},
    # 191,050 on images of 28 pixels with one channel
    "convnet": {
        "channels": (64,) * 6,
        "kernel_size": 3,
        "activation": "relu",
        "downsampling": "average_pool",
        "every": 2,
        "stride": 2,
        "hidden": None,
        "head": "flatten",
    },
    # 1,806,154 on images of 32 pixels
    "vit_compact": {"patch_size": 4, "width": 192, "depth": 6, "heads": 6, "mlp_ratio": 2.0, "dropout": 0.1},
}
"""Name of a network -> its options."""

Count = Annotated[int, Field(ge=1)]


class _PresetSettings(Settings):
    """Settings whose missing options are those of the preset that `name` names."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**PRESETS.get(str(given.get("name")), {}), **given}

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the network, besides those that the data decide."""
        return self.model_dump(exclude={"name"})


class ResNetSettings(_PresetSettings):
    """A residual network of basic blocks (He et al. 2016) for small images."""

    architecture: ClassVar[str] = "resnet"
    name: Literal["resnet_small", "hybrid_resnet", "hybrid_resnet_published", "resnet18", "resnet34"] = Field(
        description="preset that gives every option not named here"
    )
    stem_width: Count = Field(description="channels after the first convolution")
    widths: tuple[Count, ...] = Field(min_length=1, description="channels of each stage")
    blocks: tuple[Count, ...] = Field(min_length=1, description="residual blocks of each stage")
    strides: tuple[Count, ...] = Field(min_length=1, description="stride of the first block of each stage")
    squeeze_reduction: Count | None = Field(
        description="squeeze-excitation with channels / this many hidden units in every block; null for none"
    )
    stochastic_depth: float = Field(
        ge=0, lt=1, description="chance that the last block is skipped for an image in training; rises from 0 by block"
    )
    zero_init_residual: bool = Field(description="every block starts as its shortcut alone")
    dropout: float = Field(ge=0, lt=1, description="share of features zeroed before the classifier in training")

    @model_validator(mode="after")
    def _stages_agree(self) -> "ResNetSettings":
        if not len(self.widths) == len(self.blocks) == len(self.strides):
            raise ValueError(
                f"widths ({len(self.widths)}), blocks ({len(self.blocks)}) and strides ({len(self.strides)}) need one "
                "entry a stage each"
            )
        reduction = self.squeeze_reduction
        if reduction is not None and reduction > min(self.widths):
            raise ValueError(f"squeeze_reduction ({reduction}) must not exceed the narrowest of widths {self.widths}")
        return self


class ResNet9Settings(_PresetSettings):
    """The nine-layer residual network of fast CIFAR training."""

    architecture: ClassVar[str] = "resnet9"
    name: Literal["resnet9"] = Field(description="the network")
    width: Count = Field(description="channels after the first convolution; later ones have two and four times as many")


class SpeedrunNetSettings(_PresetSettings):
    """A whitened convolutional network for trainings of minutes (Jordan 2024)."""

    architecture: ClassVar[str] = "speedrun"
    name: Literal["speedrun_net"] = Field(description="preset that gives every option not named here")
    widths: tuple[Count, ...] = Field(min_length=1, description="channels of each stage")
    norm_momentum: float = Field(
        gt=0, le=1, description="share of a batch in the running statistics of the norms; short trainings need much"
    )


class VitSettings(_PresetSettings):
    """A vision transformer (Dosovitskiy et al. 2021) for small images."""

    architecture: ClassVar[str] = "vit"
    name: Literal["vit_compact"] = Field(description="preset that gives every option not named here")
    patch_size: Count = Field(description="height and width of a patch in pixels; must divide the image size")
    width: Count = Field(description="features of a patch; a multiple of heads")
    depth: Count = Field(description="transformer blocks")
    heads: Count = Field(description="attention heads")
    mlp_ratio: float = Field(gt=0, description="hidden units of a block's perceptron as a multiple of width")
    dropout: float = Field(ge=0, lt=1, description="share of features zeroed inside every block in training")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "VitSettings":
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


class ConvNetSettings(_PresetSettings):
    """A plain convolutional network that can be cut after any convolution."""

    architecture: ClassVar[str] = "convnet"
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


class TorchvisionSettings(_PresetSettings):
    """Any classifier of torchvision."""

    architecture: ClassVar[str] = "torchvision"
    name: Literal["torchvision"] = Field(description="a network that torchvision.models.list_models() names")
    network: str = Field(description="its name there, such as resnet50 or vit_b_16")
    stem: Literal["imagenet", "cifar"] = Field(
        description="of residual networks; imagenet: 7 x 7 with stride 2 and pooling; cifar: 3 x 3, for small images"
    )
    resize: Count | None = Field(description="pixels that images are brought to first; null leaves them")


ModelSettings = Annotated[
    ResNetSettings | ResNet9Settings | SpeedrunNetSettings | VitSettings | ConvNetSettings | TorchvisionSettings,
    Field(discriminator="name"),
]
