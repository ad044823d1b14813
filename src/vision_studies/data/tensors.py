"""Whole splits as tensors in the memory of a device."""

import numpy as np
import torch
from torch import Tensor

from vision_studies.data.loaders import Normalisation
from vision_studies.data.prepared import PreparedData

PIXELS_ONLY = 255.0
"""What pixels are divided by where nothing else is done to them."""

_CHUNK = 8192


def image_tensor(
    data: PreparedData, indices: np.ndarray, *, normalise: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images and labels at `indices`, kept on `device`.

    Args:
        data: image set and splits.
        indices: int64 [N], positions in the image set.
        normalise: bring each channel to mean 0 and deviation 1 over the training pixels; else divide pixels by 255.
        dtype: type of the images.
        device: where they are wanted.

    Returns:
        Images [N, C, H, W] and labels int64 [N].
    """
    channels = data.in_channels
    plain = Normalisation((0.0,) * channels, (PIXELS_ONLY,) * channels)
    statistics = data.normalisation if normalise else plain
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (statistics.mean, statistics.std))
    height, width = data.image_set.images.shape[1:3]
    images = torch.empty((len(indices), channels, height, width), dtype=dtype, device=device)
    for start in range(0, len(indices), _CHUNK):
        raw = torch.from_numpy(data.image_set.images[indices[start : start + _CHUNK]]).permute(0, 3, 1, 2)
        images[start : start + len(raw)] = ((raw.float() - mean) / std).to(device=device, dtype=dtype)
    return images, torch.from_numpy(np.asarray(data.image_set.labels[indices])).to(device)
