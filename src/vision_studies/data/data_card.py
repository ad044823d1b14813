"""What exactly is trained on: counts, channel statistics, duplicates."""

import hashlib
from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np

from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import Normalisation
from vision_studies.data.splits import NAMES, Splits

_CHUNK_IMAGES = 4096
_LISTED_DUPLICATES = 20
_LISTED_FILES = 10


def channel_statistics(image_set: ImageSet, indices: np.ndarray) -> Normalisation:
    """Mean and standard deviation of each channel over all pixels of the images at `indices`, on the scale 0 to 255."""
    channels = image_set.images.shape[3]
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for start in range(0, len(indices), _CHUNK_IMAGES):
        pixels = image_set.images[indices[start : start + _CHUNK_IMAGES]].reshape(-1, channels)
        histogram = np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(channels)])
        total += histogram @ np.arange(256.0)
        squares += histogram @ np.arange(256.0) ** 2
        count += len(pixels)
    mean = total / count
    # A channel that never varies would be divided by zero; one grey level is as good as none.
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
    return Normalisation(tuple(mean.tolist()), tuple(deviation.tolist()))


def data_card(image_set: ImageSet, splits: Splits, folds: int = 0) -> dict[str, Any]:
    """Counts per class and split, channel statistics of the training split, and images that occur in two splits.

    Returns:
        A JSON value. Channel statistics are on the scale 0 to 1. `duplicates` counts, for each pair of splits, the images
        of the second that stand in the first, too, byte for byte, and lists some of them: by the names of their files where
        the source has any, otherwise by their places in the image set. `long_tail` is null where every
        image is in a split; otherwise it says how many are in none, and how many training images the largest and the smallest
        class have. `findings` are those of the check of the source, of each the first few files. `folds` of a
        cross-validation are told of where there are some; the rest is of the one split that they take the place of.
    """
    statistics = channel_statistics(image_set, splits.train)
    counts = {
        split: np.bincount(image_set.labels[getattr(splits, split)], minlength=len(image_set.class_names)).tolist()
        for split in NAMES
    }
    train, left_out = counts["train"], len(image_set.labels) - sum(map(sum, counts.values()))
    tail = {"images_left_out": left_out, "largest_class": max(train), "smallest_class": min(train)}
    return {
        "name": image_set.name,
        "fingerprint": image_set.fingerprint,
        "splits_fingerprint": splits.fingerprint,
        "images": len(image_set.labels),
        "image_shape": list(image_set.images.shape[1:]),
        "class_names": list(image_set.class_names),
        "own_test_split": bool(image_set.is_test.any()),
        "counts": counts,
        "long_tail": tail if left_out else None,
        "channel_mean": [value / 255 for value in statistics.mean],
        "channel_standard_deviation": [value / 255 for value in statistics.std],
        "duplicates": _duplicates(image_set, splits),
        "findings": _findings(image_set),
        **({"folds": folds} if folds else {}),
    }


def _findings(image_set: ImageSet) -> list[dict[str, Any]]:
    found = image_set.check["findings"] if image_set.check is not None else []
    return [finding | {"files": finding["files"][:_LISTED_FILES]} for finding in found]


def _duplicates(image_set: ImageSet, splits: Splits) -> dict[str, Any]:
    where: dict[str, dict[bytes, list[int]]] = {split: defaultdict(list) for split in NAMES}
    for split, positions in where.items():
        for index in getattr(splits, split):
            digest = hashlib.blake2b(np.ascontiguousarray(image_set.images[index]).data, digest_size=16).digest()
            positions[digest].append(int(index))
    result: dict[str, Any] = {}
    name_of = int if image_set.items is None else image_set.items["name"].__getitem__
    for first, second in combinations(NAMES, 2):
        shared = where[first].keys() & where[second].keys()
        pairs = sorted((where[first][digest][0], index) for digest in shared for index in where[second][digest])
        listed = [(name_of(image), name_of(copy)) for image, copy in pairs[:_LISTED_DUPLICATES]]
        result[f"{first} and {second}"] = {"images": len(pairs), "pairs": listed}
    repeated = sum(len(indices) - 1 for indices in where["train"].values())
    return result | {"within train": {"images": repeated}}
