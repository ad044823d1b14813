"""Classifiers on frozen features: how fast a table of them is made, and whether it promises what comes out.

`grid` makes one table in two ways: accuracies of logistic regression (7 values of C), LDA (5 shrinkages) and nearest neighbours
(6 values of k) over 5 folds x 5 repeats of 2,000 images of CIFAR-10, features standardised within each fold. One way is what
is written in an hour with scikit-learn: `GridSearchCV` over pipelines, on all processors. The other is the project's families.
They take turns: a repeat of scikit-learn's, five times, and between these three times all of the project's; medians are told
(of scikit-learn five times that of a repeat), and the largest difference between the two tables. scikit-learn's logistic
regression stops early by itself (`tol=1e-4`): what one writes is timed, and a repeat is done again with `tol=1e-7` to compare.

`draws` asks whether the estimate is honest: on 20 random draws of 300 images, inner folds choose among families as in `choose`,
and what it promises is compared with the accuracy on test images that none has seen, one section for each data set.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from benchmarks.copies import read
from benchmarks.publish import publish
from vision_studies.classifiers.averaging import AverageClassifier, Part, greedy_weights, nested_average
from vision_studies.classifiers.nested import inner_folds, nested_probabilities, refitted
from vision_studies.classifiers.registry import FAMILIES
from vision_studies.classifiers.transforms import rooted
from vision_studies.data.folds import assign_folds
from vision_studies.processors import processors
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.two_way import intervals
from vision_studies.training.feature_store import stored_features

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/choose.md"
BACKBONE, PIXELS = "efficientnet_lite0", 128
IMAGES = 2000  # of the table
FOLDS, REPEATS = 5, 5
GOAL = 10
DRAWS, OF_A_DRAW = 20, 300
SEEDS = (0, 1, 2)  # divisions into folds
DATA = {"cifar10": "CIFAR-10", "fashion_mnist": "FashionMNIST"}
"""What images are called in the page, by the name of their folder."""

CANDIDATES = ("nearest_class_mean", "lda", "ridge", "logistic", "nearest_neighbours")
"""Families that are chosen among, from simple to complex; the average of all stands behind them."""

GRIDS: dict[str, list[dict[str, Any]]] = {
    "logistic": [{"C": value} for value in (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)],
    "lda": [{"shrinkage": value} for value in (0.9, 0.7, 0.5, 0.3, 0.1)],
    "nearest_neighbours": [{"k": value} for value in (50, 20, 10, 5, 3, 1)],
}
"""Hyperparameters of the table."""

SEARCHES: dict[str, tuple[Callable[[], Any], str]] = {
    "logistic": (lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), "logisticregression__C"),
    "lda": (
        lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr")),
        "lineardiscriminantanalysis__shrinkage",
    ),
    "nearest_neighbours": (
        lambda: make_pipeline(Normalizer(), KNeighborsClassifier(weights="distance")),
        "kneighborsclassifier__n_neighbors",
    ),
}
"""scikit-learn's pipeline for each family, and the name of what is searched."""


def searched(
    name: str, x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]], **changes: float
) -> np.ndarray:
    """Accuracies [G, F] by scikit-learn, with `changes` of its classifier's parameters."""
    pipeline, parameter = SEARCHES[name]
    values = [next(iter(one.values())) for one in GRIDS[name]]
    own = pipeline()
    own[-1].set_params(**changes)
    search = GridSearchCV(own, {parameter: values}, cv=splits, n_jobs=-1, refit=False).fit(x, y)
    return np.stack([search.cv_results_[f"split{fold}_test_score"] for fold in range(len(splits))], axis=1)


