"""The network for trainings of minutes."""

from typing import ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from vision_studies.models.architecture import Architecture, Count, built_by, no_blocks

LOGIT_GAIN = 3.5
"""Logits are scaled by this over the number of features, and the classifier starts with weights of the inverse deviation.

The product of the two is what makes training stable; the split between them decides how fast the classifier learns. At this
one, it wants the same learning rate as the biases, so that one optimiser setting does for both.
"""


class SpeedrunNetSettings(Architecture):
    """A whitened convolutional network for trainings of minutes (Jordan 2024)."""

    # 1,530,168 parameters for three channels and ten classes, of which 1,528,856 learn
    presets: ClassVar = {"speedrun_net": {"widths": (64, 192, 256), "norm_momentum": 0.6}}
    named_by: ClassVar = "name"
    images_at_first: ClassVar = 5000  # their patches are what the first layer whitens
    build = built_by("speedrun:SpeedrunNet")
    freezable_blocks = no_blocks

    name: Literal["speedrun_net"] = Field(description="preset that gives every option not named here")
    widths: tuple[Count, ...] = Field(min_length=1, description="channels of each stage")
    norm_momentum: float = Field(
        gt=0, le=1, description="share of a batch in the running statistics of the norms; short trainings need much"
    )

    @override
    def widened(self, width: int) -> Self:
        widths = tuple(max(1, round(stage * width / self.widths[0])) for stage in self.widths)
        return self.model_copy(update={"widths": widths})

    @property
    @override
    def logit_scale(self) -> float:
        return LOGIT_GAIN / self.widths[-1]
