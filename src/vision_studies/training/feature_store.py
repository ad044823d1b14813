"""Features of frozen backbones that are computed once: kept on disk, block by block, whole or not at all."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vision_studies.files import (
    ARRAY_ERRORS,
    atomic_file,
    hash_json,
    remove,
    remove_leftovers,
    require_free_space,
    write_json,
)
from vision_studies.models.backbones import open_backbone
from vision_studies.models.pretrained import OpenedBackbone
from vision_studies.training.frozen_features import CPU, FeatureExtractor, feature_dtype

BLOCK = 256
"""Images whose features are written together: what a kill costs at most."""

_WHOLE, _KEY = "features.npy", "key.json"


@dataclass(frozen=True)
class FeatureKey:
    """What decides features.

    Attributes:
        images: fingerprint of the images.
        backbone: name of the backbone.
        weights: SHA-256 of its weights.
        pixels: height and width that images are brought to.
        mirror: whether the mirror image counts as well.
        precision: number format that they are computed in.
    """

    images: str
    backbone: str
    weights: str
    pixels: int
    mirror: bool
    precision: str

    def folder(self, root: Path) -> Path:
        """Where they are kept below `root`."""
        return root / f"{re.sub('[/:]', '-', self.backbone)}_{self.pixels}_{hash_json(asdict(self))[:16]}"


def stored_features(
    root: Path,
    images: np.ndarray,
    fingerprint: str,
    backbone: str | OpenedBackbone,
    pixels: int,
    *,
    mirror: bool = True,
    threads: int | None = None,
    device: torch.device = CPU,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Features of images, float32 [N, D], from the disk as far as they are there, and kept there.

    A call that was interrupted, however roughly, is continued by the same call, which loses a block of images at most.

    Args:
        root: folder of all stored features.
        images: uint8 [N, H, W, C], as `frozen_features` takes them.
        fingerprint: of the images.
        backbone: its name, or one that has been opened.
        pixels: as there, like all that follow.
        mirror: likewise.
        threads: likewise.
        device: likewise.
        progress: called with the number of images whose features are there; an error that it raises ends the call, and what
            was done until then is kept.

    Raises:
        BackboneError: the backbone is unknown, or its weights are not here.
        StorageError: the disk is full.
    """
    opened = open_backbone(backbone) if isinstance(backbone, str) else backbone
    key = feature_key(fingerprint, opened.backbone.name, opened.weights, pixels, mirror=mirror, device=device)
    folder, shape = key.folder(root), (len(images), opened.backbone.width)
    whole = _read(folder / _WHOLE, shape)
    if whole is not None:
        return whole
    require_free_space(root, 2 * 4 * shape[0] * shape[1])
    remove_leftovers(folder)
    write_json(folder / _KEY, asdict(key))
    features = np.empty(shape, np.float32)
    extract: FeatureExtractor | None = None
    for start in range(0, len(images), BLOCK):
        block = slice(start, min(start + BLOCK, len(images)))
        file = folder / f"block_{start:09d}.npy"
        part = _read(file, (block.stop - start, shape[1]))
        if part is None:
            extract = extract or FeatureExtractor(opened, pixels, mirror=mirror, threads=threads, device=device)
            part = extract(images[block], partial(_advance, progress, start))
            _write(file, part)
        elif progress is not None:
            progress(block.stop)
        features[block] = part
    _write(folder / _WHOLE, features)
    for file in folder.glob("block_*.npy"):
        remove(file)
    return features


def feature_key(
    fingerprint: str, backbone: str, weights: str, pixels: int, *, mirror: bool = True, device: torch.device = CPU
) -> FeatureKey:
    """What decides the features that `stored_features` gives, of a backbone's name and the SHA-256 of its weights."""
    precision = str(feature_dtype(device)).removeprefix("torch.")
    return FeatureKey(fingerprint, backbone, weights, pixels, mirror, precision)


def read_features(root: Path, key: FeatureKey, images: int) -> np.ndarray | None:
    """Features float32 [N, D] of a key that are on the disk, for N images; None where they are not all there. No backbone is
    opened for it.
    """
    return _read(key.folder(root) / _WHOLE, (images, None))


def joined_features(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Features of several backbones or sizes side by side, float32 [N, sum of D].

    Each image's own are scaled to a mean square of 1 in each part, so that no part outweighs another by its unit alone.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.training.feature_store import joined_features
        >>> small, large = np.ones((2, 2), np.float32), np.full((2, 1), 10, np.float32)
        >>> joined_features([small, large]).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    return np.concatenate([part / _root_mean_square(part) for part in parts], axis=1)


def _root_mean_square(features: np.ndarray) -> np.ndarray:
    """Of each row, float32 [N, 1], and never 0."""
    return np.sqrt(np.square(features).mean(axis=1, keepdims=True)).clip(min=1e-12)


def _advance(progress: Callable[[int], None] | None, start: int, done: int) -> None:
    if progress is not None:
        progress(start + done)


def _read(file: Path, shape: tuple[int, int | None]) -> np.ndarray | None:
    """Features in a file; None where it is missing, damaged or of another shape, of which None stands for any."""
    try:
        features = np.load(file, allow_pickle=False)
    except ARRAY_ERRORS:
        return None
    if not isinstance(features, np.ndarray) or features.dtype != np.float32 or features.ndim != 2:
        return None
    return features if features.shape == (shape[0], shape[1] or features.shape[1]) else None


def _write(file: Path, features: np.ndarray) -> None:
    with atomic_file(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, features, allow_pickle=False)