def batched(name: str, x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Accuracies [G, F] by the project's families."""
    train = np.zeros((len(splits), len(y)), dtype=bool)
    for fold, (learnt, _) in enumerate(splits):
        train[fold, learnt] = True
    classes = int(y.max()) + 1
    right = FAMILIES[name].fold_probabilities(x, y, train, classes, GRIDS[name]).argmax(axis=3) == y
    return (right & ~train).sum(axis=2) / (~train).sum(axis=1)


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def measure_grid(x: np.ndarray, y: np.ndarray) -> str:
    """The first part."""
    splits = list(RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=0).split(x, y))
    theirs: dict[str, list[float]] = {name: [] for name in GRIDS}
    ours: dict[str, list[float]] = {name: [] for name in GRIDS}
    differences: dict[str, float] = {}
    for name in GRIDS:
        tables = []
        for repeat in range(REPEATS):
            own = splits[repeat * FOLDS : (repeat + 1) * FOLDS]
            seconds, table = timed(lambda name=name, own=own: searched(name, x, y, own))  # type: ignore[misc]
            theirs[name].append(seconds)
            tables.append(table)
            if repeat % 2 == 0:
                seconds, all_of_it = timed(lambda name=name: batched(name, x, y, splits))  # type: ignore[misc]
                ours[name].append(seconds)
        means = np.concatenate(tables, axis=1).mean(axis=1)
        differences[name] = float(np.abs(means - all_of_it.mean(axis=1)).max())
    early, first = differences["logistic"], splits[:FOLDS]
    ended = searched("logistic", x.astype(float), y, first, tol=1e-7).mean(axis=1)
    differences["logistic"] = float(np.abs(ended - batched("logistic", x, y, first).mean(axis=1)).max())
    total = [REPEATS * statistics.median(theirs[name]) for name in GRIDS]
    own_total = [statistics.median(ours[name]) for name in GRIDS]
    ratio = sum(total) / sum(own_total)
    outcome = "reached" if ratio >= GOAL and max(differences.values()) <= 1e-3 else "missed"
    fits = FOLDS * REPEATS
    lines = [
        f"`python -m benchmarks.choose grid`: {len(x):,} images x {x.shape[1]:,} features, {FOLDS} folds x {REPEATS} repeats, "
        f"medians of {REPEATS} and 3 turns. {machine()}",
        "",
        "| table | classifiers | scikit-learn, seconds | here, seconds | ratio | largest difference of a mean accuracy |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {FAMILIES[name].title} | {fits * len(GRIDS[name])} | {a:.1f} | {b:.2f} | {a / b:.1f} | "
            f"{differences[name]:.4f} |"
            for name, a, b in zip(GRIDS, total, own_total, strict=True)
        ),
        f"| all | {fits * sum(map(len, GRIDS.values()))} | {sum(total):.1f} | {sum(own_total):.2f} | **{ratio:.0f}** | "
        f"{max(differences.values()):.4f} |",
        "",
        "Logistic regression is compared in one repeat with scikit-learn's at tol=1e-7; as it stands (tol=1e-4, which is "
        f"timed) it stops early, and its means differ by up to {early:.4f}.",
        "",
        f"Goal: {GOAL} times as fast, equal to 0.001: {outcome}.",
    ]
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores and library, in a sentence."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return f"{names[0] if names else 'unknown processor'}, {processors()} cores; torch {torch.__version__}."


class Tried(NamedTuple):
    """What folds tell of all candidates and their average, M in all, by S divisions into folds.

    Attributes:
        said: float32 [M, S, N, C], probabilities of each image by what has not seen it.
        validation: float64 [M], mean accuracy on inner folds, by which one is chosen.
        folds: int64 [S, N], outer folds.
        reached: float64 [M], accuracy on test images of what all images fit, in the first division.
    """

    said: np.ndarray
    validation: np.ndarray
    folds: np.ndarray
    reached: np.ndarray


def tried(x: np.ndarray, y: np.ndarray, test: np.ndarray, right: np.ndarray) -> Tried:
    """Three divisions into folds, as `choose` has."""
    several = [by_folds(x, y, seed) for seed in SEEDS]
    said, validation, folds = (np.stack(part) for part in zip(*several, strict=True))
    return Tried(said.swapaxes(0, 1), validation.mean(axis=0), folds, on_test(x, y, folds[0], test, right))


