"""Joint training of three ResNet-9 and a meta-learner, as published and as ours; and what a search costs besides.

    python -m benchmarks.stacking [--source=/path/to/cifar10] [--write] [--rounds 5] [--batch 128]

As published: base learners one after the other in float32 with contiguous tensors, a torchvision `DataLoader` with two
workers that flips, crops and covers image by image, losses read at every step. Ours: `fit`'s own gradients and optimiser, in
bfloat16 where the processor is fast at it, with the device loader and with FFCV. Every form has a process of its own, and
only one works at a time. A step includes the reading of its batch; steps are counted whole.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.publish import publish
from benchmarks.rounds import measure
from benchmarks.training_step import machine
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.ffcv import write_beton
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import Splits
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.stacking.settings import JointRun, StackingSettings, stack_run
from vision_studies.pipelines.stacking.stacked_networks import build_stack
from vision_studies.studies.search import SharedSearch
from vision_studies.torchvision_compat import torchvision_module
from vision_studies.training.gradients import BatchGradients
from vision_studies.training.mixing import mix_batch
from vision_studies.training.objectives import JointStacking
from vision_studies.training.optimizers import build_optimizers
from vision_studies.training.precision import place_images, place_model
from vision_studies.training.runtime import tune_process

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "stacking.md"
IMAGES = 5000
WARM_STEPS, STEPS_A_ROUND = 2, 2
PUBLISHED, DEVICE, FFCV, COMPILED = "published", "device", "ffcv", "compiled"
FORMS = {PUBLISHED: False, DEVICE: True, FFCV: True, COMPILED: True}
NAMES = {
    PUBLISHED: "as published",
    DEVICE: "ours, device loader",
    FFCV: "ours, FFCV loader",
    COMPILED: "ours, device loader, compiled",
}
CPU = torch.device("cpu")
TRIALS, EPOCHS = 20, 24


def settings() -> StackingSettings:
    """The study of conf/base."""
    text = (ROOT / "conf/base/parameters_stacking.yml").read_text(encoding="utf-8")
    return StackingSettings.model_validate(yaml.safe_load(text)["stacking"])


def joint_run(batch: int, form: str) -> JointRun:
    """Three ResNet-9 with the meta-learner of conf/base."""
    own = settings()
    training = own.run.training.model_copy(update={"batch_size": batch, "compile": form == COMPILED})
    changes = {"training": training, "loader": "ffcv" if form == FFCV else "device"}
    run = stack_run(own.run.model_copy(update=changes), own.networks)
    assert isinstance(run, JointRun)
    return run


def some_images(source: str | None) -> ImageSet:
    """The first images of CIFAR-10, or random ones of its size: no form's speed depends on what they show."""
    if source is not None:
        from vision_studies.data.sources.read import read_source

        text = (ROOT / "conf/base/parameters_data_prep.yml").read_text(encoding="utf-8")
        read = read_source(DataPrepSettings.model_validate(yaml.safe_load(text)["data_prep"] | {"source": source}))
        parts = read.images[:IMAGES], read.labels[:IMAGES], read.class_names, np.zeros(IMAGES, dtype=bool)
        return ImageSet.create("cifar10", *parts, {})
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    names = tuple(map(str, range(10)))
    return ImageSet.create("random", images, random.integers(0, 10, IMAGES), names, np.zeros(IMAGES, dtype=bool), {})


class _Published(Dataset[tuple[Tensor, int]]):
    """Images as a torchvision data set gives them: one at a time, decoded and transformed."""

    def __init__(self, data: PreparedData) -> None:
        transforms = torchvision_module("torchvision.transforms")
        mean, std = data.normalisation.mean, data.normalisation.std
        self._images, self._labels = data.image_set.images, data.image_set.labels
        self._transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(32, padding=2),
                transforms.ToTensor(),
                transforms.Normalize([value / 255 for value in mean], [value / 255 for value in std]),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._transform(self._images[index])
        top, left = np.random.randint(0, 29, 2)
        image[:, top : top + 4, left : left + 4] = 0
        return image, int(self._labels[index])


