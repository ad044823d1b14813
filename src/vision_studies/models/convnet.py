"""A plain convolutional network that can be cut: the layers before a cut are one network, those after it another.

Source: the project "mp-tl-study" (which layers transfer to classes never seen, and with how many images).
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_studies.errors import ParameterError
from vision_studies.models.architectures.convnet import ConvNetSettings
from vision_studies.models.convolution import Convolution, convolve

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}

_POOL = 2  # height and width of a pooling window, in pixels
_GROUPED_PIXELS = 4000  # up to so many a network and channel, one grouped convolution beats one convolution a network


class ConvNet(nn.Module):
    """Convolutions `start` to `stop`, then one or two dense layers.

    With `start` 0 it takes images; otherwise what `features` of the same network with `stop` = `start` gives. `stop` below
    the depth leaves out all convolutions from there on, with their activations and pooling. Convolutions keep the size
    (odd kernels) and are called conv0, conv1, ...; dense layers fc and, where there are two, fc_2.

    Args:
        settings: options of the whole network.
        in_channels: channels of the images.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.
        start: first convolution of this part.
        stop: first convolution that is left out; None for none.

    Raises:
        ParameterError: the images are too small for so much downsampling.
    """

    def __init__(
        self,
        settings: ConvNetSettings,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        super().__init__()
        channels, kernel_size, hidden = settings.channels, settings.kernel_size, settings.hidden
        self.start, self.stop = start, len(channels) if stop is None else stop
        self._activation = ACTIVATIONS[settings.activation]
        self._downsampling, self._every, self._stride = settings.downsampling, settings.every, settings.stride
        self._padding, self._head, self._hidden = kernel_size // 2, settings.head, hidden
        size = image_size
        for layer in range(self.stop):
            before, step = channels[layer - 1] if layer else in_channels, self._step(layer)
            if layer >= start:
                convolution = Convolution(before, channels[layer], kernel_size, stride=step, padding=self._padding)
                self.add_module(f"conv{layer}", convolution)
            size = (size + 2 * self._padding - kernel_size) // step + 1
            if self._pools(layer):
                size = (size - _POOL) // self._stride + 1
            if size < 1:
                raise ParameterError(
                    f"images of {image_size} pixels are gone after layer {layer} of {len(channels)}; use fewer layers, "
                    "less downsampling or larger images."
                )
        width = channels[self.stop - 1] if self.stop else in_channels
        inputs = width if self._head == "global_average" else width * size * size
        self.fc = nn.Linear(inputs, num_classes if hidden is None else hidden)
        if hidden is not None:
            self.fc_2 = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes] for images [B, C, H, W], or for features before convolution `start`."""
        hidden = self.fc(self._pooled(self.features(images)))
        return hidden if self._hidden is None else self.fc_2(self._activation(hidden))

    def features(self, images: Tensor, stop: int | None = None) -> Tensor:
        """What the last convolution before `stop`, or of all, hands on, [B, C, H, W]."""
        last = self.stop if stop is None else stop
        if last == self.start:
            return images
        return next(maps for layers, maps in self.handed_on(images) if layers == last)

    def handed_on(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """How many convolutions there have been after each, and what it hands on, [B, C, H, W]; see `features`."""
        for layer in range(self.start, self.stop):
            images = self._after(layer, self.get_submodule(f"conv{layer}")(images))
            yield layer + 1, images

    def layer_outputs(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The images and what every layer gives: convolutions before their activation, dense layers likewise.

        Args:
            images: [B, C, H, W].

        Yields:
            `input` and the layers' names, in order, each with its output [B, C, H, W] or [B, D].
        """
        yield "input", images
        for layer in range(self.start, self.stop):
            images = self.get_submodule(f"conv{layer}")(images)
            yield f"conv{layer}", images
            images = self._after(layer, images)
        hidden = self.fc(self._pooled(images))
        yield "fc", hidden
        if self._hidden is not None:
            yield "fc_2", self.fc_2(self._activation(hidden))

    def stacked_forward(
        self, parameters: Mapping[str, Tensor], _buffers: Mapping[str, Tensor], images: Tensor, _noise: None = None
    ) -> Tensor:
        """Logits [M, B, classes] of M networks; see `training.stack.Stack`.

        Few pixels go through grouped convolutions, one for all networks; many through one convolution a network.

        Args:
            parameters: of all networks, [M, ...] each.
            images: [M, B, C, H, W], or [1, B, C, H, W] for all networks alike.
        """
        members = len(parameters["fc.weight"])
        pixels = images.shape[1] * images.shape[3] * images.shape[4]
        if members > 1 and self.start < self.stop and pixels <= _GROUPED_PIXELS:
            pooled = self._grouped(parameters, images.expand(members, *images.shape[1:]))
        else:
            pooled = self._one_by_one(parameters, images, members)
        hidden = torch.baddbmm(parameters["fc.bias"].unsqueeze(1), pooled, parameters["fc.weight"].mT)
        if self._hidden is None:
            return hidden
        return torch.baddbmm(
            parameters["fc_2.bias"].unsqueeze(1), self._activation(hidden), parameters["fc_2.weight"].mT
        )

    def _one_by_one(self, parameters: Mapping[str, Tensor], images: Tensor, members: int) -> Tensor:
        """Inputs of the dense layer [M, B, D]."""
        if self.start == self.stop:
            pooled = self._pooled(images.flatten(0, 1)).unflatten(0, images.shape[:2])
            return pooled.expand(members, *pooled.shape[1:])
        outputs = []
        for member in range(members):
            maps = images[member if len(images) > 1 else 0]
            for layer in range(self.start, self.stop):
                weight, bias = (parameters[f"conv{layer}.{name}"][member] for name in ("weight", "bias"))
                maps = self._after(layer, convolve(maps, weight, bias, self._step(layer), self._padding))
            outputs.append(self._pooled(maps))
        return torch.stack(outputs)

    def _grouped(self, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Inputs of the dense layer [M, B, D], with the networks side by side among the channels."""
        members = len(images)
        maps = images.transpose(0, 1).flatten(1, 2)
        for layer in range(self.start, self.stop):
            weight, bias = (parameters[f"conv{layer}.{name}"].flatten(0, 1) for name in ("weight", "bias"))
            maps = self._after(layer, convolve(maps, weight, bias, self._step(layer), self._padding, groups=members))
        return self._pooled(maps.unflatten(1, (members, -1)).transpose(0, 1).flatten(0, 1)).unflatten(0, (members, -1))

    def _after(self, layer: int, maps: Tensor) -> Tensor:
        # Images of one channel leave it open how maps lie in memory, and bfloat16 is slow in all orders but this one.
        maps = self._activation(maps.contiguous(memory_format=torch.channels_last))
        if not self._pools(layer):
            return maps
        pool = F.avg_pool2d if self._downsampling == "average_pool" else F.max_pool2d
        return pool(maps, _POOL, self._stride)

    def _pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3)) if self._head == "global_average" else maps.flatten(1)

    def _pools(self, layer: int) -> bool:
        return self._downsampling in ("average_pool", "max_pool") and (layer + 1) % self._every == 0

    def _step(self, layer: int) -> int:
        return self._stride if self._downsampling == "strided_convolution" and (layer + 1) % self._every == 0 else 1
