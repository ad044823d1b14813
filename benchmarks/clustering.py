"""K-means of every channel of every layer: fit after fit by scikit-learn, and all channels of a layer together.

    python -m benchmarks.clustering [--write] [--rounds 3] [--most 500] [--alone 1] [--together 4] [--channels 64]

The study has 175 subsets of the images of three classes: 25 each of 15, 30, 81 and 162 images, and 75 of more; none is
larger than `--most`. Subsets of one size take about the same time, so that `--alone` of each size stand for all of them
where one fit is made after the other, and `--together` where subsets share the processors; the last line of the table
weighs the sizes by their numbers. Every subset has the input, six layers of 64 channels of 28, 28, 14, 14, 7 and 7 pixels
a side, and three outputs: 388 fits of three clusters with ten restarts. Activations are smooth random maps with a faint
pattern of the class. Rounds take the forms in turn; ratios are formed within a round and their median is reported, so
that other work on the machine touches all sides alike.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.pipelines.clustering.settings import KMeansChannelsSettings
from vision_studies.pipelines.clustering.work import Subset, cluster_subsets

CLASSES, RESTARTS, SEED = 3, 10, 42
SMALL = {15: 25, 30: 25, 81: 25, 162: 25}  # images -> subsets
SUBSETS = 175
SIDES = (28, 28, 14, 14, 7, 7)
LOOP, LOOP_ONE_THREAD, OURS = "scikit-learn", "scikit-learn, one thread a fit", "together"
RESULT = Path(__file__).parent / "results" / "clustering.md"
Layers = list[tuple[str, np.ndarray]]
Timing = tuple[float, float]  # seconds a subset, mean adjusted Rand index


def activations(images: int, channels: int) -> tuple[Layers, np.ndarray]:
    """Layers of random activations, and the class of each image."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, images)

    def maps(count: int, side: int) -> np.ndarray:
        patterns = random.normal(size=(CLASSES, count, side, side)).astype(np.float32)
        own = 0.5 * patterns[labels] + random.normal(size=(images, count, side, side)).astype(np.float32)
        return gaussian_filter(own, (0, 0, side / 14, side / 14))

    layers = [("input", maps(1, 28)), *((f"conv{place}", maps(channels, side)) for place, side in enumerate(SIDES))]
    outputs = random.normal(size=(images, CLASSES)).astype(np.float32)
    return [*layers, ("head", outputs + np.eye(CLASSES, dtype=np.float32)[labels])], labels


def one_after_the_other(layers: Layers, labels: np.ndarray, subsets: Sequence[Subset]) -> list[float]:
    """Adjusted Rand indices by a plain loop."""
    found = []
    for subset in subsets:
        own_labels = labels[subset.positions]
        for _, maps in layers:
            own = maps[subset.positions]
            for channel in range(own.shape[1]):
                points = own[:, channel].reshape(len(own), -1)
                model = KMeans(CLASSES, n_init=RESTARTS, random_state=SEED).fit(points)
                found.append(adjusted_rand_score(own_labels, model.labels_))
    return found


def on_one_thread(layers: Layers, labels: np.ndarray, subsets: Sequence[Subset]) -> list[float]:
    """As `one_after_the_other`, without threads inside a fit."""
    with threadpool_limits(1):
        return one_after_the_other(layers, labels, subsets)


def together(layers: Layers, labels: np.ndarray, subsets: Sequence[Subset]) -> list[float]:
    """Adjusted Rand indices by the project's own form, on all processors."""
    method = KMeansChannelsSettings(max_samples=None, name="kmeans_channels", restarts=RESTARTS, pca=None, seed=SEED)
    return cluster_subsets(layers, labels, subsets, [method], n_jobs=-1)["ari"].tolist()


