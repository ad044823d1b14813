"""Files of networks that `cifar_resnet` has trained: reading them, and scoring them on the images they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vision_studies.config.network_run import RunSettings
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import CheckpointError, DataError, ParameterError
from vision_studies.run_folders import read_description, run_folder_of
from vision_studies.training.checkpoints import load_state
from vision_studies.training.evaluation import evaluate
from vision_studies.training.network_run import build_network
from vision_studies.training.precision import place_model


@dataclass(frozen=True)
class TrainedNetwork:
    """A network's weights with what has to be known to use them.

    Attributes:
        path: the file.
        settings: the run that trained it.
        weights: parameters and buffers.
        data_fingerprint: what it was trained on.
    """

    path: Path
    settings: RunSettings
    weights: dict[str, Tensor]
    data_fingerprint: str


def read_trained(path: Path) -> TrainedNetwork:
    """Read a study's model, or the weights or a checkpoint in a run's folder.

    Raises:
        CheckpointError: the file is damaged, of another kind, or the run's own description is missing beside it.
    """
    state = load_state(path)
    if "configuration" in state:
        settings = RunSettings.model_validate(state["configuration"])
        return TrainedNetwork(path, settings, state["weights"], state["data_fingerprint"])
    folder = run_folder_of(path)
    if folder is None:
        raise CheckpointError(
            f"{path} lies in no run's folder (run.json is missing); name a file where it was written."
        )
    run = read_description(folder)
    require_pipeline(run, str(path))
    weights = state["model"] if "optimizers" in state else state
    settings = RunSettings.model_validate(run["configuration"])
    return TrainedNetwork(path, settings, weights, run["data_fingerprint"])


def require_pipeline(description: Mapping[str, Any], name: str) -> None:
    """Refuse a run of another pipeline.

    Raises:
        ParameterError: the run is none of `cifar_resnet`.
    """
    if description["pipeline"] != "cifar_resnet":
        raise ParameterError(
            f"{name} belongs to {description['pipeline']}, and this command works on runs of cifar_resnet; name one of those."
        )


def data_description(data: PreparedData) -> dict[str, Any]:
    """What a network's user has to know of the images it was trained on."""
    return {
        "class_names": list(data.image_set.class_names),
        "image_size": data.image_size,
        "in_channels": data.in_channels,
        "normalisation": {"mean": list(data.normalisation.mean), "std": list(data.normalisation.std)},
    }


def accuracy_of(trained: TrainedNetwork, data: PreparedData, split: str, device: torch.device) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (a fraction) on one split, on plain images.

    Args:
        trained: the network.
        data: images and splits that it was trained on.
        split: "train", "validation" or "test".
        device: where to compute.

    Raises:
        DataError: the network was trained on other images or other splits.
        CheckpointError: the weights do not fit the network that the run describes.
    """
    if trained.data_fingerprint != data.fingerprint:
        raise DataError(
            f"{trained.path} was trained on other images or splits than '{data.image_set.name}' has now, so that its test "
            "images may have been trained on; name the study's own data with --env and --params."
        )
    model = build_network(trained.settings, data)
    try:
        model.load_state_dict(trained.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{trained.path} does not fit the network of its run; it was changed or damaged."
        ) from error
    place_model(model, trained.settings.training, device)
    loader = data.loader(split, kind="device", batch_size=trained.settings.evaluation.batch_size, device=device)
    return evaluate(model, loader, trained.settings.training, device)
