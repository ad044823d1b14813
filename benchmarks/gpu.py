"""What a GPU does with the project: waits, numbers beside a CPU's, ratios, memory, and minutes to an accuracy.

    make gpu-check                                                  # on a machine with a GPU: some minutes
    python -m benchmarks.gpu --device=cpu --rehearse                # the same, reduced: does the check itself work?
    python -m benchmarks.gpu --source=/path/to/cifar10 --write      # with the speedrun; keeps results/gpu.md

Images are made here but for the speedrun's, which are CIFAR-10. Every number of a rehearsal is marked as such, and none is
kept. The command ends with 1 where a check fails: the host waits within an epoch, or a GPU's losses leave those of the CPU.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from tabulate import tabulate
from torch import nn
from torch.nn import functional as F

from benchmarks.host_waits import HostWaits
from benchmarks.publish import publish
from vision_studies.config.merge import merge_settings
from vision_studies.config.network_run import RunSettings
from vision_studies.config.training import AdamWSettings, EnsembleSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import Splits
from vision_studies.training import network_run
from vision_studies.training.ensemble import Member, TensorData, fit_ensemble, initial_network
from vision_studies.training.fit import _Training
from vision_studies.training.objectives import CLASSIFICATION
from vision_studies.training.runtime import is_out_of_memory, peak_memory_mb, select_device, tune_process

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "gpu.md"
CPU = torch.device("cpu")

TOLERANCE = 1e-3
"""By how much, as a share, losses of float32 may leave the CPU's: sums of a batch are added in another order, each of which
rounds by 6e-8, and a few dozen steps of a network that is trained carry that on."""

WAITS_AN_EPOCH = {"reads a number": 2}
"""When an epoch is over, its loss and its number of right answers are read; nothing else may wait."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        images: that a network is trained with.
        pixels: of a side.
        epochs: of the trainings whose numbers are compared.
        steps: that are timed, of each form, in each of the rounds.
        rounds: of the measured ratios.
        members: of the largest stack; memory may end the search for it before.
    """

    images: int
    pixels: int
    epochs: int
    steps: int
    rounds: int
    members: int


WHOLE = Size(images=20_000, pixels=32, epochs=2, steps=20, rounds=7, members=4096)
REHEARSAL = Size(images=200, pixels=16, epochs=1, steps=1, rounds=2, members=4)


def speedrun_settings(**changes: object) -> RunSettings:
    """The run of the study `speedrun`, with changes of its training."""
    base, study = (
        yaml.safe_load((ROOT / "conf" / name).read_text(encoding="utf-8"))["cifar_resnet"]["run"]
        for name in ("base/parameters_cifar_resnet.yml", "speedrun/parameters.yml")
    )
    run = merge_settings(base, study)
    return RunSettings.model_validate(run | {"training": run["training"] | changes})


def made_images(size: Size) -> PreparedData:
    """Ten classes of noise around a pattern each, uint8 [N, H, W, 3]; a tenth each for validation and test."""
    random = np.random.default_rng(0)
    labels = np.arange(size.images) % 10
    patterns = random.integers(0, 256, (10, size.pixels, size.pixels, 3))
    noise = random.integers(-96, 97, (size.images, size.pixels, size.pixels, 3), dtype=np.int16)
    images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
    names = tuple(f"class {number}" for number in range(10))
    image_set = ImageSet.create("made", images, labels, names, np.zeros(size.images, bool), origin={})
    train, validation, test = np.split(np.arange(size.images), [size.images * 8 // 10, size.images * 9 // 10])
    return PreparedData(image_set, Splits(train, validation, test), {})


def waits_of_an_epoch(data: PreparedData, device: torch.device) -> Counter[str]:
    """What the host waits for in the second epoch of a training: by the operations, and on a GPU by what torch warns of."""
    settings = speedrun_settings(epochs=2, image_scales=[1], batch_size=100)
    loader = data.loader(
        "train",
        kind="device",
        batch_size=100,
        device=device,
        shuffle=True,
        augmentation=settings.augmentation.build(data.normalisation.mean),
    )
    model = settings.model.build(**data.sizes)
    training = _Training(model, loader, loader, settings.training, 0, device, CLASSIFICATION)
    training._train()  # what is made once, such as an optimiser's moments
    training.epoch = 1
    with HostWaits() as waits, _ToldByTorch(device) as told:
        training._train()
    return waits.found + told.found


class _ToldByTorch:
    """On a GPU, count the waits that torch's own detector warns of."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self._caught = warnings.catch_warnings(record=True)
        self.found: Counter[str] = Counter()

    def __enter__(self) -> "_ToldByTorch":
        if self._gpu:
            self._warned = self._caught.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(self, *_: object) -> None:
        if self._gpu:
            torch.cuda.set_sync_debug_mode("default")
            self._caught.__exit__(None, None, None)
            told = sum("called a synchronizing" in str(warning.message) for warning in self._warned or ())
            self.found["torch's detector"] += told


