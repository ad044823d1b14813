"""Trained networks as files: reading them, scoring them, and letting them name the classes of new images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from vision_studies.config.cifar_resnet import RunSettings
from vision_studies.data.loaders import DeviceLoader, Finisher, Normalisation
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import CheckpointError, DataError, ParameterError
from vision_studies.methods.cifar_resnet import build_network, predict_with_views
from vision_studies.models.build import build_model
from vision_studies.training.checkpoints import load_state
from vision_studies.training.evaluation import evaluate
from vision_studies.training.precision import place_model


@dataclass(frozen=True)
class TrainedNetwork:
    """A network's weights with what has to be known to use them.

    Attributes:
        path: the file.
        settings: the run that trained it.
        weights: parameters and buffers.
        data_fingerprint: what it was trained on.
        data: class_names, image_size, in_channels and normalisation (mean, std) of that; None in files of single runs.
    """

    path: Path
    settings: RunSettings
    weights: dict[str, Tensor]
    data_fingerprint: str
    data: dict[str, Any] | None

    def described_data(self) -> dict[str, Any]:
        """`data`, where the file has it.

        Raises:
            ParameterError: it has not.
        """
        if self.data is None:
            raise ParameterError(
                f"{self.path} does not say which images it was trained on; give a study's model.safetensors instead."
            )
        return self.data


def read_trained(path: Path) -> TrainedNetwork:
    """Read a study's model, or the weights or a checkpoint in a run's folder.

    Raises:
        CheckpointError: the file is damaged, of another kind, or the run's own description is missing beside it.
    """
    state = load_state(path)
    if "configuration" in state:
        settings = RunSettings.model_validate(state["configuration"])
        return TrainedNetwork(path, settings, state["weights"], state["data_fingerprint"], state["data"])
    description = next((folder / "run.json" for folder in path.parents[:2] if (folder / "run.json").is_file()), None)
    if description is None:
        raise CheckpointError(
            f"{path} lies in no run's folder (run.json is missing); name a file where it was written."
        )
    run = json.loads(description.read_text(encoding="utf-8"))
    require_pipeline(run, str(path))
    weights = state["model"] if "optimizers" in state else state
    settings = RunSettings.model_validate(run["configuration"])
    return TrainedNetwork(path, settings, weights, run["data_fingerprint"], None)


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
    model = _loaded(build_network(trained.settings, data), trained)
    place_model(model, trained.settings.training, device)
    loader = data.loader(split, kind="device", batch_size=trained.settings.evaluation.batch_size, device=device)
    return evaluate(model, loader, trained.settings.training, device)


def predict(trained: TrainedNetwork, images: np.ndarray, views: int, device: torch.device) -> np.ndarray:
    """Class probabilities of images without labels.

    Args:
        trained: a study's model.
        images: uint8 [N, H, W, C], of the size and with the channels that the network was trained on.
        views: test-time views whose probabilities are averaged; 1 for the plain image.
        device: where to compute.

    Returns:
        float32 [N, classes].

    Raises:
        ParameterError: the images have another shape, or the file does not say what it was trained on.
    """
    known = trained.described_data()
    size, channels = known["image_size"], known["in_channels"]
    if images.shape[1:] != (size, size, channels):
        raise ParameterError(
            f"{trained.path} wants images of {size} x {size} pixels with {channels} channels, not {list(images.shape[1:])}."
        )
    model = build_model(
        trained.settings.model, in_channels=channels, num_classes=len(known["class_names"]), image_size=size
    )
    place_model(_loaded(model, trained), trained.settings.training, device)
    settings = trained.settings
    wanted = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update={"views": (views,)})})
    normalisation = Normalisation(tuple(known["normalisation"]["mean"]), tuple(known["normalisation"]["std"]))
    count = len(images)
    loader = DeviceLoader(
        torch.from_numpy(np.ascontiguousarray(images)).to(device),
        torch.zeros(count, dtype=torch.int64, device=device),
        torch.arange(count, device=device),
        batch_size=settings.evaluation.batch_size,
        seed=0,
        shuffle=False,
        drop_last=False,
        finisher=Finisher(None, normalisation, 0, device, torch.float32),
    )
    return predict_with_views(model, loader, wanted, device)[views]


def prediction_table(
    names: list[str] | list[int], probabilities: np.ndarray, class_names: list[str] | None = None
) -> pd.DataFrame:
    """Columns ID and Labels, as the original project submits them; with `class_names` also Class and Confidence."""
    labels = probabilities.argmax(axis=1)
    table = pd.DataFrame({"ID": names, "Labels": labels})
    if class_names is not None:
        table["Class"] = [class_names[label] for label in labels]
        table["Confidence"] = probabilities.max(axis=1).round(4)
    return table


def _loaded(model: nn.Module, trained: TrainedNetwork) -> nn.Module:
    try:
        model.load_state_dict(trained.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{trained.path} does not fit the network of its run; it was changed or damaged."
        ) from error
    return model
