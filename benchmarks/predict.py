"""`kedro models predict` on a folder of files against evaluation on prepared images, both in images a second.

    python -m benchmarks.predict [--write] [--rounds 5] [--images 10000]

The network is `resnet_small` as published, on 32 x 32 colour images. `evaluation` is the plain loop that scores a split:
images lie decoded in memory. The other forms find, decode and compute and write a table, as the command does; the last one is
the whole command, with the start of Python. Every form lives in a process of its own, and only one works at a time; ratios are
formed within a round.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.publish import publish
from benchmarks.rounds import measure
from vision_studies.config.network_run import RunSettings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.image_source import open_images
from vision_studies.data.loaders import DeviceLoader, Normalisation
from vision_studies.serving.image_classifier import Predictor
from vision_studies.serving.image_predictions import predictions
from vision_studies.serving.opened_models import open_model_file
from vision_studies.serving.prediction_tables import TableForm, write_predictions
from vision_studies.studies.provenance import processor_name
from vision_studies.training.checkpoints import save_state
from vision_studies.training.evaluation import evaluate
from vision_studies.training.precision import place_model
from vision_studies.training.runtime import tune_process

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "predict.md"
EVALUATION, COMMAND = "evaluation of prepared images", "the whole command, PNG"
FORMS = {EVALUATION: "", "predict, PNG files": "png", "predict, JPEG files": "jpg", COMMAND: "png"}
"""Form -> folder of its images."""

CPU = torch.device("cpu")
NORMALISATION = Normalisation((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
GOAL = 0.5


def prepare(folder: Path, images: int) -> None:
    """Write random images in every form, and a model."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    np.save(folder / "images.npy", pixels)
    for suffix in ("png", "jpg"):
        (folder / suffix).mkdir()
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / suffix / f"{number:06d}.{suffix}")
    settings = published_run()
    network = settings.model.build(in_channels=3, num_classes=10, image_size=32)
    description = {
        "class_names": [str(label) for label in range(10)],
        "image_size": 32,
        "in_channels": 3,
        "normalisation": {"mean": list(NORMALISATION.mean), "std": list(NORMALISATION.std)},
    }
    state = {"weights": network.state_dict(), "configuration": settings.model_dump(mode="json"), "data": description}
    save_state(folder / "model.safetensors", {**state, "run_fingerprint": "none", "data_fingerprint": "none"})


def published_run() -> RunSettings:
    """The run of conf/base."""
    text = (ROOT / "conf/base/parameters_cifar_resnet.yml").read_text(encoding="utf-8")
    return RunSettings.model_validate(yaml.safe_load(text)["cifar_resnet"]["run"])


def evaluation(folder: Path) -> Callable[[], object]:
    """Score prepared images."""
    pixels = np.load(folder / "images.npy")
    labels = np.arange(len(pixels)) % 10
    names = tuple(str(label) for label in range(10))
    image_set = ImageSet.create("random", pixels, labels, names, np.zeros(len(pixels), bool), {})
    settings = published_run()
    loader = DeviceLoader(
        image_set,
        np.arange(len(pixels)),
        batch_size=settings.evaluation.batch_size,
        normalisation=NORMALISATION,
        device=CPU,
    )
    network = place_model(open_model_file(folder / "model.safetensors").network, settings.training, CPU)
    return partial(evaluate, network, loader, settings.training, CPU)


def prediction(folder: Path, images: str) -> Callable[[], None]:
    """Find, decode, compute, write."""
    classifier = open_model_file(folder / "model.safetensors")
    predictor = Predictor(classifier, CPU)

    def work() -> None:
        source = open_images(folder / images)
        told = predictions(predictor, source, lambda _: None)
        names = classifier.images.class_names
        write_predictions(told, source, names, folder / "predictions.csv", TableForm())

    return work


def command(folder: Path, images: str) -> Callable[[], None]:
    """What a user types."""
    options = ["--model", str(folder / "model.safetensors"), "-o", str(folder / "predictions.csv")]
    words = [sys.executable, "-m", "kedro", "models", "predict", str(folder / images), *options]
    return lambda: subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL) and None


def serve(form: str, folder: Path) -> None:
    """Do the work of a form for every line of input, and print its seconds."""
    tune_process()
    if form == EVALUATION:
        work = evaluation(folder)
    else:
        work = command(folder, FORMS[form]) if form == COMMAND else prediction(folder, FORMS[form])
    for _ in sys.stdin:
        started = time.perf_counter()
        work()
        print(json.dumps([time.perf_counter() - started]), flush=True)


def report(seconds: dict[str, list[list[float]]], images: int, rounds: int) -> str:
    """Table in Markdown."""
    reference = [own[0] for own in seconds[EVALUATION]]
    lines = [
        "# `kedro models predict` against evaluation",
        "",
        f"`python -m benchmarks.predict`: {rounds} rounds of {images:,} images, 32 x 32 x 3, `resnet_small`; how is said in",
        f"its source. {processor_name()}.",
        "",
        "| form | images/s (median) | lowest | highest | share of evaluation's speed (median) | lowest | highest | "
        "share, fastest against fastest |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for form, times in seconds.items():
        rates = [images / own[0] for own in times]
        shares = [evaluated / own[0] for evaluated, own in zip(reference, times, strict=True)]
        lines.append(
            f"| {form} | {statistics.median(rates):,.0f} | {min(rates):,.0f} | {max(rates):,.0f} | "
            f"{statistics.median(shares):.2f} | {min(shares):.2f} | {max(shares):.2f} | "
            f"{min(reference) / min(own[0] for own in times):.2f} |"
        )
    spread = max(reference) / min(reference)
    lines += [
        "",
        f"The goal is a share of {GOAL}. The slowest round of evaluation took {spread:.1f} times as long as the fastest.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--serve", choices=list(FORMS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), arguments.images)
        forms = dict.fromkeys(FORMS, True)
        seconds = measure("benchmarks.predict", forms, arguments.rounds, "--folder", name)
    publish(report(seconds, arguments.images, arguments.rounds), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
