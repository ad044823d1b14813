"""Networks of torchvision."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count, built_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


class TorchvisionSettings(Architecture):
    """Any classifier of torchvision."""

    presets: ClassVar = {"torchvision": {"network": "resnet18", "stem": "imagenet", "resize": None}}
    named_by: ClassVar = "network"
    images_at_first: ClassVar = 0
    logit_scale: ClassVar = 1.0
    build = built_by("torchvision_network:TorchvisionNetwork")

    name: Literal["torchvision"] = Field(description="a network that torchvision.models.list_models() names")
    network: str = Field(description="its name there, such as resnet50 or vit_b_16")
    stem: Literal["imagenet", "cifar"] = Field(
        description="of residual networks; imagenet: 7 x 7 with stride 2 and pooling; cifar: 3 x 3, for small images"
    )
    resize: Count | None = Field(description="pixels that images are brought to first; null leaves them")

    @override
    def widened(self, width: int) -> None:
        return None

    @override
    def freezable_blocks(self, network: Any) -> "Sequence[Sequence[nn.Parameter]]":
        from vision_studies.torchvision_compat import torchvision_module

        inner = network.network
        if not isinstance(inner, torchvision_module("torchvision.models").VisionTransformer):
            return []
        first, *others = (tuple(block.parameters()) for block in inner.encoder.layers)
        return [(*inner.conv_proj.parameters(), inner.class_token, inner.encoder.pos_embedding, *first), *others]
