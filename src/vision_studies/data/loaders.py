"""Batches of normalised images, and the loader that holds all images on the device.

What a batch holds depends on (seed, epoch, batch) alone and not on the loader: every loader takes its order, its
augmentation and its normalisation from here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Required, TypedDict, Unpack

import numpy as np
import torch
from typing_extensions import override

from vision_studies.augmentation.step import Augmentation, Occasion
from vision_studies.data.image_set import ImageSet


class Batch(NamedTuple):
    """Images with labels.

    Attributes:
        images: float32 or bfloat16 [B, C, H, W], normalised, channels last.
        labels: int64 [B].
        indices: int64 [B], positions in the image set.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class Share(NamedTuple):
    """What a process takes of every batch, where several train one network together; its rank is its number, from 0."""

    rank: int
    processes: int

    def places(self, batch_size: int, count: int) -> slice:
        """Places of the process's images in a batch of `count`, a full one of which has `batch_size`.

        The last processes may have none in a short last batch.
        """
        part = -(-batch_size // self.processes)
        return slice(min(self.rank * part, count), min((self.rank + 1) * part, count))

    def positions(self, batch_size: int, num_samples: int) -> torch.Tensor:
        """Where the process's images stand among all images of an epoch: int64 [images of the process]."""
        batches = torch.arange(num_samples).split(batch_size)
        return torch.cat([batch[self.places(batch_size, len(batch))] for batch in batches])


WHOLE = Share(0, 1)
"""One process that takes all."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, on the scale 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def epoch_order(num_samples: int, seed: int, epoch: int, shuffle: bool) -> torch.Tensor:
    """Positions int64 [num_samples] in the order of an epoch."""
    if not shuffle:
        return torch.arange(num_samples)
    return torch.randperm(num_samples, generator=_generator(seed, epoch))


def augmentation_generator(seed: int, epoch: int, batch_index: int) -> torch.Generator:
    """Randomness of one batch's augmentation, on the host: the same on every device, whatever was read before."""
    return _generator(seed, epoch, batch_index)


class Finisher:
    """Turns a raw batch into a finished one: augmentation, then normalisation.

    Where several processes share a batch, each of them augments a batch of the whole size in which only its own images are
    real: what is drawn for an image then does not depend on the number of processes, at the price of augmentation that
    costs each of them as much as it would cost one.
    """

    def __init__(
        self,
        augmentation: Augmentation | None,
        normalisation: Normalisation,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._augmentation, self._seed, self._dtype, self.device = augmentation, seed, dtype, device
        mean, std = (torch.tensor(values, device=device) for values in (normalisation.mean, normalisation.std))
        self._scale, self._shift = 1 / std, -mean / std

    def __call__(
        self,
        images: torch.Tensor,
        indices: torch.Tensor,
        epoch: int,
        batch_index: int,
        places: slice = slice(None),
        count: int | None = None,
    ) -> torch.Tensor:
        """uint8 [B, C, H, W], whose positions in the image set are int64 [B] -> normalised [B, C, H, W], channels last.

        Where other processes have the rest of the batch, `places` says where the images stand in it, and `count` how many it
        has.
        """
        if self._augmentation is not None and len(images):
            count = len(images) if count is None else count
            generator = augmentation_generator(self._seed, epoch, batch_index)
            occasion = Occasion(self._seed, epoch, _spread(indices, places, count))
            images = self._augmentation(_spread(images, places, count), generator, occasion)[places]
        channels, height, width = images.shape[1:]
        # Rows of pixels against rows of factors: with three channels as the innermost loop it takes six times longer.
        rows = images.permute(0, 2, 3, 1).reshape(-1, width * channels).float()
        scale, shift = (values.repeat(width) for values in (self._scale, self._shift))
        normalised = torch.addcmul(shift, rows, scale, out=rows).to(self._dtype)
        return normalised.view(-1, height, width, channels).permute(0, 3, 1, 2)


class SplitOptions(TypedDict, total=False):
    """How the images of a split become batches; what has a default in `Loader` may be left out.

    Attributes:
        batch_size: images of a full batch, all processes together.
        device: where batches are wanted.
        dtype: type of the normalised images.
        seed: seed of order and, where it has none of its own, augmentation.
        augmentation_seed: seed of augmentation.
        shuffle: draw a new order every epoch.
        drop_last: leave out a last batch that is not full.
        augmentation: what is done to a batch of uint8 images before normalisation.
        share: what of every batch is wanted here, where several processes train one network.
        draw: positions int64 [images of the split] of an epoch, by its number, in place of every image once.
    """

    batch_size: Required[int]
    device: Required[torch.device]
    dtype: torch.dtype
    seed: int
    augmentation_seed: int | None
    shuffle: bool
    drop_last: bool
    augmentation: Augmentation | None
    share: Share
    draw: Callable[[int], torch.Tensor] | None


class BatchOptions(SplitOptions):
    """The same for images of any origin.

    Attributes:
        normalisation: mean and standard deviation of each channel.
    """

    normalisation: Normalisation


class Loader(ABC):
    """Batches of one split, epoch by epoch: `num_samples` images an epoch, all processes together, see `BatchOptions`."""

    def __init__(
        self,
        num_samples: int,
        *,
        batch_size: int,
        normalisation: Normalisation,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        augmentation_seed: int | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        augmentation: Augmentation | None = None,
        share: Share = WHOLE,
        draw: Callable[[int], torch.Tensor] | None = None,
    ) -> None:
        self._draw = draw
        self.num_samples, self.batch_size, self.share = num_samples, batch_size, share
        self._seed, self._shuffle, self._drop_last = seed, shuffle, drop_last
        of_augmentation = seed if augmentation_seed is None else augmentation_seed
        self._finish = Finisher(augmentation, normalisation, of_augmentation, device, dtype)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.num_samples // self.batch_size if self._drop_last else -(-self.num_samples // self.batch_size)

    @abstractmethod
    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch; order and augmentation depend on their seeds and the epoch alone."""

    def _order(self, epoch: int) -> torch.Tensor:
        if self._draw is not None:
            return self._draw(epoch)
        return epoch_order(self.num_samples, self._seed, epoch, self._shuffle)


class DeviceLoader(Loader):
    """All images of a split as uint8 in the memory of the device, copied once; nothing is decoded or copied again.

    Args:
        image_set: where the images are.
        indices: int64 [N], positions in the image set.
        options: see `BatchOptions`; each process that has a share of the batches holds all images.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> from vision_studies.data.image_set import ImageSet
        >>> from vision_studies.data.loaders import DeviceLoader, Normalisation
        >>> images, labels = np.full((10, 4, 4, 1), 100, np.uint8), np.arange(10) % 2
        >>> image_set = ImageSet.create("grey", images, labels, ("even", "odd"), np.zeros(10, bool), origin={})
        >>> options = {"normalisation": Normalisation(mean=(80.0,), std=(20.0,)), "device": torch.device("cpu")}
        >>> loader = DeviceLoader(image_set, np.arange(10), batch_size=4, **options)
        >>> [tuple(batch.images.shape) for batch in loader.epoch(0)]
        [(4, 1, 4, 4), (4, 1, 4, 4), (2, 1, 4, 4)]
        >>> round(float(next(loader.epoch(0)).images.mean()), 3)  # (100 - 80) / 20
        1.0
    """

    def __init__(self, image_set: ImageSet, indices: np.ndarray, **options: Unpack[BatchOptions]) -> None:
        super().__init__(len(indices), **options)
        arrays = (image_set.images[indices], image_set.labels[indices], np.asarray(indices, dtype=np.int64))
        self._images, self._labels, self._indices = (torch.from_numpy(array).to(options["device"]) for array in arrays)

    @override
    def epoch(self, epoch: int) -> Iterator[Batch]:
        order = self._order(epoch).to(self._images.device, non_blocking=True)
        for batch_index in range(len(self)):
            whole = order[batch_index * self.batch_size :][: self.batch_size]
            places = self.share.places(self.batch_size, len(whole))
            positions = whole[places]
            raw = self._images.index_select(0, positions).permute(0, 3, 1, 2)  # channels-last [B, C, H, W]
            indices = self._indices[positions]
            finished = self._finish(raw, indices, epoch, batch_index, places, len(whole))
            yield Batch(finished, self._labels[positions], indices)


def _spread(part: torch.Tensor, places: slice, count: int) -> torch.Tensor:
    """`part` [B, ...] at its places in a batch of `count` that is 0 elsewhere; itself where it fills the batch."""
    if len(part) == count:
        return part
    whole = part.new_zeros((count, *part.shape[1:]))
    if part.ndim == 4:  # the channels of a pixel stay side by side in memory
        whole = whole.contiguous(memory_format=torch.channels_last)
    whole[places] = part
    return whole


def _generator(*numbers: int) -> torch.Generator:
    # SeedSequence mixes the numbers, so that neighbouring seeds and epochs do not share their randomness.
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)
