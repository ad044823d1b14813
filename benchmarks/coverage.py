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
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special, stats

from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.resampled import corrected_resampled
from vision_studies.statistics.scores import Metric, scores
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
FOLDED = (
    (50, 5, 1, 0.25),
    (100, 3, 1, 0.25),
    (100, 5, 1, 0.12),
    (100, 5, 1, 0.25),
    (100, 5, 1, 0.5),
    (100, 10, 1, 0.25),
    (300, 5, 1, 0.25),
    (60, 5, 3, 0.25),
    (100, 5, 5, 0.25),
    (300, 5, 3, 0.5),
)
"""Images, folds, seeds, and how far class means lie apart."""


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


_NEW = 4000  # images on which the networks of a cross-validation are tested besides


def cross_validation(
    random: np.random.Generator, images: int, count: int, seeds: int = 1, *, apart: float = 0.25, new_images: int = 0
) -> tuple[list[Evidence], float]:
    """A cross-validation of two equally good learners, and the accuracy of the first one's networks on so many new images.

    The learners take the nearer of two class means, each on ten of twenty equally good features, whose class means lie `apart`
    of the middle; with several seeds each network is moved by chance.
    """
    labels, new_labels = random.integers(0, 2, images), random.integers(0, 2, new_images)
    features, new = (
        random.normal(size=(len(own), 20)) + apart * (2 * own[:, None] - 1) for own in (labels, new_labels)
    )
    fold = random.permutation(images) % count
    right = np.zeros((2, seeds, images), dtype=bool)
    accuracies = []
    for one in range(count):
        train, test = fold != one, fold == one
        for learner, columns in enumerate((slice(0, 10), slice(10, 20))):
            known, own = features[train][:, columns], labels[train]
            zero, first = known[own == 0].mean(axis=0), known[own == 1].mean(axis=0)
            for seed in range(seeds):
                direction = first - zero + (0.15 * random.normal(size=10) if seeds > 1 else 0)
                middle = (zero + first) / 2
                right[learner, seed, test] = ((features[test][:, columns] - middle) @ direction > 0) == labels[test]
                if learner == 0 and new_images:
                    accuracies.append((((new[:, columns] - middle) @ direction > 0) == new_labels).mean())
    places, numbers = np.arange(images), np.arange(seeds)
    none = np.zeros(images, dtype=np.int64)
    evidence = [
        Evidence.of_images(f"v{n}", numbers, places, none, correct=own, folds=fold) for n, own in enumerate(right)
    ]
    return evidence, float(np.mean(accuracies)) if accuracies else float("nan")


def by_fold(evidence: Evidence) -> np.ndarray:
    """Accuracy of each fold, mean over seeds."""
    assert evidence.folds is not None
    return np.array([evidence.correct[:, evidence.folds == one].mean() for one in np.unique(evidence.folds)])


def folds(images: int, count: int, repetitions: int, seeds: int = 1) -> tuple[float, float, float]:
    """Shares of cross-validations of two equally good learners that tell a difference: ours, the corrected test of the folds
    alone, and a plain t-test of them.
    """
    random = np.random.default_rng(0)
    own, corrected, plain = [], [], []
    test = images // count
    for _ in range(repetitions):
        [first, second], _ = cross_validation(random, images, count, seeds)
        found = by_fold(first) - by_fold(second)
        own.append(compare([first, second], 1, 1 - LEVEL)[0].p <= LEVEL)
        corrected.append(corrected_resampled(found, train=images - test, test=test).p <= LEVEL)
        plain.append(np.ptp(found) > 0 and stats.ttest_1samp(found, 0).pvalue <= LEVEL)
    return float(np.mean(own)), float(np.mean(corrected)), float(np.mean(plain))


