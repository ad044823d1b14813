"""AlphaNet at the size of ImageNet-LT: class by class as it is described, and from cached logits.

    python -m benchmarks.alphanet [--write] [--rounds 5] [--repeats 10] [--epochs 25] [--literal-epochs 1]

136 of 1,000 classes are few, with 5 neighbours each; features are random and have 2,048 numbers: 115,846 to learn from, 20,000
to validate and 50,000 to test. The steps of the three forms are taken in turn, and ratios are formed within a round, so that
other work on the machine touches all forms alike. The grid is nine rhos with `--repeats` seeds: ours is done whole, in a
process of its own whose peak memory is told; of the literal form one seed of each rho is trained for `--literal-epochs` epochs,
validated after each and tested once, and its time is multiplied by what is left out.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.classifiers.alpha_networks import StackedAlphaNetworks
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.data.class_splits import ClassSplits
from vision_studies.pipelines.alphanet.settings import CombinationRunSettings
from vision_studies.pipelines.alphanet.work.cached_logits import cache_logits, cross_entropy, few_scores
from vision_studies.pipelines.alphanet.work.evaluation import evaluate, improved_classifier, improved_scores
from vision_studies.pipelines.alphanet.work.experiments import Combination, learn
from vision_studies.pipelines.alphanet.work.features import (
    FeatureGroup,
    FeatureSet,
    open_feature_set,
    write_feature_set,
)
from vision_studies.pipelines.alphanet.work.neighbours import Neighbours, few_neighbours
from vision_studies.pipelines.alphanet.work.network import LiteralAlphaNet, source_matrix
from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, draw_epoch
from vision_studies.training.runtime import tune_process

CLASSES, FEW, FEATURES, NEIGHBOURS, BATCH = 1000, 136, 2048, 5, 64
IMAGES = {"train": 115_846, "validation": 20_000, "test": 50_000}
RHOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 1.5)
LITERAL, OURS, STACKED = "literal", "cached logits", "cached logits, ten networks as one"
RESULT = Path(__file__).parent / "results" / "alphanet.md"


def settings(rho: float, epochs: int) -> CombinationRunSettings:
    """The published settings."""
    return CombinationRunSettings.model_validate(
        {
            "neighbours": NEIGHBOURS,
            "distance": "euclidean",
            "network": {"hidden": [32, 32, 32], "activation": "leaky_relu"},
            "training": {
                "epochs": epochs,
                "minimum_epochs": min(5, epochs),
                "batch_size": BATCH,
                "evaluation_batch_size": 1024,
                "optimizer": {"name": "AdamW", "parameters": {"lr": 0.001}},
                "scheduler": {"name": "StepLR", "parameters": {"step_size": 10, "gamma": 0.1}},
                "samplers": [{"name": "all_few", "ratio": None}, {"name": "class_balanced_base", "ratio": rho}],
                "prediction_scale": 1.0,
                "selection": {"policy": "best", "metric": "accuracy"},
            },
        }
    )


def write_features(folder: Path) -> None:
    """Random features of a long tail of 1,000 classes, the last 136 of them with 12 images each."""
    random = np.random.default_rng(0)
    counts = np.full(CLASSES, 12)
    head = np.exp(np.linspace(0, -4, CLASSES - FEW))
    counts[: CLASSES - FEW] = 20 + head / head.sum() * (IMAGES["train"] - 12 * FEW - 20 * (CLASSES - FEW))
    counts[0] += IMAGES["train"] - counts.sum()
    centres = random.normal(size=(CLASSES, FEATURES)).astype(np.float32)

    def group(labels: np.ndarray) -> FeatureGroup:
        features = random.standard_normal((len(labels), FEATURES), dtype=np.float32)
        features += 0.1 * centres[labels]
        return FeatureGroup(features, labels)

    groups = {"train": group(np.repeat(np.arange(CLASSES), counts))}
    groups |= {name: group(np.repeat(np.arange(CLASSES), IMAGES[name] // CLASSES)) for name in ("validation", "test")}
    few = np.arange(CLASSES - FEW, CLASSES)
    many = np.flatnonzero(counts > 100)
    splits = ClassSplits(few, np.setdiff1d(np.arange(CLASSES), np.concatenate([few, many])), many)
    names = tuple(f"class {label}" for label in range(CLASSES))
    write_feature_set(folder, name="random", class_names=names, splits=splits, counts=counts, groups=groups)


def classifier() -> LinearClassifier:
    """Of random weights."""
    random = np.random.default_rng(1)
    weight = 0.05 * random.standard_normal((CLASSES, FEATURES), dtype=np.float32)
    return LinearClassifier(weight, np.zeros(CLASSES, dtype=np.float32))


def literal_steps(features: FeatureSet, near: Neighbours, network: CombinationRunSettings) -> Iterator[None]:
    """A step each time it is asked."""
    model = LiteralAlphaNet(classifier(), near, network.network, prediction_scale=1.0, seed=0)
    optimizer = torch.optim.AdamW(model.layers.parameters(), lr=0.001)
    random, group = np.random.default_rng(0), features.groups["train"]
    while True:
        rows = random.integers(len(group.labels), size=BATCH)
        batch, labels = torch.from_numpy(group.features[rows]), torch.from_numpy(group.labels[rows])
        loss = F.cross_entropy(model(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def our_steps(features: FeatureSet, near: Neighbours, network: CombinationRunSettings, members: int) -> Iterator[None]:
    """A step of so many networks each time it is asked."""
    cached = cache_logits(features.groups["train"], classifier(), features.splits, [near], 1.0)
    sources = source_matrix(classifier(), near)
    networks = StackedAlphaNetworks(
        sources, FEATURES, network.network.hidden, network.network.activation, range(members)
    )
    optimizer = torch.optim.AdamW(networks.parameters(), lr=0.001)
    columns = cached.neighbour_columns(near).flatten()
    while True:
        rows = torch.randint(len(cached.labels), (members, BATCH))
        neighbour = cached.neighbour[rows][..., columns].unflatten(-1, near.labels.shape)
        few = few_scores(cached.few_baseline[rows], neighbour, networks())
        loss = cross_entropy(few, cached.base_log_sum_exp[rows], cached.base_score[rows], cached.few_column[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        yield


def measure_steps(features: FeatureSet, near: Neighbours, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a network's step: form -> rounds."""
    network = settings(0.5, 25)
    forms = {
        LITERAL: (literal_steps(features, near, network), 10, 1),
        OURS: (our_steps(features, near, network, 1), 200, 1),
        STACKED: (our_steps(features, near, network, 10), 20, 10),
    }
    measured: dict[str, list[float]] = {form: [] for form in forms}
    for round_number in range(rounds + 1):
        for form, (steps, number, members) in forms.items():
            started = time.perf_counter()
            for _ in range(number):
                next(steps)
            if round_number:  # the first warms
                measured[form].append(1000 * (time.perf_counter() - started) / number / members)
    return measured


