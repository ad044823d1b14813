"""Backbones by any name that parameters may have: pretrained ones, and networks that a study of this project has trained."""

import copy
import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from vision_studies.errors import BackboneError, ParameterError
from vision_studies.models.backbones import open_backbone
from vision_studies.models.pretrained import Backbone, OpenedBackbone
from vision_studies.project_folders import MODELS, expanded, in_project
from vision_studies.run_folders import is_run, network_folder, read_description
from vision_studies.serving.image_classifier import class_layers
from vision_studies.serving.opened_models import open_model_file, open_run
from vision_studies.serving.stored_data import data_of_run
from vision_studies.studies.method import StoredNetwork
from vision_studies.studies.stored_runs import find_run
from vision_studies.training.classifier import ImageClassifier

OF_A_RUN = "run:"
"""How names of trained networks begin: `run:<fingerprint, label or path>`."""


def open_any_backbone(name: str) -> OpenedBackbone:
    """A backbone by its name: of `models.backbones`, or `run:` and a run's fingerprint, label or folder, or a model file.

    Raises:
        BackboneError: there is no such backbone, or the trained network has no features before its classifier.
        ParameterError: there is no such run.
        CheckpointError: the model is missing or damaged.
        DataError: the images that the run was trained on are gone.
        MissingDependencyError: a library that it needs is not installed.
    """
    if not name.startswith(OF_A_RUN):
        return open_backbone(name)
    place = _place(name)
    return backbone_of(name, open_model_file(place) if place.is_file() else open_run(place))


def trained_on(name: str) -> str | None:
    """Name of the images that a backbone of a run was trained on; None of any other backbone, and of a model file, which says
    nothing of it. Raises as `open_any_backbone`.
    """
    if not name.startswith(OF_A_RUN) or (place := _place(name)).is_file():
        return None
    folder = network_folder(place)
    return data_of_run(StoredNetwork(folder, read_description(folder))).image_set.name


def require_unseen(name: str, images: str, parameter: str) -> None:
    """Refuse a network that was trained on the study's own images: it has seen the answers.

    Args:
        name: of the backbone.
        images: name of the study's images.
        parameter: that names the backbone.

    Raises:
        ParameterError: it was trained on them; and as `open_any_backbone`.
    """
    if trained_on(name) == images:
        raise ParameterError(
            f"{parameter} has '{name}', which was trained on '{images}' as well: what it says of these images it has "
            "learnt from their labels; name a network that was trained on others."
        )


def pixels_for(opened: OpenedBackbone, asked: int | None, parameter: str) -> int:
    """Height and width of the images that a backbone is shown, where `asked` are; None for those that it was trained with.

    Raises:
        ParameterError: a study's network is asked to see others than its own; `parameter` asks.
    """
    backbone = opened.backbone
    if asked not in (None, backbone.pixels) and backbone.name.startswith(OF_A_RUN):
        raise ParameterError(
            f"{parameter} is {asked}, but {backbone.name} takes images of {backbone.pixels} pixels alone; set it to null."
        )
    return asked or backbone.pixels


def _place(name: str) -> Path:
    """The model file or the run's folder that `run:...` names. Raises ParameterError where there is none."""
    named = name.removeprefix(OF_A_RUN)
    place = in_project(expanded(named))
    return place if place.is_file() or is_run(place) else find_run(in_project(MODELS), named).folder


def backbone_of(name: str, classifier: ImageClassifier) -> OpenedBackbone:
    """A trained classifier as a backbone: its features are what its last layer gets.

    Images of three channels are averaged for a network that was trained on grey ones.

    Raises:
        BackboneError: it has no layer that decides for classes, or several.
    """
    images = classifier.images
    network = copy.deepcopy(classifier.network).eval().requires_grad_(False)
    deciding = [layer for layer in class_layers(network, len(images.class_names)) if isinstance(layer, nn.Linear)]
    if len(deciding) != 1:
        raise BackboneError(
            f"{name} has {len(deciding)} layers that decide for classes, and a backbone has one; name a run of another network."
        )
    body = _Body(_without(network, deciding[0]), grey=images.in_channels == 1)
    mean, std = (_of_three_channels(values) for values in (images.normalisation.mean, images.normalisation.std))
    backbone = Backbone(
        name=name,
        title=f"trained on {len(images.class_names)} classes ({_short(classifier.path)})",
        licence="of its training images",
        source=str(classifier.path),
        sha256=None,
        width=deciding[0].in_features,
        pixels=images.image_size,
        mean=mean,
        std=std,
    )
    return OpenedBackbone(backbone, body.eval(), _hash_of(network))


class _Body(nn.Module):
    """What a network gives without its last layer, [N, D]."""

    def __init__(self, network: nn.Module, grey: bool) -> None:
        super().__init__()
        self.network = network
        self.grey = grey

    def forward(self, images: Tensor) -> Tensor:
        if self.grey:
            images = images.mean(dim=1, keepdim=True)
        return self.network(images).flatten(1)


def _without(network: nn.Module, layer: nn.Linear) -> nn.Module:
    """The network, in which nothing is in the layer's place."""
    path = next(path for path, module in network.named_modules() if module is layer)
    if not path:
        return nn.Identity()
    parent, _, last = path.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return network


def _hash_of(network: nn.Module) -> str:
    """SHA-256 of the weights, whichever file they come from."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode() + values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _of_three_channels(values: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = values if len(values) == 3 else values * 3
    return first, second, third


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
