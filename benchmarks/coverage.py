"""How often the intervals cover, the tests err and the predictions of power hold, on data whose truth is known.

    python -m benchmarks.coverage [--write] [--repetitions 2000]

A run of seed s is right on image i where `mean + seed[s] + image[i] + own[i] + rest[s, i]` is above 0: normal draws, of which
that of the image is shared by all variants and `own` belongs to one. The variances of image, own and rest are 0.5, 0.15 and
0.35; that of the seed is what a setting says. The accuracy in the population of seeds and images is then known exactly. With
--write the tables of docs/intervals.md are made anew.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special, stats

from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.scores import Metric, SelectiveAccuracy, scores
from vision_studies.statistics.simultaneous import Difference, compare
from vision_studies.statistics.two_way import bootstrap, intervals

PAGE = Path(__file__).parents[1] / "docs" / "intervals.md"
IMAGE, OWN, REST = 0.5, 0.15, 0.35
WEAK, STRONG = 0.01, 0.15
LEVEL = 0.05
_FEW = 0.2


@dataclass(frozen=True)
class Setting:
    """A study: test images, seeds, accuracy in the population and the standard deviation of the seeds' effect."""

    images: int
    seeds: int
    accuracy: float
    effect: float

    @property
    def mean(self) -> float:
        """Of the normal variable whose sign says whether an image is right."""
        return mean_of(self.accuracy, self.effect)

    @property
    def cells(self) -> list[str]:
        """Of a table."""
        seed_points = 100 * special.ndtr(self.mean + self.effect * np.array([-1, 1]))
        spread = float(np.ptp(seed_points)) / 2
        return [f"{self.images:,}", str(self.seeds), f"{self.accuracy:g}", f"{spread:.2f}"]


SETTINGS = (
    Setting(20, 1, 0.75, WEAK),
    Setting(20, 10, 0.5, STRONG),
    Setting(50, 5, 0.75, STRONG),
    Setting(100, 1, 0.9, STRONG),
    Setting(100, 3, 0.9, STRONG),
    Setting(200, 5, 0.9, WEAK),
    Setting(300, 10, 0.95, WEAK),
    Setting(1000, 2, 0.9, STRONG),
    Setting(1000, 10, 0.99, WEAK),
    Setting(2000, 5, 0.99, STRONG),
    Setting(10_000, 3, 0.95, STRONG),
    Setting(10_000, 10, 0.5, WEAK),
)
WIDE = (
    Setting(20, 1, 0.99, WEAK),
    Setting(20, 5, 0.9, WEAK),
    Setting(100, 10, 0.99, WEAK),
    Setting(300, 2, 0.9, WEAK),
    Setting(1000, 3, 0.9, WEAK),
    Setting(1000, 3, 0.99, WEAK),
)
PAIRS = (
    Setting(20, 1, 0.75, WEAK),
    Setting(50, 3, 0.9, STRONG),
    Setting(300, 2, 0.9, STRONG),
    Setting(300, 5, 0.9, WEAK),
    Setting(1000, 10, 0.99, WEAK),
    Setting(10_000, 3, 0.95, WEAK),
    Setting(10_000, 5, 0.95, STRONG),
)
FAMILIES = (
    (5, Setting(200, 1, 0.9, WEAK)),
    (5, Setting(200, 3, 0.9, WEAK)),
    (5, Setting(1000, 3, 0.9, STRONG)),
    (10, Setting(1000, 5, 0.9, WEAK)),
    (20, Setting(300, 5, 0.95, STRONG)),
)
EQUAL = (
    (0.05, Setting(500, 3, 0.9, WEAK)),
    (0.03, Setting(1000, 5, 0.9, WEAK)),
    (0.02, Setting(5000, 5, 0.9, STRONG)),
    (0.01, Setting(10_000, 10, 0.95, WEAK)),
)
PILOTS = (
    (0.03, Setting(1000, 3, 0.9, STRONG)),
    (0.03, Setting(1000, 5, 0.9, STRONG)),
    (0.02, Setting(3000, 10, 0.9, STRONG)),
    (0.03, Setting(300, 5, 0.9, WEAK)),
    (0.01, Setting(1000, 10, 0.95, WEAK)),
)


def mean_of(accuracy: float, effect: float) -> float:
    """Of the normal variable that is above 0 with this probability."""
    return float(special.ndtri(accuracy)) * float(np.sqrt(1 + effect**2))