def literal_run(features: FeatureSet, near: Neighbours, rho: float, epochs: int) -> tuple[float, float]:
    """Seconds of an epoch with its validation, and of the test."""
    run = settings(rho, epochs)
    model = LiteralAlphaNet(classifier(), near, run.network, prediction_scale=1.0, seed=0)
    optimizer = torch.optim.AdamW(model.layers.parameters(), lr=0.001)
    train = features.groups["train"]
    index, random = ClassIndex(train.labels, features.splits), np.random.default_rng(0)

    def score(name: str) -> None:
        group = features.groups[name]
        with torch.no_grad():
            for start in range(0, len(group.labels), 1024):
                model(torch.from_numpy(np.array(group.features[start : start + 1024]))).topk(5)

    started = time.perf_counter()
    for _ in range(epochs):
        order = random.permutation(draw_epoch(run.training.samplers, index, random))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            loss = F.cross_entropy(model(torch.from_numpy(train.features[rows])), torch.from_numpy(train.labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        score("validation")
    trained = time.perf_counter()
    score("test")
    return (trained - started) / epochs, time.perf_counter() - trained


def our_grid(folder: Path, epochs: int, repeats: int) -> dict[str, float]:
    """Seconds of all rhos and repeats, with validation and test, and the peak memory of this process in GB."""
    tune_process()
    features, own = open_feature_set(folder), classifier()
    started = time.perf_counter()
    test = features.groups["test"]
    baseline = own.scores(test.features)
    asked = [Combination(settings(rho, epochs), seed) for rho in RHOS for seed in range(repeats)]
    with tempfile.TemporaryDirectory() as place:
        for _, found in learn(asked, features, own, Path(place), torch.device("cpu")):
            improved = improved_classifier(own, found.neighbours, found.coefficients, 1.0)
            scores = improved_scores(baseline, test, improved, features.splits.few, 1.0)
            evaluate(scores, test.labels, features.splits)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def report(steps: dict[str, list[float]], ours: dict[str, float], literal: float, arguments: argparse.Namespace) -> str:
    """Tables in Markdown."""
    lines = [
        "# AlphaNet",
        "",
        f"`python -m benchmarks.alphanet`: {FEW} few of {CLASSES:,} classes, {NEIGHBOURS} neighbours, {FEATURES:,} features; "
        "how is said in its source.",
        "",
        machine(),
        "",
        f"A training step of {BATCH} images, for each network; medians of {arguments.rounds} rounds.",
        "",
        "| form | milliseconds | times as fast |",
        "| --- | ---: | ---: |",
    ]
    for form, times in steps.items():
        ratio = statistics.median(one / own for one, own in zip(steps[LITERAL], times, strict=True))
        lines.append(f"| {form} | {statistics.median(times):.2f} | {ratio:.1f} |")
    runs = len(RHOS) * arguments.repeats
    lines += [
        "",
        f"{len(RHOS)} rhos with {arguments.repeats} repeats, {runs} runs of {arguments.epochs} epochs, validated after each "
        f"and tested once; the literal form extrapolated from {arguments.literal_epochs} epoch(s) and one seed of every rho.",
        "",
        "| form | minutes | times as fast | peak memory (GB) |",
        "| --- | ---: | ---: | ---: |",
        f"| {LITERAL} | {literal / 60:.0f} | 1.0 | |",
        f"| {OURS} | {ours['seconds'] / 60:.1f} | {literal / ours['seconds']:.1f} | {ours['memory']:.1f} |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--literal-epochs", type=int, default=1)
    parser.add_argument("--grid", type=Path, help=argparse.SUPPRESS)  # a process that does our grid on these features
    arguments = parser.parse_args()
    if arguments.grid:
        print(json.dumps(our_grid(arguments.grid, arguments.epochs, arguments.repeats)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "features"
        write_features(folder)
        command = [sys.executable, "-m", "benchmarks.alphanet", "--grid", str(folder)]
        command += ["--epochs", str(arguments.epochs), "--repeats", str(arguments.repeats)]
        ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        tune_process()
        features = open_feature_set(folder)
        means = np.random.default_rng(2).normal(size=(CLASSES, 16))
        near = few_neighbours(means, features.splits, NEIGHBOURS, "euclidean")
        steps = measure_steps(features, near, arguments.rounds)
        runs = [literal_run(features, near, rho, arguments.literal_epochs) for rho in RHOS]
        literal = arguments.repeats * sum(arguments.epochs * epoch + test for epoch, test in runs)
    publish(report(steps, ours, literal, arguments), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
