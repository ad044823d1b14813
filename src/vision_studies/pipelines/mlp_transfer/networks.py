"""Perceptrons that `mlp_transfer` has trained, in use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, architecture_name
from vision_studies.studies.method import Networks, StoredNetwork

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.classifier import ImageClassifier


def _title(configuration: Mapping[str, Any]) -> str:
    parametrisation = configuration.get("parametrisation", "standard")
    kind = "" if parametrisation == "standard" else f" ({parametrisation})"
    return f"perceptron {architecture_name(configuration['widths'])}{kind}"


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "ImageClassifier":
    from torch import nn

    from vision_studies.data.loaders import Normalisation
    from vision_studies.pipelines.mlp_transfer.work import build_network
    from vision_studies.training.checkpoints import load_weights
    from vision_studies.training.classifier import ImageClassifier, ImageFormat

    settings = MlpRunSettings.model_validate(run.configuration)
    network = nn.Sequential(nn.Flatten(), load_weights(build_network(settings, data), run.weights))
    pixels = Normalisation((0.0,) * data.in_channels, (255.0,) * data.in_channels)
    images = ImageFormat.of(data, None if settings.normalise else pixels)
    return ImageClassifier(run.path, network, images, settings.training)


NETWORKS = Networks(_title, _rebuild)