def study(
    random: np.random.Generator, setting: Setting, means: Sequence[float]
) -> tuple[list[Evidence], list[np.ndarray]]:
    """A variant for each mean, on the same images; and the effects of its seeds."""

    def draw(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32)

    hard = np.float32(np.sqrt(IMAGE)) * draw(setting.images)
    labels = np.zeros(setting.images, dtype=np.int64)
    evidence: list[Evidence] = []
    effects: list[np.ndarray] = []
    for number, mean in enumerate(means):
        effect = setting.effect * draw(setting.seeds)
        shift = np.float32(mean) + hard + np.float32(np.sqrt(OWN)) * draw(setting.images)
        noise = np.float32(np.sqrt(REST)) * draw(setting.seeds, setting.images)
        right = noise + shift + effect[:, None] > 0
        images, seeds = np.arange(setting.images), np.arange(setting.seeds)
        evidence.append(Evidence.of_images(f"v{number}", seeds, images, labels, correct=right))
        effects.append(effect)
    return evidence, effects


def covered(setting: Setting, repetitions: int, start: int = 0, *, others: int = 200) -> list[float]:
    """Shares of intervals that cover, lie above and below the truth, and their mean width; then the shares of others.

    The others are the percentiles of the two-way bootstrap, Student's interval over seeds and Wilson's over images, which is
    that of a single run; they are made of the first `others` studies.
    """
    random = np.random.default_rng(start)
    evidence, truth = [], []
    shares: list[list[bool]] = [[], [], []]
    for _ in range(repetitions):
        [own], [effect] = study(random, setting, [setting.mean])
        # One seed: the accuracy of that very network on all images that there are.
        true = float(special.ndtr(setting.mean + effect[0])) if setting.seeds == 1 else setting.accuracy
        evidence.append(own)
        truth.append(true)
        if len(evidence) <= others:  # their errors are not small ones
            drawn = np.quantile(bootstrap([own], draws=399), [LEVEL / 2, 1 - LEVEL / 2])
            shares[0].append(drawn[0] <= true <= drawn[1])
            one = stats.binomtest(int(own.correct[0].sum()), setting.images).proportion_ci(method="wilson")
            shares[2].append(one.low <= true <= one.high)
            if setting.seeds > 1:
                half = special.stdtrit(setting.seeds - 1, 1 - LEVEL / 2) * stats.sem(own.values)
                shares[1].append(abs(own.values.mean() - true) <= half)
    low, high = np.array([(found.low, found.high) for found in intervals(evidence)]).T
    inside = (low <= truth) & (truth <= high)
    own_shares = [inside.mean(), (low > truth).mean(), (high < truth).mean(), (high - low).mean()]
    return [float(value) for value in own_shares] + [float(np.mean(share)) if share else np.nan for share in shares]


def differences(
    setting: Setting, distance: float, repetitions: int, *, margin: float = 0.01, variants: int = 2, start: int = 0
) -> Iterator[list[Difference]]:
    """Comparisons of variants with the first, which is less accurate by this than each of them."""
    random = np.random.default_rng(start)
    means = [setting.mean, *[mean_of(setting.accuracy + distance, setting.effect)] * (variants - 1)]
    for _ in range(repetitions):
        evidence, _ = study(random, setting, means)
        yield compare(evidence, 0, 1 - LEVEL, margin)


def covers_difference(setting: Setting, distance: float, repetitions: int) -> float:
    """Share of the intervals of a difference that cover it."""
    found = [own for [own] in differences(setting, distance, repetitions)]
    return float(np.mean([own.low <= distance <= own.high for own in found]))


def family_error(setting: Setting, variants: int, repetitions: int) -> tuple[float, float]:
    """Shares of studies without any difference in which one is told: together, and each interval as though alone."""
    together, alone = [], []
    random = np.random.default_rng(0)
    for _ in range(repetitions):
        evidence, _ = study(random, setting, [setting.mean] * variants)
        together.append(any(own.p <= LEVEL for own in compare(evidence, 0, 1 - LEVEL)))
        alone.append(any(compare([own, evidence[0]], 1, 1 - LEVEL)[0].p <= LEVEL for own in evidence[1:]))
    return float(np.mean(together)), float(np.mean(alone))


