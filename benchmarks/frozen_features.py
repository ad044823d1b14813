"""Features of a frozen backbone, in images a second: ours, ONNX Runtime, and torch as one writes it.

    python -m benchmarks.frozen_features [--write] [--rounds 5] [--images 256] [--backbone efficientnet_lite0] [--pixels 128]

All begin with uint8 images of 32 x 32 pixels in memory, bring them to one size with the same filter, one view each, and end
with features in memory. ONNX Runtime and torch get batches of 32, all threads at once, as is usual; ONNX Runtime has the
network that torch exports. Every form lives in a process of its own, and only one works at a time; ratios are formed within a
round.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.publish import publish
from benchmarks.rounds import measure
from vision_studies.models.backbones import open_backbone
from vision_studies.processors import processors
from vision_studies.studies.provenance import processor_name
from vision_studies.training.frozen_features import CPU, FeatureExtractor, feature_dtype, prepared_images
from vision_studies.training.runtime import tune_process

RESULT = Path(__file__).parent / "results" / "frozen_features.md"
OURS, RUNTIME = "frozen_features", "ONNX Runtime, float32"
PLAIN, CHANNELS_LAST = "torch, float32", "torch, float32, channels last"
FORMS = {OURS: True, RUNTIME: False, PLAIN: False, CHANNELS_LAST: False}
BATCH = 32
RUNTIME_GOAL, PLAIN_GOAL = 0.9, 2.5


def ours(name: str, pixels: int, threads: int) -> Callable[[np.ndarray], object]:
    return FeatureExtractor(open_backbone(name), pixels, mirror=False, threads=threads)


def plain(name: str, pixels: int, threads: int, memory_format: torch.memory_format) -> Callable[[np.ndarray], object]:
    """The network as it is, under `inference_mode`."""
    torch.set_num_threads(threads)
    backbone, network, _ = open_backbone(name)
    network.to(memory_format=memory_format)

    @torch.inference_mode()
    def features(images: np.ndarray) -> np.ndarray:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        values = (prepared_images(batch, backbone, pixels).contiguous(memory_format=memory_format) for batch in batches)
        return torch.cat([network(batch) for batch in values]).numpy()

    return features


def runtime(name: str, pixels: int, threads: int) -> Callable[[np.ndarray], object]:
    """The exported network."""
    import onnxruntime

    torch.set_num_threads(threads)
    backbone, network, _ = open_backbone(name)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        example = torch.zeros(2, 3, pixels, pixels)
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(
            network, (example,), file, dynamo=True, dynamic_shapes=shapes, verbose=False, external_data=False
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    [given] = [each.name for each in session.get_inputs()]

    def run(values: Tensor) -> np.ndarray:
        return session.run(None, {given: values.contiguous().numpy()})[0]

    def features(images: np.ndarray) -> np.ndarray:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([run(prepared_images(batch, backbone, pixels)) for batch in batches])

    return features


def serve(form: str, name: str, pixels: int, images: int) -> None:
    """Do the work of a form for every line of input, and print its seconds."""
    threads = processors()
    if form == OURS:
        tune_process()
        work = ours(name, pixels, threads)
    elif form == RUNTIME:
        work = runtime(name, pixels, threads)
    else:
        work = plain(name, pixels, threads, torch.channels_last if form == CHANNELS_LAST else torch.contiguous_format)
    given = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    work(given[:BATCH])
    for _ in sys.stdin:
        started = time.perf_counter()
        work(given)
        print(json.dumps([time.perf_counter() - started]), flush=True)


def report(seconds: dict[str, list[list[float]]], arguments: argparse.Namespace) -> str:
    """Table in Markdown."""
    times = {form: [own[0] for own in rounds] for form, rounds in seconds.items()}
    number_format = str(feature_dtype(CPU)).removeprefix("torch.")
    lines = [
        "# Features of a frozen backbone",
        "",
        f"`python -m benchmarks.frozen_features`: {arguments.rounds} rounds of {arguments.images} images, {arguments.backbone} "
        f"at {arguments.pixels} pixels, one view each, {processors()} threads; how is said in its source. {processor_name()}; "
        f"features are computed in {number_format} here.",
        "",
        "| form | images/s (median) | lowest | highest | ours is faster by (median) | lowest | highest | "
        "fastest against fastest |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    ratios = {form: [other / own for other, own in zip(each, times[OURS], strict=True)] for form, each in times.items()}
    for form, each in times.items():
        rates = [arguments.images / own for own in each]
        lines.append(
            f"| {form} | {statistics.median(rates):.0f} | {min(rates):.0f} | {max(rates):.0f} | "
            f"{statistics.median(ratios[form]):.2f} | {min(ratios[form]):.2f} | {max(ratios[form]):.2f} | "
            f"{min(each) / min(times[OURS]):.2f} |"
        )
    reached = [
        f"{goal} times {form}: {'reached' if statistics.median(ratios[form]) >= goal else 'missed'}"
        for form, goal in ((RUNTIME, RUNTIME_GOAL), (PLAIN, PLAIN_GOAL))
    ]
    load = os.getloadavg()[1]
    lines += ["", f"Goals: {'; '.join(reached)}. Load of the machine over the last five minutes: {load:.1f}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--serve", choices=list(FORMS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.backbone, arguments.pixels, arguments.images)
        return
    options = ("--backbone", arguments.backbone, "--pixels", str(arguments.pixels), "--images", str(arguments.images))
    seconds = measure("benchmarks.frozen_features", FORMS, arguments.rounds, *options)
    publish(report(seconds, arguments), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
