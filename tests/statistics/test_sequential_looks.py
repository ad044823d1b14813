import math

import numpy as np
import pytest

from benchmarks.looks import LOOKS, Case, boundaries, errors, mean, simulated
from vision_studies.statistics.evidence import Evidence
from vision_studies.statistics.looks import Looks, half_of, look
from vision_studies.statistics.simultaneous import compare


@pytest.mark.parametrize("looks", [Looks(2, 5), Looks(3, 12), Looks(5, 20)], ids=str)
def test_levels_grow_from_look_to_look_and_stay_below_what_all_of_them_have(looks):
    levels = [looks.level(seeds) for seeds in range(looks.first, looks.most + 1)]
    assert levels == sorted(levels)
    assert 0 < levels[0] < levels[-1] < 0.05 < sum(levels)  # Bonferroni would allow less
    assert levels[-1] < looks.final_level(0.05) < 0.05


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_a_corrected_p_is_below_the_level_exactly_where_the_interval_ends_there(level):
    own = LOOKS.final_level(level)
    assert own < level
    assert LOOKS.final_p(own * 0.98) <= level < LOOKS.final_p(own * 1.02)


def test_no_correction_makes_p_less_nor_anything_of_a_number_that_is_fixed():
    assert LOOKS.final_p(1.0) == 1
    assert LOOKS.final_p(1e-12) == pytest.approx(1e-11)
    assert math.isnan(LOOKS.final_p(math.nan))
    assert (Looks(4, 4).final_p(0.03), Looks(4, 4).final_level(0.1), Looks(4, 4).level(4)) == (0.03, 0.1, 0.05)


def test_seeds_that_differ_by_chance_alone_are_told_at_any_look_as_often_as_is_allowed():
    rules = boundaries(20_000)
    name = next(name for name in rules if name.startswith("this rule"))
    assert 0.045 <= rules[name][1] <= 0.055
    assert rules["a fixed number, and looked at all the same"][1] > 0.1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_whatever_seeds_vary_looks_and_the_end_err_no_more_than_is_allowed(share):
    found = errors(share, 20_000)
    assert max(found.any_look, found.at_end, found.on_test) <= 0.055
    assert found.seeds < LOOKS.most


def test_whole_studies_err_seldom_and_need_fewer_seeds_than_are_allowed():
    found = simulated(Case(300, 0.9, 0.05, 0.04), 30, Looks(3, 6))
    assert mean(found, "any_look") <= 0.17  # five of thirty
    assert 3 <= mean(found, "seeds") < 6
    told = simulated(Case(300, 0.7, 0.05, 0.04, difference=0.2), 10, Looks(3, 6))
    assert mean(told, "on_test") > 0.8


def right(name, seeds, spread, own=0.0, images=600):
    """Runs that agree on which images are hard, but for what is the variant's own."""
    hard = np.random.default_rng(0).standard_normal(images)
    hard = hard + own * np.random.default_rng(len(name)).standard_normal(images)
    random = np.random.default_rng([len(name), 7])
    correct = hard + spread * random.standard_normal((seeds, 1)) + 0.1 * random.standard_normal((seeds, images)) > -1
    return Evidence.of_images(name, np.arange(seeds), np.arange(images), np.zeros(images, int), correct=correct)


@pytest.mark.parametrize(
    ("seeds", "spread", "own", "asked", "margin", "reason"),
    [
        (4, 0.0, 0.0, 0.05, 0.001, "precise"),
        (6, 0.0, 0.0, 0.001, 0.05, "as good as"),
        (4, 0.3, 0.0, 0.02, 0.02, "wide"),
        (12, 0.3, 0.0, 0.01, 0.01, "at most"),
        (4, 0.0, 1.0, 0.01, 0.01, "images"),
    ],
)
def test_why_seeds_end(seeds, spread, own, asked, margin, reason):
    evidence = [right("plain", seeds, spread), right("other one", seeds, spread, own)]
    found = look(evidence, LOOKS, seeds, asked=asked, margin=margin)
    assert found.reason == reason
    [difference] = found.differences
    assert found.widest is difference
    assert (half_of(difference) <= asked) == (reason == "precise")
    assert (found.of_widest > max(asked, margin)) == (reason == "images")


def test_the_widest_decides_and_nothing_to_compare_is_said():
    three = [right("plain", 5, 0.0), right("other one", 5, 0.0), right("the third of them", 5, 0.4)]
    found = look(three, LOOKS, 5, asked=0.05, margin=0.01)
    assert (found.reason, found.widest.first) == ("wide", "the third of them")
    assert look(three[:1], LOOKS, 5, asked=0.05, margin=0.01).reason == "nothing"


def test_an_interval_of_a_look_is_wider_than_that_of_as_many_seeds_fixed():
    pair = [right("plain", 6, 0.1), right("other one", 6, 0.1)]
    [seen] = look(pair, LOOKS, 6, asked=0.01, margin=0.01).differences
    [fixed] = compare(pair, 0)
    assert seen.value == fixed.value
    assert seen.low < fixed.low < fixed.high < seen.high
