"""What features are turned into before a classifier sees them; no image but the image itself is needed for it."""

import numpy as np
import torch
from torch import Tensor, nn

_LEAST = 1e-12  # the least length that is divided by


def rooted(x: np.ndarray, parts: int = 1) -> np.ndarray:
    """Square roots of features, each image's of length 1 in each part.

    Features that are means of rectified activations are skewed: their roots are nearer to the normal distribution that a linear
    classifier has in mind (the Hellinger kernel of Vedaldi and Zisserman 2012, Efficient Additive Kernels via Explicit Feature
    Maps; before classifiers of few images Yang, Liu and Xu 2021, Free Lunch for Few-Shot Learning). Negative features have the
    root of their size with their sign.

    Args:
        x: float [N, D].
        parts: of equal width, that stand side by side: several backbones.

    Returns:
        float32 [N, D].

    Examples:
        >>> import numpy as np
        >>> from vision_studies.classifiers.transforms import rooted
        >>> rooted(np.array([[9.0, 16.0]])).round(2)
        array([[0.6, 0.8]], dtype=float32)
    """
    exact = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    found: np.ndarray = Rooted(parts)(exact).numpy()
    return found


class Rooted(nn.Module):
    """Features [N, D] -> their square roots [N, D], each image's of length 1 in each of some parts of equal width."""

    def __init__(self, parts: int = 1):
        super().__init__()
        self.parts = parts

    def forward(self, features: Tensor) -> Tensor:
        """See `rooted`."""
        roots = features.sign() * features.abs().sqrt()
        apart = roots.unflatten(1, (self.parts, -1))
        return (apart / apart.norm(dim=2, keepdim=True).clamp_min(_LEAST)).flatten(1)
