"""What the layers of a network give for images, and how much of their width their weights use."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.special import entr

from vision_studies.data.prepared import PreparedData
from vision_studies.errors import DataError
from vision_studies.pipelines.transfer_cuts.cut_networks import CutNet, pixel_tensor

_IMAGES_AT_ONCE = 256
_MAPS = 4  # dimensions of maps


def layer_names(network: CutNet) -> list[str]:
    """`input`, the convolutions or blocks, and the dense layers, in order."""
    return ["input", *(name for name, _ in network.named_children())]


def require_layers(asked: Sequence[str], there: Sequence[str]) -> None:
    """Refuse layers to be shown as maps that a network does not have. Raises DataError."""
    unknown = [layer for layer in asked if layer not in there]
    if unknown:
        raise DataError(
            f"clustering.tsne.layers has '{unknown[0]}', which the network does not have; it has {', '.join(there)}."
        )


@torch.inference_mode()
def layer_activations(
    network: CutNet, data: PreparedData, positions: np.ndarray, layer: str, device: torch.device
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
    network: CutNet, data: PreparedData, positions: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """Mean over space of what each convolution gives, before its activation function, or each block: layer -> float32 [N, C].

    The network is in evaluation mode; `positions` are those of the images, int64 [N].
    """
    parts: dict[str, list[torch.Tensor]] = {}
    for images in _images(data, positions, device):
        for name, output in network.layer_outputs(images):
            if name != "input" and output.ndim == _MAPS:
                parts.setdefault(name, []).append(output.mean((2, 3)).cpu())
    return {name: torch.cat(means).numpy() for name, means in parts.items()}


def effective_ranks(network: CutNet) -> dict[str, tuple[float, int]]:
    """Effective rank of the weights of every layer, and the largest that it could have; of a block, of its largest weights."""
    largest: dict[str, torch.Tensor] = {}
    for name, weight in network.named_parameters():
        layer = name.partition(".")[0]
        if name.endswith(".weight") and (layer not in largest or weight.numel() > largest[layer].numel()):
            largest[layer] = weight
    matrices = {layer: weight.detach().float().flatten(1).cpu().numpy() for layer, weight in largest.items()}
    return {layer: (effective_rank(matrix), min(matrix.shape)) for layer, matrix in matrices.items()}


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
