"""Random numbers for dropout that belong to a network's seed, whoever else is trained beside it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vision_studies.training.runtime import derived_seed

_BITS = 0x7FFF  # the sign is left out: numbers from 0 to 2 ** 15 - 1
_STREAM = 1  # tells this randomness from the order of the images, which comes from the same seed


class EpochNoise:
    """Noise of one epoch, batch by batch, for several seeds.

    The numbers of a seed depend on the seed, the epoch, the batches before and the kind of device.

    Args:
        seeds: one a stream.
        epoch: number of the epoch, from 0.
        device: where the noise is wanted.
    """

    def __init__(self, seeds: Sequence[int], epoch: int, device: torch.device) -> None:
        self._device = device
        mixed = [derived_seed(seed, _STREAM, epoch) for seed in seeds]
        if device.type == "cpu":
            # Sixteen bits at a third of the price that torch's generator asks for them.
            self._bits = [np.random.SFC64(seed) for seed in mixed]
        else:
            self._generators = [torch.Generator(device).manual_seed(seed) for seed in mixed]

    def draw(self, images: int, units: int) -> Tensor:
        """Noise int16 [seeds, images, units] from 0 to 2 ** 15 - 1."""
        if self._device.type == "cpu":
            words = -(-images * units // 4)  # four numbers in 64 bits
            streams = [bits.random_raw(words).view(np.int16)[: images * units] for bits in self._bits]
            noise = torch.from_numpy(streams[0] if len(streams) == 1 else np.concatenate(streams))
            noise &= _BITS
        else:
            size, limits = (images, units), (0, _BITS + 1)
            drawn = [
                torch.randint(*limits, size, dtype=torch.int16, device=self._device, generator=generator)
                for generator in self._generators
            ]
            noise = torch.stack(drawn)
        return noise.view(-1, images, units)
