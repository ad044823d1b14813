"""Perceptrons that `mlp_transfer` has trained, in use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, architecture_name
from vision_studies.studies.method import Networks, StoredNetwork

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.checkpoints import Rebuilt


def _title(configuration: Mapping[str, Any]) -> str:
    return f"perceptron {architecture_name(configuration['widths'])}"


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "Rebuilt":
    from torch import nn

    from vision_studies.data.loaders import Normalisation
    from vision_studies.pipelines.mlp_transfer.work import build_network
    from vision_studies.training.checkpoints import Rebuilt, load_weights

    settings = MlpRunSettings.model_validate(run.configuration)
    network = nn.Sequential(nn.Flatten(), load_weights(build_network(settings, data), run.weights))
    pixels = Normalisation((0.0,) * data.in_channels, (255.0,) * data.in_channels)
    normalisation = data.normalisation if settings.normalise else pixels
    return Rebuilt(network, data.image_set.class_names, normalisation, settings.training)


NETWORKS = Networks(_title, _rebuild)
