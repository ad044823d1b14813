"""From the host, where all is drawn, to the device that has the images, without waiting for it.

What is drawn then is the same on every device, and the host, which knows it, need not ask a GPU for it: asking waits until all
that was given to the GPU is done.
"""

import numpy as np
import torch
from torch import Tensor


def send(values: object, images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers of the host, a tensor or what numpy makes an array of, where `images` are; themselves on a CPU."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
    return tensor.to(images.device, dtype, non_blocking=True)


def positions(chosen: Tensor) -> np.ndarray:
    """Places int64 [n] where `chosen`, bool [B] on the host, is set."""
    return np.flatnonzero(chosen.numpy())
