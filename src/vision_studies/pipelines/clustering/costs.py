"""What clusterings cost: what the layers of a network give, and clusters of it, layer by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vision_studies.costs import Cost, Measured
from vision_studies.data.prepared import PreparedData
from vision_studies.pipelines.clustering.activations import channel_means, layer_activations, layer_names
from vision_studies.pipelines.clustering.settings import AgglomerativeSettings, KMeansChannelsSettings, MethodSettings
from vision_studies.pipelines.clustering.work import Subset, cluster_subsets
from vision_studies.pipelines.transfer_cuts.cut_networks import pretraining_network
from vision_studies.pipelines.transfer_cuts.settings import Pretraining
from vision_studies.training.timing import seconds_of

_TIMED_IMAGES = 256
_CHANNELS = 4  # of a layer are clustered to time it
_LARGEST = 400  # images that are clustered to time it


def clustering_costs(
    method: MethodSettings,
    pretraining: Pretraining,
    data: PreparedData,
    device: torch.device,
    positions: np.ndarray,
    labels: np.ndarray,
    subsets: Sequence[Subset],
    processors: int,
) -> list[Cost]:
    """What one method costs on one network.

    Args:
        positions: of the images that subsets are drawn from, int64 [N].
    """
    wanted = len(np.unique(np.concatenate([subset.positions for subset in subsets]))) if subsets else 0
    per_channel = isinstance(method, KMeansChannelsSettings)
    shape: dict[str, Any] = {
        "network": pretraining.network.model_dump(mode="json"),
        "images": list(data.image_set.images.shape[1:]),
        "device": device.type,
    }
    together = max(1, min(processors, len(subsets)))
    squares = isinstance(method, AgglomerativeSettings)
    sizes = np.array([len(subset.positions) for subset in subsets], dtype=float)
    work = float((sizes**2 if squares else sizes).sum()) / together
    classes = len(np.unique(labels))
    timed = int(min(_LARGEST, max(sizes, default=0)))

    def cluster() -> Measured:
        network = pretraining_network(pretraining, data, 0).eval().to(device)
        chosen = np.linspace(0, len(positions) - 1, max(timed, 2)).astype(int)
        images, of_images = positions[chosen], labels[chosen]
        whole = Subset(1.0, 0, np.arange(len(images)))
        if per_channel:
            names = layer_names(network)
            layers = {name: layer_activations(network, data, images, name, device) for name in names}
        else:
            layers = channel_means(network, data, images, device)
        seconds = np.zeros(2)
        for name, maps in layers.items():
            some = maps[:, :_CHANNELS] if per_channel else maps

            def ready(name: str = name, some: np.ndarray = some) -> Any:
                return lambda: cluster_subsets([(name, some)], of_images, [whole], [method]), 1

            factor = maps.shape[1] / some.shape[1]
            seconds += factor * np.array(seconds_of(ready, most=3).seconds)
        return Measured(tuple(seconds / (len(images) ** 2 if squares else len(images))))

    def layers_of_images() -> Any:
        network = pretraining_network(pretraining, data, 0).eval().to(device)
        some = positions[:_TIMED_IMAGES]
        return lambda: channel_means(network, data, some, device), len(some)

    # Each layer of channels' maps is asked for with a pass of its own.
    passes = pretraining.network.depth + 2 if per_channel else 1
    return [
        Cost("activations", shape, passes * wanted, lambda: 1e7, lambda: seconds_of(layers_of_images)),
        Cost(
            "cluster",
            {**shape, "method": method.model_dump(mode="json"), "classes": classes, "samples": timed},
            work,
            lambda: _operations(method),
            cluster,
        ),
    ]


def _operations(method: MethodSettings) -> float:
    """Of one image, or of one pair of images: in such units as make it seconds where nothing at all was measured, roughly."""
    if isinstance(method, AgglomerativeSettings):
        return 1e3
    fits = getattr(method, "restarts", 10)  # one by graph or by density takes about as long as ten of K-means
    return float(fits * (5e6 if isinstance(method, KMeansChannelsSettings) else 2e5))
