"""Methods of the classifier stage on features of CIFAR-100-LT's size: all values of a knob as one, and one after the other.

    python -m benchmarks.tails [--write] [--tails 5] [--part 2] [--threads 2]

10,847 training images of 100 classes, 500 to 5 of each, 64 numbers an image, 1,000 validation images; features are random, of
classes that overlap. Sixteen methods of `conf/tails` with a knob, nine values each, on five tails. `--part` values of each
method on one tail are trained one by one as anybody would write it, with autograd and torch's SGD, and scored on validation
images; their time is multiplied by what is left out. Processor time is told beside the clock's, as other work may go on.
"""

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch
import yaml
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.classifiers.linear import LinearClassifier
from vision_studies.config.data_prep import LongTailSettings
from vision_studies.config.losses import class_shares
from vision_studies.data.class_splits import ClassSplits, split_by_count
from vision_studies.data.splits import long_tail_counts
from vision_studies.pipelines.alphanet.settings import (
    AdjustedSettings,
    ClassifierSettings,
    LabelledClassifier,
    RetrainedSettings,
    TauSettings,
)
from vision_studies.pipelines.alphanet.work.classifiers import choose_tau, tau_normalise
from vision_studies.pipelines.alphanet.work.features import FeatureGroup
from vision_studies.pipelines.alphanet.work.linear_classifier import AlignedClassifier, class_norms
from vision_studies.pipelines.alphanet.work.retraining import adjusted, best_of, retrained, selection_score
from vision_studies.training.losses import LossTensors, losses
from vision_studies.training.runtime import tune_process
from vision_studies.training.samplers import balanced_draws, drawn_images

CLASSES, FEATURES, LARGEST, VALIDATED = 100, 64, 500, 10
CPU = torch.device("cpu")
RESULT = Path(__file__).parent / "results" / "tails.md"
TUNED = AdjustedSettings | RetrainedSettings | TauSettings
LEFT_OUT = ("cross-entropy",)  # of seventeen with a knob


def methods() -> list[LabelledClassifier]:
    """Sixteen methods with nine values of a knob."""
    file = Path(__file__).parents[1] / "conf/tails/parameters.yml"
    listed = yaml.safe_load(file.read_text(encoding="utf-8"))["alphanet"]["classifiers"]
    found = [LabelledClassifier.model_validate(each) for each in listed]
    return [each for each in found if isinstance(each.method, TUNED) and each.label not in LEFT_OUT]


