"""Prepared data: an image set with its splits, and loaders and tensors of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vision_studies.data import folds as folding
from vision_studies.data.data_card import channel_statistics
from vision_studies.data.ffcv import FfcvLoader
from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import DeviceLoader, Loader, Normalisation, SplitOptions
from vision_studies.data.splits import Splits, redivide, units_of_images
from vision_studies.errors import DataError
from vision_studies.files import hash_json
from vision_studies.storage.kept_data import fetched


@dataclass(frozen=True)
class PreparedData:
    """What `data_prep` leaves for every other pipeline.

    Attributes:
        image_set: all images of the set.
        splits: which of them are for training, validation and test.
        ffcv_files: split name -> `.beton` file; empty where FFCV was not used.
        folds: the splits of a cross-validation, which takes the place of `splits`; none where there is one test split.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> from vision_studies.data.image_set import ImageSet
        >>> from vision_studies.data.prepared import PreparedData
        >>> from vision_studies.data.splits import Splits
        >>> images, labels = np.zeros((10, 4, 4, 3), np.uint8), np.arange(10) % 2
        >>> image_set = ImageSet.create("blank", images, labels, ("even", "odd"), np.zeros(10, bool), origin={})
        >>> data = PreparedData(image_set, Splits(np.arange(6), np.arange(6, 8), np.arange(8, 10)), ffcv_files={})
        >>> data.num_classes, data.in_channels, data.image_size
        (2, 3, 4)
        >>> loader = data.loader("train", kind="device", batch_size=4, device=torch.device("cpu"), shuffle=True)
        >>> sorted(index for batch in loader.epoch(0) for index in batch.indices.tolist())
        [0, 1, 2, 3, 4, 5]
    """

    image_set: ImageSet
    splits: Splits
    ffcv_files: Mapping[str, Path]
    folds: tuple[Splits, ...] = ()

    @classmethod
    def from_catalog(
        cls, image_set: ImageSet, splits_table: pd.DataFrame, ffcv_files: Mapping[str, Path]
    ) -> "PreparedData":
        """From what the catalog holds: names of FFCV files are `<split>-<hash of the content>`."""
        files = {name.split("-")[0]: path for name, path in ffcv_files.items()}
        return cls(image_set, Splits.from_table(splits_table), files, folding.from_table(splits_table))

    @property
    def without_folds(self) -> "PreparedData":
        """The same with its one test split alone."""
        return replace(self, folds=())

    @property
    def each_fold(self) -> "tuple[PreparedData, ...]":
        """The images as each fold divides them; without FFCV files, for these hold the one split."""
        return tuple(replace(self, splits=fold, ffcv_files={}, folds=()) for fold in self.folds)

    @property
    def divisions(self) -> "dict[str, PreparedData]":
        """Itself, its one split and each of its folds, by fingerprint: what its runs can have learnt from."""
        return {data.fingerprint: data for data in (self, self.without_folds, *self.each_fold)}

    def redivided(self, seed: int | None) -> "PreparedData":
        """With training and validation images divided anew by this seed, see `splits.redivide`; itself for None.

        It has no FFCV files, for these hold the splits as they were prepared.
        """
        if seed is None:
            return self
        image_set = self.image_set
        splits = redivide(self.splits, image_set.labels, seed, units_of_images(image_set))
        return replace(self, splits=splits, ffcv_files={})

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the images and of the splits, or of the folds: what a result depends on."""
        splits = self.folds or (self.splits,)
        return hash_json([self.image_set.fingerprint, *(each.fingerprint for each in splits)])[:16]

    @cached_property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of each channel over the pixels of the training split."""
        return channel_statistics(self.image_set, self.splits.train)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.image_set.class_names)

    @property
    def in_channels(self) -> int:
        """Channels of an image: 1 or 3."""
        return int(self.image_set.images.shape[3])

    @property
    def image_size(self) -> int:
        """Height and width of an image in pixels.

        Raises:
            DataError: the images are not square.
        """
        height, width = self.image_set.images.shape[1:3]
        if height != width:
            raise DataError(
                f"The images of '{self.image_set.name}' are {height} x {width} pixels; networks here want square "
                "images: set data_prep.image_size."
            )
        return int(height)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image, as networks take it."""
        return self.in_channels, self.image_size, self.image_size

    @property
    def sizes(self) -> dict[str, int]:
        """What networks are built for: in_channels, num_classes and image_size."""
        return {"in_channels": self.in_channels, "num_classes": self.num_classes, "image_size": self.image_size}

    def loader(
        self,
        split: str,
        *,
        kind: str,
        positions: np.ndarray | None = None,
        **options: Unpack[SplitOptions],
    ) -> Loader:
        """Batches of one split ("train", "validation" or "test").

        Args:
            split: name of the split.
            kind: "device" or "ffcv".
            positions: int64 [N], which of the split's images; None for all.
            options: see `loaders.SplitOptions`.

        Raises:
            DataError: the `.beton` file that `kind="ffcv"` needs has not been written.
        """
        if kind == "device":
            indices = getattr(self.splits, split)
            chosen = indices if positions is None else indices[positions]
            return DeviceLoader(self.image_set, chosen, normalisation=self.normalisation, **options)
        if split not in self.ffcv_files:
            raise DataError(
                f"There is no FFCV file for the {split} split of '{self.image_set.name}'; run "
                "`kedro run --pipeline=data_prep` with data_prep.ffcv=true, or use loader=device, which alone knows folds."
            )
        file = fetched(self.ffcv_files[split])
        return FfcvLoader(file, positions=positions, normalisation=self.normalisation, **options)


_CHUNK = 8192


def image_tensor(
    data: PreparedData, indices: np.ndarray, *, normalise: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images [N, C, H, W] and labels int64 [N] at `indices` (int64 [N], positions in the image set), kept on `device`.

    Each channel is brought to mean 0 and deviation 1 over the training pixels, or pixels are divided by 255.
    """
    channels = data.in_channels
    statistics = data.normalisation if normalise else Normalisation((0.0,) * channels, (255.0,) * channels)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (statistics.mean, statistics.std))
    height, width = data.image_set.images.shape[1:3]
    images = torch.empty((len(indices), channels, height, width), dtype=dtype, device=device)
    for start in range(0, len(indices), _CHUNK):
        raw = torch.from_numpy(data.image_set.images[indices[start : start + _CHUNK]]).permute(0, 3, 1, 2)
        images[start : start + len(raw)] = ((raw.float() - mean) / std).to(device=device, dtype=dtype)
    return images, torch.from_numpy(np.asarray(data.image_set.labels[indices])).to(device)
