"""What the layers of a network give for images, and how much of their width their weights use."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import entr

from vision_studies.data.prepared import PreparedData
from vision_studies.errors import DataError
from vision_studies.models.convnet import ConvNet
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

    The network is in evaluation mode; `positions` are those of the images, int64 [N].
    """
    parts = [
        next(output for name, output in network.layer_outputs(images) if name == layer).cpu()
        for images in _images(data, positions, device)
    ]
    return torch.cat(parts).contiguous().numpy()


@torch.inference_mode()
def channel_means(
    network: ConvNet, data: PreparedData, positions: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """Mean over space of what each convolution gives, before its activation function: layer -> float32 [N, C].

    The network is in evaluation mode; `positions` are those of the images, int64 [N].
    """
    parts: dict[str, list[torch.Tensor]] = {}
    for images in _images(data, positions, device):
        for name, output in network.layer_outputs(images):
            if name.startswith("conv"):
                parts.setdefault(name, []).append(output.mean((2, 3)).cpu())
    return {name: torch.cat(means).numpy() for name, means in parts.items()}


def effective_ranks(network: ConvNet) -> dict[str, tuple[float, int]]:
    """Effective rank of the weights of every layer, and the largest that it could have."""
    ranks = {}
    for name, weight in network.named_parameters():
        if name.endswith(".weight"):
            matrix = weight.detach().float().flatten(1).cpu().numpy()
            ranks[name.removesuffix(".weight")] = (effective_rank(matrix), min(matrix.shape))
    return ranks


def effective_rank(matrix: np.ndarray) -> float:
    """Exponential of the entropy of the normalised singular values (Roy and Vetterli 2007).

    It is the rank of a matrix whose singular values are equal, and less the more they differ.

    Args:
        matrix: [rows, columns], or a convolution's weights [out, in, height, width], which are seen as the matrix
            [out, in * height * width] that takes a patch to the outputs.

    Returns:
        From 1 to the rank; NaN for a matrix of zeros, whose singular values cannot be normalised.

    Raises:
        DataError: if `matrix` has fewer than two axes or a value that is not finite.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.pipelines.clustering.activations import effective_rank
        >>> round(effective_rank(np.eye(3)), 3), round(effective_rank(np.ones((3, 3))), 3)
        (3.0, 1.0)
    """
    if matrix.ndim < 2 or not matrix.size or not np.isfinite(matrix).all():
        raise DataError(
            f"The effective rank needs a matrix of finite numbers, not values of shape {list(matrix.shape)}."
        )
    values = np.linalg.svd(matrix.reshape(len(matrix), -1).astype(np.float64), compute_uv=False)
    total = values.sum()
    return float(np.exp(entr(values / total).sum())) if total > 0 else float("nan")


def _images(data: PreparedData, positions: np.ndarray, device: torch.device) -> Iterator[torch.Tensor]:
    for start in range(0, len(positions), _IMAGES_AT_ONCE):
        yield pixel_tensor(data, positions[start : start + _IMAGES_AT_ONCE], torch.float32, device)