def equivalence(setting: Setting, margin: float, repetitions: int) -> tuple[float, float]:
    """Shares that are told to be within the margin: where the difference is the margin, and where there is none."""
    shares = [
        np.mean([own.within_margin for [own] in differences(setting, distance, repetitions, margin=margin)])
        for distance in (margin, 0.0)
    ]
    return float(shares[0]), float(shares[1])


def power(setting: Setting, distance: float, margin: float, repetitions: int, *, of: str) -> tuple[float, float, float]:
    """Median prediction of how much more, share of studies with so much more that tell, and how many had a prediction.

    Studies differ by `distance`. Those that cannot tell predict for the difference that they saw, or for the margin if that is
    more; a new study of so much more differs by it.
    """
    wanted, told = [], []
    random = np.random.default_rng(0)
    for [own] in differences(setting, distance, repetitions, margin=margin, start=1):
        more = None if own.needs is None else getattr(own.needs, of)
        if own.needs is None or more is None:
            continue
        wanted.append(more)
        seeds, images = setting.seeds + more * (of == "seeds"), setting.images + more * (of == "images")
        if seeds * images > 2_000_000:  # an outlier that would take minutes: it tells
            told.append(True)
            continue
        better = min(setting.accuracy + own.needs.of, 0.995)
        means = [mean_of(accuracy, setting.effect) for accuracy in (better - own.needs.of, better)]
        evidence, _ = study(random, Setting(images, seeds, setting.accuracy, setting.effect), means)
        told.append(compare(evidence, 0, 1 - LEVEL, margin)[0].says == "better")
    return (
        float(np.median(wanted)) if wanted else np.nan,
        float(np.mean(told)) if told else np.nan,
        len(wanted) / repetitions,
    )


@dataclass(frozen=True)
class Learning:
    """A cross-validation of two classifiers on images of four classes; the networks of each are of one kind.

    The features of an image are normal, or for one in five of it 1.8 times as wide, round the mean of its class; a share of the
    labels is wrong. Each classifier has features of its own unless they are `shared`.

    Attributes:
        kinds: names of classifiers, in `_KINDS`.
        apart: how far the class means of each one's features lie apart.
    """

    kinds: tuple[str, str]
    images: int
    folds: int = 5
    seeds: int = 1
    features: int = 12
    apart: tuple[float, float] = (0.45, 0.45)
    shared: bool = False
    wrong: float = 0.05

    @property
    def cells(self) -> list[str]:
        """Of a table."""
        names = self.kinds[0] if len(set(self.kinds)) == 1 else " and ".join(self.kinds)
        of = f", {self.features} features of both" if self.shared else f", {self.features} features each"
        return [names + of, str(self.images), str(self.folds), str(self.seeds)]


CLASSES = 4
_NEW = 1500  # images on which the networks of a cross-validation are tested besides
_CANDIDATES = 18  # that a choice has been among

LEARNINGS = (
    *(Learning((kind, kind), images) for kind in ("nearest mean", "LDA", "ridge") for images in (150, 300)),
    Learning(("nearest neighbour", "nearest neighbour"), 150),
    Learning(("LDA", "LDA"), 150, folds=10),
    Learning(("LDA", "LDA"), 300, seeds=3),
    Learning(("LDA", "LDA"), 600),
    Learning(("nearest mean", "nearest mean"), 150, apart=(0.2, 0.2)),
    Learning(("nearest mean", "nearest mean"), 300, apart=(1.0, 1.0), wrong=0.02),
    Learning(("LDA", "ridge"), 150, features=40, apart=(0.3, 0.3), shared=True),
    Learning(("LDA", "nearest mean"), 300, features=40, apart=(0.3, 0.3), shared=True),
    Learning(("LDA", "nearest mean"), 300, seeds=3, features=40, apart=(0.3, 0.3), shared=True),
    Learning(("unstable", "unstable"), 150),
    Learning(("unstable", "unstable"), 600),
    Learning(("unstable", "unstable"), 300, seeds=3),
)
POWERS = (
    *((0.487, images, seeds) for images in (150, 300, 600) for seeds in (1, 3)),
    *((0.592, images, seeds) for images in (150, 300, 600) for seeds in (1, 3)),
    *((1.06, images, seeds) for images in (150, 300, 600) for seeds in (1, 3)),
)
"""How far the class means of the better one of two lie apart, images and seeds; of the other one they lie 0.45 apart."""


