"""Searching hyperparameters of perceptrons: one by one as published, one by one in a tight loop, and as one stack.

    python -m benchmarks.mlp_transfer [--write] [--rounds 3] [--architectures 8] [--device cpu]

Every form trains the same trials on 50,000 images of 784 pixels for the same number of epochs, batch 4096, and validates
once on 10,000. The published form and the tight loops take the same time for every trial, so that a few of them stand for
all 30; the stack trains all 30. Rounds take the forms in turn; ratios are formed within a round and their median is
reported, so that other work on the machine touches all sides alike. Images are random numbers: they take the time of others.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.config.training import EnsembleSettings
from vision_studies.models.mlp import MLP
from vision_studies.pipelines.mlp_transfer.search import shared_draws
from vision_studies.pipelines.mlp_transfer.settings import MlpRunSettings, MlpTransferSettings
from vision_studies.training.ensemble import (
    Member,
    TensorData,
    divide_into_stacks,
    fit_ensemble,
    initial_network,
    member_bytes,
)
from vision_studies.training.precision import has_fast_bfloat16
from vision_studies.training.runtime import peak_memory_mb, tune_process

TRAINING, VALIDATION, PIXELS, CLASSES, BATCH = 50_000, 10_000, 784, 10, 4096
TRIALS, MEMORY_MB = 30, 2000
ALONE = 3  # trials that stand for all of a form that trains them one by one
PUBLISHED, TIGHT, TIGHT_BFLOAT16, OURS = "published", "tight loop", "tight loop, bfloat16", "stack"
RESULT = Path(__file__).parent / "results" / "mlp_transfer.md"
Widths = tuple[int, ...]


def published_setting() -> MlpTransferSettings:
    """Architectures and search space of the project's base parameters, which are the published ones."""
    file = Path(__file__).parents[1] / "conf/base/parameters_mlp_transfer.yml"
    return MlpTransferSettings.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))["mlp_transfer"])


