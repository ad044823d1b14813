"""Networks that `transfer_cuts` has pretrained, or cut and tuned, in use."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.config.models import network_name
from vision_studies.errors import CheckpointError
from vision_studies.pipelines.transfer_cuts.settings import CutRunSettings, PretrainingRunSettings
from vision_studies.run_folders import read_description
from vision_studies.studies.method import WEIGHTS_FILE, Networks, StoredNetwork

if TYPE_CHECKING:
    from vision_studies.data.loaders import Normalisation
    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.rebuilt import Rebuilt

_HALF = 127.5  # these networks see pixels from -1 to 1


def network_title(configuration: Mapping[str, Any]) -> str:
    """Name of the network that a run has trained."""
    return network_name(configuration["network"])


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "Rebuilt":
    if "cut" in run.configuration:
        return _cut(CutRunSettings.model_validate(run.configuration), run.weights, data)
    return _pretrained(PretrainingRunSettings.model_validate(run.configuration), run.weights, data)


def _pretrained(settings: PretrainingRunSettings, weights: Path, data: "PreparedData") -> "Rebuilt":
    from vision_studies.pipelines.transfer_cuts.cut_networks import load_pretrained
    from vision_studies.training.rebuilt import Rebuilt

    network = load_pretrained(settings.network, data, settings.classes, weights)
    return Rebuilt(network, _in_order(settings.classes, data), _from_minus_one(data), settings.training)


def _cut(settings: CutRunSettings, weights: Path, data: "PreparedData") -> "Rebuilt":
    from torch import nn

    from vision_studies.pipelines.transfer_cuts.cut_networks import ConvNet, build_convnet, load_pretrained
    from vision_studies.serving.joined_networks import Cut
    from vision_studies.training.checkpoints import load_weights
    from vision_studies.training.rebuilt import Rebuilt

    cut, classes = settings.cut, settings.classes
    network: nn.Module = build_convnet(settings.network, data, len(classes), cut.frozen, cut.kept)
    load_weights(network, weights)
    if cut.frozen:
        first = weights.parent.parent / str(settings.pretrained)
        learnt = PretrainingRunSettings.model_validate(_description_of(first, weights)["configuration"])
        whole = load_pretrained(learnt.network, data, learnt.classes, first / WEIGHTS_FILE)
        assert isinstance(network, ConvNet)  # noqa: S101 - built above
        network = Cut(whole, cut.frozen, network)
    return Rebuilt(network, _in_order(classes, data), _from_minus_one(data), settings.fine_tuning.training)


def _description_of(folder: Path, needed_by: Path) -> dict[str, Any]:
    try:
        return read_description(folder)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{needed_by} holds the layers after a cut, and the run with those before it, {folder}, is gone; run the study "
            "again."
        ) from error


def _in_order(classes: tuple[str, ...], data: "PreparedData") -> tuple[str, ...]:
    """Classes in the order in which these networks tell them apart: that of the image set."""
    return tuple(name for name in data.image_set.class_names if name in classes)


def _from_minus_one(data: "PreparedData") -> "Normalisation":
    from vision_studies.data.loaders import Normalisation

    return Normalisation((_HALF,) * data.in_channels, (_HALF,) * data.in_channels)


NETWORKS = Networks(network_title, _rebuild)
