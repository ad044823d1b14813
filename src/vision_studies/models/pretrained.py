"""What is known of a pretrained network, and the file that its weights are in, which is read without running anything in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vision_studies.errors import BackboneError, one_line
from vision_studies.files import hash_file

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Backbone:
    """What is known of a pretrained network.

    Attributes:
        name: which parameters call it by.
        title: for readers.
        licence: of its weights.
        source: where they come from.
        sha256: of the file of weights, or the first digits of it, as published; None where nobody has published it.
        width: number of its features, D.
        pixels: height and width of the images that it was trained with.
        mean: of each channel on the scale 0 to 255, which its images are freed from.
        std: of each channel likewise, by which they are divided.
    """

    name: str
    title: str
    licence: str
    source: str
    sha256: str | None
    width: int
    pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class OpenedBackbone(NamedTuple):
    """A backbone with its network, which gives features [N, D] of normalised images [N, 3, H, W].

    Attributes:
        weights: SHA-256 of the file that the weights come from.
    """

    backbone: Backbone
    network: "nn.Module"
    weights: str


def checked_hash(backbone: Backbone, file: Path) -> str:
    """SHA-256 of a file of weights.

    Raises:
        BackboneError: it is not the published one.
    """
    found = hash_file(file)
    if backbone.sha256 is not None and not found.startswith(backbone.sha256):
        raise BackboneError(
            f"{file} is damaged or not the published file of {backbone.name}: its SHA-256 is {found[:12]}..., not "
            f"{backbone.sha256[:12]}...; remove it and take it from {backbone.source} again."
        )
    return found


def read_weights(file: Path) -> dict[str, "Tensor"]:
    """Tensors by name, of a safetensors file or one of torch; nothing in it is run.

    Raises:
        BackboneError: it is damaged, or holds something else.
    """
    from safetensors.torch import load_file

    from vision_studies.models.torch_files import is_plain_tensor, load_torch_file

    try:
        state = load_file(file) if file.suffix == ".safetensors" else load_torch_file(file)
    except Exception as error:  # what torch and safetensors raise of a damaged file has no common name
        raise BackboneError(
            f"{file} cannot be read ({one_line(error)}); remove it and take it from its source again."
        ) from error
    if not isinstance(state, dict) or not all(map(is_plain_tensor, state.values())):
        raise BackboneError(f"{file} holds something else than weights by name; remove it and take it from its source.")
    return state