def measure(
    sizes: Sequence[int], rounds: int, alone: int, side_by_side: int, channels: int
) -> dict[int, dict[str, list]]:
    """Images -> form -> rounds of `Timing`."""
    layers, labels = activations(2 * max(sizes), channels)
    forms: dict[str, tuple[Callable[..., list[float]], int]] = {
        LOOP: (one_after_the_other, alone),
        LOOP_ONE_THREAD: (on_one_thread, alone),
        OURS: (together, side_by_side),
    }
    measured: dict[int, dict[str, list[Timing]]] = {size: {form: [] for form in forms} for size in sizes}
    random = np.random.default_rng(1)
    for size in sizes:
        most = max(alone, side_by_side)
        subsets = [Subset(size, repeat, random.permutation(len(labels))[:size]) for repeat in range(most)]
        together(layers[-2:], labels, subsets[:2])  # warm
        for _ in range(rounds):
            for form, (work, number) in forms.items():
                started = time.perf_counter()
                found = work(layers, labels, subsets[:number])
                seconds = (time.perf_counter() - started) / number
                # Layer after layer, subset after subset: the same subsets are compared in all forms.
                measured[size][form].append((seconds, _mean_of_shared(layers, found, form, number, alone)))
    return measured


def _mean_of_shared(layers: Layers, found: list[float], form: str, number: int, alone: int) -> float:
    if form != OURS:
        return float(np.mean(found))
    shared, start = [], 0
    for _, maps in layers:
        width = maps.shape[1]
        shared += found[start : start + min(alone, number) * width]
        start += number * width
    return float(np.mean(shared))


def report(measured: dict[int, dict[str, list]], rounds: int, channels: int) -> str:
    """Table in Markdown."""
    lines = [
        "# K-means of the channels of all layers",
        "",
        f"`python -m benchmarks.clustering`: layers of {channels} channels, median of {rounds} rounds; how is said in its "
        "source.",
        "",
        machine(),
        "",
        "Seconds for a subset, how many times faster the channels are clustered together, and the mean adjusted Rand index.",
        "",
        f"| images | subsets | {LOOP} | {LOOP_ONE_THREAD} | {OURS} | over {LOOP} | over one thread a fit | "
        f"index, {LOOP} | index, {OURS} |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    counts = {size: SMALL.get(size, 0) for size in measured}
    counts[max(measured)] = SUBSETS - sum(counts[size] for size in measured if size < max(measured))
    for size, forms in measured.items():
        seconds = {form: [timing[0] for timing in timings] for form, timings in forms.items()}
        indices = f"{forms[LOOP][0][1]:.4f} | {forms[OURS][0][1]:.4f}"
        lines.append(f"| {size} | {counts[size]} | {_figures(seconds)} | {indices} |")
    whole = {
        form: [sum(counts[size] * measured[size][form][number][0] for size in measured) for number in range(rounds)]
        for form in (LOOP, LOOP_ONE_THREAD, OURS)
    }
    lines.append(f"| all | {sum(counts.values())} | {_figures(whole)} | | |")
    return "\n".join(lines) + "\n"


def _figures(seconds: dict[str, list[float]]) -> str:
    times = " | ".join(f"{statistics.median(seconds[form]):.3g}" for form in (LOOP, LOOP_ONE_THREAD, OURS))
    ratios = [
        statistics.median(other / own for other, own in zip(seconds[form], seconds[OURS], strict=True))
        for form in (LOOP, LOOP_ONE_THREAD)
    ]
    return f"{times} | {' | '.join(f'{ratio:.1f}' for ratio in ratios)}"


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=500, help="images of the capped subsets")
    parser.add_argument("--alone", type=int, default=1, help="subsets of a size that are clustered fit after fit")
    parser.add_argument("--together", type=int, default=4, help="subsets of a size that share the processors")
    parser.add_argument("--channels", type=int, default=64, help="channels of a layer")
    arguments = parser.parse_args()
    sizes = [*(size for size in SMALL if size < arguments.most), arguments.most]
    measured = measure(sizes, arguments.rounds, arguments.alone, arguments.together, arguments.channels)
    publish(report(measured, arguments.rounds, arguments.channels), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
