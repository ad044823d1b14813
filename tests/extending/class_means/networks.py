"""Linear classifiers whose weights are mean images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.studies.method import Networks, StoredNetwork

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from vision_studies.data.prepared import PreparedData
    from vision_studies.training.checkpoints import Rebuilt


def save_means(data: "PreparedData", positions: "np.ndarray", file: Path) -> "nn.Module":
    """The classifier that takes the class whose mean of these images is nearest; written to a file."""
    import torch

    from vision_studies.training.checkpoints import save_weights

    labels = data.image_set.labels[positions]
    images = torch.from_numpy(data.image_set.images[positions].astype("float32") / 255).permute(0, 3, 1, 2).flatten(1)
    means = torch.stack([images[labels == label].mean(0) for label in range(data.num_classes)]).nan_to_num()
    network = _network(data)
    nearest = {"1.weight": means, "1.bias": -means.square().sum(1) / 2}  # the largest output is the smallest distance
    network.load_state_dict(nearest)
    save_weights(network, file)
    return network


def classifier(data: "PreparedData", file: Path) -> "nn.Module":
    """A classifier that was written."""
    from vision_studies.training.checkpoints import load_weights

    return load_weights(_network(data), file)


def probabilities(network: "nn.Module", data: "PreparedData", split: str) -> "tuple[np.ndarray, np.ndarray]":
    """Class probabilities [N, classes] of a split, and its labels."""
    import torch

    positions = getattr(data.splits, split)
    images = torch.from_numpy(data.image_set.images[positions].astype("float32") / 255).permute(0, 3, 1, 2)
    with torch.no_grad():
        return network(images).softmax(1).numpy(), data.image_set.labels[positions]


def _network(data: "PreparedData") -> "nn.Sequential":
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(data.in_channels * data.image_size**2, data.num_classes))


def _title(_: Mapping[str, Any]) -> str:
    return "class means"


def _rebuild(run: StoredNetwork, data: "PreparedData") -> "Rebuilt":
    from vision_studies.data.loaders import Normalisation
    from vision_studies.training.checkpoints import Rebuilt
    from vision_studies.training.precision import FLOAT32

    pixels = Normalisation((0.0,) * data.in_channels, (255.0,) * data.in_channels)
    return Rebuilt(classifier(data, run.weights), data.image_set.class_names, pixels, FLOAT32)


NETWORKS = Networks(_title, _rebuild)
