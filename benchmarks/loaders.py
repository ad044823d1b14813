"""Images a second of our loaders against torchvision's, all doing the same flips and crops on 32 x 32 colour images.

python -m benchmarks.loaders [--write]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch.utils.data import DataLoader, Dataset

from benchmarks.publish import publish
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.data.ffcv import FfcvLoader, write_beton
from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import DeviceLoader, Loader, Normalisation
from vision_studies.studies.provenance import processor_name
from vision_studies.torchvision_compat import torchvision_module
from vision_studies.training.runtime import tune_process

IMAGES = 50_000
TORCHVISION_IMAGES = 10_000  # it is slow, and its speed does not depend on the number
BATCH = 512
REPEATS = 5
SECONDS = 1.0  # a fast loader's single epoch would be over before the machine has settled
NORMALISATION = Normalisation((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
RESULT = Path(__file__).parent / "results" / "loaders.md"


class PicturesOnDemand(Dataset[tuple[torch.Tensor, int]]):
    """The usual way: one picture at a time through torchvision's transforms."""

    def __init__(self, image_set: ImageSet) -> None:
        transforms = torchvision_module("torchvision.transforms")
        self._image = __import__("PIL.Image").Image
        self._images = image_set.images[:TORCHVISION_IMAGES]
        self._labels = image_set.labels
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([m / 255 for m in NORMALISATION.mean], [s / 255 for s in NORMALISATION.std]),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(self._image.fromarray(self._images[index])), int(self._labels[index])


def random_images() -> ImageSet:
    """As many random images as CIFAR-10 has for training."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    names = tuple(str(label) for label in range(10))
    return ImageSet.create("random", images, np.arange(IMAGES) % 10, names, np.zeros(IMAGES, bool), {})


def rate(epoch: Callable[[int], int]) -> float:
    """Images a second over as many epochs as fit into a second; `epoch` returns how many images it gave."""
    started = time.perf_counter()
    images = number = 0
    while number == 0 or time.perf_counter() - started < SECONDS:
        number += 1
        images += epoch(number)
    return images / (time.perf_counter() - started)


def count(loader: Loader) -> Callable[[int], int]:
    """A function that reads one epoch of `loader`."""
    return lambda epoch: sum(len(batch.labels) for batch in loader.epoch(epoch))


def main() -> None:
    """Measure all loaders in turn, several times, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULT.name}")
    arguments = parser.parse_args()
    tune_process()
    image_set = random_images()
    everything = np.arange(IMAGES)
    steps = ({"name": "random_crop", "padding": 4, "mode": "zero"}, {"name": "random_flip", "probability": 0.5})
    augmentation = AugmentationSettings.model_validate({"steps": steps}).build(NORMALISATION.mean)
    options = {
        "batch_size": BATCH,
        "normalisation": NORMALISATION,
        "device": torch.device("cpu"),
        "seed": 0,
        "shuffle": True,
        "augmentation": augmentation,
    }
    usual = DataLoader(PicturesOnDemand(image_set), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    loaders: dict[str, Callable[[int], int]] = {
        "torchvision DataLoader, 2 workers": lambda _: sum(len(labels) for _, labels in usual),
        "device": count(DeviceLoader(image_set, everything, **options)),
        "device, bfloat16": count(DeviceLoader(image_set, everything, dtype=torch.bfloat16, **options)),
    }
    with tempfile.TemporaryDirectory() as folder:
        if find_spec("ffcv") is not None:
            write_beton(image_set, everything, Path(folder) / "set.beton")
            loaders["ffcv"] = count(FfcvLoader(Path(folder) / "set.beton", **options))
        for epoch in loaders.values():
            epoch(0)  # workers start and FFCV compiles outside the measurement
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(REPEATS):  # in turn, so that a busy moment of the machine meets all of them
            for name, epoch in loaders.items():
                rates[name].append(rate(epoch))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    slowest = medians["torchvision DataLoader, 2 workers"]
    rows = [
        {
            "loader": name,
            "images/s (median of 5)": f"{median:,.0f}",
            "lowest": f"{min(rates[name]):,.0f}",
            "highest": f"{max(rates[name]):,.0f}",
            "ratio": f"{median / slowest:.1f}",
        }
        for name, median in medians.items()
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    text = (
        "# Loaders: flip, crop by 4 pixels, normalise\n\n"
        f"{IMAGES:,} images of 32 x 32 x 3, batches of {BATCH}, {processor_name()}.\n"
        "`python -m benchmarks.loaders --write`\n\n" + table + "\n"
    )
    publish(text, RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
