"""What a run knows of a pretrained network that is cut."""

from typing import Literal

from pydantic import Field

from vision_studies.settings_base import Settings


class BackboneNetSettings(Settings):
    """A pretrained network that is cut, as its runs know it; see `backbones.described`."""

    name: Literal["backbone"] = Field(description="says that it is one")
    backbone: str = Field(description="its name")
    weights: str = Field(description="SHA-256 of its weights")
    pixels: int = Field(description="height and width that images are brought to")
    depth: int = Field(ge=1, description="blocks that it can be cut between")
