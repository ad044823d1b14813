"""Prepared data of every source that an environment can name, without its pictures: labels, classes, shapes and splits."""

from collections.abc import Sequence

import numpy as np

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.splits import make_splits
from vision_studies.files import hash_json

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGITS = tuple("0123456789")

SOURCES = {
    "cifar10": (CIFAR10, 50_000, 10_000, (32, 3)),
    "cifar100": (tuple(f"class {number}" for number in range(100)), 50_000, 10_000, (32, 3)),
    "mnist": (DIGITS, 60_000, 10_000, (28, 1)),
    "fashion_mnist": (FASHION, 60_000, 10_000, (28, 1)),
    "digits": (DIGITS, 1_797, 0, (8, 1)),
}
"""Source -> classes, images for training, images for test, and pixels and channels of an image."""


def blank_data(settings: DataPrepSettings):
    """Image set and table of splits as `data_prep` would leave them, were all pictures black."""
    names = [settings.source] if isinstance(settings.source, str) else list(settings.source)
    labels, is_test, classes = [], [], []
    size, channels = SOURCES[names[0]][3]
    for name in names:
        own, train, test, _ = SOURCES[name]
        labels.append(len(classes) + np.arange(train + test) % len(own))
        is_test.append(np.arange(train + test) >= train)
        classes += [f"{name}/{label}" for label in own] if len(names) > 1 else own
    side = settings.image_size or size
    images = np.broadcast_to(np.uint8(0), (sum(map(len, labels)), side, side, channels))
    image_set = ImageSet(
        "+".join(names),
        images,
        np.concatenate(labels),
        tuple(classes),
        np.concatenate(is_test),
        {},
        hash_json([names, side]),
    )
    return image_set, make_splits(image_set, settings.splits).to_table()


def shown(names: Sequence[str]) -> list[str] | str:
    """Names themselves where they are few, else their number and hash."""
    return list(names) if len(names) <= 24 else f"{len(names)} of them, {hash_json(list(names))[:16]}"