def _train(settings: RunSettings, data: PreparedData, device: torch.device) -> list[float]:
    """Train, and tell the training loss of each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = network_run.train(settings, 0, data, Path(folder), device)
    assert outcome.history is not None
    return [float(loss) for loss in outcome.history["train_loss"]]


def losses_beside_the_cpu(data: PreparedData, device: torch.device, epochs: int) -> tuple[list[float], list[float]]:
    """Training losses of the same run in float32, on the device and on the CPU."""
    options = {"precision": "fp32", "image_scales": [1], "epochs": epochs, "batch_size": 500}
    settings = speedrun_settings(**options | {"validate_every": epochs, "checkpoint_every": epochs})
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # as many digits as the CPU has
    try:
        return _train(settings, data, device), _train(settings, data, CPU)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def steps(
    device: torch.device, size: Size, *, bfloat16: bool, channels_last: bool, compiled: bool
) -> Callable[[], None]:
    """A step of training of `resnet_small`, batch 512, in one of its forms."""
    from vision_studies.models.architectures.resnet import ResNetSettings

    torch.manual_seed(0)
    order = torch.channels_last if channels_last else torch.contiguous_format
    model = ResNetSettings.model_validate({"name": "resnet_small"}).build(
        in_channels=3, num_classes=10, image_size=size.pixels
    )
    model.to(device).to(memory_format=order)  # type: ignore[call-overload]
    forward = torch.compile(model) if compiled else model
    count = 512 if size is WHOLE else 16
    images = torch.randn(count, 3, size.pixels, size.pixels, device=device).contiguous(memory_format=order)
    labels = torch.randint(10, (count,), device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            logits = forward(images)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def ratios(forms: dict[str, Callable[[], None]], device: torch.device, size: Size) -> Iterator[dict[str, object]]:
    """Rows of a table: of each form its median time, and how many times as fast as the first it is, with the middle half."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    for _ in range(size.rounds):
        for name, form in forms.items():
            seconds[name].append(timed(form, device, size.steps))
    first = next(iter(seconds.values()))
    for name, own in seconds.items():
        times = [reference / each for reference, each in zip(first, own, strict=True)]
        low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        shown = f"{low:.2f} to {high:.2f}"
        yield {"form": name, "ms": 1000 * statistics.median(own), "times the first": median, "middle half": shown}


def timed(work: Callable[[], None], device: torch.device, repeats: int) -> float:
    """Seconds of one of several repeats, all of whose work is done when the clock is read."""
    settled(device)
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    settled(device)
    return (time.perf_counter() - started) / repeats


def settled(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def train_members(count: int, device: torch.device, size: Size) -> None:
    """Train so many small perceptrons as one, an epoch of 1,000 images."""
    base = yaml.safe_load((ROOT / "conf/base/parameters_mlp_transfer.yml").read_text(encoding="utf-8"))["mlp_transfer"]
    settings = EnsembleSettings.model_validate(base["training"] | {"epochs": 1, "batch_size": 200})
    inputs = size.pixels**2
    images = torch.rand(1000, inputs, device=device)
    data = TensorData(images, torch.arange(1000, device=device) % 10, *(torch.arange(1000, device=device).split(800)))
    optimizer = AdamWSettings(name="adamw", learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 10))

    members = [Member(initial_network(network, seed), optimizer, seed) for seed in range(count)]
    fit_ensemble(members, data, settings, device=device, on_end=lambda *_: None)