def by_folds(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities [M, N, C], accuracies [M] on inner folds, and outer folds [N], of one division."""
    classes = int(y.max()) + 1
    outer = assign_folds(y, FOLDS, seed)
    inner = inner_folds(outer, lambda rows: assign_folds(y[rows], FOLDS, seed))
    nested = [nested_probabilities(FAMILIES[name], x, y, outer, inner, classes) for name in CANDIDATES]
    averaged = nested_average(nested, y, outer)
    inside = np.stack([one.inside for one in nested])  # [M, F, N, C]
    validation = [one.validation.mean() for one in nested]
    validation.append(float(np.mean([averaged_inside(inside[:, fold], y, inner[fold]) for fold in range(FOLDS)])))
    return np.stack([*(one.probabilities for one in nested), averaged.probabilities]), np.array(validation), outer


def on_test(x: np.ndarray, y: np.ndarray, folds: np.ndarray, test: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Accuracies [M] on test images of what is fitted to all others."""
    whole = [refitted(FAMILIES[name], x, y, folds, int(y.max()) + 1) for name in CANDIDATES]
    weights = greedy_weights(np.stack([one.out_of_fold for one in whole]), y)
    parts = [
        Part(one.fitted, 0, x.shape[1], one.temperature, float(weight))
        for one, weight in zip(whole, weights, strict=True)
        if weight > 0
    ]
    classifiers = [*(one.fitted for one in whole), AverageClassifier(parts)]
    return np.array([(one.probabilities(test).argmax(axis=1) == right).mean() for one in classifiers])


def averaged_inside(said: np.ndarray, y: np.ndarray, folds: np.ndarray) -> float:
    """Accuracy of averages that are weighted by all inner folds but one, on this, of what members say [M, N, C]."""
    right = []
    for fold in range(FOLDS):
        asked, known = folds == fold, (folds >= 0) & (folds != fold)
        weights = greedy_weights(said[:, known], y[known])
        right.append(np.tensordot(weights, said[:, asked], axes=1).argmax(axis=1) == y[asked])
    return float(np.concatenate(right).mean())


def measure_draws(data: str, x: np.ndarray, y: np.ndarray, test: np.ndarray, right: np.ndarray, draws: int) -> str:
    """The second part."""
    began = time.perf_counter()
    order = np.random.default_rng(1).permutation(len(x))
    names = [*(FAMILIES[name].title for name in CANDIDATES), "Average of them"]
    rows, biases, covered, near = [], [], 0, 0
    for draw in range(draws):
        images = order[draw * OF_A_DRAW : (draw + 1) * OF_A_DRAW]
        said, validation, folds, reached = tried(x[images], y[images], test, right)
        best, numbers = int(validation.round(12).argmax()), np.arange(len(images))
        evidence = Evidence.of_images("chosen", SEEDS, numbers, y[images], probabilities=said[best], folds=folds)
        [estimate] = intervals([evidence])
        is_covered = estimate.low <= reached[best] <= estimate.high
        covered += is_covered
        near += reached[best] >= reached.max() - 0.01
        biases.append(estimate.value - reached[best])
        rows.append(
            f"| {draw} | {names[best]} | {estimate.value:.1%} | {estimate.low:.1%} to {estimate.high:.1%} | "
            f"{reached[best]:.1%}{'' if is_covered else ' (outside)'} | {names[int(reached.argmax())]}, {reached.max():.1%} |"
        )
    spread = "" if draws < 2 else f" (standard error {100 * statistics.stdev(biases) / draws**0.5:.1f})"
    seconds = (time.perf_counter() - began) / draws
    return "\n".join(
        [
            f"`python -m benchmarks.choose draws`: {draws} draw{'s' * (draws > 1)} of {OF_A_DRAW} images of {data}, none in "
            f"two of them; square roots of the features of {BACKBONE} at {PIXELS} pixels; nested cross-validation, {FOLDS} "
            f"times {FOLDS} folds in {len(SEEDS)} divisions; {len(test):,} test images. Choice and interval are those of "
            f"`choose`. A draw took {seconds:.0f} seconds, without features. {machine()}",
            "",
            "| draw | chosen | promised | 95 % interval | on test images | best in hindsight |",
            "| ---: | --- | ---: | --- | ---: | --- |",
            *rows,
            "",
            f"The interval covers in {covered} of {draws} draws (goal: 17 of 20). What is promised is "
            f"{100 * np.mean(biases):+.1f} points off on average{spread}: inner folds choose, and outer ones measure, by "
            "classifiers of four fifths of the images. The chosen is within one point of the best in hindsight in "
            f"{near} draws (goal: at least 16 of 20).",
        ]
    )


def with_section(text: str, title: str, body: str) -> str:
    """The page with one of its sections written anew."""
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL))
    sections[title] = f"\n{body}\n"
    return "# Choosing a classifier\n\n" + "\n".join(f"## {name}\n{part.rstrip()}\n" for name, part in sections.items())


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["grid", "draws"])
    parser.add_argument("--write", action="store_true", help=f"write a section of {RESULT.name} in benchmarks/results")
    parser.add_argument(
        "--source", type=Path, default=ROOT.parent / "shared/data/cifar10", help="CIFAR-10, or other images"
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"how many; 1 to {DRAWS}")
    parser.add_argument("--features", type=Path, help="folder in which features are kept for another time")
    arguments = parser.parse_args()
    torch.set_num_threads(
        processors() if arguments.part == "grid" else 1
    )  # of 300 images, two threads wait for each other
    raw = read(arguments.source)
    order = np.random.default_rng(0).permutation(np.flatnonzero(~raw.is_test))
    if not 1 <= arguments.draws <= DRAWS:
        parser.error(f"--draws={arguments.draws}; 1 to {DRAWS} can be drawn so that no image is in two of them.")
    count = IMAGES if arguments.part == "grid" else arguments.draws * OF_A_DRAW
    data = DATA.get(arguments.source.name, arguments.source.name)

    def features(rows: np.ndarray, name: str) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            return np.array(
                stored_features(arguments.features or Path(folder), raw.images[rows], name, BACKBONE, PIXELS)
            )

    x, y = features(order[:count], f"{count}_of_{arguments.source.name}"), raw.labels[order[:count]].astype(np.int64)
    if arguments.part == "grid":
        title, body = "Against scikit-learn", measure_grid(x, y)
    else:
        tested = np.flatnonzero(raw.is_test)
        right = raw.labels[tested].astype(np.int64)
        of_test = rooted(features(tested, f"test_of_{arguments.source.name}"))
        title = f"What is promised: {data}"
        body = measure_draws(data, rooted(x), y, of_test, right, arguments.draws)
    text = RESULT.read_text(encoding="utf-8") if RESULT.is_file() else ""
    publish(with_section(text, title, body), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
