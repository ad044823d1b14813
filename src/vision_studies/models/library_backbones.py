"""Pretrained networks of torchvision and timm, whose weights are files that are put, or fetched, into the project."""

import http.client
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vision_studies.errors import BackboneError, MissingDependencyError, guess, one_line
from vision_studies.fetching import fetch_file
from vision_studies.files import hash_file
from vision_studies.models.pretrained import Backbone, OpenedBackbone, checked_hash, read_weights
from vision_studies.project_folders import BACKBONES as WEIGHTS
from vision_studies.project_folders import in_project
from vision_studies.torchvision_compat import torchvision_module

_TIMEOUT_SECONDS = 20
_MOST_BYTES = 1 << 33  # the largest image towers have 5 GB
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""The first digits of the SHA-256 of a file, as both libraries have it in the names of their files."""


class _Published(NamedTuple):
    """A backbone, and the address of its weights."""

    backbone: Backbone
    address: str


def open_library_backbone(library: str, network: str) -> OpenedBackbone:
    """A network of "torchvision" or "timm" with its weights; raises as `backbones.open_backbone`."""
    published = _of_torchvision(network) if library == "torchvision" else _of_timm(network)
    file = _file_of_weights(library, network, published)
    # Other files than the published one are those of another place, or of another form.
    same = file.suffix == Path(published.address).suffix
    weights = checked_hash(published.backbone, file) if same else hash_file(file)
    state = read_weights(file)
    try:
        built = _torchvision_network(network, state) if library == "torchvision" else _timm_network(network, state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise BackboneError(
            f"The weights in {file} are not of {library}/{network} ({one_line(error)[:200]}); take them from "
            f"{published.address}."
        ) from error
    return OpenedBackbone(published.backbone, built.eval().requires_grad_(False), weights)


def without_classifier(network: nn.Module, name: str) -> int:
    """Let a classifier give what its last linear layer gets, in place.

    Returns:
        How many numbers that are: D.

    Raises:
        BackboneError: it has no linear layer.
    """
    linear = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise BackboneError(f"{name} has no linear layer before which features could be taken; choose another network.")
    path, layer = linear[-1]
    parent, _, last = path.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return layer.in_features


def _file_of_weights(library: str, network: str, published: _Published) -> Path:
    """Where the weights lie; they are fetched where they are not here and their hash is known."""
    folder = in_project(WEIGHTS) / library
    for suffix in (".safetensors", ".pth"):
        if (folder / f"{network}{suffix}").is_file():
            return folder / f"{network}{suffix}"
    name, address = published.backbone.name, published.address
    file = folder / f"{network}{Path(address).suffix}"
    reason = "their hash is not published, so that they are not fetched"
    if published.backbone.sha256 is not None:
        try:
            fetch_file(
                address,
                file,
                published.backbone.sha256,
                "sha256",
                timeout_seconds=_TIMEOUT_SECONDS,
                most_bytes=_MOST_BYTES,
            )
        except (http.client.HTTPException, OSError, ValueError) as error:
            reason = one_line(error)
        else:
            return file
    raise BackboneError(f"The weights of {name} are not here ({reason}); put {address} at {file}.")


def _of_torchvision(network: str) -> _Published:
    models = torchvision_module("torchvision.models")
    networks = models.list_models(module=models)
    if network not in networks:
        raise BackboneError(f"torchvision has no network '{network}'.{guess(network, networks)}")
    weights = models.get_model_weights(network).DEFAULT
    preprocessing = weights.transforms()
    with torch.device("meta"):
        width = without_classifier(models.get_model(network, weights=None), f"torchvision/{network}")
    backbone = Backbone(
        name=f"torchvision/{network}",
        title=f"{network} of torchvision, {weights.name}",
        licence=weights.meta.get("license", "BSD-3-Clause"),
        source=weights.url,
        sha256=_hash_in(weights.url),
        width=width,
        pixels=int(preprocessing.crop_size[0]),
        mean=_scaled(preprocessing.mean),
        std=_scaled(preprocessing.std),
    )
    return _Published(backbone, weights.url)


def _torchvision_network(network: str, state: dict[str, Tensor]) -> nn.Module:
    built = torchvision_module("torchvision.models").get_model(network, weights=None)
    built.load_state_dict(state)
    without_classifier(built, network)
    return built


def _of_timm(network: str) -> _Published:
    if find_spec("timm") is None:
        raise MissingDependencyError(
            f"The backbone timm/{network} needs timm, which is not installed; `pip install 'vision-studies[timm]'`, or "
            "name one of torchvision."
        )
    timm = _timm()
    described = timm.get_pretrained_cfg(network) if timm.is_model(network) else None
    if described is None:
        raise BackboneError(f"timm has no network '{network}'.{guess(network, timm.list_pretrained())}")
    with torch.device("meta"):
        width = int(timm.create_model(network, num_classes=0).num_features)
    hosted = f"https://huggingface.co/{described.hf_hub_id}/resolve/main/model.safetensors"
    # A file whose name has its hash is what was published; the other place has no hash that could be known before.
    address = described.url if described.url and _hash_in(described.url) else hosted
    backbone = Backbone(
        name=f"timm/{network}",
        title=f"{network} of timm",
        licence=described.license or "not said by timm",
        source=address,
        sha256=_hash_in(address),
        width=width,
        pixels=int(described.input_size[1]),
        mean=_scaled(described.mean),
        std=_scaled(described.std),
    )
    return _Published(backbone, address)


def _timm_network(network: str, state: dict[str, Tensor]) -> nn.Module:
    timm = _timm()
    options = {"pretrained": True, "num_classes": 0, "pretrained_cfg_overlay": {"state_dict": state}}
    if timm.get_pretrained_cfg(network).fixed_input_size:
        try:  # transformers that can interpolate the places of their patches
            return timm.create_model(network, **options, dynamic_img_size=True, dynamic_img_pad=True)
        except TypeError:
            pass
    return timm.create_model(network, **options)


def _timm() -> ModuleType:
    """timm, which imports torchvision."""
    torchvision_module("torchvision")
    return import_module("timm")


def _hash_in(address: str) -> str | None:
    found = _HASH_IN_NAME.search(address)
    return None if found is None else found[1]


def _scaled(values: Any) -> tuple[float, float, float]:
    """From the scale 0 to 1 to the scale 0 to 255."""
    first, second, third = (255 * float(value) for value in values)
    return first, second, third
