"""A small whitened convolutional network that learns small images in minutes on a few processor cores.

The ideas are those of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498): a frozen first layer
that whitens patches, filters that start as the identity, norms without a learnt scale, max pooling, scaled-down logits. The
shape is chosen for processors: patches are taken at every second pixel, because layers of full resolution cost more in
traffic to memory than their products are worth, and sizes of 16, 8 and 4 pixels suit the convolution kernels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.errors import ParameterError

PATCH_SIZE = 4
PATCH_STRIDE = 2
EPSILON = 5e-4
"""Added to the variances before their root is divided by; patches hold hardly anything but noise below it."""

LOGIT_GAIN = 3.5
"""Logits are scaled by this over the number of features, and the classifier starts with weights of the inverse deviation.

The product of the two is what makes training stable; the split between them decides how fast the classifier learns. At this
one, it wants the same learning rate as the biases, so that one optimiser setting does for both.
"""


class SpeedrunNet(nn.Module):
    """Whitened patches, stages of two 3 x 3 convolutions with pooling in between, a maximum over pixels, a linear classifier.

    It takes images of any size from `smallest_image` on, so that early epochs may use smaller ones. The first layer has random
    filters until `initialise_from_data` is called, once, before training. Its filters are frozen; its biases learn.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        widths: channels of each stage; resolution is halved between stages.
        image_size: height and width of the images in pixels.
        norm_momentum: share of a batch in the running statistics of the norms; short trainings need much.

    Raises:
        ParameterError: the images are too small for so many stages.
    """

    def __init__(
        self, *, in_channels: int, num_classes: int, widths: tuple[int, ...], image_size: int, norm_momentum: float
    ) -> None:
        super().__init__()
        smallest = smallest_image(len(widths))
        if image_size < smallest:
            raise ParameterError(
                f"model.widths={list(widths)} has {len(widths)} stages, which need images of at least {smallest} pixels, but "
                f"these have {image_size}; set data_prep.image_size higher or give fewer widths."
            )
        channels = 2 * in_channels * PATCH_SIZE**2
        self.whitening = nn.Conv2d(
            in_channels, channels, PATCH_SIZE, stride=PATCH_STRIDE, padding=(PATCH_SIZE - PATCH_STRIDE) // 2
        )
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)  # type: ignore[arg-type] # the layer has one
        stages: list[nn.Module] = []
        for index, width in enumerate(widths):
            stages += _layer(channels, width, norm_momentum, pool=False)
            stages += _layer(width, width, norm_momentum, pool=index < len(widths) - 1)
            channels = width
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=1 / LOGIT_GAIN)
        self._logit_scale = LOGIT_GAIN / channels

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
        features = self.stages(F.gelu(self.whitening(images)))
        return self.classifier(features.amax(dim=(2, 3))) * self._logit_scale


def smallest_image(stages: int) -> int:
    """Pixels in height and width below which a network of so many stages has nothing left to pool."""
    return int(PATCH_STRIDE * 2 ** (stages - 1))


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


def _layer(in_channels: int, channels: int, norm_momentum: float, *, pool: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    # As many filters as there are inputs start by passing their input on.
    nn.init.dirac_(convolution.weight.data[:in_channels])
    norm = nn.BatchNorm2d(channels, momentum=norm_momentum)
    norm.weight.requires_grad_(False)
    # The norm after pooling sees a quarter of the pixels, and so does the activation function.
    return [convolution, *([nn.MaxPool2d(2)] if pool else []), norm, nn.GELU()]
