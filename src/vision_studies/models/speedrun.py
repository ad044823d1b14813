"""A small whitened convolutional network that learns small images in minutes on a few processor cores.

The ideas are those of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498): a frozen first layer
that whitens patches, filters that start as the identity, norms without a learnt scale, max pooling, scaled-down logits. The
widths are meant for processors, whose convolutions are busy with any width from 64 on.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.errors import ParameterError
from vision_studies.models.architectures.speedrun import LOGIT_GAIN, SpeedrunNetSettings

PATCH_SIZE = 2
EPSILON = 5e-4
"""Added to the variances before their root is divided by; patches hold hardly anything but noise below it."""


class SpeedrunNet(nn.Module):
    """Whitened patches, stages of two 3 x 3 convolutions with pooling after the first, a maximum over pixels, a classifier.

    It takes images of any size from 2 pixels on, so that early epochs may use smaller ones; stages pool as long as there is
    something to pool. The first layer has random filters until `initialise_from_data` is called, once, before training. Its
    filters are frozen; its biases learn.

    Args:
        settings: widths of the stages, each of which halves the resolution, and momentum of the norms.
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.

    Raises:
        ParameterError: the images are smaller than a patch.
    """

    def __init__(self, settings: SpeedrunNetSettings, *, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        if image_size < PATCH_SIZE:
            raise ParameterError(
                f"speedrun_net needs images of at least {PATCH_SIZE} pixels, but these have {image_size}; set "
                "data_prep.image_size higher."
            )
        channels = 2 * in_channels * PATCH_SIZE**2
        self.whitening = nn.Conv2d(in_channels, channels, PATCH_SIZE)
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)  # type: ignore[arg-type] # the layer has one
        layers: list[nn.Module] = []
        momentum = settings.norm_momentum
        for width in settings.widths:
            layers += [_Layer(channels, width, momentum, pool=True), _Layer(width, width, momentum, pool=False)]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=1 / LOGIT_GAIN)
        self._logit_scale = settings.logit_scale

    def initialise_from_data(self, images: Tensor) -> None:
        """Set the first layer to whiten patches like those of `images`.

        Args:
            images: float [N, in_channels, H, W], normalised as in training; some thousands of training images are enough.
        """
        filters = whitening_weights(images.to(self.whitening.weight.device), PATCH_SIZE)
        with torch.no_grad():
            # Both signs of every filter, so that the activation function loses nothing.
            self.whitening.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_channels, H, W]."""
        features = self.layers(F.gelu(self.whitening(images)))
        return self.classifier(features.amax(dim=(2, 3))) * self._logit_scale


class _Layer(nn.Module):
    """Convolution, pooling or not, norm, activation: after pooling, the last two see a quarter of the pixels."""

    def __init__(self, in_channels: int, channels: int, norm_momentum: float, *, pool: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        # As many filters as there are inputs start by passing their input on.
        nn.init.dirac_(self.convolution.weight.data[:in_channels])
        self.norm = nn.BatchNorm2d(channels, momentum=norm_momentum)
        self.norm.weight.requires_grad_(False)
        self._pool = pool

    def forward(self, images: Tensor) -> Tensor:
        features = self.convolution(images)
        if self._pool and min(features.shape[2:]) > 1:
            features = F.max_pool2d(features, 2)
        return F.gelu(self.norm(features))


def whitening_weights(images: Tensor, patch_size: int) -> Tensor:
    """Filters that give patches of `images` uncorrelated responses of unit mean square.

    They are the eigenvectors of the patches' second moments, largest eigenvalue first, each divided by the root of its
    eigenvalue. Their signs are fixed (the largest entry is positive), so that every library gives the same ones.

    Args:
        images: float [N, C, H, W], normalised.
        patch_size: height and width of a patch.

    Returns:
        [C * patch_size**2, C, patch_size, patch_size], float32.
    """
    channels = images.shape[1]
    size = channels * patch_size**2
    moments = torch.zeros(size, size, dtype=torch.float64, device=images.device)
    count = 0
    for chunk in images.float().split(256):  # the patches of a chunk are patch_size**2 times as large as the chunk
        patches = F.unfold(chunk, patch_size).transpose(0, 1).reshape(size, -1)
        moments += (patches @ patches.T).double()
        count += patches.shape[1]
    eigenvalues, vectors = torch.linalg.eigh(moments / count)
    vectors = vectors.flip(1).T  # eigh sorts upwards and returns columns
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    filters = vectors * largest.sign() / (eigenvalues.flip(0).clamp(min=0) + EPSILON).sqrt()[:, None]
    return filters.reshape(size, channels, patch_size, patch_size).float()
