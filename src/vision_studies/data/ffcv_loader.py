"""The loader that reads memory-mapped `.beton` files with FFCV, for sets that do not fit on the device."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision_studies.data.beton import FFCV_MISSING, check_beton
from vision_studies.data.ffcv_compat import import_ffcv
from vision_studies.data.loaders import (
    WHOLE,
    Augmentation,
    Batch,
    Finisher,
    Normalisation,
    Share,
    epoch_order,
    number_of_batches,
)
from vision_studies.errors import MissingDependencyError


class FfcvLoader:
    """Reading and decoding are FFCV's; order, augmentation and normalisation are those of the device loader.

    Batches are therefore bit-equal to the device loader's, and a training can move from one to the other. A process that
    has a share of every batch reads and decodes that share alone.
    """

    def __init__(
        self,
        path: Path,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        finisher: Finisher,
        workers: int,
        positions: np.ndarray | None,
        share: Share = WHOLE,
    ) -> None:
        everything = np.arange(check_beton(path))
        chosen = everything if positions is None else positions
        self.batch_size = batch_size
        self.num_samples = len(chosen)
        self.share = share
        self._drop_last = drop_last
        self._finish = finisher
        self._device = finisher.device
        self._order = _order(chosen, seed, shuffle, share, batch_size)
        full = share.places(batch_size, min(batch_size, self.num_samples))
        self._loader = _ffcv(path, max(full.stop - full.start, 1), self._order, workers)

    def __len__(self) -> int:
        return number_of_batches(self.num_samples, self.batch_size, self._drop_last)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch."""
        self._loader.next_epoch = epoch
        batches = iter(self._loader)
        try:
            for batch_index, (images, labels, indices) in zip(range(len(self)), batches, strict=False):
                # FFCV reuses its buffers for a later batch, so what leaves this loop is copied by the normalisation
                # (images) and by clone (labels and indices).
                count = min(self.batch_size, self.num_samples - batch_index * self.batch_size)
                places = self.share.places(self.batch_size, count)
                own = slice(places.stop - places.start)  # less than what was read where that stands for no image
                raw = images[own].to(self._device).permute(0, 3, 1, 2)
                positions = indices.flatten()[own].clone().to(self._device)
                finished = self._finish(raw, positions, epoch, batch_index, places, count)
                yield Batch(finished, labels.flatten()[own].clone().to(self._device), positions)
        finally:
            batches.close()  # the thread that reads ahead would otherwise outlive an epoch that is not read to its end


def ffcv_loader(
    beton: Path,
    *,
    batch_size: int,
    normalisation: Normalisation,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    shuffle: bool = False,
    drop_last: bool = False,
    augmentation: Augmentation | None = None,
    workers: int = 1,
    positions: np.ndarray | None = None,
    share: Share = WHOLE,
) -> FfcvLoader:
    """A loader over a `.beton` file.

    Args:
        beton: the file.
        batch_size: images a batch.
        normalisation: mean and standard deviation of each channel.
        device: where batches are wanted.
        dtype: type of the normalised images.
        seed: seed of order and augmentation.
        shuffle: draw a new order every epoch.
        drop_last: leave out a last batch that is not full.
        augmentation: what is done to a batch before normalisation.
        workers: threads that read and decode.
        positions: int64 [N], which of the file's images; None for all.
        share: what of every batch is wanted here.

    Raises:
        DataError: the file is damaged.
        MissingDependencyError: FFCV is not installed.
    """
    try:
        import_ffcv()
    except ImportError as error:
        raise MissingDependencyError(FFCV_MISSING) from error
    return FfcvLoader(
        beton,
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        finisher=Finisher(augmentation, normalisation, seed, device, dtype),
        workers=workers,
        positions=positions,
        share=share,
    )


def _order(positions: np.ndarray, seed: int, shuffle: bool, share: Share, batch_size: int) -> Any:
    from ffcv.traversal_order.base import TraversalOrder

    class EpochOrder(TraversalOrder):
        """The order of our own loaders. FFCV calls an order with its loader to get one that is ready."""

        def __init__(self) -> None:  # the order knows all it needs without the loader
            self.sampler = None

        def __call__(self, loader: Any) -> "EpochOrder":  # noqa: ARG002
            return self

        def sample_order(self, epoch: int) -> np.ndarray:
            own = []
            for whole in epoch_order(len(positions), seed, epoch, shuffle).split(batch_size):
                places = share.places(batch_size, len(whole))
                # FFCV knows no empty batch: the first image stands for one.
                own.append(whole[places] if places.stop > places.start else whole[:1])
            return positions[torch.cat(own).numpy()].astype(np.uint64)

    return EpochOrder()


def _ffcv(path: Path, batch_size: int, order: Any, workers: int) -> Any:
    from ffcv.fields.decoders import IntDecoder, NDArrayDecoder, SimpleRGBImageDecoder
    from ffcv.fields.rgb_image import RGBImageField
    from ffcv.loader import Loader
    from ffcv.reader import Reader
    from ffcv.transforms import ToTensor

    handler = Reader(str(path)).handlers["image"]
    decoder = SimpleRGBImageDecoder() if isinstance(handler, RGBImageField) else NDArrayDecoder()
    return Loader(
        str(path),
        batch_size=batch_size,
        num_workers=workers,
        os_cache=True,
        order=order,
        drop_last=False,
        seed=0,
        pipelines={
            "image": [decoder, ToTensor()],
            "label": [IntDecoder(), ToTensor()],
            "index": [IntDecoder(), ToTensor()],
        },
    )
