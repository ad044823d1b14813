"""How images that are not square become so: accuracy of a small network with each way, on two sets of images whose shapes vary.

    python -m benchmarks.resizing [--write] [--seeds 4] [--shared ../shared/data]

Both sets are made of published images that are on disk, for no set of photographs of many shapes comes with a library.

- garments: FashionMNIST cut to the box around what is not black, as pictures in a shop's catalogue are. The shape tells
  something: trousers are narrow and shoes wide.
- scenes: CIFAR-10 continued by its mirror image to one to two times its width or height, with the picture anywhere in it, as
  photographs have what they show beside their middle. The shape tells nothing.

Each seed draws other images to train on and to test with; the ways share them. Differences to `crop` are means over the seeds
with 95 % intervals of Student's t over the differences.
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image
from scipy.stats import t as student

from benchmarks.publish import publish
from vision_studies.config.merge import merge_settings
from vision_studies.config.network_run import RunSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.sources.decoding import Decoding, resized
from vision_studies.data.splits import Splits
from vision_studies.studies.provenance import processor_name
from vision_studies.training.evaluation import predict_outputs
from vision_studies.training.fit import fit
from vision_studies.training.precision import place_model

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "resizing.md"
TRAIN, VALIDATION, TEST = 4000, 250, 4000
SIZE, EPOCHS = 32, 8
NETWORK = {
    "name": "convnet",
    "channels": [16, 32, 64],
    "kernel_size": 3,
    "activation": "relu",
    "downsampling": "max_pool",
    "every": 1,
    "stride": 2,
    "head": "flatten",
    "hidden": None,
}
CPU = torch.device("cpu")
NAMES = tuple("0123456789")
Made = Callable[[Image.Image, np.random.Generator], Image.Image]
WAYS = {
    "crop": Decoding(SIZE, "crop", "white"),
    "squash": Decoding(SIZE, "squash", "white"),
    "letterbox": Decoding(SIZE, "letterbox", "white"),
}
"""The first is what the others are compared with. Letterbox fills with `data_prep.background`, white unless it is set."""

ON_BLACK = "letterbox over black"


def garment(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Cut to what is brighter than a tenth of white."""
    return image.crop(image.point(lambda value: 255 * (value > 25)).getbbox())


