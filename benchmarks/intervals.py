"""Seconds of all intervals of accuracy and all simultaneous differences of a study's variants.

    python -m benchmarks.intervals [--write] [--rounds 5] [--variants 20] [--seeds 10] [--images 10000]

Variants are simulated as in `benchmarks.coverage`, none of which differs. Medians of the rounds; a first one is not counted.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.coverage import WEAK, Setting, study
from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.statistics.simultaneous import all_pairs, compare
from vision_studies.statistics.two_way import intervals

RESULT = Path(__file__).parent / "results" / "intervals.md"


def measure(variants: int, seeds: int, images: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each piece of work, by round."""
    setting = Setting(images, seeds, 0.9, WEAK)
    evidence, _ = study(np.random.default_rng(0), setting, [setting.mean] * variants)
    works: dict[str, Callable[[], object]] = {
        "intervals of all variants": lambda: intervals(evidence),
        "differences of all from the first": lambda: compare(evidence, 0),
        "differences of all pairs": lambda: all_pairs(evidence),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def report(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> str:
    """Markdown."""
    size = f"{arguments.variants} variants, {arguments.seeds} seeds, {arguments.images:,} test images"
    rows = [f"| {name} | {statistics.median(times):.2f} |" for name, times in seconds.items()]
    return "\n".join(
        [
            "# Intervals over seeds and images",
            "",
            f"`python -m benchmarks.intervals`: {size}, median of {arguments.rounds} rounds; how is said in its source.",
            "",
            machine(),
            "",
            "| work | seconds |",
            "| --- | ---: |",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--images", type=int, default=10_000)
    arguments = parser.parse_args()
    seconds = measure(arguments.variants, arguments.seeds, arguments.images, arguments.rounds)
    publish(report(seconds, arguments), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
