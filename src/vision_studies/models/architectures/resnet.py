"""Residual networks of basic blocks."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count, built_by, no_blocks

_SMALL: dict[str, Any] = {
    "stem_width": 32,
    "widths": (32, 64, 128, 256),
    "blocks": (2, 2, 2, 2),
    "strides": (1, 2, 2, 2),
    "squeeze_reduction": 16,
    "stochastic_depth": 0.0,
    "zero_init_residual": False,
    "dropout": 0.3,
}
_RESNET18: dict[str, Any] = {
    **_SMALL,
    "stem_width": 64,
    "widths": (64, 128, 256, 512),
    "squeeze_reduction": None,
    "dropout": 0.0,
}


class ResNetSettings(Architecture):
    """A residual network of basic blocks (He et al. 2016) for small images."""

    presets: ClassVar = {
        # Parameter counts are for three channels and ten classes. 2,819,370; with squeeze_reduction: null 2,797,610.
        "resnet_small": _SMALL,
        # "Similar to the enhanced ResNet, about 2.9 M": its widths with larger squeeze layers reach 2,884,650.
        "hybrid_resnet": {**_SMALL, "squeeze_reduction": 4, "stochastic_depth": 0.2, "zero_init_residual": True},
        # The size that the published code has, which is not the size that its description has: 5,214,794.
        "hybrid_resnet_published": {
            **_SMALL,
            "stem_width": 64,
            "widths": (64, 128, 256, 256),
            "strides": (1, 2, 2, 1),
            "squeeze_reduction": 8,
            "stochastic_depth": 0.2,
            "zero_init_residual": True,
        },
        # He et al. 2016 with the stem for small images (3 x 3, no pooling): 11,173,962 and 21,282,122.
        "resnet18": _RESNET18,
        "resnet34": {**_RESNET18, "blocks": (3, 4, 6, 3)},
    }
    named_by: ClassVar = "name"
    images_at_first: ClassVar = 0
    logit_scale: ClassVar = 1.0
    build = built_by("resnet:ResNet")
    freezable_blocks = no_blocks

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
    def _stages_agree(self) -> Self:
        if not len(self.widths) == len(self.blocks) == len(self.strides):
            raise ValueError(
                f"widths ({len(self.widths)}), blocks ({len(self.blocks)}) and strides ({len(self.strides)}) need one "
                "entry a stage each"
            )
        reduction = self.squeeze_reduction
        if reduction is not None and reduction > min(self.widths):
            raise ValueError(f"squeeze_reduction ({reduction}) must not exceed the narrowest of widths {self.widths}")
        return self

    @override
    def widened(self, width: int) -> Self:
        widths = tuple(max(1, round(stage * width / self.stem_width)) for stage in self.widths)
        reduction = None if self.squeeze_reduction is None else min(self.squeeze_reduction, *widths)
        return self.model_copy(update={"stem_width": width, "widths": widths, "squeeze_reduction": reduction})