def scene(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Continued by its mirror image on two opposite sides, by up to its own length in all."""
    more = int(random.integers(0, image.width + 1))
    before = int(random.integers(0, more + 1))
    sides = [(before, more - before), (0, 0)]
    if random.random() < 0.5:
        sides.reverse()
    return Image.fromarray(np.pad(np.asarray(image), (*sides, (0, 0)), mode="symmetric"))


SETS: dict[str, tuple[str, str, Made, tuple[str, ...]]] = {
    "garments": ("fashion_mnist", "image", garment, (*WAYS, ON_BLACK)),
    "scenes": ("cifar10", "img", scene, tuple(WAYS)),
}
"""Name -> folder, column, how an image gets its shape, and ways to measure; garments lie on black themselves."""


def drawn(shared: Path, name: str, seed: int) -> tuple[list[Image.Image], np.ndarray]:
    """Images of other shapes and their labels: those of training and validation, then those of test."""
    folder, column, make, _ = SETS[name]
    random = np.random.default_rng(seed)
    images, labels = [], []
    for split, count in (("train", TRAIN + VALIDATION), ("test", TEST)):
        table = pq.read_table(shared / folder / f"{split}.parquet", columns=[column, "label"])
        chosen = table.take(random.choice(len(table), count, replace=False))
        opened = (Image.open(io.BytesIO(row["bytes"])) for row in chosen.column(0).to_pylist())
        images += [make(image, random) for image in opened]
        labels += chosen.column(1).to_pylist()
    return images, np.array(labels, np.int64)


def accuracy(images: Sequence[Image.Image], labels: np.ndarray, way: Decoding, seed: int) -> float:
    """Of a network that was trained on images brought to one size in a way."""
    arrays = [np.asarray(resized(image, way)) for image in images]
    pixels = np.stack([array[:, :, None] if array.ndim == 2 else array for array in arrays])
    image_set = ImageSet.create("shapes", pixels, labels, NAMES, np.arange(len(labels)) >= TRAIN + VALIDATION, {})
    places = np.split(np.arange(len(labels)), [TRAIN, TRAIN + VALIDATION])
    data = PreparedData(image_set, Splits(*places), {})
    settings = run_settings()
    torch.manual_seed(seed)
    network = settings.model.build(**data.sizes)
    options: dict[str, Any] = {"kind": "device", "device": CPU}
    train = data.loader("train", batch_size=settings.training.batch_size, shuffle=True, seed=seed, **options)
    validation, test = (data.loader(split, batch_size=500, **options) for split in ("validation", "test"))
    result = fit(network, train, validation, settings.training, seed=seed, device=CPU)
    network.load_state_dict(result.weights)
    logits, truth = predict_outputs(place_model(network, settings.training, CPU), test, settings.training, CPU)
    return float((logits.argmax(dim=1) == truth).float().mean())


def run_settings() -> RunSettings:
    """The run of conf/base with a small network and few epochs."""
    text = (ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8")
    run = yaml.safe_load(text)["cifar_resnet"]["run"]
    training = {
        "epochs": EPOCHS,
        "mixing": None,
        "precision": "fp32",
        "optimizer": {
            "name": "adamw",
            "learning_rate": 0.003,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.01,
        },
        "schedule": {
            "name": "onecycle",
            "pct_start": 0.3,
            "div_factor": 25,
            "final_div_factor": 1.0e4,
            "base_momentum": 0.85,
        },
        "validate_every": EPOCHS,
    }
    return RunSettings.model_validate({**run, "model": NETWORK, "training": merge_settings(run["training"], training)})


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval over seeds, in points."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{100 * values.mean():+.2f} ({100 * (values.mean() - half):+.2f} to {100 * (values.mean() + half):+.2f})"


def measured(shared: Path, seeds: int) -> str:
    """The tables."""
    lines: list[str] = []
    for name in SETS:
        ways = WAYS | {ON_BLACK: Decoding(SIZE, "letterbox", "black")}
        found: dict[str, list[float]] = {way: [] for way in SETS[name][3]}
        ratios: list[float] = []
        for seed in range(seeds):
            images, labels = drawn(shared, name, seed)
            ratios += [max(image.size) / min(image.size) for image in images]
            for way, values in found.items():
                values.append(accuracy(images, labels, ways[way], seed))
                print(f"{name}, seed {seed}, {way}: {100 * values[-1]:.2f} %", file=sys.stderr, flush=True)
        low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
        lines += [
            f"\n## {name}\n",
            f"Longer to shorter side: {low:.2f}, {middle:.2f}, {high:.2f} (10 %, 50 %, 90 % of the images).\n",
        ]
        lines += ["| way | accuracy in % | difference to crop in points (95 %) |", "| --- | --: | --: |"]
        first = np.array(found["crop"])
        for way, values in found.items():
            difference = "" if way == "crop" else interval(np.array(values) - first)
            lines.append(f"| {way} | {100 * np.mean(values):.2f} | {difference} |")
    about = (
        f"{seeds} seeds; each {TRAIN:,} images to train on and {TEST:,} others to test with; {SIZE} pixels to a side; "
        f"{EPOCHS} epochs of a network of three convolutions with 16, 32 and 64 channels. {processor_name()}.\n\n"
        "What the sets are, `python -m benchmarks.resizing --help` says; `--write` writes this page."
    )
    return "\n".join(["# Ways of making images square\n", about, *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument(
        "--shared", type=Path, default=ROOT.parent / "shared/data", help="with fashion_mnist/ and cifar10/"
    )
    arguments = parser.parse_args()
    publish(measured(arguments.shared, arguments.seeds), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