def plain_network(widths: Widths, trial: dict[str, float]) -> nn.Sequential:
    """The perceptron in torch's own layers."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([PIXELS, *widths]):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(trial["leaky_relu_alpha"]), nn.Dropout(trial["dropout"])]
    return nn.Sequential(*layers, nn.Linear(widths[-1], CLASSES))


def plain_optimizer(network: nn.Module, trial: dict[str, float]) -> torch.optim.AdamW:
    """AdamW with the hyperparameters of a trial."""
    betas = (trial["beta1"], trial["beta2"])
    return torch.optim.AdamW(
        network.parameters(), lr=trial["lr"], betas=betas, eps=trial["eps"], weight_decay=trial["weight_decay"]
    )


def published(widths: Widths, trials: Sequence[dict[str, float]], images: torch.Tensor, labels: torch.Tensor) -> int:
    """One model, a `DataLoader` over tensors, the loss read at every step."""
    everything = TensorDataset(images, labels)
    for trial in trials:
        network = plain_network(widths, trial).to(images.device)
        optimizer = plain_optimizer(network, trial)
        order = torch.Generator().manual_seed(1)
        train = DataLoader(Subset(everything, range(TRAINING)), BATCH, shuffle=True, generator=order)
        validation = DataLoader(Subset(everything, range(TRAINING, TRAINING + VALIDATION)), BATCH)
        network.train()
        total = 0.0
        for batch, targets in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(batch), targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(targets)
        network.eval()
        with torch.no_grad():
            for batch, targets in validation:
                total += F.cross_entropy(network(batch), targets).item() * len(targets)
    return len(trials)


def tight(
    widths: Widths, trials: Sequence[dict[str, float]], images: torch.Tensor, labels: torch.Tensor, *, bfloat16: bool
) -> int:
    """One model, batches indexed out of tensors, the loss read once an epoch."""
    places = torch.arange(TRAINING, TRAINING + VALIDATION, device=images.device)
    for trial in trials:
        network = plain_network(widths, trial).to(images.device)
        optimizer = plain_optimizer(network, trial)
        network.train()
        total = torch.zeros((), device=images.device)
        for positions in torch.randperm(TRAINING, device=images.device).split(BATCH):
            with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
                logits = network(images[positions])
            loss = F.cross_entropy(logits.float(), labels[positions])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(positions)
        network.eval()
        with torch.inference_mode():
            for positions in places.split(BATCH):
                with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
                    logits = network(images[positions])
                total += F.cross_entropy(logits.float(), labels[positions]) * len(positions)
        total.item()
    return len(trials)


def stack(widths: Widths, trials: Sequence[dict[str, float]], images: torch.Tensor, labels: torch.Tensor) -> int:
    """All trials in as few stacks as the memory allows."""
    settings = EnsembleSettings.model_validate(
        {
            "epochs": 1,
            "batch_size": BATCH,
            "validation_schedule": [{"until_epoch": None, "interval": 1}],
            "steps_per_epoch": None,
            "restore": "best",
            "selection": "validation_loss",
            "early_stopping": None,
            "precision": "auto",
        }
    )
    run = partial(MlpRunSettings, widths=widths, normalise=True, training=settings, protocol=None)
    places = torch.arange(TRAINING + VALIDATION, device=images.device)
    data = TensorData(images, labels, places[:TRAINING], places[TRAINING:])
    members = [
        Member(
            initial_network(
                lambda trial=trial: MLP(
                    PIXELS, widths, CLASSES, dropout=trial["dropout"], slope=trial["leaky_relu_alpha"]
                ),
                1,
            ),
            run(hyperparameters=trial).optimizer,
            seed=1,
        )
        for trial in trials
    ]
    needed = member_bytes(members[0].network, torch.zeros(PIXELS), settings)
    ended: list[int] = []
    for own in divide_into_stacks(members, needed, MEMORY_MB):
        fit_ensemble(own, data, settings, device=images.device, on_end=lambda place, _: ended.append(place))
    return len(ended)


def measure(architectures: Sequence[Widths], rounds: int, device: torch.device) -> dict[Widths, dict[str, list[float]]]:
    """Seconds a trial and epoch: architecture -> form -> rounds."""
    tune_process()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(TRAINING + VALIDATION, PIXELS, generator=generator).to(device)
    labels = torch.randint(CLASSES, (TRAINING + VALIDATION,), generator=generator).to(device)
    rough = images.bfloat16()
    trials = shared_draws(published_setting().search.space, TRIALS, seed=1)
    stacked = rough if has_fast_bfloat16(device.type) else images
    forms: dict[str, Callable[[Widths], int]] = {
        PUBLISHED: lambda widths: published(widths, trials[:ALONE], images, labels),
        TIGHT: lambda widths: tight(widths, trials[:ALONE], images, labels, bfloat16=False),
        TIGHT_BFLOAT16: lambda widths: tight(widths, trials[:ALONE], rough, labels, bfloat16=True),
        OURS: lambda widths: stack(widths, trials, stacked, labels),
    }
    seconds: dict[Widths, dict[str, list[float]]] = {}
    for widths in architectures:
        seconds[widths] = {form: [] for form in forms}
        tight(widths, trials[:1], images, labels, bfloat16=False)  # warm
        for _ in range(rounds):
            for form, work in forms.items():
                started = time.perf_counter()
                done = work(widths)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                seconds[widths][form].append((time.perf_counter() - started) / done)
    return seconds


def report(seconds: dict[Widths, dict[str, list[float]]], rounds: int, device: torch.device) -> str:
    """Table in Markdown."""
    lines = [
        "# Searching hyperparameters of perceptrons",
        "",
        f"`python -m benchmarks.mlp_transfer`: {TRIALS} trials, median of {rounds} rounds; how is said in its source.",
        "",
        machine() if device.type == "cpu" else torch.cuda.get_device_name(device),
        "",
        "Milliseconds for one trial and epoch, and how many times faster the stack is.",
        "",
        "| architecture | published | tight loop | tight loop, bfloat16 | stack | over published | over tight loop | "
        "over tight loop, bfloat16 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for widths, forms in seconds.items():
        times = " | ".join(f"{1000 * statistics.median(forms[form]):.0f}" for form in forms)
        ratios = [
            statistics.median(other / own for other, own in zip(forms[form], forms[OURS], strict=True))
            for form in (PUBLISHED, TIGHT, TIGHT_BFLOAT16)
        ]
        lines.append(f"| {'x'.join(map(str, widths))} | {times} | {' | '.join(f'{ratio:.1f}' for ratio in ratios)} |")
    peak = peak_memory_mb(device) / 1000
    lines += ["", f"Peak memory of the whole process: {peak:.1f} GB; stacks were held to {MEMORY_MB / 1000:g} GB."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architectures", type=int, default=8, help="how many of the list")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    seconds = measure(published_setting().architectures[: arguments.architectures], arguments.rounds, device)
    publish(report(seconds, arguments.rounds, device), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
