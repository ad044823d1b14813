"""What the layers of a network give for images, and how much of their width their weights use."""

import numpy as np
import torch

from vision_studies.data.prepared import PreparedData
from vision_studies.models.convnet import ConvNet
from vision_studies.pipelines.clustering.effective_rank import effective_rank
from vision_studies.pipelines.transfer_cuts.cut_networks import pixel_tensor

_IMAGES_AT_ONCE = 256


def layer_names(network: ConvNet) -> list[str]:
    """`input`, the convolutions and the dense layers, in order."""
    return ["input", *(name for name, _ in network.named_children())]


@torch.inference_mode()
def layer_activations(
    network: ConvNet, data: PreparedData, positions: np.ndarray, layer: str, device: torch.device
) -> np.ndarray:
    """What one layer gives, before its activation function, float32 [N, C, H, W] or [N, D].

    Args:
        network: in evaluation mode.
        data: images.
        positions: int64 [N], of the images.
        layer: its name.
        device: where to compute.
    """
    parts = []
    for start in range(0, len(positions), _IMAGES_AT_ONCE):
        images = pixel_tensor(data, positions[start : start + _IMAGES_AT_ONCE], torch.float32, device)
        parts.append(next(output for name, output in network.layer_outputs(images) if name == layer).cpu())
    return torch.cat(parts).contiguous().numpy()


@torch.inference_mode()
def channel_means(
    network: ConvNet, data: PreparedData, positions: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """Mean over space of what each convolution gives, before its activation function: layer -> float32 [N, C].

    Args:
        network: in evaluation mode.
        data: images.
        positions: int64 [N], of the images.
        device: where to compute.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    for start in range(0, len(positions), _IMAGES_AT_ONCE):
        images = pixel_tensor(data, positions[start : start + _IMAGES_AT_ONCE], torch.float32, device)
        for name, output in network.layer_outputs(images):
            if name.startswith("conv"):
                parts.setdefault(name, []).append(output.mean((2, 3)).cpu())
    return {name: torch.cat(own).numpy() for name, own in parts.items()}


def effective_ranks(network: ConvNet) -> dict[str, tuple[float, int]]:
    """Effective rank of the weights of every layer, and the largest that it could have."""
    weights = {name: value for name, value in network.named_parameters() if name.endswith(".weight")}
    found = {}
    for name, weight in weights.items():
        matrix = weight.detach().float().flatten(1).cpu().numpy()
        found[name.removesuffix(".weight")] = (effective_rank(matrix), min(matrix.shape))
    return found