def published_step(run: JointRun, data: PreparedData) -> Callable[[], None]:
    """One step after the other, written plainly."""
    model = build_stack(run, data, seed=0).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(_Published(data), run.training.batch_size, shuffle=True, num_workers=2, drop_last=True)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def step() -> None:
        images, labels = next(batches)
        outputs = model(images)
        losses = [F.cross_entropy(own, labels, label_smoothing=0.1) for own in outputs.unbind(1)]
        loss = losses[-1] + sum(losses[:-1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for own in losses:
            own.item()

    return step


def own_step(run: JointRun, data: PreparedData) -> Callable[[], None]:
    """Steps as `fit` takes them."""
    tune_process()
    model = place_model(build_stack(run, data, seed=0), run.training, CPU).train()
    optimizers = build_optimizers(model, run.training.optimizer)
    forward = torch.compile(model) if run.training.compile else model
    gradients = BatchGradients(forward, JointStacking("sum", 1.0), optimizers, run.training, CPU)
    augmentation = run.augmentation.build(data.normalisation.mean)
    loader = data.loader(
        "train",
        kind=run.loader,
        batch_size=run.training.batch_size,
        device=CPU,
        shuffle=True,
        drop_last=True,
        augmentation=augmentation,
    )
    batches = itertools.chain.from_iterable(loader.epoch(epoch) for epoch in itertools.count())

    def step() -> None:
        batch = next(batches)
        images = place_images(batch.images, run.training, CPU)
        gradients(mix_batch(images, batch.labels, None, seed=0, epoch=0, batch=0), batch.indices)
        for optimizer in optimizers:
            optimizer.step()

    return step


def serve(form: str, source: str | None, batch: int) -> None:
    """Take a few steps for every line of input, and print their seconds."""
    image_set = some_images(source)
    everything = np.arange(len(image_set.labels))
    splits = Splits(everything, everything[:0], everything[:0])
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        if form == FFCV:
            files["train"] = Path(folder) / "train.beton"
            write_beton(image_set, everything, files["train"])
        data = PreparedData(image_set, splits, files)
        run = joint_run(batch, form)
        step = published_step(run, data) if form == PUBLISHED else own_step(run, data)
        for _ in range(WARM_STEPS):
            step()
        for _ in sys.stdin:
            seconds = []
            for _ in range(STEPS_A_ROUND):
                started = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - started)
            print(json.dumps(seconds), flush=True)


def search_seconds() -> float:
    """Seconds a trial that a search takes for itself: drawing, reporting every epoch, pruning, and the journal."""
    text = yaml.safe_load((ROOT / "conf/searched/parameters.yml").read_text(encoding="utf-8"))
    search: dict[str, Any] = text["stacking"]["search"] | {"trials": TRIALS}
    base = settings()
    own = StackingSettings.model_validate(base.model_dump(mode="json") | {"search": search}).search
    assert own is not None
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=20)

    def evaluate(trial: Any, report: Callable[[int, float], bool]) -> Outcome:
        for epoch in range(1, EPOCHS + 1):
            report(epoch, epoch / EPOCHS + 0.01 * trial.number)
        return Outcome({"validation_accuracy": 0.9 + 0.001 * trial.number, "seconds": 1.0})

    with tempfile.TemporaryDirectory() as folder:
        shared = SharedSearch(
            own, own.spaces["sgd"], base.run.model_dump(mode="json"), name="s", folder=Path(folder), pruner=pruner
        )
        started = time.perf_counter()
        shared.work(evaluate)
        return (time.perf_counter() - started) / TRIALS


def report(seconds: dict[str, list[list[float]]], rounds: int, batch: int, images: str, overhead: float) -> str:
    """Table in Markdown."""
    lines = [
        "# Joint training of three ResNet-9 and a meta-learner",
        "",
        f"`python -m benchmarks.stacking`: batches of {batch}, {images}, {rounds} rounds of {STEPS_A_ROUND} steps; how is "
        "said in its source.",
        "",
        machine(),
        "",
        "| form | s a step | images/s | times as published | fastest step, s | its ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    published = [statistics.median(steps) for steps in seconds[PUBLISHED]]
    fastest = min(itertools.chain.from_iterable(seconds[PUBLISHED]))
    for form, steps in seconds.items():
        medians = [statistics.median(own) for own in steps]
        ratio = statistics.median(one / other for one, other in zip(published, medians, strict=True))
        best = min(itertools.chain.from_iterable(steps))
        middle = statistics.median(medians)
        lines.append(
            f"| {NAMES[form]} | {middle:.2f} | {batch / middle:.0f} | {ratio:.2f} | {best:.2f} | {fastest / best:.2f} |"
        )
    step = statistics.median(statistics.median(own) for own in seconds[DEVICE])
    training = step * EPOCHS * 45_000 / batch
    lines += [
        "",
        f"A search takes {1000 * overhead:.0f} ms a trial of {EPOCHS} epochs for itself (draws, a report and a decision every "
        f"epoch, the journal), which is {100 * overhead / training:.4f} % of such a trial's training on 45,000 images.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--source", help="folder of CIFAR-10 as parquet; random images without it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--serve", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.source, arguments.batch)
        return
    options = ["--batch", str(arguments.batch)]
    if arguments.source:
        options += ["--source", arguments.source]
    overhead = search_seconds()
    seconds = measure("benchmarks.stacking", FORMS, arguments.rounds, *options)
    images = "CIFAR-10" if arguments.source else "random images"
    publish(report(seconds, arguments.rounds, arguments.batch, images, overhead), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
