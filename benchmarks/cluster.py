"""Eight equal trainings one after the other and on two Dask workers of this machine.

    python -m benchmarks.cluster [--write] [--rounds 3] [--epochs 6] [--workers 2]

A training is one of `cifar_resnet`, with one thread, on random images of 8 pixels, which take the time of others. The study
is done whole, as a pipeline does it: folders, locks, checkpoints, results; on the workers also connecting to the scheduler and
sending the data. The scheduler and the workers run before, as they do for a cluster that serves many studies, and everybody
has done one training before the clock starts. Rounds take the forms in turn; ratios are formed within a round and their median
is reported, so that other work on the machine touches all sides alike.
"""

import argparse
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from scripts.cluster_demo import LocalDask

from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.config.merge import merge_settings
from vision_studies.config.network_run import RunSettings
from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import costs_nothing
from vision_studies.data.image_set import ImageSet
from vision_studies.data.prepared import PreparedData
from vision_studies.data.splits import Splits
from vision_studies.outcomes import Outcome
from vision_studies.studies.execution import execute
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Stage
from vision_studies.training import network_run as cifar_resnet

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "cluster.md"
RUNS, IMAGES, TRAINING, SIZE = 8, 2500, 2000, 8
GOAL = 0.6
SEQUENTIAL, DASK = "one after the other", "Dask workers"
CHANGES = {
    "model": {
        "name": "resnet_small",
        "stem_width": 16,
        "widths": [16, 32],
        "blocks": [1, 1],
        "strides": [1, 2],
        "squeeze_reduction": None,
        "dropout": 0.0,
    },
    "training": {"batch_size": 128, "checkpoint_every": 4},
}


def train(run: Run, folder: Path, *, data: PreparedData) -> Outcome:
    """One training, on the processor."""
    settings = RunSettings.model_validate(run.configuration)
    return cifar_resnet.train(settings, run.seed, data, folder, torch.device("cpu"))


def random_data(folder: Path) -> PreparedData:
    """Random images with labels, as `data_prep` leaves them: on the disk."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, IMAGES)
    made = ImageSet.create("random", images, labels, tuple("abcdefghij"), np.zeros(IMAGES, dtype=bool), {})
    made.save(folder / "images")
    places = np.arange(IMAGES)
    return PreparedData(ImageSet.open(folder / "images"), Splits(places[:TRAINING], places[TRAINING:], places[:0]), {})


def study(data: PreparedData, epochs: int, number: int) -> list[Run]:
    """Equal runs that differ in their seeds."""
    base = yaml.safe_load((ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8"))
    merged = merge_settings(merge_settings(base["cifar_resnet"]["run"], CHANGES), {"training": {"epochs": epochs}})
    configuration = RunSettings.model_validate(merged).model_dump(mode="json")
    return [
        Run("cifar_resnet", "benchmark", "plain", 0, seed, configuration, data.fingerprint, 1) for seed in range(number)
    ]


def seconds(data: PreparedData, runs: list[Run], execution: ExecutionSettings) -> float:
    """Of doing a study from nothing, with one thread a run."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        execute(
            Stage("training", runs, Alone(partial(train, data=data)), costs_nothing), RunStore(Path(folder)), execution
        )
        return time.perf_counter() - started


def measure(rounds: int, epochs: int, workers: int) -> dict[str, list[float]]:
    """Seconds of the study: form -> rounds."""
    base = yaml.safe_load((ROOT / "conf/base/parameters.yml").read_text(encoding="utf-8"))
    common = base["execution"] | {"workers": workers, "device": "cpu"}
    here = ExecutionSettings.model_validate(common)
    # The functions of this file come to the workers by its name.
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    with tempfile.TemporaryDirectory() as folder, LocalDask(workers, variables={"PYTHONPATH": paths}) as dask:
        there = ExecutionSettings.model_validate(common | {"backend": "dask", "scheduler_address": dask.address})
        data = random_data(Path(folder))
        forms = {SEQUENTIAL: (here, 1), DASK: (there, workers)}
        for execution, number in forms.values():
            seconds(data, study(data, 1, number), execution)
        runs = study(data, epochs, RUNS)
        taken: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(rounds):
            for form, (execution, _) in forms.items():
                taken[form].append(seconds(data, runs, execution))
    return taken


def report(taken: dict[str, list[float]], epochs: int, workers: int) -> str:
    """Table in Markdown."""
    rounds = len(taken[DASK])
    lines = [
        f"# {RUNS} equal runs on {workers} Dask workers",
        "",
        f"`python -m benchmarks.cluster`: trainings of {epochs} epochs, median of {rounds} rounds; how is said in its source.",
        "",
        machine(),
        "",
        "| | seconds | share of the first |",
        "| --- | ---: | ---: |",
    ]
    for form, values in taken.items():
        ratio = statistics.median(own / first for own, first in zip(values, taken[SEQUENTIAL], strict=True))
        lines.append(f"| {form} | {statistics.median(values):.1f} | {ratio:.2f} |")
    lines += ["", f"The goal is a share of {GOAL} with two workers on two cores."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    taken = measure(arguments.rounds, arguments.epochs, arguments.workers)
    publish(report(taken, arguments.epochs, arguments.workers), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
