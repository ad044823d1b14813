"""The check of 100,000 small JPEG files in 1,000 folders, and what checking adds to the preparation of CIFAR-10.

    python -m benchmarks.checks [--write] [--images 100000] [--rounds 3] [--source=../shared/data/cifar10] [--before=FOLDER]

The first is the whole command, `kedro data check`, with the start of Python; a second one finds its facts kept. The other is
`read_source`, which is what `data_prep` reads images with, in processes that take turns: as it is, and as it is in the checkout
`--before`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.publish import publish
from vision_studies.studies.provenance import processor_name

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "checks.md"
GOAL_SECONDS, GOAL_BYTES = 120, 2e9
_PREPARE = """
import sys, time, yaml
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.sources.read import read_source
values = yaml.safe_load(open("conf/base/parameters_data_prep.yml"))["data_prep"]
settings = DataPrepSettings(**(values | {"source": sys.argv[1]}))
began = time.perf_counter()
print(read_source(settings).fingerprint, time.perf_counter() - began)
"""


def write_images(folder: Path, images: int) -> None:
    """Smooth random pictures of 48 x 48 pixels, 1,000 classes."""
    random = np.random.default_rng(0)
    for number in range(images):
        place = folder / f"class_{number % 1000:04d}"
        if number < 1000:
            place.mkdir(parents=True)
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(place / f"{number}.jpg")


def checked(folder: Path) -> tuple[float, float, int]:
    """Seconds, seconds of processors, and most memory of the command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "kedro", "data", "check", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def prepared(checkout: Path, source: Path) -> tuple[str, float]:
    """Fingerprint and seconds of reading a source."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    words = [sys.executable, "-c", _PREPARE, str(source.resolve())]
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    fingerprint, seconds = done.stdout.split()
    return fingerprint, float(seconds)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", type=Path, default=ROOT.parent / "shared/data/cifar10")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name) / "images", arguments.images)
        first, work, memory = checked(Path(name) / "images")
        again, work_again, _ = checked(Path(name) / "images")
    lines = [
        "# Checking images",
        "",
        f"`python -m benchmarks.checks`: {arguments.images:,} JPEG files of 48 x 48 pixels in 1,000 folders; how is said in",
        f"its source. {processor_name()}.",
        "",
        "| | seconds | seconds of processors | most memory |",
        "| --- | ---: | ---: | ---: |",
        f"| `kedro data check`, first time | {first:.0f} | {work:.0f} | {memory / 1e9:.2f} GB |",
        f"| `kedro data check`, nothing changed | {again:.0f} | {work_again:.0f} | |",
        "",
        f"The goals are {GOAL_SECONDS} s and {GOAL_BYTES / 1e9:.0f} GB: "
        f"{'reached' if first < GOAL_SECONDS and memory < GOAL_BYTES else 'missed'}.",
    ]
    if arguments.before is not None:
        times: dict[Path, list[float]] = {arguments.before: [], ROOT: []}
        fingerprints = set()
        for _ in range(arguments.rounds):
            for checkout, seconds in times.items():
                fingerprint, took = prepared(checkout, arguments.source)
                fingerprints.add(fingerprint)
                seconds.append(took)
        before, now = times.values()
        ratios = [new / old for old, new in zip(before, now, strict=True)]
        lines += [
            "",
            f"Reading CIFAR-10 with its check takes {statistics.median(ratios):.2f} times as long as without it before "
            f"(median of {arguments.rounds} rounds; {min(ratios):.2f} to {max(ratios):.2f}; fastest {min(before):.1f} s before "
            f"and {min(now):.1f} s now); the fingerprints are {'the same' if len(fingerprints) == 1 else 'not the same'}.",
        ]
    publish("\n".join(lines) + "\n", RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
