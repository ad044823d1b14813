"""A perceptron with one hidden layer, whose logits are scaled down."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count

if TYPE_CHECKING:
    from torch import nn


class ToyPerceptronSettings(Architecture):
    """A perceptron with one hidden layer."""

    presets: ClassVar = {"toy_perceptron": {"width": 16, "gain": 0.5}}
    named_by: ClassVar = "name"
    images_at_first: ClassVar = 0

    name: Literal["toy_perceptron"] = Field(description="preset that gives every option not named here")
    width: Count = Field(description="hidden units")
    gain: float = Field(gt=0, description="what logits are multiplied by")

    @override
    def build(self, *, in_channels: int, num_classes: int, image_size: int) -> "nn.Module":
        from torch import nn

        linear = nn.Linear(self.width, num_classes)
        linear.register_forward_hook(lambda _layer, _inputs, logits: self.gain * logits)
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, self.width), nn.ReLU(), linear)

    @override
    def widened(self, width: int) -> Self:
        return self.model_copy(update={"width": width})

    @property
    @override
    def logit_scale(self) -> float:
        return self.gain

    @override
    def freezable_blocks(self, network: "nn.Module") -> tuple[()]:
        return ()
