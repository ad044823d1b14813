"""Does the loader keep the trainer waiting when all ten augmentations are on?

    python -m benchmarks.augmentation [--write]

Eight of them are the loader's: crop, flip, rotation, colour, perspective, RandAugment, erasing, cutout; CutMix and MixUp mix
the finished batch and belong to the trainer. Both sides are measured in turn, in one process, on random images.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import TypeAdapter
from tabulate import tabulate
from torch.nn import functional as F

from benchmarks.loaders import NORMALISATION, random_images
from benchmarks.publish import publish
from vision_studies.config.augmentation import AugmentationSettings
from vision_studies.config.models import ModelSettings
from vision_studies.config.training import MixingSettings
from vision_studies.data.loaders import DeviceLoader
from vision_studies.studies.provenance import processor_name
from vision_studies.training.mixing import mix_batch
from vision_studies.training.precision import has_fast_bfloat16
from vision_studies.training.runtime import tune_process

BATCH = 128
REPEATS = 5
LOADER_BATCHES, TRAINER_STEPS = 40, 4
STUDY = Path(__file__).parents[1] / "conf/resnet_randaugment/parameters.yml"
MIXING = [
    MixingSettings(name="cutmix", alpha=1.0, probability=0.7),
    MixingSettings(name="mixup", alpha=1.0, probability=0.5),
]
RESULT = Path(__file__).parent / "results" / "augmentation.md"


def published_steps() -> list[dict[str, Any]]:
    """The published list with RandAugment, as the study has it, and cutout, which the project declares but never does."""
    variants = yaml.safe_load(STUDY.read_text(encoding="utf-8"))["cifar_resnet"]["variants"]
    published = next(variant for variant in variants if variant["name"] == "rand_augment")
    return [*published["changes"]["augmentation"]["steps"], {"name": "cutout", "size": 16}]


def loading(steps: list[dict[str, Any]]) -> Callable[[int], int]:
    """A function that loads some batches and returns how many images they had."""
    augmentation = AugmentationSettings.model_validate({"steps": steps}).build(NORMALISATION.mean)
    loader = DeviceLoader(
        random_images(),
        np.arange(LOADER_BATCHES * BATCH),
        batch_size=BATCH,
        normalisation=NORMALISATION,
        device=torch.device("cpu"),
        shuffle=True,
        augmentation=augmentation,
    )
    return lambda repeat: sum(len(batch.labels) for batch in loader.epoch(repeat))


def training() -> Callable[[int], int]:
    """A function that takes some training steps of `resnet_small` as `fit` does and returns how many images they had."""
    torch.manual_seed(0)
    settings = TypeAdapter(ModelSettings).validate_python({"name": "resnet_small"})
    model = settings.build(in_channels=3, num_classes=10, image_size=32).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,))

    def steps(repeat: int) -> int:
        for step in range(TRAINER_STEPS):
            mixed = mix_batch(images, labels, MIXING[step % 2], seed=0, epoch=repeat, batch=step)
            with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16("cpu")):
                logits = model(mixed.images)
            loss = F.cross_entropy(logits.float(), mixed.labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return TRAINER_STEPS * BATCH

    return steps


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULT.name}")
    arguments = parser.parse_args()
    tune_process()
    work = {
        "trainer (resnet_small, with CutMix and MixUp)": training(),
        "loader, all eight": loading(published_steps()),
    }
    work |= {f"loader, {step['name']} alone": loading([step]) for step in published_steps()}
    rates: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(REPEATS + 1):
        for name, do in work.items():
            started = time.perf_counter()
            images = do(repeat)
            if repeat:  # the first round warms up
                rates[name].append(images / (time.perf_counter() - started))
    trainer = next(iter(rates.values()))
    rows = [
        {
            "what": name,
            "images/s (median of 5)": f"{statistics.median(values):,.0f}",
            "times the trainer (median of the rounds' ratios)": f"{statistics.median(ratios):.1f}",
            "lowest": f"{min(ratios):.1f}",
            "highest": f"{max(ratios):.1f}",
        }
        for name, values in rates.items()
        for ratios in [[own / base for own, base in zip(values, trainer, strict=True)]]
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    text = (
        "# Augmentation: loader against trainer\n\n"
        f"32 x 32 x 3, batches of {BATCH}, {processor_name()}.\n`python -m benchmarks.augmentation --write`\n\n{table}\n"
    )
    publish(text, RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
