"""Colour histograms: features that no network has to be learnt for, and that every network is to beat.

Source: Swain and Ballard 1991, "Color Indexing", with the square root of every share (Hellinger's distance).
"""

import numpy as np
import torch
from torch import Tensor, nn

from vision_studies.pipelines.choose.candidates import COLOUR_BINS

_BATCH = 64


class ColourHistogram(nn.Module):
    """Square roots of the shares of 64 colours, or of 64 greys, among the pixels of images.

    Examples:
        >>> import torch
        >>> from vision_studies.pipelines.choose.colours import ColourHistogram
        >>> black_and_red = torch.zeros(1, 3, 1, 4)
        >>> black_and_red[0, 0, 0, 0] = 1
        >>> ColourHistogram()(black_and_red).square()[0].nonzero().flatten().tolist()
        [0, 48]
    """

    def forward(self, images: Tensor) -> Tensor:
        """[N, 64] of images [N, 1 or 3, H, W], pixels from 0 to 1."""
        if images.shape[1] == 1:
            numbers = (images[:, 0] * COLOUR_BINS).floor().clamp(0, COLOUR_BINS - 1)
        else:
            red, green, blue = (images * 4).floor().clamp(0, 3).unbind(dim=1)
            numbers = red * 16 + green * 4 + blue
        flat = numbers.flatten(1)
        shares = [(flat == number).to(images.dtype).mean(dim=1) for number in range(COLOUR_BINS)]
        return torch.stack(shares, dim=1).sqrt()


def colour_features(images: np.ndarray) -> np.ndarray:
    """float32 [N, 64] of uint8 images [N, H, W, C]; see `ColourHistogram`."""
    histogram, batches = ColourHistogram(), (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    pixels = (torch.from_numpy(np.array(batch)).permute(0, 3, 1, 2).float() / 255 for batch in batches)
    with torch.inference_mode():
        return np.concatenate([histogram(batch).numpy() for batch in pixels])
