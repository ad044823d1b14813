"""Networks that `cifar_resnet` has trained, in use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vision_studies.config.models import network_name
from vision_studies.config.network_run import RunSettings
from vision_studies.studies.method import Networks, StoredNetwork, split_positions

if TYPE_CHECKING:
    import numpy as np

    from vision_studies.data.prepared import PreparedData
    from vision_studies.statistics.metrics import Split
    from vision_studies.training.classifier import ImageClassifier


def _title(configuration: Mapping[str, Any]) -> str:
    return network_name(configuration["model"])


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "ImageClassifier":
    from vision_studies.training.checkpoints import load_selected
    from vision_studies.training.classifier import ImageClassifier, ImageFormat
    from vision_studies.training.network_run import build_network, divided

    settings = RunSettings.model_validate(run.configuration)
    data = divided(settings, run.seed, data)
    network, evaluation = load_selected(build_network(settings, data), run.weights), settings.evaluation
    chosen = (settings.training, evaluation.batch_size, evaluation.padding, evaluation.seed)
    return ImageClassifier(run.path, network, ImageFormat.of(data), *chosen)


def _positions(run: StoredNetwork, data: "PreparedData", split: "Split") -> "np.ndarray":
    from vision_studies.training.network_run import divided

    return split_positions(run, divided(RunSettings.model_validate(run.configuration), run.seed, data), split)


NETWORKS = Networks(_title, _rebuild, positions=_positions)
