"""Networks that `cifar_resnet` has trained, in use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vision_studies.config.models import network_name
from vision_studies.config.network_run import RunSettings
from vision_studies.studies.method import Networks, StoredNetwork

if TYPE_CHECKING:
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.checkpoints import Rebuilt


def _title(configuration: Mapping[str, Any]) -> str:
    return network_name(configuration["model"])


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "Rebuilt":
    from vision_studies.training.checkpoints import Rebuilt, load_selected
    from vision_studies.training.network_run import build_network

    settings = RunSettings.model_validate(run.configuration)
    evaluation = settings.evaluation
    return Rebuilt(
        load_selected(build_network(settings, data), run.weights),
        data.image_set.class_names,
        data.normalisation,
        settings.training,
        evaluation.batch_size,
        evaluation.padding,
        evaluation.seed,
    )


NETWORKS = Networks(_title, _rebuild)
