"""Networks that `transfer_cuts` has pretrained, or cut and tuned, in use."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.models import network_name
from vision_studies.errors import CheckpointError
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, Pretraining, read_pretraining
from vision_studies.run_folders import read_description
from vision_studies.studies.method import WEIGHTS_FILE, Networks, StoredNetwork

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from vision_studies.data.prepared import PreparedData
    from vision_studies.statistics.metrics import Split
    from vision_studies.training.classifier import ImageClassifier
    from vision_studies.training.precision import HasPrecision


def network_title(configuration: Mapping[str, Any]) -> str:
    """Name of the network that a run has trained."""
    network = configuration["network"]
    return str(network["backbone"]) if network["name"] == "backbone" else network_name(network)


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "ImageClassifier":
    from vision_studies.data.loaders import Normalisation
    from vision_studies.pipelines.transfer_cuts.cut_networks import HALF, load_pretrained
    from vision_studies.training.classifier import ImageClassifier, ImageFormat

    settings: CutRunSettings | Pretraining
    training: HasPrecision
    network: nn.Module
    if "cut" in run.configuration:
        settings = CutRunSettings.model_validate(run.configuration)
        network = _cut(settings, run.weights, data)
        training = settings.fine_tuning.training
    else:
        settings = read_pretraining(run.configuration)
        network = load_pretrained(settings.network, data, settings.classes, run.weights)
        training = settings.training
    # The networks tell classes apart in the order of the image set.
    classes = tuple(name for name in data.image_set.class_names if name in settings.classes)
    half = (HALF,) * data.in_channels
    images = replace(ImageFormat.of(data, Normalisation(half, half)), class_names=classes)
    return ImageClassifier(run.path, network, images, training)


def _cut(settings: CutRunSettings, weights: Path, data: "PreparedData") -> "nn.Module":
    from vision_studies.pipelines.transfer_cuts.cut_networks import load_pretrained, rest_of_network
    from vision_studies.serving.joined_networks import Cut
    from vision_studies.training.checkpoints import load_weights

    network = rest_of_network(settings, data)
    load_weights(network, weights)
    if not settings.cut.frozen:
        return network
    first = weights.parent.parent / str(settings.pretrained)
    try:
        description = read_description(first)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{weights} holds the layers after a cut, and the run with those before it, {first}, is gone; run the study "
            "again."
        ) from error
    learnt = read_pretraining(description["configuration"])
    whole = load_pretrained(learnt.network, data, learnt.classes, first / WEIGHTS_FILE)
    return Cut(whole, settings.cut.frozen, network)


def _positions(run: StoredNetwork, data: "PreparedData", split: "Split") -> "np.ndarray":
    # Of runs with `protocol: published`, which are tested with all training images, the images that are for test.
    from vision_studies.data.subsets import class_data
    from vision_studies.pipelines.transfer_cuts.work import subset

    if "cut" in run.configuration and split == "validation":
        return subset(CutRunSettings.model_validate(run.configuration), run.seed, data)[1]
    published = run.configuration["protocol"] == "published"
    images = class_data(data, run.configuration["classes"], published=published)
    return images.validation if split == "validation" else images.test


NETWORKS = Networks(network_title, _rebuild, positions=_positions)
