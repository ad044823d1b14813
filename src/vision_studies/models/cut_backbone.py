"""A pretrained network that can be cut as `models.convnet.ConvNet` is: blocks in the place of its convolutions."""

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vision_studies.models.pretrained import Backbone
from vision_studies.models.resizing import resized_by, resizing_weights

_HALF = 127.5  # brings pixels from -1 .. 1 to 0 .. 255


class CutBackbone(nn.Module):
    """Blocks `start` to `stop`, then a dense layer of the means of the last maps.

    With `start` 0 it takes images, which it brings to the backbone's size and scale; otherwise what `features` of the same
    network with `stop` = `start` gives. Blocks are called block0, block1, ..., the dense layer fc. Weights are random (He et
    al. 2015); those of the backbone are in `blocks`.

    Args:
        backbone: whose mean and std images are freed from and divided by.
        blocks: all of them, as `models.cut_network.network_blocks` gives them; they are copied.
        channels: what each of them gives.
        pixels: height and width that images are brought to.
        in_channels: 1 or 3, of the images that come in.
        num_classes: number of logits.
        image_size: height and width of the images that come in.
        start: first block of this part.
        stop: first block that is left out; None for none.
    """

    def __init__(
        self,
        backbone: Backbone,
        blocks: Sequence[nn.Module],
        channels: Sequence[int],
        *,
        pixels: int,
        in_channels: int,
        num_classes: int,
        image_size: int,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        super().__init__()
        self.start, self.stop = start, len(blocks) if stop is None else stop
        self._mean, self._std = backbone.mean, backbone.std
        if start == 0 < self.stop and image_size != pixels:
            self.register_buffer("resizing", resizing_weights(image_size, pixels), persistent=False)
        for number in range(start, self.stop):
            self.add_module(f"block{number}", _with_random_weights(blocks[number]))
        self.fc = nn.Linear(channels[self.stop - 1] if self.stop else in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes] of images [B, C, H, W] with pixels from -1 to 1, or of features before block `start`."""
        return self.fc(self.features(images).mean((2, 3)))

    def features(self, images: Tensor, stop: int | None = None) -> Tensor:
        """What the last block before `stop`, or of all, hands on, [B, C, H, W]."""
        last = self.stop if stop is None else stop
        if last == self.start:
            return images
        return next(maps for blocks, maps in self.handed_on(images) if blocks == last)

    def handed_on(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """How many blocks there have been after each, and what it hands on, [B, C, H, W]; see `features`."""
        maps = self._prepared(images) if self.start == 0 < self.stop else images
        for number in range(self.start, self.stop):
            maps = _as_maps(self.get_submodule(f"block{number}")(maps))
            yield number + 1, maps

    def layer_outputs(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The images and what every layer gives.

        Yields:
            `input`, the blocks and `fc`, in order, each with its output [B, C, H, W] or [B, classes].
        """
        yield "input", images
        maps = images
        for blocks, maps in self.handed_on(images):
            yield f"block{blocks - 1}", maps
        yield "fc", self.fc(maps.mean((2, 3)))

    def stacked_forward(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], images: Tensor, _noise: None = None
    ) -> Tensor:
        """Logits [M, B, classes] of M networks, one after the other; see `training.stack.Stack`.

        Args:
            parameters: of all networks, [M, ...] each.
            buffers: likewise.
            images: [M, B, C, H, W], or [1, B, C, H, W] for all networks alike.
        """
        said = []
        for member in range(len(parameters["fc.weight"])):
            own = {name: values[member] for name, values in (*parameters.items(), *buffers.items())}
            said.append(functional_call(self, own, (images[member if len(images) > 1 else 0],)))
        return torch.stack(said)

    def _prepared(self, images: Tensor) -> Tensor:
        """Images as the backbone takes them, [B, 3, pixels, pixels]."""
        pixels = (images.float() + 1) * _HALF
        if "resizing" in self._buffers:
            pixels = resized_by(self.get_buffer("resizing"), pixels)
        pixels = pixels.expand(-1, 3, -1, -1)
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (self._mean, self._std))
        return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def _as_maps(values: Tensor) -> Tensor:
    """Features [B, D] as maps of one pixel, [B, D, 1, 1]; maps as they are."""
    return values[:, :, None, None] if values.ndim == 2 else values


def _with_random_weights(block: nn.Module) -> nn.Module:
    """A copy of a block, where networks are built at the time, whose weights are drawn anew."""
    own = copy.deepcopy(block).to(torch.empty(0).device).requires_grad_(True)
    for module in own.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return own