def covers_folds(
    images: int, count: int, seeds: int, apart: float, repetitions: int
) -> tuple[float, float, float, float, float]:
    """The accuracy that such networks have on average; the shares of intervals that cover it: ours, those without the factor
    for folds, those of the corrected test; and the mean width of ours.
    """
    random = np.random.default_rng(0)
    studies = [cross_validation(random, images, count, seeds, apart=apart, new_images=_NEW) for _ in range(repetitions)]
    truth = float(np.mean([accuracy for _, accuracy in studies]))
    own = intervals([evidence for [evidence, _], _ in studies])
    alone = intervals([replace(evidence, folds=None) for [evidence, _], _ in studies])
    test = images // count
    corrected = [corrected_resampled(by_fold(evidence), train=images - test, test=test) for [evidence, _], _ in studies]
    inside = [float(np.mean([one.low <= truth <= one.high for one in found])) for found in (own, alone, corrected)]
    return truth, inside[0], inside[1], inside[2], float(np.mean([one.high - one.low for one in own]))


def of_classes(random: np.random.Generator, images: int, seeds: int, strength: float, effect: float = 0.05) -> Evidence:
    """Probabilities of five classes of unlike size."""
    labels = np.sort(random.choice(5, images, p=[0.4, 0.25, 0.15, 0.12, 0.08]))
    logits = 0.8 * random.standard_normal((1, images, 5)) + 0.6 * random.standard_normal((seeds, images, 5))
    logits[:, np.arange(images), labels] += strength + effect * random.standard_normal((seeds, 1))
    logits *= 1.5  # too confident
    probabilities = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities = (probabilities / probabilities.sum(axis=2, keepdims=True)).astype(np.float32)
    return Evidence.of_images("v", np.arange(seeds), np.arange(images), labels, probabilities=probabilities)


def derived(metric: Metric, images: int, seeds: int, strength: float, repetitions: int) -> tuple[float, float, float]:
    """The metric in the population, and shares of intervals that cover it: ours, and the percentiles of the bootstrap."""
    random = np.random.default_rng(0)
    # Calibration error needs many images of one network, the others many networks.
    size, of_seeds, times = (100_000, 6, 4) if metric == "calibration_error" else (5000, 100, 12)
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
    for metric in names:
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
    """Errors over folds."""
    rows = []
    for images, count, seeds in ((50, 5, 1), (100, 5, 1), (100, 10, 1), (300, 10, 1), (100, 5, 3)):
        own, corrected, plain = folds(images, count, repetitions, seeds)
        rows.append([str(images), str(count), str(seeds), f"**{percent(own)}**", percent(corrected), percent(plain)])
    heads = ["images", "folds", "seeds", "told (%)", "by the corrected test alone (%)", "by a plain t-test (%)"]
    return table(heads, rows)


def fold_accuracy_table(repetitions: int) -> str:
    """Coverage of accuracies by cross-validation."""
    rows = []
    for setting in FOLDED:
        truth, own, alone, corrected, width = covers_folds(*setting, repetitions)
        images, count, seeds, _ = setting
        shares = [f"**{percent(own)}**", f"{100 * width:.1f}", percent(alone), percent(corrected)]
        rows.append([str(images), str(count), str(seeds), f"{truth:.2f}", *shares])
    heads = ["images", "folds", "seeds", "accuracy", "covers (%)", "width (points)"]
    return table([*heads, "without the factor k / (k - 1) (%)", "corrected test (%)"], rows)


TABLES: dict[str, Callable[[int], str]] = {
    "accuracy": lambda repetitions: accuracy_table(SETTINGS, repetitions),
    "wide": lambda repetitions: accuracy_table(WIDE, repetitions),
    "derived": lambda repetitions: derived_table(max(200, repetitions // 2)),
    "differences": difference_table,
    "families": lambda repetitions: family_table(max(100, repetitions // 5)),
    "equivalence": lambda repetitions: equivalence_table(max(200, repetitions // 4)),
    "power": lambda repetitions: power_table(max(100, repetitions // 8)),
    "folds": fold_table,
    "fold_accuracy": lambda repetitions: fold_accuracy_table(max(200, repetitions // 4)),
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
