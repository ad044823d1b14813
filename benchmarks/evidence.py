"""How long it takes to read the evidence of a study: predictions of variants, and which images thousands of runs got right.

    python -m benchmarks.evidence [--runs 20000]

Predictions are made up; files are those that runs keep.
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from vision_studies.predictions import Detail, Predictions
from vision_studies.run_folders import CACHE, predictions_file
from vision_studies.stored_predictions import write_predictions
from vision_studies.studies.evidence import VariantRuns, Wanted, read_evidence

DATA = "made up"
KINDS = 10  # different files: the others are copies


def made_up(images: int, classes: int, seed: int) -> Predictions:
    """Predictions of about seven images in eight that are right."""
    generator = np.random.default_rng(0)  # of the images: the same for all
    labels = generator.integers(0, classes, images)
    logits = np.random.default_rng(seed).normal(0, 1.5, (images, classes))
    logits[np.arange(images), labels] += generator.normal(7, 4, images)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    said = Predictions.of("test", np.arange(images), labels, shares / shares.sum(axis=1, keepdims=True))
    return replace(said, data_fingerprint=DATA)


def make_runs(folder: Path, variants: int, seeds: int, images: int, classes: int, detail: Detail) -> list[VariantRuns]:
    """Folders of runs with their predictions, and the variants that they are of."""
    kinds = [made_up(images, classes, seed).at(detail) for seed in range(KINDS)]
    files = [folder / f"kind_{number}" for number in range(KINDS)]
    for file, said in zip(files, kinds, strict=True):
        write_predictions(file, said)
    groups = []
    for variant in range(variants):
        chosen = [(variant * seeds + seed) % KINDS for seed in range(seeds)]
        names = tuple(f"{variant:05d}_{seed:05d}" for seed in range(seeds))
        for name, kind in zip(names, chosen, strict=True):
            (folder / name).mkdir()
            shutil.copy(predictions_file(files[kind], "test"), folder / name)
        values = tuple(kinds[kind].accuracy for kind in chosen)
        data = (DATA,) * seeds
        groups.append(VariantRuns("made_up", None, f"v{variant}", 0, tuple(range(seeds)), names, data, values, values))
    return groups


def timed(groups: list[VariantRuns], folder: Path, wanted: Wanted) -> str:
    """Seconds of reading it, and of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    found = read_evidence(groups, folder, wanted)
    assert all(each.seeds_only is None for each in found), found[0].seeds_only
    return f"{time.perf_counter() - started:.2f} | {time.process_time() - worked:.2f}"


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="in the study of many")
    many = parser.parse_args().runs
    print("| what is read | seconds | of a processor |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "few"
        groups = make_runs(folder, 20, 10, 10_000, 10, "full")
        for wanted in get_args(Wanted):
            (folder / CACHE).unlink(missing_ok=True)
            print(
                f"| 200 runs of 10,000 images and 10 classes: {wanted} | {timed(groups, folder, wanted)} |", flush=True
            )
        folder = Path(place) / "many"
        groups = make_runs(folder, many // 20, 20, 5_000, 5, "correct")
        for which in ("the first time", "again"):
            print(f"| {many:,} runs of 5,000 images: {which} | {timed(groups, folder, 'correct')} |", flush=True)


if __name__ == "__main__":
    main()
