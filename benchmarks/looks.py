"""How often studies err that add seeds until enough is known, and what that costs beside a number of seeds that is fixed.

    python -m benchmarks.looks [--write] [--studies 1000] [--draws 100000]

Three simulations. `boundaries`: how wide intervals are after so many seeds, by rule, and how often seeds that differ by chance
alone are told apart at any look. `errors`: the house's interval over seeds and images, where both are normal and images are
many, for every share of the variance that seeds can have; nothing differs. `simulated`: whole studies of images that are named
right or wrong, as in `benchmarks.coverage`, with the looks of `vision_studies.statistics.looks` at validation images and a
verdict on test images; the seeds are the same on both.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import special

from benchmarks.coverage import Setting, mean_of, study
from benchmarks.publish import publish
from benchmarks.training_step import machine
from vision_studies.statistics.components import Spread, half_width
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.looks import LEVEL, Looks, look
from vision_studies.statistics.simultaneous import Difference, compare

RESULT = Path(__file__).parent / "results" / "looks.md"
LOOKS = Looks(3, 12)
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0)
MARGIN = 0.01
GOES_TO = (5, 7, 10)  # seeds after which an interval of the true variance would be narrow enough, in `errors`
AS_GOOD = 1.2  # half widths that are asked for in a margin, in `errors`


def boundaries(draws: int, looks: Looks = LOOKS) -> dict[str, tuple[np.ndarray, float]]:
    """Rule -> half the width [looks] after each number of seeds, in standard errors, and how often it errs at any look."""
    drawn = np.random.default_rng(1).standard_normal((looks.most, draws))
    every = np.arange(1, looks.most + 1)[:, None]
    total, squares = drawn.cumsum(axis=0), (drawn**2).cumsum(axis=0)
    first = looks.first - 1
    variance = (squares - total**2 / every)[first:] / (every[first:] - 1)
    seeds = np.arange(looks.first, looks.most + 1)
    told = np.abs(total[first:]) / np.sqrt(seeds[:, None] * variance)
    normal = -special.ndtri(special.stdtr(seeds[:, None] - 1, -told))
    part = seeds / looks.most

    def weighted(power: float) -> np.ndarray:
        bound = np.quantile((normal * part[:, None] ** power).max(axis=0), 1 - LEVEL) / part**power
        return np.asarray(-special.stdtrit(seeds - 1, special.ndtr(-bound)))

    own = np.array([looks.level(number) for number in seeds.tolist()])
    rules = {
        "a fixed number, and looked at all the same": -special.stdtrit(seeds - 1, LEVEL / 2),
        "this rule: Wang and Tsiatis (1987), power 1/4": -special.stdtrit(seeds - 1, own / 2),
        "equal levels: Pocock (1977)": weighted(0.0),
        "late levels: O'Brien and Fleming (1979)": weighted(0.5),
        "equal levels: Bonferroni": -special.stdtrit(seeds - 1, LEVEL / len(seeds) / 2),
        "valid at any time: mixture of t, Wang and Ramdas (2023)": _any_time(seeds),
    }
    found = {name: (bound, float((told > bound[:, None]).any(axis=0).mean())) for name, bound in rules.items()}
    last = -special.stdtrit(seeds - 1, looks.final_level(LEVEL) / 2)
    return found | {"this rule, on test images, once seeds have ended": (last, float("nan"))}


def _any_time(seeds: np.ndarray, precision: float = 1.0) -> np.ndarray:
    """Where the mixture of likelihood ratios of t over a normal prior of the standardised mean exceeds 1 / LEVEL."""
    whole = seeds + precision
    explained = whole * (1 - (LEVEL * np.sqrt(precision / whole)) ** (2 / seeds))
    rest = seeds - explained
    return np.where(rest > 0, np.sqrt(np.maximum(explained * (seeds - 1), 0) / np.where(rest > 0, rest, 1)), np.inf)


@dataclass(frozen=True)
class Errors:
    """Shares of studies that tell a difference where there is none.

    Attributes:
        any_look: at one look or more at validation images.
        at_end: at the last look.
        on_test: on test images, by the interval that is corrected for how seeds ended.
        uncorrected: on test images, by the interval of so many seeds fixed beforehand.
        seeds: mean number.
    """

    any_look: float
    at_end: float
    on_test: float
    uncorrected: float
    seeds: float


def errors(share: float, draws: int, goes_to: int = 7, looks: Looks = LOOKS) -> Errors:
    """Of normal seeds and images.

    Args:
        share: of seeds in the variance of the mean of all seeds, the rest is of images.
        draws: studies.
        goes_to: the width is asked for which so many seeds have, if they vary as much as they seem to.
        looks: that are taken.
    """
    random = np.random.default_rng(2)
    of_seed, of_image = share * looks.most, 1 - share
    effects = np.sqrt(of_seed) * random.standard_normal((looks.most, draws))
    on_validation, on_test = np.sqrt(of_image) * random.standard_normal((2, draws))

    def half(level: float, seeds: int, variance: np.ndarray) -> np.ndarray:
        none = np.zeros_like(variance)
        return half_width(level, Spread(variance / seeds, none, none + of_image, np.full(variance.shape, seeds - 1)))

    asked = float(half(looks.level(goes_to), goes_to, np.array([of_seed]))[0])
    final = looks.final_level(LEVEL)
    ended, any_look = np.zeros(draws, dtype=bool), np.zeros(draws, dtype=bool)
    told = np.zeros((3, draws), dtype=bool)
    number = np.full(draws, looks.most)
    for seeds in range(looks.first, looks.most + 1):
        mean, variance = effects[:seeds].mean(axis=0), effects[:seeds].var(axis=0, ddof=1)
        wide, plain = half(looks.level(seeds), seeds, variance), half(LEVEL, seeds, variance)
        seen = np.abs(mean + on_validation)
        any_look |= seen > wide
        enough = (wide <= asked) | (seen + wide <= AS_GOOD * asked) | (seeds == looks.most)
        now = enough & ~ended
        tested = np.abs(mean + on_test)
        told[:, now] = np.stack([seen > wide, tested > half(final, seeds, variance), tested > plain])[:, now]
        number[now] = seeds
        ended |= enough
    return Errors(float(any_look.mean()), *told.mean(axis=1).tolist(), float(number.mean()))


@dataclass(frozen=True)
class Case:
    """Studies of so many validation images, and as many test images.

    Attributes:
        images: of each.
        accuracy: of the first variant.
        effect: standard deviation of the seeds' effect, see `benchmarks.coverage`.
        asked: half a width that is narrow enough, a fraction.
        difference: of the others from the first one, a fraction.
        variants: all of them.
    """

    images: int
    accuracy: float
    effect: float
    asked: float
    difference: float = 0.0
    variants: int = 2

    @property
    def cells(self) -> list[str]:
        """Of a table."""
        *_, spread = Setting(self.images, 1, self.accuracy, self.effect).cells
        asked, difference = f"{100 * self.asked:g}", f"{100 * self.difference:g}"
        return [f"{self.images:,}", f"{self.accuracy:g}", spread, str(self.variants), difference, asked]


NULL = (
    Case(500, 0.75, 0.05, 0.03),
    Case(1000, 0.9, 0.15, 0.03),
    Case(2000, 0.95, 0.03, 0.01),
    Case(5000, 0.9, 0.01, 0.0075),
    Case(5000, 0.9, 0.03, 0.0075),
    Case(5000, 0.9, 0.15, 0.02),
    Case(2000, 0.9, 0.05, 0.015, variants=4),
)
MARGINAL = (Case(5000, 0.95, 0.01, 0.004, MARGIN), Case(5000, 0.95, 0.03, 0.004, MARGIN))
COSTS = tuple(
    Case(5000, 0.9, effect, asked, difference)
    for effect, asked in ((0.03, 0.0075), (0.15, 0.02))
    for difference in (0.0, 0.01, 0.02, 0.04)
)


@dataclass(frozen=True)
class Outcome:
    """What one simulated study says: as `Errors`, and whether it says so with each fixed number of seeds."""

    any_look: bool
    at_end: bool
    on_test: bool
    uncorrected: bool
    as_good: bool
    seeds: int
    fixed: tuple[bool, ...]


def simulated(case: Case, studies: int, looks: Looks = LOOKS, start: int = 0) -> list[Outcome]:
    """Whole studies of a case."""
    random = np.random.default_rng(start)
    setting = Setting(2 * case.images, looks.most, case.accuracy, case.effect)
    other = mean_of(case.accuracy + case.difference, case.effect)
    means = [setting.mean, *[other] * (case.variants - 1)]
    return [_simulated(study(random, setting, means)[0], case, looks) for _ in range(studies)]


def _simulated(evidence: Sequence[Evidence], case: Case, looks: Looks) -> Outcome:
    number, any_look, fixed, found = 0, False, [], None
    for seeds in range(looks.first, looks.most + 1):
        seen = look(
            [_part(own, seeds, slice(0, case.images)) for own in evidence],
            looks,
            seeds,
            asked=case.asked,
            margin=MARGIN,
        )
        any_look |= told(seen.differences)
        tested = [_part(own, seeds, slice(case.images, None)) for own in evidence]
        fixed.append(told(compare(tested, 0, 1 - LEVEL, MARGIN, needs=False)))
        if found is None and seen.reason != "wide":
            on_test = compare(tested, 0, 1 - looks.final_level(LEVEL), MARGIN, needs=False)
            found, number = (seen, on_test), seeds
    if found is None:
        raise RuntimeError("a study has no end")
    last, on_test = found
    as_good = any(one.within_margin for one in (*last.differences, *on_test))
    uncorrected = fixed[number - looks.first]
    return Outcome(any_look, told(last.differences), told(on_test), uncorrected, as_good, number, tuple(fixed))


def _part(evidence: Evidence, seeds: int, images: slice) -> Evidence:
    """The first seeds and some images."""
    places, correct = evidence.images[images], evidence.correct[:seeds, images]
    return Evidence.of_images(evidence.name, evidence.seeds[:seeds], places, evidence.labels[images], correct=correct)


def told(differences: Sequence[Difference]) -> bool:
    """Whether any difference is said to be one."""
    return any(one.low > 0 or one.high < 0 for one in differences)


def mean(outcomes: Sequence[Outcome], name: str) -> float:
    """Of an attribute, over studies."""
    return float(np.mean([getattr(one, name) for one in outcomes]))


def fixed_power(outcomes: Sequence[Outcome], seeds: int, looks: Looks = LOOKS) -> float:
    """Share of studies that tell a difference on test images with so many seeds, fixed beforehand."""
    return float(np.mean([one.fixed[seeds - looks.first] for one in outcomes]))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    line = ["---"] + ["---:"] * (len(head) - 1)
    return [*("| " + " | ".join(row) + " |" for row in (head, line, *rows)), ""]


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def report(studies: int, draws: int) -> str:
    """Markdown."""
    shown = [3, 4, 6, 8, 10, 12]
    wide = [
        [name, *(f"{bound[seeds - LOOKS.first]:.2f}" for seeds in shown), _percent(wrong)]
        for name, (bound, wrong) in boundaries(draws).items()
    ]
    kinds = ("any_look", "at_end", "on_test", "uncorrected")
    normal = []
    for share in SHARES:
        several = [errors(share, draws, goes_to) for goes_to in GOES_TO]
        worst = [_percent(max(getattr(one, kind) for one in several)) for kind in kinds]
        normal.append([f"{share:g}", *worst, " / ".join(f"{one.seeds:.1f}" for one in several)])
    null, every = [], []
    for case in NULL:
        found = simulated(case, studies if case.variants == 2 else studies // 2)
        every += found
        null.append([*case.cells, *(_percent(mean(found, kind)) for kind in kinds), f"{mean(found, 'seeds'):.1f}"])
    null.append(["all", *[""] * 5, *(_percent(mean(every, kind)) for kind in kinds), f"{mean(every, 'seeds'):.1f}"])
    marginal = []
    for case in MARGINAL:
        found = simulated(case, studies)
        equal = simulated(replace(case, difference=0.0), studies // 2)
        marginal.append(
            [*case.cells[:3], case.cells[-1], _percent(mean(found, "as_good")), _percent(mean(equal, "as_good"))]
        )
    costs = []
    for case in COSTS:
        found = simulated(case, studies // 2, start=1)
        number = round(mean(found, "seeds"))
        same, most = fixed_power(found, number), fixed_power(found, LOOKS.most)
        cells = [case.cells[2], *case.cells[-2:], f"{mean(found, 'seeds'):.1f}", _percent(mean(found, "on_test"))]
        costs.append([*cells, f"{_percent(same)} ({number})", _percent(most)])
    wrong = ["told at any look", "at the end", "on test images", "on test images, not corrected", "seeds"]
    of_case = ["images", "accuracy", "seed sd (points)", "variants", "differ by (points)", "asked (points)"]
    return "\n".join(
        [
            "# Seeds that are added until enough is known",
            "",
            f"`python -m benchmarks.looks`: looks after {LOOKS.first} to {LOOKS.most} seeds, {draws:,} draws, {studies:,} "
            "studies a case of two variants without a difference, and half as many of others. No time is measured.",
            "",
            machine(),
            "",
            "## How wide",
            "",
            "Half the width of an interval over seeds alone, in standard errors, by number of seeds; and in how many of 100 "
            "studies in which nothing differs it excludes 0 at one look or more.",
            "",
            *_table(["rule", *map(str, shown), "errs at any look (%)"], wide),
            "## How often it errs: normal seeds and images",
            "",
            f"Nothing differs. Percent of studies; of three widths that are asked for, such as {GOES_TO} seeds have, the one "
            f"with which it errs most. What is less than {AS_GOOD:g} times this width is as good as none.",
            "",
            *_table(["share of seeds in the variance", *wrong], normal),
            "## How often it errs: whole studies",
            "",
            "As many test images as validation images. Nothing differs; percent of studies that tell a difference.",
            "",
            *_table([*of_case, *wrong], null),
            f"'As good as' within {100 * MARGIN:g} point, on validation or on test images, where the difference is exactly "
            "that (at most 5 %, for it may err on either), and where there is none:",
            "",
            *_table([*of_case[:3], of_case[-1], "differ by the margin (%)", "equal (%)"], marginal),
            "## What it costs",
            "",
            "Percent of studies that tell the difference on test images: with seeds that are added (corrected), with the same "
            f"mean number of seeds fixed beforehand (in brackets), and with {LOOKS.most} fixed.",
            "",
            *_table(
                [
                    *of_case[2:3],
                    *of_case[-2:],
                    "seeds",
                    "told",
                    "told with as many, fixed",
                    f"with {LOOKS.most}, fixed",
                ],
                costs,
            ),
        ]
    )


def main() -> None:
    """Simulate, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=100_000)
    arguments = parser.parse_args()
    publish(report(arguments.studies, arguments.draws), RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
