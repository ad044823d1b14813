"""A pretrained network in the place of networks that a study would train."""

from typing import Annotated

from pydantic import Field

from vision_studies.settings_base import Settings


class PretrainedSettings(Settings):
    """Which backbone, and at which size it sees images."""

    backbone: str = Field(
        min_length=1,
        description="efficientnet_lite0 to 2, torchvision/<network>, timm/<network>, or run:<run> of another study",
    )
    pixels: Annotated[int, Field(ge=16, le=512)] | None = Field(
        description="height and width that images are brought to; null: those that it was trained with, which a run's network "
        "has alone"
    )