def plainly(
    settings: RetrainedSettings, value: float, own: LinearClassifier, group: FeatureGroup, seed: int
) -> LinearClassifier:
    """One value of the knob, as it is written with autograd: same draws, same first weights."""
    classes, width = own.weight.shape
    counts = np.bincount(group.labels, minlength=classes)
    loss, decay = settings.at(value)
    form = loss.form(counts)
    generator = np.random.default_rng(seed)
    weight, bias = (torch.from_numpy(values.copy()) for values in (own.weight, own.bias))
    if settings.start == "new" and settings.head == "linear":
        drawn = [generator.uniform(-(width**-0.5), width**-0.5, values.shape) for values in (weight, bias)]
        weight, bias = (torch.from_numpy(values).float() for values in drawn)
    if settings.head == "cosine":
        drawn = [generator.uniform(-1, 1, weight.shape)] if settings.start == "new" else [own.weight]
        weight = F.normalize(torch.from_numpy(drawn[0])).float()
    factors, shifts, gate = torch.zeros(classes), torch.zeros(classes), torch.zeros(width + 1)
    scales = torch.ones(classes)
    learnt = {"linear": [weight, bias], "cosine": [weight], "scales": [scales], "aligned": [factors, shifts, gate]}
    parameters = [values.requires_grad_() for values in learnt[settings.head]]
    norms = class_norms(own)
    limit = float(norms.min() + (settings.max_norm or 0) * (norms.max() - norms.min()))

    def scores(rows: Tensor) -> Tensor:
        if settings.head == "cosine":
            return F.normalize(rows) @ F.normalize(weight).T
        plain = F.linear(rows, weight, bias)
        if settings.head == "scales":
            return plain * scales
        if settings.head == "aligned":
            return plain + (rows @ gate[:-1] + gate[-1]).sigmoid()[:, None] * (factors * plain + shifts)
        return plain

    optimizer = torch.optim.SGD(parameters, settings.learning_rate, settings.momentum, weight_decay=decay)
    count = len(group.labels)
    steps = settings.epochs * ceil(count / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for epoch in range(settings.epochs):
        forms = LossTensors.of([form], epoch / settings.epochs)
        match settings.sampler:
            case "instance":
                draws = generator.permutation(count)
            case "class_aware":
                draws = balanced_draws(group.labels, count, generator)
            case _:
                shares = class_shares(counts, settings.sampler, epoch / max(settings.epochs - 1, 1))
                draws = drawn_images(group.labels, shares, count, generator)
        for start in range(0, count, settings.batch_size):
            chosen = draws[start : start + settings.batch_size]
            rows, labels = torch.from_numpy(group.features[chosen]), torch.from_numpy(group.labels[chosen])
            mean = losses(scores(rows)[None], labels, forms).mean()
            optimizer.zero_grad()
            mean.backward()
            optimizer.step()
            schedule.step()
            if settings.max_norm is not None:
                with torch.no_grad():
                    weight *= (limit / weight.norm(dim=1, keepdim=True)).clamp_max(1)
    arrays = [values.detach().numpy() for values in (weight, bias, factors, shifts, gate, scales)]
    if settings.head == "cosine":
        return LinearClassifier(form.scale * F.normalize(weight.detach()).numpy(), np.zeros(classes, np.float32))
    if settings.head == "aligned":
        return AlignedClassifier(*arrays[:5])
    return LinearClassifier(arrays[0] * arrays[5][:, None], arrays[1] * arrays[5])


def tail(seed: int) -> tuple[FeatureGroup, FeatureGroup, LinearClassifier, ClassSplits]:
    """Features of one tail, drawn by its seed, with a classifier that prefers large classes."""
    generator = np.random.default_rng(seed)
    profile = LongTailSettings(profile="exponential", factor=100, seed=0, reverse=False)
    counts = generator.permutation(long_tail_counts(np.full(CLASSES, LARGEST), profile))
    means = 0.4 * generator.normal(size=(CLASSES, FEATURES))

    def drawn(numbers: np.ndarray) -> FeatureGroup:
        labels = generator.permutation(np.repeat(np.arange(CLASSES), numbers))
        return FeatureGroup((means[labels] + generator.normal(size=(len(labels), FEATURES))).astype(np.float32), labels)

    train, validation = drawn(counts), drawn(np.full(CLASSES, VALIDATED))
    own = LinearClassifier(means.astype(np.float32), np.log(counts / counts.sum()).astype(np.float32))
    return train, validation, own, split_by_count(counts, few_below=20, many_above=100)


def at_once(
    settings: ClassifierSettings, data: tuple[FeatureGroup, FeatureGroup, LinearClassifier, ClassSplits]
) -> None:
    """All values of a method's knob on one tail, and the choice between them."""
    train, validation, own, splits = data
    if isinstance(settings, TauSettings):
        tau_normalise(own, choose_tau(own, validation, settings.values))
    elif isinstance(settings, AdjustedSettings):
        best_of(adjusted(own, np.bincount(train.labels), settings.values), validation, splits, settings.selection)
    else:
        found = retrained(TypeAdapter(RetrainedSettings).validate_python(settings), own, train, 0, CPU)
        best_of(found, validation, splits, "balanced_accuracy")


def one_by_one(
    settings: ClassifierSettings,
    data: tuple[FeatureGroup, FeatureGroup, LinearClassifier, ClassSplits],
    values: Sequence[float],
) -> None:
    """Some values, each by itself and scored by itself."""
    train, validation, own, splits = data
    for value in values:
        if isinstance(settings, TauSettings):
            classifier = tau_normalise(own, value)
        elif isinstance(settings, AdjustedSettings):
            classifier = adjusted(own, np.bincount(train.labels), [value])[0]
        else:
            classifier = plainly(TypeAdapter(RetrainedSettings).validate_python(settings), value, own, train, 0)
        predictions = classifier.scores(validation.features).argmax(axis=1)
        selection_score(predictions, validation.labels, splits, "balanced_accuracy")


def main() -> None:
    """Measure and, with --write, publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--tails", type=int, default=5)
    parser.add_argument("--part", type=int, default=2, help="values of each method that are trained one by one")
    parser.add_argument("--threads", type=int, default=2, help="tails at a time, each on one thread")
    options = parser.parse_args()
    tune_process()
    torch.set_num_threads(1)
    data = [tail(seed) for seed in range(options.tails)]
    rows, total = [], np.zeros(4)
    for method in methods():
        settings = method.method
        assert isinstance(settings, TUNED)
        values = settings.values[:: max(len(settings.values) // options.part, 1)][: options.part]
        clock, used = time.perf_counter(), time.process_time()
        one_by_one(settings, data[0], values)
        share = len(settings.values) / len(values) * options.tails
        plain = np.array([time.perf_counter() - clock, time.process_time() - used]) * share
        clock, used = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(options.threads) as pool:  # torch lets others compute while it does
            list(pool.map(partial(at_once, settings), data))
        ours = np.array([time.perf_counter() - clock, time.process_time() - used])
        total += np.concatenate([plain, ours])
        rows.append(f"| {method.label} | {plain[1]:.1f} | {ours[1]:.1f} | {plain[1] / ours[1]:.1f} |")
        print(rows[-1], flush=True)
    said = (
        f"{len(rows)} methods, {options.tails} tails, 9 values each: {total[2]:.0f} s by the clock and {total[3]:.0f} s of the "
        f"processor; one by one {total[0]:.0f} and {total[1]:.0f} s (extrapolated from {options.part} values on one tail), "
        f"{total[1] / total[3]:.1f} times as much of the processor. The machine's load, this included, was "
        f"{os.getloadavg()[2]:.1f} in the last quarter of an hour."
    )
    goals = [("within 2 minutes", total[2] <= 120), ("at least 10 times as fast", total[1] >= 10 * total[3])]
    head = "| method | one by one (s) | at once (s) | times as fast |\n| --- | ---: | ---: | ---: |"
    ends = "\n".join(f"- {'met' if met else 'missed'}: {goal}" for goal, met in goals)
    about = "10,847 features of 64 numbers, 100 classes; how is said in its source. Seconds of the processor."
    text = (
        f"# Methods of the classifier stage\n\n`python -m benchmarks.tails`: {about}\n\n{machine()}\n\n{head}\n"
        + "\n".join(rows)
        + f"\n\n{said}\n\n{ends}\n"
    )
    publish(text, RESULT, write=options.write)


if __name__ == "__main__":
    main()