def largest_stack(device: torch.device, size: Size) -> str:
    """How many such members fit, doubled until the memory is full or there are as many as are asked for."""
    count = 1
    while count < size.members:
        try:
            train_members(2 * count, device, size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            torch.cuda.empty_cache()
            return f"{count:,}; {2 * count:,} do not fit"
        count *= 2
    return f"{count:,} and perhaps more; {peak_memory_mb(device) / 1000:.2f} GB in use at most"


def report(device: torch.device, size: Size, source: str | None) -> tuple[str, list[str]]:
    """The table of all checks, and a sentence for each that has failed."""
    data = made_images(size)
    marked = "" if size is WHOLE else "**A rehearsal: its numbers say nothing of any device.**\n\n"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    failed = []
    waits = dict(waits_of_an_epoch(data, device))
    allowed = (
        WAITS_AN_EPOCH if device.type == "cuda" else WAITS_AN_EPOCH | {"reads a number": 3}
    )  # one look at the loss
    beyond = {
        what: count for what, count in waits.items() if count > allowed.get(what, 0) and what != "torch's detector"
    }
    if beyond or waits.get("torch's detector", 0) > sum(WAITS_AN_EPOCH.values()):
        failed.append(f"The host waits within an epoch: {waits}.")
    ours, theirs = losses_beside_the_cpu(data, device, size.epochs)
    apart = max(abs(own - other) / abs(other) for own, other in zip(ours, theirs, strict=True))
    if not apart <= TOLERANCE:
        failed.append(f"Losses leave the CPU's by {apart:.1e} of their size; {TOLERANCE:.0e} is allowed.")
    forms = {
        "as published: float32": steps(device, size, bfloat16=False, channels_last=False, compiled=False),
        "ours: bfloat16, channels last": steps(device, size, bfloat16=True, channels_last=True, compiled=False),
    }
    if size is WHOLE:
        forms["ours, compiled"] = steps(device, size, bfloat16=True, channels_last=True, compiled=True)
    number = min(64, size.members)
    together = {
        "one by one": lambda: [train_members(1, device, size) for _ in range(number)] and None,
        "as one": lambda: train_members(number, device, size),
    }
    few = Size(**{**vars(size), "steps": 1, "rounds": min(size.rounds, 3)})
    lines = [
        f"# On a GPU: {name}\n\n`python -m benchmarks.gpu`, torch {torch.__version__}.\n\n{marked}",
        f"Waits of the host in an epoch: {waits}; allowed: {allowed}.\n",
        f"Losses of float32 leave the CPU's by {apart:.1e} of their size at most; allowed: {TOLERANCE:.0e}.\n",
        "A training step of `resnet_small`:\n",
        tabulate(ratios(forms, device, size), headers="keys", tablefmt="github", floatfmt=("", ".2f", ".2f", "")),
        f"\n{number} perceptrons, an epoch:\n",
        tabulate(ratios(together, device, few), headers="keys", tablefmt="github", floatfmt=("", ".0f", ".2f", "")),
        f"\nMembers of a stack: {largest_stack(device, size)}.\n",
    ]
    if source is not None:
        from benchmarks.speedrun import runs_table, train

        lines += ["`kedro run --env=speedrun`, CIFAR-10:\n", runs_table(train(source, [0, 1, 2]))]
    return "\n".join(lines) + "\n", failed


def main() -> None:
    """Check, print, and write where asked; exit status 1 where a check has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal")
    parser.add_argument("--rehearse", action="store_true", help="reduced sizes; nothing is kept")
    parser.add_argument("--source", help="CIFAR-10, as data_prep.source; without it the speedrun is left out")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULT.name}")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and not arguments.rehearse:
        parser.error("a CPU can only rehearse the check: add --rehearse")
    tune_process()
    text, failed = report(select_device(arguments.device), REHEARSAL if arguments.rehearse else WHOLE, arguments.source)
    publish(text, RESULT, write=arguments.write and not arguments.rehearse)
    if failed:
        sys.exit(" ".join(failed))


if __name__ == "__main__":
    main()