def _nearest_mean(features: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D, C] and biases [C] of a linear classifier, as of all that follow."""
    means = np.stack([features[labels == label].mean(axis=0) for label in range(CLASSES)])
    return means.T, -np.square(means).sum(axis=1) / 2


def _unstable(features: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Nearest mean with features of a weight that chance gives each network."""
    weights = np.exp(random.normal(size=features.shape[1]))
    directions, biases = _nearest_mean(features * weights, labels, random)
    return weights[:, None] * directions, biases


def _lda(features: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    means = np.stack([features[labels == label].mean(axis=0) for label in range(CLASSES)])
    within = np.cov((features - means[labels]).T, bias=True)
    within = 0.9 * within + 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    directions = np.linalg.solve(within, means.T)
    return directions, -(means * directions.T).sum(axis=1) / 2


def _ridge(features: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    middle, wanted = features.mean(axis=0), np.eye(CLASSES)[labels]
    centred = features - middle
    penalty = 0.1 * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (wanted - wanted.mean(axis=0)))
    return weights, wanted.mean(axis=0) - middle @ weights


_KINDS = {"nearest mean": _nearest_mean, "unstable": _unstable, "LDA": _lda, "ridge": _ridge}


def _predicted(
    kind: str, random: np.random.Generator, features: np.ndarray, labels: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Labels of the features that are asked about, by a classifier that has learnt from others."""
    if kind == "nearest neighbour":
        distances = np.square(features).sum(axis=1) - 2 * asked @ features.T
        return labels[distances.argmin(axis=1)]
    weights, biases = _KINDS[kind](features, labels, random)
    return (asked @ weights + biases).argmax(axis=1)


def cross_validations(
    learning: Learning, repetitions: int, classifiers: int = 2
) -> Iterator[tuple[list[Evidence], np.ndarray]]:
    """Cross-validations on images of their own, and the accuracy of each one's networks on many new images."""
    random, of_means = np.random.default_rng(0), np.random.default_rng(1001)
    means = of_means.normal(size=(CLASSES, learning.features)) * np.exp(
        -np.arange(learning.features) / learning.features
    )
    scale = np.exp(-np.arange(learning.features) / learning.features)
    kinds = (learning.kinds * classifiers)[:classifiers]
    apart = (learning.apart * classifiers)[:classifiers]
    images, number = learning.images, learning.images + _NEW
    for _ in range(repetitions):
        labels = random.integers(0, CLASSES, number)
        noise = [
            scale
            * random.normal(size=(number, learning.features))
            * np.where(random.random(number) < 0.2, 1.8, 1)[:, None]
            for _ in range(1 if learning.shared else classifiers)
        ]
        features = [
            own + size * means[labels] for own, size in zip(noise * (classifiers // len(noise)), apart, strict=True)
        ]
        wrong = random.random(number) < learning.wrong
        labels[wrong] = random.integers(0, CLASSES, int(wrong.sum()))
        right, folds = np.zeros((classifiers, learning.seeds, images), dtype=bool), []
        accuracies = np.zeros(classifiers)
        for seed in range(learning.seeds):
            order = np.lexsort((random.random(images), labels[:images]))
            folds.append(np.empty(images, dtype=np.int64))
            folds[seed][order] = np.arange(images) % learning.folds
            for fold, place in product(range(learning.folds), range(classifiers)):
                [test] = np.nonzero(folds[seed] == fold)
                [train] = np.nonzero(folds[seed] != fold)
                new = np.arange(images, number) if seed == 0 else test[:0]
                asked = np.concatenate([test, new])
                own = features[place]
                said = _predicted(kinds[place], random, own[train], labels[train], own[asked]) == labels[asked]
                right[place, seed, test] = said[: len(test)]
                accuracies[place] += said[len(test) :].mean() / learning.folds if seed == 0 else 0
        places, none = np.arange(images), np.zeros(images, dtype=np.int64)
        evidence = [
            Evidence.of_images(f"v{n}", np.arange(learning.seeds), places, none, correct=own, folds=np.stack(folds))
            for n, own in enumerate(right)
        ]
        yield evidence, accuracies


def by_fold(evidence: Evidence) -> np.ndarray:
    """Accuracy of each fold [seeds * folds]."""
    assert evidence.folds is not None
    return np.array(
        [
            right[folds == one].mean()
            for right, folds in zip(evidence.correct, evidence.folds, strict=True)
            for one in np.unique(folds)
        ]
    )


def corrected_resampled(values: np.ndarray, folds: int, level: float = LEVEL) -> tuple[float, float]:
    """Mean and half the width of its interval by the corrected resampled test, which takes what folds differ by for all that
    there is (Nadeau and Bengio 2003; of several seeds of folds: Bouckaert and Frank 2004).
    """
    error = np.sqrt((1 / len(values) + 1 / (folds - 1)) * values.var(ddof=1))
    return float(values.mean()), float(stats.t.ppf(1 - level / 2, len(values) - 1) * error)


@dataclass(frozen=True)
class OfFolds:
    """Shares of cross-validations: see the columns of `fold_table`."""

    accuracy: float
    difference: float
    covers: float
    width: float
    covers_difference: float
    told: float
    corrected: float
    plain: float


def of_folds(learning: Learning, repetitions: int) -> OfFolds:
    """Coverage of an accuracy and of a difference by cross-validation, and the error at equality."""
    studies = list(cross_validations(learning, repetitions))
    truth, other = np.mean([accuracies for _, accuracies in studies], axis=0)
    equal = len(set(learning.kinds)) == 1
    difference = 0.0 if equal else truth - other
    own = intervals([evidence[0] for evidence, _ in studies])
    differences = [compare(evidence, 1, 1 - LEVEL)[0] for evidence, _ in studies]
    values = [by_fold(first) - by_fold(second) for (first, second), _ in studies]
    corrected = [corrected_resampled(found, learning.folds) for found in values]
    plain = [np.ptp(found) > 0 and stats.ttest_1samp(found, 0).pvalue <= LEVEL for found in values]
    return OfFolds(
        float(truth),
        float(difference),
        float(np.mean([one.low <= truth <= one.high for one in own])),
        float(np.mean([one.high - one.low for one in own])),
        float(np.mean([one.low <= difference <= one.high for one in differences])),
        float(np.mean([one.says in ("better", "worse") for one in differences])) if equal else np.nan,
        float(np.mean([abs(value) > half for value, half in corrected])) if equal else np.nan,
        float(np.mean(plain)) if equal else np.nan,
    )


def fold_power(learning: Learning, repetitions: int) -> tuple[float, float, float, float, float]:
    """The difference of two learners, and the shares of cross-validations that tell it: ours and the corrected test, alone and
    as one of many comparisons (each at its share of the level).
    """
    studies = list(cross_validations(learning, repetitions))
    truth, other = np.mean([accuracies for _, accuracies in studies], axis=0)
    shares = []
    for level in (LEVEL, LEVEL / _CANDIDATES):
        shares.append(np.mean([compare(evidence, 1, 1 - level)[0].says == "better" for evidence, _ in studies]))
        values = [by_fold(first) - by_fold(second) for (first, second), _ in studies]
        halves = [corrected_resampled(found, learning.folds, level) for found in values]
        shares.append(np.mean([value > half for value, half in halves]))
    return (float(truth - other), *map(float, shares))  # type: ignore[return-value] # four


def fold_family_error(learning: Learning, classifiers: int, repetitions: int) -> float:
    """Share of cross-validations of so many equally good classifiers in which anything is told."""
    told = [
        any(own.says in ("better", "worse") for own in compare(evidence, 0, 1 - LEVEL))
        for evidence, _ in cross_validations(learning, repetitions, classifiers)
    ]
    return float(np.mean(told))


def of_classes(random: np.random.Generator, images: int, seeds: int, strength: float, effect: float = 0.05) -> Evidence:
    """Probabilities of five classes of unlike size."""
    labels = np.sort(random.choice(5, images, p=[0.4, 0.25, 0.15, 0.12, 0.08]))
    logits = 0.8 * random.standard_normal((1, images, 5)) + 0.6 * random.standard_normal((seeds, images, 5))
    logits[:, np.arange(images), labels] += strength + effect * random.standard_normal((seeds, 1))
    logits *= 1.5  # too confident
    probabilities = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities = (probabilities / probabilities.sum(axis=2, keepdims=True)).astype(np.float32)
    return Evidence.of_images("v", np.arange(seeds), np.arange(images), labels, probabilities=probabilities)


_OF_MANY_IMAGES = ("calibration_error", "sweep_calibration_error")


def derived(metric: Metric, images: int, seeds: int, strength: float, repetitions: int) -> tuple[float, float, float]:
    """The metric in the population, and shares of intervals that cover it: ours, and the percentiles of the bootstrap."""
    random = np.random.default_rng(0)
    # Calibration error needs many images of one network, the others many networks.
    size, of_seeds, times = (100_000, 6, 4) if metric in _OF_MANY_IMAGES else (5000, 100, 12)
    large = [scores(of_classes(random, size, of_seeds, strength), metric) for _ in range(times)]
    truth = float(np.mean([found.each.mean() for found in large if not isinstance(found, str)]))
    evidence = [of_classes(random, images, seeds, strength) for _ in range(repetitions)]
    inside = [found.low <= truth <= found.high for found in intervals(evidence, metric)]
    drawn = np.quantile(bootstrap(evidence[: repetitions // 10], metric, draws=199), [LEVEL / 2, 1 - LEVEL / 2], axis=1)
    return truth, float(np.mean(inside)), float(np.mean((drawn[0] <= truth) & (truth <= drawn[1])))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [heads, ["---:"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def percent(share: float) -> str:
    """With a decimal, or a dash."""
    return "–" if np.isnan(share) else f"{100 * share:.1f}"


STUDY = ("test images", "seeds", "accuracy", "seed sd (points)")


def accuracy_table(settings: Sequence[Setting], repetitions: int) -> str:
    """Coverage of accuracy."""
    heads = [*STUDY, "covers (%)", "too high (%)", "too low (%)", "width (points)"]
    heads += ["bootstrap of both (%)", "Student over seeds (%)", "Wilson over images of one run (%)"]
    rows = []
    for setting in settings:
        inside, above, below, width, *others = covered(setting, repetitions)
        rows.append([*setting.cells, f"**{percent(inside)}**", percent(above), percent(below), f"{100 * width:.2f}"])
        rows[-1] += [percent(other) for other in others]
    return table(heads, rows)


def derived_table(repetitions: int) -> str:
    """Coverage of other metrics."""
    rows = []
    names: tuple[Metric, ...] = ("balanced_accuracy", "macro_f1", "log_loss", "brier", "calibration_error")
    selective: tuple[Metric, ...] = ("sweep_calibration_error", SelectiveAccuracy(0.9), "aurc")
    for metric in names + selective:
        for images, seeds, strength in ((100, 3, 1.5), (500, 5, 2.5), (3000, 5, 1.5)):
            truth, own, drawn = derived(metric, images, seeds, strength, repetitions)
            name = str(metric).replace("_", " ")
            rows.append([name, f"{images:,}", str(seeds), f"{truth:.3f}", f"**{percent(own)}**", percent(drawn)])
    heads = ["metric", "test images", "seeds", "in the population", "covers (%)", "percentiles of the bootstrap (%)"]
    return table(heads, rows)


def difference_table(repetitions: int) -> str:
    """Coverage of differences."""
    rows = []
    for setting in PAIRS:
        shares = [
            covers_difference(setting, distance, repetitions) for distance in (0.0, min(0.02, 0.995 - setting.accuracy))
        ]
        rows.append([*setting.cells, *(f"**{percent(share)}**" for share in shares)])
    return table([*STUDY, "no difference: covers (%)", "a difference: covers (%)"], rows)


def family_table(repetitions: int) -> str:
    """Family-wise error."""
    rows = []
    for variants, setting in FAMILIES:
        together, alone = family_error(setting, variants, repetitions)
        rows.append([str(variants), *setting.cells, f"**{percent(together)}**", percent(alone)])
    return table(["variants", *STUDY, "any told, together (%)", "any told, each as though alone (%)"], rows)


def equivalence_table(repetitions: int) -> str:
    """Size and power of equivalence."""
    rows = []
    for margin, setting in EQUAL:
        size, found = equivalence(setting, margin, repetitions)
        rows.append([f"{100 * margin:g}", *setting.cells, f"**{percent(size)}**", percent(found)])
    return table(["margin (points)", *STUDY, "differs by the margin: told (%)", "equal: told (%)"], rows)


def power_table(repetitions: int) -> str:
    """Whether predictions of power hold."""
    rows = []
    for (margin, setting), share in product(PILOTS, (0, 1, 2)):
        row = [f"{100 * margin:g}", *setting.cells, f"{100 * share * margin:g}"]
        for of in ("seeds", "images"):
            wanted, told, had = power(setting, share * margin, margin, repetitions, of=of)
            enough = had >= _FEW  # fewer say nothing of a share
            row += [f"{wanted:,.0f}" if enough else "–", f"**{percent(told)}**" if enough else "–", percent(had)]
        rows.append(row)
    heads = ["margin (points)", *STUDY, "differ by (points)"]
    for of in ("seeds", "images"):
        heads += [f"{of} more (median)", f"with these {of}: told (%)", "pilots with such a number (%)"]
    return table(heads, rows)


def fold_table(repetitions: int) -> str:
    """Coverage and errors over folds."""
    rows = []
    for learning in LEARNINGS:
        found = of_folds(learning, repetitions)
        shares = [f"**{percent(found.covers)}**", f"{100 * found.width:.1f}", f"{100 * found.difference:.1f}"]
        shares += [f"**{percent(found.covers_difference)}**", *map(percent, (found.corrected, found.plain))]
        rows.append([*learning.cells, f"{found.accuracy:.2f}", *shares])
    heads = [
        "classifiers",
        "images",
        "folds",
        "seeds",
        "accuracy",
        "covers (%)",
        "width (points)",
        "differ by (points)",
    ]
    heads += ["difference: covers (%)", "equal: told by the corrected test (%)", "by a plain t-test (%)"]
    return table(heads, rows)


def fold_power_table(repetitions: int) -> str:
    """What is told of differences by cross-validation."""
    rows = []
    for apart, images, seeds in POWERS:
        learning = Learning(("LDA", "LDA"), images, seeds=seeds, apart=(apart, 0.45))
        difference, *shares = fold_power(learning, repetitions)
        alone, corrected, among, corrected_among = map(percent, shares)
        sizes = [f"{100 * difference:.1f}", str(images), str(seeds)]
        rows.append([*sizes, f"**{alone}**", corrected, f"**{among}**", corrected_among])
    heads = ["differ by (points)", "images", "seeds", "told (%)", "by the corrected test (%)"]
    return table([*heads, f"one of {_CANDIDATES}: told (%)", "by the corrected test (%)"], rows)


def fold_family_table(repetitions: int) -> str:
    """Family-wise error over folds."""
    rows = []
    for classifiers, images, seeds in ((6, 150, 1), (6, 150, 3), (12, 300, 1)):
        learning = Learning(("LDA", "LDA"), images, seeds=seeds)
        error = fold_family_error(learning, classifiers, repetitions)
        rows.append([str(classifiers), str(images), str(seeds), f"**{percent(error)}**"])
    return table(["classifiers", "images", "seeds", "any told, together (%)"], rows)


TABLES: dict[str, Callable[[int], str]] = {
    "accuracy": lambda repetitions: accuracy_table(SETTINGS, repetitions),
    "wide": lambda repetitions: accuracy_table(WIDE, repetitions),
    "derived": lambda repetitions: derived_table(max(200, repetitions // 2)),
    "differences": difference_table,
    "families": lambda repetitions: family_table(max(100, repetitions // 5)),
    "equivalence": lambda repetitions: equivalence_table(max(200, repetitions // 4)),
    "power": lambda repetitions: power_table(max(100, repetitions // 8)),
    "folds": fold_table,
    "fold_power": lambda repetitions: fold_power_table(max(100, repetitions // 3)),
    "fold_families": lambda repetitions: fold_family_table(max(100, repetitions // 3)),
}


def written(page: str, name: str, text: str) -> str:
    """The page with this table in its place."""
    start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), flags=re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(
            f"{PAGE.name} has no place for the table '{name}': {start.strip()} and {end} belong around it."
        )
    return pattern.sub(lambda _: f"{start}\n{text}\n\n{end}", page)


def main() -> None:
    """Simulate, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write the tables of {PAGE.name}")
    parser.add_argument("--repetitions", type=int, default=2000, help="of each setting; the slower ones take a part")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    for name in arguments.tables:
        begun = time.perf_counter()
        text = TABLES[name](arguments.repetitions)
        print(f"{name} ({time.perf_counter() - begun:.0f} s)\n\n{text}\n", flush=True)
        if arguments.write:
            PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    main()
