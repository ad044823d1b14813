"""Compact vision transformers."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count, built_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


class VitSettings(Architecture):
    """A vision transformer (Dosovitskiy et al. 2021) for small images."""

    presets: ClassVar = {
        # 1,806,154 parameters on images of 32 pixels
        "vit_compact": {"patch_size": 4, "width": 192, "depth": 6, "heads": 6, "mlp_ratio": 2.0, "dropout": 0.1}
    }
    named_by: ClassVar = "name"
    images_at_first: ClassVar = 0
    logit_scale: ClassVar = 1.0
    build = built_by("vit:VisionTransformer")

    name: Literal["vit_compact"] = Field(description="preset that gives every option not named here")
    patch_size: Count = Field(description="height and width of a patch in pixels; must divide the image size")
    width: Count = Field(description="features of a patch; a multiple of heads")
    depth: Count = Field(description="transformer blocks")
    heads: Count = Field(description="attention heads")
    mlp_ratio: float = Field(gt=0, description="hidden units of a block's perceptron as a multiple of width")
    dropout: float = Field(ge=0, lt=1, description="share of features zeroed inside every block in training")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self

    @override
    def widened(self, width: int) -> Self:
        return self.model_copy(update={"width": width * self.heads})

    @override
    def freezable_blocks(self, network: Any) -> "Sequence[Sequence[nn.Parameter]]":
        first, *others = (tuple(block.parameters()) for block in network.blocks)
        return [(*network.patches.parameters(), network.positions, *first), *others]
